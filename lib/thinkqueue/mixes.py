r"""Budgets for a mix of queries that is not known: the best in the worst case, with a certificate.

For fixed budgets J depends on the mix :math:`\pi` through three numbers,

.. math:: J(\ell;\pi) = \sum_k\pi_ka_k - \frac{\lambda\sum_k\pi_kq_k}{2(1-\lambda\sum_k\pi_ks_k)},
          \qquad a_k = \alpha w_kp_k - s_k.

It is neither convex nor concave in the mix. But at a given mean :math:`\sum\pi_ks_k` it is linear,
so over the mixes between some given ones it is least on an *edge* between two of them, where it is
a hyperbola: the worst mix is found in closed form (:func:`worst_mix`).

In the budgets J is concave for every mix, and the least of concave functions is concave. For
weights :math:`\theta_i \ge 0` with sum 1 on mixes :math:`\pi^i` and any :math:`\hat\ell`,

.. math:: \max_\ell\min_\pi J(\ell;\pi) \le \max_\ell\sum_i\theta_iJ(\ell;\pi^i)
          \le \sum_i\theta_iJ(\hat\ell;\pi^i) + \sum_k\max_x\Bigl[\alpha w_k\bar\pi_k
          (p_k(x) - p_k(\hat\ell_k)) - P_k(x - \hat\ell_k)\Bigr],

:math:`\bar\pi = \sum\theta_i\pi^i`, :math:`P_k = \sum_i\theta_i\pi^i_kc_kq_k^i`: the tangent bound
again, with averaged prices. It closes at the best weights (Sion's theorem): the adversary's answer
is a *lottery* over mixes, which is not the same as its mean. (Our own derivation.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count, floats, one_number
from thinkqueue.delay.time import delay_of, only_fifo, refuse_unstable
from thinkqueue.errors import WorkloadError
from thinkqueue.solution import Bounded
from thinkqueue.solve import solve
from thinkqueue.workload import Workload, tokens_array

SLACK = 1e-9
"""The least distance from overload that a search may look at."""


@dataclass(frozen=True, eq=False)
class WorstMix:
    """The mix that is worst for given budgets.

    Attributes
    ----------
    mix : ndarray, (N,)
        Its shares.
    objective : float
        J there, in s.
    edge : tuple of int
        Between which two of the given mixes it lies.
    part : float
        How far on the way from the first to the second.
    """

    mix: Array
    objective: float
    edge: tuple[int, int]
    part: float


@dataclass(frozen=True, eq=False)
class RobustSolution(Bounded[float]):
    r"""Budgets that are best in the worst case, and the certificate for it.

    Attributes
    ----------
    mixes : ndarray, (R, N)
        The mixes that matter: given ones, and others between them that came up.
    weights : ndarray, (R,)
        :math:`\theta`, the lottery that proves the bound.
    """

    mixes: Array
    weights: Array


def worst_mix(workload: Workload, tokens: ArrayLike, mixes: ArrayLike) -> WorstMix:
    r"""Find the mix for which given budgets are worst, among all between given mixes.

    .. math:: \min_\pi J(\ell;\pi), \qquad \pi \in \operatorname{conv}\{\pi^1, \dots, \pi^R\}

    Parameters
    ----------
    workload : Workload
        Served first come, first served; its own shares play no part.
    tokens : array_like, (N,)
        The budgets.
    mixes : array_like, (R, N)
        Shares, each row adding up to 1.

    Returns
    -------
    WorstMix

    Raises
    ------
    UnstableError
        If the queue is unstable for one of the mixes.
    WorkloadError
        If the shapes do not fit, or the workload has another server.
    """
    only_fifo(workload, "The worst mix in closed form")
    ell = tokens_array(workload, tokens, single=True)
    table = _mixes(workload, mixes)
    rate, moments = workload.arrival_rate, workload.service.moments(ell)
    worth = workload.accuracy_weight * workload.weight * workload.curves.value(ell)
    line, square = table @ (worth - moments.mean), table @ moments.square
    slack = 1 - rate * (table @ moments.mean)
    if not (slack > 0).all():
        refuse_unstable(workload, float(1 - slack.min()), "for one of the mixes")

    def at(i: int, j: int, t: float) -> float:
        a, q, y = ((1 - t) * x[i] + t * x[j] for x in (line, square, slack))
        return float(a - rate * q / (2 * y))

    best = (at(0, 0, 0.0), 0, 0, 0.0)
    for i, j in itertools.combinations(range(len(table)), 2):
        tried = [0.0, 1.0]
        fall, rise = slack[j] - slack[i], line[j] - line[i]
        if fall != 0 and rise != 0:
            # (q₀ + q₁t)/(y₀ + y₁t) = q₁/y₁ + d/y, so that dJ/dt = a₁ + λ d y₁/(2y²)
            d = square[i] - (square[j] - square[i]) * slack[i] / fall
            where = -rate * d * fall / (2 * rise)
            if where > 0:
                t = (np.sqrt(where) - slack[i]) / fall
                tried += [float(t)] if 0 < t < 1 else []
        best = min(best, *((at(i, j, t), i, j, t) for t in tried))
    value, i, j, t = best
    return WorstMix((1 - t) * table[i] + t * table[j], value, (i, j), t)


def robust_budgets(
    workload: Workload,
    mixes: ArrayLike,
    *,
    regret: bool = False,
    gap: float = 1e-6,
    max_rounds: int = 50,
) -> RobustSolution:
    r"""Find the budgets that are best for the worst of all mixes between given ones.

    .. math:: \max_\ell\;\min_{\pi\in\operatorname{conv}\{\pi^1,\dots,\pi^R\}} J(\ell;\pi)
              \qquad\text{or, for regret,}\qquad
              \max_\ell\;\min_i\;\bigl[J(\ell;\pi^i) - J^*(\pi^i)\bigr]

    A mix of hard questions has a low J whatever the budgets are. Where that is not what is feared,
    each mix is compared with what could be had if it were known; then the given mixes count, and
    not those between them.

    Parameters
    ----------
    workload : Workload
        Served first come, first served, with concave curves; its own shares play no part.
    mixes : array_like, (R, N)
        Shares, each row adding up to 1.
    regret : bool, optional
        Whether what counts is how much is lost to the best budgets of each mix.
    gap : float, optional
        The certified gap at which to stop, relative to :math:`\max(1, |J|)`.
    max_rounds : int, optional
        How often a worse mix is looked for between the given ones.

    Returns
    -------
    RobustSolution
        ``objective`` is guaranteed for every mix; no budgets guarantee more than ``upper_bound``.
        For regret both are minus the loss, in s.

    Raises
    ------
    UnstableError
        If for some mix no allocation is stable.
    WorkloadError
        If the shapes do not fit, curves are not concave, or the workload has another server.
    """
    only_fifo(workload, "A guarantee for unknown mixes")
    if not workload.curves.concave:
        raise WorkloadError(
            "A guarantee for unknown mixes needs concave accuracy curves.", parameter="accuracy"
        )
    gap = one_number("gap", gap, least=0)
    check_count("max_rounds", max_rounds)
    given = _mixes(workload, mixes)
    known = given
    each = [solve(workload.replace(share=mix), throw=False) for mix in given]
    own = np.array([found.objective for found in each]) if regret else np.zeros(len(given))
    size = max(1.0, max(abs(found.objective) for found in each))
    ell = np.min([found.tokens for found in each], axis=0)  # stable for each mix, so for all
    best, value, upper = ell, -np.inf, np.inf
    proof = (known, np.full(len(given), 1 / len(given)))
    for _ in range(max_rounds):
        game = _Game(workload, known, own)
        ell = game.climb(ell)
        weights, above = game.certificate(ell)
        if above < upper:
            upper, proof = above, (known, weights)
        if regret:
            best, value = ell, float(game.look(ell)[0].min())
            break
        worst = worst_mix(workload, ell, given)
        if worst.objective > value:
            best, value = ell, worst.objective
        if upper - value <= gap * size or np.abs(known - worst.mix).max(axis=1).min() < 1e-9:
            break
        known, own = np.vstack([known, worst.mix]), np.append(own, 0.0)
    used = proof[1] > 1e-9
    best = np.array(best)
    best.flags.writeable = False
    upper = max(upper, value)
    return RobustSolution(best, value, upper, upper - value, proof[0][used], proof[1][used])


class _Game:
    """Finitely many mixes: J of each, its gradient, and the bound of a lottery over them."""

    def __init__(self, workload: Workload, mixes: Array, own: Array) -> None:
        self.w, self.mixes, self.own = workload, mixes, own
        self.delay = delay_of(workload.server)
        self.problems = [workload.replace(share=mix) for mix in mixes]
        self.value = np.asarray(workload.accuracy_weight * workload.weight)

    def look(self, ell: Array) -> tuple[Array, Array]:
        """Return J for each mix, less what it is compared with, (R,), and the prices, (R, N)."""
        worth = self.mixes @ (self.value * self.w.curves.value(ell))
        states = [self.delay.at(problem, ell) for problem in self.problems]
        return worth - np.array([s.time for s in states]) - self.own, np.stack(
            [s.price for s in states]
        )

    def climb(self, start: Array) -> Array:
        """Return budgets near the best for the worst of the mixes."""
        from scipy.optimize import minimize

        w = self.w
        curves, rate = w.curves, w.arrival_rate
        bend = self.value * self.mixes.max(axis=0) * curves.bend(start)
        unit = np.where(bend > 0, 1 / np.sqrt(np.where(bend > 0, bend, 1.0)), 1.0)
        slope = w.service.moments(start).mean_slope
        cap = np.minimum(
            w.max_tokens, 1 / (rate * np.maximum(slope * self.mixes.max(axis=0), 1e-300))
        )
        size = max(1.0, float(np.abs(self.look(start)[0]).max()))

        def stable(z: Array) -> Array:
            return np.asarray(1 - SLACK - rate * (self.mixes @ w.service.mean(z[:-1] * unit)))

        def values(z: Array) -> Array:
            if (stable(z) <= 0).any():
                return np.full(len(self.mixes), -1e6)
            return np.asarray(self.look(z[:-1] * unit)[0] / size - z[-1])

        def slopes(z: Array) -> Array:
            if (stable(z) <= 0).any():
                return np.zeros((len(self.mixes), len(z)))
            ell = z[:-1] * unit
            _, price = self.look(ell)
            rise = self.mixes * (self.value * curves.slope(ell) - price) * unit / size
            return np.column_stack([rise, np.full(len(rise), -1.0)])

        first = np.append(start / unit, self.look(start)[0].min() / size)
        found = minimize(
            lambda z: -z[-1],
            first,
            jac=lambda z: np.append(np.zeros(len(z) - 1), -1.0),
            method="SLSQP",
            bounds=[*((0.0, c) for c in cap / unit), (None, None)],
            constraints=[{"type": "ineq", "fun": values, "jac": slopes}],
            options={"maxiter": 300, "ftol": 1e-15},
        )
        ell = np.clip(found.x[:-1] * unit, 0, w.max_tokens)
        better = (stable(np.append(ell / unit, 0.0)) > 0).all()
        if better and self.look(ell)[0].min() >= self.look(start)[0].min():
            return np.asarray(ell)
        return start

    def certificate(self, ell: Array) -> tuple[Array, float]:
        """Return the lottery with the least bound at these budgets, and the bound."""
        from scipy.optimize import minimize

        values, price = self.look(ell)
        w, mixes = self.w, self.mixes

        def bound(theta: Array) -> tuple[float, Array]:
            share, cost = theta @ mixes, theta @ (mixes * price)
            with np.errstate(divide="ignore", invalid="ignore"):
                asked = np.where(
                    share > 0, cost / np.where(share > 0, share, 1.0), price.max(axis=0)
                )
            reply = w.curves.respond(self.value, asked, ell, w.max_tokens)
            x = ell + reply.step
            gain = self.value * (w.curves.value(x) - w.curves.value(ell))
            total = float(theta @ values + share @ reply.gain)
            return total, values + mixes @ gain - (mixes * price) @ reply.step

        start = np.exp(-(values - values.min()) / max(1e-3 * abs(values.min()), 1e-9))
        size = max(1.0, float(np.abs(values).max()))
        best, least = start / start.sum(), np.inf
        for first in (best, np.full(len(mixes), 1 / len(mixes))):
            found = minimize(
                lambda t: tuple(part / size for part in bound(t)),
                first,
                jac=True,
                method="SLSQP",
                bounds=[(0.0, 1.0)] * len(mixes),
                constraints=[{"type": "eq", "fun": lambda t: t.sum() - 1,
                              "jac": lambda t: np.ones(len(t))}],
                options={"maxiter": 200, "ftol": 1e-16},
            )  # fmt: skip
            theta = np.maximum(found.x, 0)
            theta /= theta.sum()
            if (above := bound(theta)[0]) < least:
                best, least = theta, above
        return best, least


def _mixes(workload: Workload, mixes: ArrayLike) -> Array:
    table = np.atleast_2d(floats("mixes", mixes))
    if table.ndim != 2 or table.shape[1] != len(workload) or not len(table):
        raise WorkloadError(
            f"mixes has shape {table.shape}; each row must have a share for each of the "
            f"{len(workload)} task types.",
            parameter="mixes",
            value=table.shape,
        )
    good = (table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) <= 1e-9)
    if not good.all():
        r = int(np.argmin(good))
        raise WorkloadError(
            f"Mix {r + 1} is {table[r]}; its shares must not be negative and must add up to 1.",
            parameter="mixes",
            value=table[r],
        )
    return table
