"""What the counts of one task say of the saturating law, in words.

The hypotheses are nested: a saturating curve is concave, and a concave one is monotone. Each is
tested against the observed proportions themselves, with a simulated reference distribution, from
the smallest outwards until one is not rejected. Whichever is the smallest true one, the chance
that it is rejected is at most about 5 %, that of a single test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.special import chdtrc

from thinkqueue.arrays import Array
from thinkqueue.calibration.curves import (
    CONSTANT,
    PARAMETRIC,
    SATURATING,
    ConcaveCurve,
    MonotoneCurve,
)
from thinkqueue.calibration.fit import (
    CurveFit,
    Series,
    covariance,
    fit,
    fit_many,
    goodness_of_fit,
    simulate_counts,
)
from thinkqueue.calibration.intervals import Interval, profile_intervals
from thinkqueue.workload import Saturating

_HOPELESS = 1e-12
REJECT_AT = {SATURATING.name: 0.05, ConcaveCurve.name: 0.025, MonotoneCurve.name: 0.025}
"""The p-values at which a family is rejected. Where a curve only just satisfies a constraint on its
shape, a test whose reference is simulated from the fit rejects too often; measured at such curves,
a p-value of 0.025 comes up in 2 to 3% of the experiments and one of 0.05 in up to 10%."""
FLAT_ABOVE = 0.05
WIDEST_RATE = 10.0
"""A rate known no better than within a factor of ten decides no budget."""


class Verdict(StrEnum):
    """What may be said of a task's accuracy curve."""

    ADEQUATE = "adequate"
    NOT_IDENTIFIED = "not identified"
    NOT_EXPONENTIAL = "concave, not exponential"
    S_SHAPED = "S-shaped"
    NOT_MONOTONE = "not monotone"


@dataclass(frozen=True, eq=False)
class AccuracyFit:
    """The accuracy curve of one task, and what the data say of it.

    Attributes
    ----------
    series : Series
        The counts.
    gain, rate, baseline : float
        The most likely saturating curve.
    covariance : ndarray, (3, 3)
        Of gain, rate and baseline, from the Fisher information.
    intervals : dict of Interval
        Profile-likelihood intervals of ``gain``, ``rate``, ``baseline`` and ``ceiling``.
    fits : dict of CurveFit
        The saturating curve and its rivals by name; one with more parameters than there are
        measured points is left out.
    goodness : dict of float
        Simulated p-values of ``saturating`` and, where that is rejected, of ``any concave`` and
        ``any monotone``; and of ``constant`` against the saturating curve.
    verdict : Verdict
        The conclusion.
    words : str
        The conclusion in a sentence or two.
    """

    series: Series
    gain: float
    rate: float
    baseline: float
    covariance: Array
    intervals: dict[str, Interval]
    fits: dict[str, CurveFit]
    goodness: dict[str, float]
    verdict: Verdict
    words: str

    @property
    def saturating(self) -> CurveFit:
        """The fitted saturating curve."""
        return self.fits[SATURATING.name]

    @property
    def law(self) -> Saturating:
        """The saturating curve in use: pooled, where curves were pooled."""
        return Saturating(self.gain, self.rate, self.baseline)

    @property
    def evidence(self) -> dict[str, float]:
        r"""Akaike weights :math:`e^{-\Delta/2}` of the parametric curves, adding up to 1."""
        scores = np.array([curve.aicc for curve in self.parametric.values()])
        weights = np.exp(-(scores - scores.min()) / 2)
        return dict(zip(self.parametric, (weights / weights.sum()).tolist(), strict=True))

    @property
    def parametric(self) -> dict[str, CurveFit]:
        """The fits that have parameters, and so an AICc."""
        return {name: curve for name, curve in self.fits.items() if curve.curve.parameters}


