r"""Binomial maximum likelihood for one series of counts, and for many simulated ones at once.

.. math:: \max_{\varphi,\,a}\ \sum_i k_i \ln p_i + (n_i - k_i) \ln(1 - p_i), \qquad
          p_i = \sum_v a_v g_v(x_i;\varphi)

The weights :math:`a` are found exactly, with a certificate, for every shape :math:`\varphi` on a
grid; then the best shapes are polished with the exact derivative of the profile likelihood, which
by the envelope theorem is the partial derivative in :math:`\varphi`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.special import chdtrc

from thinkqueue.arrays import Array
from thinkqueue.calibration.curves import CONSTANT, HILL, LOGISTIC, POWER_LAW, SATURATING, Family
from thinkqueue.calibration.mixture import log_likelihood, maximise_mixture
from thinkqueue.workload import Curve, Hill, Interpolated, Logistic, PowerLaw, Saturating

_GRID = {0: 1, 1: 21, 2: 13}
_STARTS = 3
_BISECTIONS = 12
_MOST_CLIMBS = 30
_DIFFERENCE = 1e-4
_AT_BOUND = 1e-6
_LEAST_SLOPE = 1e-12
_CURVES: dict[str, type[Curve]] = {
    SATURATING.name: Saturating,
    POWER_LAW.name: PowerLaw,
    HILL.name: Hill,
    LOGISTIC.name: Logistic,
}
_HOPELESS = 1e-12
"""A chi-square tail, on one degree of freedom a point, beyond which no simulation is needed."""


@dataclass(frozen=True, eq=False)
class Series:
    """The counts of one task.

    Attributes
    ----------
    tokens : ndarray, (n,)
        Distinct token counts, ascending.
    correct, total : ndarray, (n,)
        Right answers and questions at each; ``correct`` may be fractional.
    """

    tokens: Array
    correct: Array
    total: Array

    @property
    def saturated_log_likelihood(self) -> float:
        """The log-likelihood of the observed proportions themselves, the largest there is."""
        return float(log_likelihood(self.correct / self.total, self.correct, self.total))


@dataclass(frozen=True, eq=False)
class CurveFit:
    """The most likely member of a family of curves.

    Attributes
    ----------
    curve : Family
        The family.
    series : Series
        What it was fitted to.
    shape, weights : ndarray
        Shape numbers and weights of the vertex curves.
    log_likelihood : float
        Without the binomial constant.
    """

    curve: Family
    series: Series
    shape: Array
    weights: Array
    log_likelihood: float

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name."""
        return self.curve.named(self.shape, self.weights)

    def predict(self, tokens: Array) -> Array:
        """Return the accuracy at any tokens.

        Parameters
        ----------
        tokens : ndarray, (n,)
            Points.
        """
        return np.asarray(self.curve.vertices(self.shape, np.asarray(tokens, float)) @ self.weights)

    @property
    def accuracy(self) -> Curve:
        """The curve as a workload takes it; one without parameters is joined at its points."""
        kind, values = _CURVES.get(self.curve.name), self.parameters
        if self.curve.name == CONSTANT.name:
            return Saturating(0.0, 1.0, values["baseline"])
        if kind is Logistic:
            return Logistic(values["intercept"], max(values["slope"], _LEAST_SLOPE))
        if kind is not None:
            return kind(**values)
        points = np.unique(np.append(0.0, self.series.tokens))
        return Interpolated(tuple(points.tolist()), tuple(self.predict(points).tolist()))

    @property
    def deviance(self) -> float:
        """Twice the log-likelihood that the observed proportions have more than the curve."""
        return max(0.0, 2 * (self.series.saturated_log_likelihood - self.log_likelihood))

    @property
    def degrees_of_freedom(self) -> int:
        """Measured points less free parameters, at least 0."""
        return max(0, self.series.tokens.size - len(self.curve.parameters))

    @property
    def chi_square_p(self) -> float:
        """The probability of so large a deviance for large counts; 1 without degrees of freedom."""
        if self.degrees_of_freedom == 0:
            return 1.0
        return float(chdtrc(self.degrees_of_freedom, self.deviance))

    @property
    def aicc(self) -> float:
        r"""Return :math:`-2\ln L + 2k + 2k(k+1)/(n-k-1)`, with n the number of questions.

        The sample size is the number of Bernoulli trials, and not of measured points: grouping the
        same answers differently must not change the choice. The constant of the binomial is left
        out, so only differences mean something. Hurvich and Tsai (1989), Biometrika 76.
        """
        free, trials = len(self.curve.parameters), float(self.series.total.sum())
        correction = 2 * free * (free + 1) / max(trials - free - 1, 1.0)
        return -2 * self.log_likelihood + 2 * free + correction


