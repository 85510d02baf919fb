r"""Profile-likelihood intervals for the saturating curve.

The interval of a parameter holds the values :math:`v` at which the best curve with that parameter
fixed is not rejected by the likelihood ratio,

.. math:: 2\,\Bigl(\max_\theta \ln L(\theta) - \max_{\theta:\,\theta_j = v} \ln L(\theta)\Bigr)
          \le \chi^2_1(\text{level}).

It needs no symmetry and no interior maximum, and it says honestly when an end is open. Where the
rate was fitted with a prior, the logarithm of its density is added to both likelihoods, so that the
interval is that of the estimate; of several stretches of such values it is the smallest interval
that holds them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from thinkqueue.arrays import Array
from thinkqueue.calibration.curves import SATURATING
from thinkqueue.calibration.fit import CurveFit, bootstrap, log_prior
from thinkqueue.calibration.mixture import maximise_mixture

_SHAPES = 41
_ZOOMS = 4
_POINTS = 9
_ROUNDING = 1e-10
"""How closely a maximum of the log-likelihood is known, for each question."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes
    ----------
    low, high : float
        Its ends.
    level : float
        Its nominal coverage.
    low_open, high_open : bool
        Whether the data do not bound it on that side: the end is then that of the range searched.
    """

    low: float
    high: float
    level: float
    low_open: bool = False
    high_open: bool = False

    @property
    def open(self) -> bool:
        """Whether the data leave one side unbounded."""
        return self.low_open or self.high_open


def profile_intervals(
    fitted: CurveFit,
    level: float = 0.95,
    *,
    prior: tuple[float, float] | None = None,
    rival: CurveFit | None = None,
) -> dict[str, Interval]:
    """Return intervals for gain, rate, baseline and ceiling (baseline + gain).

    Parameters
    ----------
    fitted : CurveFit
        A fit of the saturating curve.
    level : float, optional
        Nominal coverage.
    prior : (float, float), optional
        Mean and standard deviation of the logarithm of the rate that it was fitted with.
    rival : CurveFit, optional
        A curve within the family that is to be reported instead, as likely as these data can tell:
        the intervals are wide enough to hold it.
    """
    worth = fitted.log_likelihood + float(log_prior(fitted.shape, prior))
    threshold = worth - chdtri(1, 1 - level) / 2
    if rival is not None:
        known = _ROUNDING * float(fitted.series.total.sum())
        threshold = min(threshold, rival.log_likelihood - known)
    gain, rate, baseline = (fitted.parameters[name] for name in SATURATING.parameters)
    low, high = SATURATING.shape_bounds(fitted.series.tokens)[0]

    def of_rate(values: Array) -> Array:
        return profile_of_rate(fitted, np.exp(values)) + log_prior(values[:, None], prior)

    ends = _crossings(of_rate, float(np.log(rate)), low, high, threshold)
    intervals = {
        "rate": Interval(float(np.exp(ends[0])), float(np.exp(ends[1])), level, ends[2], ends[3])
    }
    shapes = _relevant_shapes(fitted, of_rate, threshold)
    for name, best in (("gain", gain), ("baseline", baseline), ("ceiling", baseline + gain)):

        def of_value(values: Array, name: str = name) -> Array:
            return _profile_of_weight(fitted, name, values, shapes, prior)

        # a bound of the parameter's own range closes the interval; it is not an open end
        ends = _crossings(of_value, best, 0.0, 1.0, threshold)
        intervals[name] = Interval(ends[0], ends[1], level)
    return intervals


def bootstrap_intervals(
    fitted: CurveFit, level: float = 0.95, *, draws: int = 1000, seed: int = 0
) -> dict[str, Interval]:
    """Return percentile intervals for gain, rate, baseline and ceiling from simulated experiments.

    Easier to believe than the profile intervals, and a little short where a parameter meets its
    bound.

    Parameters
    ----------
    fitted : CurveFit
        A fit of the saturating curve.
    level : float, optional
        Nominal coverage.
    draws : int, optional
        Simulated experiments.
    seed : int, optional
        Seed of the simulation.
    """
    gain, rate, baseline = bootstrap(fitted, draws, np.random.default_rng(seed)).T
    samples = {"gain": gain, "rate": rate, "baseline": baseline, "ceiling": baseline + gain}
    intervals = {}
    for name, sample in samples.items():
        low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
        intervals[name] = Interval(float(low), float(high), level)
    return intervals


def profile_of_rate(fitted: CurveFit, rates: Array) -> Array:
    """Return the largest log-likelihood at each rate, (P,).

    Parameters
    ----------
    fitted : CurveFit
        A fit of the saturating curve.
    rates : ndarray, (P,)
        Rates in 1/token.
    """
    series = fitted.series
    vertices = SATURATING.vertices(np.log(rates)[:, None], series.tokens)
    return maximise_mixture(vertices, series.correct, series.total).log_likelihood


def _relevant_shapes(
    fitted: CurveFit, profile: Callable[[Array], Array], threshold: float
) -> Array:
    """Return shapes (P, 1) that cover every shape that can matter inside the intervals."""
    low, high = SATURATING.shape_bounds(fitted.series.tokens)[0]
    grid = np.linspace(low, high, _SHAPES)
    inside = grid[profile(grid) > threshold - 1.0]
    centre = float(fitted.shape[0])
    spacing = grid[1] - grid[0]
    left = min(inside.min(initial=centre) - spacing, centre)
    right = max(inside.max(initial=centre) + spacing, centre)
    return np.append(np.linspace(max(left, low), min(right, high), _SHAPES), centre)[:, None]


def _profile_of_weight(
    fitted: CurveFit, name: str, values: Array, shapes: Array, prior: tuple[float, float] | None
) -> Array:
    """Return the largest log-likelihood and prior with gain, baseline or ceiling fixed, (P,).

    Fixing one of them cuts the triangle {D, A ≥ 0, D + A ≤ 1} in a segment, and the curves on a
    segment are the mixtures of the curves at its ends.
    """
    g = SATURATING.shape(shapes, fitted.series.tokens)[None]
    v = values[:, None, None]
    if name == "baseline":
        ends = (v + 0 * g, v + (1 - v) * g)
    elif name == "ceiling":
        ends = (v + 0 * g, v * g)
    else:
        ends = (v * g, 1 - v + v * g)
    series = fitted.series
    found = maximise_mixture(np.stack(ends, axis=-1), series.correct, series.total)
    return np.asarray((found.log_likelihood + log_prior(shapes, prior)).max(axis=1))


def _crossings(
    profile: Callable[[Array], Array], best: float, low: float, high: float, threshold: float
) -> tuple[float, float, bool, bool]:
    """Return where the profile is last above the threshold on either side, and if it stays so."""
    ends, opens = [], []
    for limit in (low, high):
        inside, outside = best, limit
        if profile(np.array([outside]))[0] >= threshold:
            ends.append(limit)
            opens.append(True)
            continue
        for _ in range(_ZOOMS):
            points = np.linspace(inside, outside, _POINTS)
            above = np.flatnonzero(profile(points[1:-1]) >= threshold)[-1:] + 1
            last = int(above[0]) if above.size else 0
            inside, outside = float(points[last]), float(points[last + 1])
        ends.append((inside + outside) / 2)
        opens.append(False)
    return ends[0], ends[1], opens[0], opens[1]