def judge(
    series: Series, *, simulations: int, level: float, rng: np.random.Generator
) -> AccuracyFit:
    """Fit every curve to one series and say what it shows.

    Parameters
    ----------
    series : Series
        The counts.
    simulations : int
        Simulated experiments behind each p-value.
    level : float
        Coverage of the intervals.
    rng : numpy.random.Generator
        The source of randomness.
    """
    points = series.tokens.size
    fits = {
        curve.name: fit(curve, series)
        for curve in PARAMETRIC
        if len(curve.parameters) <= points or curve is SATURATING
    }
    knots = tuple(series.tokens.tolist())
    for shape_free in (ConcaveCurve(knots), MonotoneCurve(knots)):
        fits[shape_free.name] = fit(shape_free, series)
    saturating = fits[SATURATING.name]
    goodness: dict[str, float] = {}
    for name in (SATURATING.name, ConcaveCurve.name, MonotoneCurve.name):
        goodness[name] = goodness_of_fit(fits[name], simulations, rng)
        if goodness[name] > REJECT_AT[name]:
            break
    goodness[CONSTANT.name] = _p_of_no_effect(fits[CONSTANT.name], saturating, simulations, rng)
    # without an effect the rate is arbitrary: report a curve without one, and what holds it
    flat = goodness[CONSTANT.name] > FLAT_ABOVE
    intervals = profile_intervals(saturating, level, rival=fits[CONSTANT.name] if flat else None)
    verdict, words = _conclude(series, fits, goodness, intervals)
    parameters = saturating.parameters
    if flat:
        baseline = fits[CONSTANT.name].parameters["baseline"]
        parameters = {"gain": 0.0, "rate": 1 / (series.tokens[-1] or 1.0), "baseline": baseline}
    return AccuracyFit(
        series, parameters["gain"], parameters["rate"], parameters["baseline"],
        covariance(saturating), intervals, fits, goodness, verdict, words,
    )  # fmt: skip


def with_pooled_rate(
    judged: AccuracyFit, fitted: CurveFit, spread: Array, intervals: dict[str, Interval]
) -> AccuracyFit:
    """Return the same task with a rate that other tasks inform.

    A task whose own data left only the rate open becomes adequate if the pooled interval is narrow
    enough; no rejection is taken back.

    Parameters
    ----------
    judged : AccuracyFit
        The task on its own.
    fitted : CurveFit
        Its curve with the pooled rate.
    spread : ndarray, (3, 3)
        The covariance of gain, rate and baseline with it.
    intervals : dict of Interval
        Of gain, rate, baseline and ceiling with it.
    """
    if judged.gain == 0.0:
        return judged
    shrunk = replace(
        judged, gain=fitted.parameters["gain"], rate=fitted.parameters["rate"],
        baseline=fitted.parameters["baseline"], covariance=spread,
        intervals=intervals,
        fits=judged.fits | {SATURATING.name: fitted},
    )  # fmt: skip
    narrow = intervals["rate"].high / intervals["rate"].low <= WIDEST_RATE
    if judged.verdict is Verdict.NOT_IDENTIFIED and judged.series.tokens.size >= 2 and narrow:
        words = f"With its rate pooled across tasks the curve is identified. Alone: {judged.words}"
        return replace(shrunk, verdict=Verdict.ADEQUATE, words=words)
    return shrunk


def _p_of_no_effect(
    constant: CurveFit, saturating: CurveFit, simulations: int, rng: np.random.Generator
) -> float:
    """Return the share of experiments without effect that show as much of one as these data."""
    seen = saturating.log_likelihood - constant.log_likelihood
    if seen < 1e-9:
        return 1.0
    if chdtrc(constant.series.tokens.size, 2 * seen) < _HOPELESS:
        return 1 / (simulations + 1)
    tokens, total = constant.series.tokens, np.rint(constant.series.total)
    counts = simulate_counts(constant, simulations, rng)
    larger = fit_many(SATURATING, tokens, counts, total)[2]
    smaller = fit_many(CONSTANT, tokens, counts, total)[2]
    return float((1 + np.sum(larger - smaller >= seen - 1e-9)) / (simulations + 1))