def fit(curve: Family, series: Series) -> CurveFit:
    """Fit a family of curves to one series by maximum likelihood.

    Parameters
    ----------
    curve : Family
        The family.
    series : Series
        The counts.
    """
    shape, weights, value = _best_on_grid(curve, series.tokens, series.correct[None], series.total)
    shape, weights, value = shape[0], weights[0], value[0]
    if shape.shape[-1]:
        shape, weights, value = _climb(curve, series, shape, weights, value)
    best = int(np.argmax(value))
    return CurveFit(curve, series, shape[best], weights[best], float(value[best]))


def fit_many(
    curve: Family,
    tokens: Array,
    correct: Array,
    total: Array,
    prior: tuple[float, float] | None = None,
) -> tuple[Array, Array, Array]:
    """Fit a family with at most one shape number to many data sets at the same points.

    Parameters
    ----------
    curve : Family
        The family.
    tokens : ndarray, (n,)
        Measured points.
    correct : ndarray, (B, n)
        Right answers in each data set.
    total : ndarray, (n,)
        Questions.
    prior : (float, float), optional
        Mean and standard deviation of a normal law that the shape number is drawn from; its
        logarithm is added to the likelihood that is maximised, and not to the one that is returned.

    Returns
    -------
    shape : ndarray, (B, S)
    weights : ndarray, (B, V)
    log_likelihood : ndarray, (B,)
    """
    bounds = curve.shape_bounds(tokens)
    shape, weights, value = _best_on_grid(curve, tokens, correct, total, starts=1, prior=prior)
    shape, weights, value = shape[:, 0], weights[:, 0], value[:, 0]
    if not bounds:
        return shape, weights, value
    if len(bounds) > 1:
        raise ValueError("Only curves with at most one shape number are fitted in bulk.")
    (low, high), spacing = bounds[0], (bounds[0][1] - bounds[0][0]) / (_GRID[1] - 1)
    left, right = np.maximum(shape - spacing, low), np.minimum(shape + spacing, high)
    worth = value + log_prior(shape, prior)
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        found = maximise_mixture(curve.vertices(middle, tokens), correct, total)
        slope = _profile_slope(curve, middle, found.weights, tokens, correct, total)
        if prior is not None:
            slope = slope - (middle - prior[0]) / prior[1] ** 2
        reached = found.log_likelihood + log_prior(middle, prior)
        better = reached > worth
        shape[better], weights[better] = middle[better], found.weights[better]
        value, worth = np.where(better, found.log_likelihood, value), np.maximum(worth, reached)
        left, right = np.where(slope > 0, middle, left), np.where(slope > 0, right, middle)
    return shape, weights, value


def log_prior(shape: Array, prior: tuple[float, float] | None) -> Array:
    """Return the logarithm of a normal prior density of shapes, up to a constant.

    Parameters
    ----------
    shape : ndarray, (..., S)
        Shape numbers.
    prior : (float, float) or None
        Its mean and standard deviation; None for a flat one.
    """
    if prior is None:
        return np.zeros(shape.shape[:-1])
    return np.asarray(-(((shape - prior[0]) / prior[1]) ** 2).sum(axis=-1) / 2)


def _best_on_grid(
    curve: Family,
    tokens: Array,
    correct: Array,
    total: Array,
    starts: int = _STARTS,
    prior: tuple[float, float] | None = None,
) -> tuple[Array, Array, Array]:
    """Return the best ``starts`` shapes of a grid: (B, starts, S), (B, starts, V), (B, starts)."""
    bounds = curve.shape_bounds(tokens)
    axes = [np.linspace(low, high, _GRID[len(bounds)]) for low, high in bounds]
    shapes = np.array(list(product(*axes)), dtype=float)
    found = maximise_mixture(curve.vertices(shapes, tokens), correct[:, None, :], total)
    order = np.argsort(-found.log_likelihood - log_prior(shapes, prior), axis=1)[:, :starts]
    rows = np.arange(correct.shape[0])[:, None]
    return shapes[order], found.weights[rows, order], found.log_likelihood[rows, order]


