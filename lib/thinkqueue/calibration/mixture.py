"""Binomial maximum likelihood over mixtures of given curves: one convex problem, many at once.

Every accuracy curve of this package is, once its shape is fixed, a mixture of a few known
curves: a floor, a ceiling and a shape between them. So is every nondecreasing curve (a mixture
of steps) and every concave nondecreasing one (a mixture of ramps). The likelihood of a mixture
is concave in its weights, whatever the data, and this module maximises it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array

SMALLEST_PROBABILITY = 1e-12
_TOLERANCE = 1e-11
_MOST_STEPS = 80
_NEGLIGIBLE = 1e-10


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """The most likely mixture of given curves.

    Attributes
    ----------
    weights : ndarray, (..., V)
        Non-negative weights of the curves, adding up to 1.
    log_likelihood : ndarray, (...)
        Their log-likelihood, without the binomial constant.
    gap : ndarray, (...)
        A certified bound on what any other mixture could add to it.
    """

    weights: Array
    log_likelihood: Array
    gap: Array


def log_likelihood(probability: Array, correct: ArrayLike, total: ArrayLike) -> Array:
    r"""Return :math:`\sum_i k_i \ln p_i + (n_i-k_i)\ln(1-p_i)` over the last axis.

    The binomial constant is left out: it is the same for all curves.

    Parameters
    ----------
    probability : ndarray, (..., n)
        Accuracies; kept 1e-12 away from 0 and 1.
    correct, total : array_like, (..., n)
        Counts.
    """
    wins = np.asarray(correct, dtype=float)
    losses = np.asarray(total, dtype=float) - wins
    clipped = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    terms = wins * np.log(clipped) + losses * np.log1p(-clipped)
    return np.asarray(terms.sum(axis=-1), dtype=float)


def maximise_mixture(vertices: ArrayLike, correct: ArrayLike, total: ArrayLike) -> MixtureFit:
    r"""Find the most likely mixtures of given curves, for many data sets at once.

    .. math:: \max_{a \ge 0,\ \sum_v a_v = 1}\ f(a) = \sum_i k_i \ln\sum_v a_v g_v(x_i)
              + (n_i - k_i)\ln\sum_v a_v (1 - g_v(x_i))

    Parameters
    ----------
    vertices : array_like, (..., n, V)
        The curves :math:`g_v` at the measured points; kept 1e-12 away from 0 and 1.
    correct, total : array_like, (..., n)
        Counts; fractional ones (averages over repetitions) are allowed.

    Returns
    -------
    MixtureFit

    Notes
    -----
    :math:`f` is concave and :math:`f(ta) = f(a) + n\ln t` with :math:`n = \sum_i n_i`,
    so the penalty :math:`-n\sum_v a_v` may stand for the constraint :math:`\sum_v a_v = 1`: only
    bounds are left, and a primal-dual interior-point method needs 10 to 30 steps. The certificate
    is that of Lindsay (1983, Annals of Statistics 11):
    :math:`f(a^*) - f(a) \le \max_v \partial_v f(a) - n` on the simplex.
    """
    curves = np.clip(np.asarray(vertices, float), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    wins = np.asarray(correct, dtype=float)
    losses = np.asarray(total, dtype=float) - wins
    batch = np.broadcast_shapes(curves.shape[:-2], wins.shape[:-1], losses.shape[:-1])
    points, corners = curves.shape[-2:]
    curves = np.broadcast_to(curves, (*batch, points, corners)).reshape(-1, points, corners)
    wins = np.broadcast_to(wins, (*batch, points)).reshape(-1, points)
    losses = np.broadcast_to(losses, (*batch, points)).reshape(-1, points)
    size = (wins + losses).sum(axis=-1)
    weights = _interior_point(curves, wins / size[:, None], losses / size[:, None])
    # an interior point stops short of a bound by about the tolerance: put it there
    weights = np.where(weights < _NEGLIGIBLE, 0.0, weights)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    probability = np.einsum("bpv,bv->bp", curves, weights)
    slope = np.einsum("bp,bpv->bv", wins / probability, curves)
    slope += np.einsum("bp,bpv->bv", losses / (1 - probability), 1 - curves)
    value = log_likelihood(probability, wins, wins + losses)
    return MixtureFit(
        weights=weights.reshape(*batch, corners),
        log_likelihood=value.reshape(batch),
        gap=np.maximum(slope.max(axis=-1) - size, 0.0).reshape(batch),
    )


def _interior_point(curves: Array, wins: Array, losses: Array) -> Array:
    """Return weights on the simplex for a flat batch whose counts add up to one in each row.

    The batch is the last axis inside, so that every operation runs along it.
    """
    corners = curves.shape[2]
    curves = np.ascontiguousarray(curves.transpose(2, 1, 0))
    wins, losses = np.ascontiguousarray(wins.T), np.ascontiguousarray(losses.T)
    complement = 1 - curves
    weights = np.full((corners, curves.shape[2]), 1 / corners)
    slack = np.ones_like(weights)
    answer = weights.copy()
    active = np.arange(curves.shape[2])
    for _ in range(_MOST_STEPS):
        right = (curves * weights[:, None]).sum(axis=0)
        wrong = (complement * weights[:, None]).sum(axis=0)
        up, down = wins / right, losses / wrong
        slope = (curves * up).sum(axis=1) + (complement * down).sum(axis=1)
        product = weights * slack
        unfinished = (slope.max(axis=0) > 1 + _TOLERANCE) | (product.sum(axis=0) > _TOLERANCE)
        answer[:, active] = weights
        if not unfinished.any():
            break
        if not unfinished.all():
            active, weights, slack = (
                active[unfinished],
                weights[:, unfinished],
                slack[:, unfinished],
            )
            curves, complement = curves[..., unfinished], complement[..., unfinished]
            wins, losses = wins[:, unfinished], losses[:, unfinished]
            up, down, right, wrong = (x[:, unfinished] for x in (up, down, right, wrong))
            slope, product = slope[:, unfinished], product[:, unfinished]
        centre = product.mean(axis=0)
        barrier = np.maximum(centre * np.minimum(0.1, 10 * centre), 1e-3 * _TOLERANCE)
        step = _solve_positive(
            _curvature(curves, up / right) + _curvature(complement, down / wrong),
            slack / weights,
            slope - 1 + barrier / weights,
        )
        slack_step = barrier / weights - slack - slack / weights * step
        weights = weights + _fraction_to_boundary(weights, step) * step
        slack = slack + _fraction_to_boundary(slack, slack_step) * slack_step
    return np.asarray((answer / answer.sum(axis=0)).T)


def _curvature(curves: Array, weight: Array) -> Array:
    """Return the sum over the points of weight times the outer product of the curves, (V, V, B)."""
    corners = curves.shape[0]
    matrix = np.empty((corners, corners, weight.shape[1]))
    for v in range(corners):
        weighted = curves[v] * weight
        for w in range(v + 1):
            matrix[v, w] = matrix[w, v] = (weighted * curves[w]).sum(axis=0)
    return matrix


def _solve_positive(matrix: Array, diagonal: Array, right: Array) -> Array:
    """Solve (matrix + diagonal) x = right for each batch entry, by elimination without pivots."""
    size = right.shape[0]
    for v in range(size):
        matrix[v, v] += diagonal[v]
    answer = right.copy()
    for v in range(size):
        for w in range(v + 1, size):
            factor = matrix[w, v] / matrix[v, v]
            matrix[w, v + 1 :] -= factor * matrix[v, v + 1 :]
            answer[w] -= factor * answer[v]
    for v in reversed(range(size)):
        answer[v] -= (matrix[v, v + 1 :] * answer[v + 1 :]).sum(axis=0)
        answer[v] /= matrix[v, v]
    return answer


def _fraction_to_boundary(position: Array, step: Array) -> Array:
    """Return the largest step length, at most one, that keeps 1% of the way to every bound."""
    ratio = np.max(-step / position, axis=0)
    return np.asarray(np.minimum(1.0, 0.99 / np.maximum(ratio, 0.99)))


def step_vertices(tokens: Array, knots: Array) -> Array:
    """Return curves, (n, 1 + K), whose mixtures are all nondecreasing step curves.

    Parameters
    ----------
    tokens : ndarray, (n,)
        Where the curves are evaluated.
    knots : ndarray, (K,)
        Where they may rise.
    """
    steps = (tokens[:, None] >= knots[None, :]).astype(float)
    return np.hstack([np.zeros((tokens.size, 1)), steps])


def ramp_vertices(tokens: Array, knots: Array) -> Array:
    """Return curves, (n, V), whose mixtures are all concave nondecreasing broken lines.

    The constants 0 and 1 and, for each knot x_j > 0, the ramp min(x / x_j, 1). Ramps start at the
    origin because an accuracy there is at least zero: a curve that is concave at the measured
    points may still have to bend the other way before the first of them.

    Parameters
    ----------
    tokens : ndarray, (n,)
        Where the curves are evaluated.
    knots : ndarray, (K,)
        Where they may bend.
    """
    ends = knots[knots > 0]
    constant = np.stack([np.zeros(tokens.size), np.ones(tokens.size)], axis=1)
    return np.hstack([constant, np.minimum(tokens[:, None] / ends[None, :], 1.0)])