def _conclude(
    series: Series,
    fits: dict[str, CurveFit],
    goodness: dict[str, float],
    intervals: dict[str, Interval],
) -> tuple[Verdict, str]:
    """Return the verdict and a sentence for it, the gravest finding first."""
    best = min((f for f in fits.values() if f.curve.parameters), key=lambda f: f.aicc)
    saturating = fits[SATURATING.name]
    lead = saturating.aicc - best.aicc
    rejected = (
        f"The saturating law is rejected (deviance {saturating.deviance:.1f}, "
        f"p = {goodness[SATURATING.name]:.2g})"
    )
    better = ""
    if lead > 2:
        better = f"; AICc prefers the {best.curve.name} curve by {lead:.1f}"
        closeness = best.log_likelihood - saturating.log_likelihood
        if abs(closeness) < 1:
            better += (
                f", which it owes to its fewer parameters: the log-likelihoods differ by only "
                f"{abs(closeness):.2f}"
            )
    if goodness.get(MonotoneCurve.name, 1.0) <= REJECT_AT[MonotoneCurve.name]:
        return Verdict.NOT_MONOTONE, (
            f"{rejected}, and so is every curve that never falls "
            f"(p = {goodness[MonotoneCurve.name]:.2g}): more thinking made it worse somewhere."
        )
    if MonotoneCurve.name in goodness:
        return Verdict.S_SHAPED, (
            f"{rejected}, and so is every concave curve (p = {goodness[ConcaveCurve.name]:.2g}): "
            "the "
            f"first tokens buy less than later ones{better}."
        )
    if ConcaveCurve.name in goodness:
        return Verdict.NOT_EXPONENTIAL, (
            f"{rejected}; a concave curve is not (p = {goodness[ConcaveCurve.name]:.2g}){better}."
        )
    missing = _what_is_missing(series, goodness, intervals["rate"])
    if missing:
        return Verdict.NOT_IDENTIFIED, missing
    return Verdict.ADEQUATE, (
        f"The saturating law is not rejected (deviance {saturating.deviance:.1f}, "
        f"p = {goodness[SATURATING.name]:.2g}){better}."
    )


def _what_is_missing(series: Series, goodness: dict[str, float], rate: Interval) -> str:
    """Return why the rate is not identified, or nothing."""
    points, asked = series.tokens.size, series.total.sum()
    if points == 1:
        return (
            f"One budget ({series.tokens[0]:g} tokens) shows no effect of thinking: measure at "
            "four or more budgets."
        )
    if series.correct.sum() == 0:
        return (
            f"No answer was right at any budget: accuracy is below {3 / asked:.2g} (95%), and "
            "nothing shows where it would begin to rise."
        )
    if series.correct.sum() == asked:
        return (
            f"Every answer was right at every budget: accuracy is above {1 - 3 / asked:.2g} (95 "
            "%), "
            "and nothing shows what fewer tokens would do. Measure at smaller budgets."
        )
    if goodness[CONSTANT.name] > FLAT_ABOVE:
        return (
            f"Flat: accuracy does not change with the budget beyond chance "
            f"(p = {goodness[CONSTANT.name]:.2g})."
        )
    if points < 4:
        return f"{points} budgets cannot test a curve of three parameters: measure at four or more."
    if rate.open or rate.high / rate.low > WIDEST_RATE:
        first, last = series.tokens[series.tokens > 0][0], series.tokens[-1]
        advice = []
        if rate.high * first > 3:
            advice.append(f"budgets below {first:,.0f} tokens would show how fast it rises")
        if rate.low * last < 1:
            advice.append(f"budgets above {last:,.0f} tokens would show where it levels off")
        wide = "without bound" if rate.open else f"by a factor of {rate.high / rate.low:.0f}"
        return (
            f"The rate is uncertain {wide} ({rate.level:.0%} interval {rate.low:.2g} to "
            f"{rate.high:.2g} a token): "
            + (" and ".join(advice) or "more questions are needed")
            + "."
        )
    return ""