def _climb(
    curve: Family, series: Series, shape: Array, weights: Array, value: Array
) -> tuple[Array, Array, Array]:
    """Climb the profile likelihood from several shapes, (P, S), at once.

    Newton's method with the exact slope and a curvature differenced from it, made positive by
    taking its eigenvalues without sign; each step is tried at several lengths and kept only if it
    climbs.
    """
    low, high = np.array(curve.shape_bounds(series.tokens)).T
    corner = np.eye(shape.shape[-1])
    lengths = np.array([1.0, 0.5, 0.2, 0.04, 0.004])[:, None, None]
    for _ in range(_MOST_CLIMBS):
        around = np.concatenate([shape[None], shape + _DIFFERENCE * corner[:, None]])
        found = maximise_mixture(
            curve.vertices(around, series.tokens), series.correct, series.total
        )
        slope = _profile_slope(
            curve, around, found.weights, series.tokens, series.correct, series.total
        )
        bend = np.moveaxis(slope[1:] - slope[0], 0, -2) / _DIFFERENCE
        values, vectors = np.linalg.eigh((bend + np.swapaxes(bend, -1, -2)) / 2)
        turned = np.einsum("pij,pi->pj", vectors, slope[0]) / np.maximum(np.abs(values), 1e-6)
        step = np.clip(np.einsum("pij,pj->pi", vectors, turned), -2.0, 2.0)
        trials = np.clip(shape + lengths * step, low, high)
        found = maximise_mixture(
            curve.vertices(trials, series.tokens), series.correct, series.total
        )
        best = np.argmax(found.log_likelihood, axis=0)
        rows = np.arange(shape.shape[0])
        reached = found.log_likelihood[best, rows]
        better = reached > value
        shape = np.where(better[:, None], trials[best, rows], shape)
        weights = np.where(better[:, None], found.weights[best, rows], weights)
        progress = np.max(np.maximum(reached - value, 0.0))
        value = np.maximum(value, reached)
        if progress < 1e-8:
            break
    return shape, weights, value


def _profile_slope(
    curve: Family, shape: Array, weights: Array, tokens: Array, correct: Array, total: Array
) -> Array:
    """Return the derivative of the profile likelihood in each shape number, (..., S)."""
    probability = np.clip(
        (curve.vertices(shape, tokens) * weights[..., None, :]).sum(-1), 1e-12, 1 - 1e-12
    )
    score = correct / probability - (total - correct) / (1 - probability)
    slopes = curve.shape_slopes(shape, tokens) * weights[..., -1:, None]
    return np.asarray((score[..., None] * slopes).sum(axis=-2))


def covariance(fitted: CurveFit, *, log_rate_precision: float = 0.0) -> Array:
    r"""Return the covariance of gain, rate and baseline of a saturating fit, (3, 3).

    The inverse Fisher information :math:`\sum_i n_i \nabla p_i \nabla p_i^\top / (p_i(1-p_i))`, on
    the directions that stay feasible: a baseline at 0, a gain at 0 or a ceiling at 1 is held there
    and adds no variance, which flatters; the profile intervals do not make that assumption.

    Parameters
    ----------
    fitted : CurveFit
        A fit of the saturating curve.
    log_rate_precision : float, optional
        What is known of the logarithm of the rate from elsewhere, as an inverse variance.
    """
    gain, rate, baseline = (fitted.parameters[name] for name in SATURATING.parameters)
    information = fisher_information(
        fitted.series.tokens, fitted.series.total, gain, rate, baseline
    )
    information[1, 1] += log_rate_precision / rate**2
    held = []
    if baseline < _AT_BOUND:
        held.append((0.0, 0.0, 1.0))
    if gain + baseline > 1 - _AT_BOUND:
        held.append((1.0, 0.0, 1.0))
    if gain < _AT_BOUND:
        held.append((1.0, 0.0, 0.0))
    return inverse_on_free_directions(information, np.array(held).reshape(-1, 3), rate)


def fisher_information(
    tokens: Array, total: Array, gain: float, rate: float, baseline: float
) -> Array:
    r"""Return the Fisher information of (A, b, D) in counts of ``total`` questions at ``tokens``.

    Parameters
    ----------
    tokens, total : ndarray, (n,)
        The design.
    gain, rate, baseline : float
        The curve.
    """
    left = np.exp(-rate * tokens)
    accuracy = np.clip(baseline + gain * (1 - left), 1e-6, 1 - 1e-6)
    slopes = np.stack([1 - left, gain * tokens * left, np.ones_like(tokens)], axis=-1)
    weight = total / (accuracy * (1 - accuracy))
    return np.asarray(np.einsum("i,ip,iq->pq", weight, slopes, slopes))


def inverse_on_free_directions(information: Array, held: Array, rate: float) -> Array:
    """Invert an information matrix of (A, b, D) on the null space of the rows of ``held``.

    Parameters
    ----------
    information : ndarray, (3, 3)
        Fisher information.
    held : ndarray, (m, 3)
        Active constraints.
    rate : float
        b, which sets the unit of the second parameter.

    Notes
    -----
    A direction without information gets a variance of 10¹² squared units instead of infinity.
    """
    unit = np.array([1.0, rate, 1.0])
    _, singular, rows = np.linalg.svd(held * unit) if held.size else (0, np.zeros(0), np.eye(3))
    free = rows[int((singular > 1e-9).sum()) :].T
    scaled = free.T @ (information * np.outer(unit, unit)) @ free
    values, vectors = np.linalg.eigh(scaled)
    inverse = (vectors / np.maximum(values, 1e-12)) @ vectors.T
    return np.asarray(np.outer(unit, unit) * (free @ inverse @ free.T))


def simulate_counts(fitted: CurveFit, draws: int, rng: np.random.Generator) -> Array:
    """Return counts, (draws, n), that the fitted curve would give in new experiments like this one.

    Parameters
    ----------
    fitted : CurveFit
        The curve and its design.
    draws : int
        How many experiments.
    rng : numpy.random.Generator
        The source of randomness.
    """
    probability = np.clip(fitted.predict(fitted.series.tokens), 0.0, 1.0)
    total = np.rint(fitted.series.total).astype(int)
    return rng.binomial(total, probability, size=(draws, total.size)).astype(float)


def goodness_of_fit(fitted: CurveFit, draws: int, rng: np.random.Generator) -> float:
    """Return the share of simulated experiments whose refitted curve has as large a deviance.

    The reference distribution of the deviance is simulated, since the counts may be small and a
    parameter may sit at a bound, where no chi-square holds. Small values reject the curve.

    Parameters
    ----------
    fitted : CurveFit
        A fit with at most one shape number.
    draws : int
        Simulated experiments; the value returned is a multiple of 1/(draws + 1).
    rng : numpy.random.Generator
        The source of randomness.
    """
    tokens, total = fitted.series.tokens, np.rint(fitted.series.total)
    if chdtrc(tokens.size, fitted.deviance) < _HOPELESS:
        return 1 / (draws + 1)
    counts = simulate_counts(fitted, draws, rng)
    _, _, value = fit_many(fitted.curve, tokens, counts, total)
    deviances = 2 * (log_likelihood(counts / total, counts, total) - value)
    return float((1 + np.sum(deviances >= fitted.deviance - 1e-6)) / (draws + 1))


def bootstrap(
    fitted: CurveFit,
    draws: int,
    rng: np.random.Generator,
    prior: tuple[float, float] | None = None,
) -> Array:
    """Return gain, rate and baseline refitted to simulated experiments, (draws, 3).

    Parameters
    ----------
    fitted : CurveFit
        A fit of the saturating curve.
    draws : int
        How many.
    rng : numpy.random.Generator
        The source of randomness.
    prior : (float, float), optional
        As in :func:`fit_many`, for a curve that was fitted with it.
    """
    tokens, total = fitted.series.tokens, np.rint(fitted.series.total)
    counts = simulate_counts(fitted, draws, rng)
    shape, weights, _ = fit_many(SATURATING, tokens, counts, total, prior)
    return np.stack([weights[:, 2], np.exp(shape[:, 0]), weights[:, 1]], axis=-1)
