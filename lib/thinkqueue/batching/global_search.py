r"""The best budgets where the mean time is not convex: one scalar, bounded cell by cell.

*Context.* With :math:`\tau = 1/(1-\lambda\bar w)` the mean time is :math:`\tau am +
(\tau-1)/\lambda`, linear in the budgets at a given :math:`\tau`, and as it rises in
:math:`\bar w`, allocations with :math:`\bar w \le W(\tau) = (1-1/\tau)/\lambda` may be allowed:

.. math:: J \le L(\tau, \nu) = G(\tau, \nu) + \nu W(\tau) - \frac{\tau-1}{\lambda}, \qquad
          G = \sum_k\max_x\,[\alpha w_k\pi_kp_k(x) - \pi_k(\tau a\,x + \nu w_k(x))],
          \quad \nu \ge 0.

G is convex in both, so between two ends of a cell it is below its chord, and what is left of the
error is of second order in the width:

.. math:: J \le (1-\theta)L_1 + \theta L_2 + \theta(1-\theta)R, \qquad
          R = -(\nu_2-\nu_1)(W_2-W_1) + \max(\nu_1,\nu_2)\,\frac{(\tau_2-\tau_1)^2}
          {\lambda\tau_1^2\tau_2}.

*Waiting.* The mean time is :math:`g(m) + f(m)M`, :math:`M = \sum_k\pi_kx_k^2`, and both g and f
rise with m (for f because :math:`D\ln\mathbb{E}[(N-B)^+] \ge B(1-\sigma) + 1/(1-\sigma) \ge
2\sqrt B`). So in a cell :math:`m_1 \le m \le m_2`, for any :math:`\nu`,

.. math:: J \le \sum_k\max_x\,[\alpha w_k\pi_kp_k(x) - \pi_k(f(m_1)x_k^2 + \nu x_k)]
          + \max(\nu m_1, \nu m_2) - g(m_1).

For a given scalar the problem is separable and concave either way. Cells are halved, the one with
the largest bound first, until no bound exceeds the best allocation by more than the gap asked for.
(Our own derivation.)
"""

from __future__ import annotations

import heapq
import itertools
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import Array, first
from thinkqueue.batching.present import batching_delay
from thinkqueue.checks import check_count, one_number
from thinkqueue.delay.batching import Context, Waiting
from thinkqueue.errors import WorkloadError
from thinkqueue.replies import best_replies
from thinkqueue.solution import NotConvergedError, Solution, Status
from thinkqueue.solve import solve
from thinkqueue.workload import Workload

NARROWEST = 1e-13
"""The relative width of a cell that is not halved any more."""


class End(NamedTuple):
    """One end of a cell: the scalar, its multiplier, what it constrains, and the bound there."""

    at: float
    price: float
    limit: float
    bound: float


def solve_globally(
    workload: Workload, *, gap: float = 1e-6, max_cells: int = 20_000, throw: bool = True
) -> Solution:
    r"""Find the best budgets of a batching server whose mean time is not convex in them.

    Parameters
    ----------
    workload : Workload
        With a :class:`~thinkqueue.Batching` server and concave accuracy curves. Where the mean
        time is convex this is :func:`~thinkqueue.solve`.
    gap : float, optional
        The certified gap at which to stop, relative to :math:`\max(1, |J|)`.
    max_cells : int, optional
        When to give up; the gap that is left is certified all the same.
    throw : bool, optional
        Whether to raise where the gap was not reached.

    Returns
    -------
    Solution
        With an upper bound on all allocations; ``steps`` counts the cells that were looked at.

    Raises
    ------
    UnstableError
        If no allocation is stable.
    NotConvergedError
        If ``throw`` is set and the gap was not reached.
    WorkloadError
        If some accuracy curve is not concave, the server does not batch, or its table is neither
        convex nor of these two kinds.
    """
    gap = one_number("gap", gap, least=0)
    check_count("max_cells", max_cells)
    delay = batching_delay(workload, "The search for the best of all optima")
    if delay.convex:
        return solve(workload, gap=gap, throw=throw)
    if not workload.curves.concave:
        raise WorkloadError(
            "The search for the best of all optima needs concave accuracy curves.",
            parameter="accuracy",
        )
    local = solve(workload, throw=False)
    if isinstance(delay, Context):
        cells: _Cells = _ContextCells(workload, delay, local.objective)
    elif isinstance(delay, Waiting) and workload.server.token_time.concave:
        cells = _WaitingCells(workload, delay, local.objective)
    else:
        raise WorkloadError(
            "No bound is known for a table whose rate is not concave; solve gives a local optimum.",
            parameter="server",
            value=workload.server,
        )
    wanted = gap * max(1.0, abs(local.objective))
    count, order = 0, itertools.count()
    ends = cells.start()
    heap = [(-cells.bound(a, b), next(order), a, b) for a, b in itertools.pairwise(ends)]
    heapq.heapify(heap)
    given_up = -np.inf
    while heap and count < max_cells and -heap[0][0] > local.objective + wanted:
        negative, _, left, right = heapq.heappop(heap)
        if right.at - left.at <= NARROWEST * right.at:
            given_up = max(given_up, -negative)
            continue
        middle = cells.end((left.at + right.at) / 2)
        count += 2
        for a, b in ((left, middle), (middle, right)):
            heapq.heappush(heap, (max(-cells.bound(a, b), negative), next(order), a, b))
    upper = max(given_up, -heap[0][0] if heap else -np.inf, local.objective)
    left_over = upper - local.objective
    status = Status.CONVERGED if left_over <= wanted else Status.OUT_OF_STEPS
    solution = Solution(
        tokens=local.tokens,
        objective=local.objective,
        upper_bound=upper,
        gap=left_over,
        utilization=local.utilization,
        mean_system_time=local.mean_system_time,
        mean_accuracy=local.mean_accuracy,
        steps=count,
        status=status,
        history=local.history,
    )
    if throw and not solution.converged:
        raise NotConvergedError(
            f"The search stopped after {count} cells at a certified gap of {left_over:.3g} s; "
            f"{wanted:.3g} s was asked for. Raise max_cells or accept a larger gap.",
            solution=solution,
        )
    return solution


class _Cells(ABC):
    """What both kinds of cells share: each type's best reply to a linear and a quadratic price."""

    def __init__(self, workload: Workload) -> None:
        self.w, self.answer = workload, workload.service.mean(np.zeros(len(workload)))
        self.stake = workload.accuracy_weight * workload.weight
        self.all_answers = float(
            (self.stake * workload.share) @ workload.curves.value(workload.max_tokens)
        )

    @abstractmethod
    def start(self) -> list[End]:
        """Return the ends of the first cells: beyond them nothing is better than what is known."""

    @abstractmethod
    def end(self, at: float) -> End:
        """Return an end of a cell, with the multiplier that is best there."""

    @abstractmethod
    def bound(self, left: End, right: End) -> float:
        """Return what no allocation between the two ends exceeds."""

    def best(self, linear: Array, quadratic: float) -> Array:
        r"""Return the maximisers of :math:`v_kp_k(\ell) - P_k\ell - \tfrac12Q\ell^2`.

        Parameters
        ----------
        linear : ndarray, (N,)
            P.
        quadratic : float
            Q, not negative.
        """
        return best_replies(self.w.curves, self.stake, linear, quadratic, self.w.max_tokens)


class _ContextCells(_Cells):
    def __init__(self, workload: Workload, delay: Context, incumbent: float) -> None:
        super().__init__(workload)
        self.delay, self.incumbent = delay, incumbent

    def start(self) -> list[End]:
        w, rate = self.w, self.w.arrival_rate
        low, high = (
            1 / (1 - min(rate * float(w.share @ self.delay.work(w, ell)[1]), 1 - 1e-15))
            for ell in (np.zeros(len(w)), w.max_tokens)
        )
        high = min(high, 1 + rate * (self.all_answers - self.incumbent))
        high = max(high, low * (1 + 1e-9))
        known = np.linspace(low, high, 9)
        return [self.end(float(at)) for at in known]

    def end(self, at: float) -> End:
        w, rate = self.w, self.w.arrival_rate
        a, b, g = self.delay.step.base, self.delay.step.per_query, self.delay.step.per_context
        limit = (1 - 1 / at) / rate
        fixed = b + g * (getattr(w.service, "prompt_tokens", 0.0) + self.answer)

        def reply(price: float) -> tuple[Array, float]:
            ell = self.best(at * a + price * fixed, price * g)
            return ell, float(w.share @ self.delay.work(w, ell)[1])

        # any price gives a bound; at the dearest nobody thinks at all
        dearest = np.max(self.stake * w.curves.slope(np.zeros(len(w))) / np.maximum(fixed, 1e-12))
        price = 0.0
        if reply(0.0)[1] > limit:
            price = float(dearest)
            if reply(price)[1] < limit:
                price = float(brentq(lambda x: reply(x)[1] - limit, 0.0, price, rtol=1e-12))
        ell, work = reply(price)
        x = self.answer + ell
        worth = float((self.stake * w.share) @ w.curves.value(ell))
        most = worth - at * a * float(w.share @ x) - price * work
        return End(at, price, limit, most + price * limit - (at - 1) / rate)

    def bound(self, left: End, right: End) -> float:
        width, rate = right.at - left.at, self.w.arrival_rate
        bend = -(right.price - left.price) * (right.limit - left.limit)
        bend += max(left.price, right.price) * width**2 / (rate * left.at**2 * right.at)
        return _chord(left.bound, right.bound, bend)


class _WaitingCells(_Cells):
    def __init__(self, workload: Workload, delay: Waiting, incumbent: float) -> None:
        super().__init__(workload)
        self.delay, self.incumbent = delay, incumbent

    def start(self) -> list[End]:
        w = self.w
        low = float(w.share @ self.answer)
        high = low + float(w.share @ w.max_tokens)
        high = min(high, (1 - 1e-12) / (w.arrival_rate * self.delay.law.pace))
        # beyond, even the time alone of so many tokens costs more than all answers are worth
        alone = float(self.delay.law.present(0.0).mean)
        high = min(high, (self.all_answers - self.incumbent) / alone)
        high = max(high, low * (1 + 1e-9), low + 1e-9)
        return [self.end(float(at)) for at in np.linspace(low, high, 65)]

    def end(self, at: float) -> End:
        return End(at, 0.0, at, 0.0)

    def bound(self, left: End, right: End) -> float:
        w, at = self.w, max(left.at, 1e-100)
        formula = self.delay.formula(w.arrival_rate, at)
        f, g = first(formula.f), first(formula.g)
        middle = (left.at + right.at) / 2

        def reply(price: float) -> tuple[Array, float]:
            ell = self.best(price + 2 * f * self.answer, 2 * f)
            return ell, float(w.share @ (self.answer + ell))

        # any price gives a bound; at these two everybody or nobody thinks
        low = -2 * f * float(np.max(self.answer + w.max_tokens))
        high = float(np.max(self.stake * w.curves.slope(np.zeros(len(w)))))
        low, high = low - 1e-9 * high, high * (1 + 1e-9) + 1e-300
        price = low if reply(low)[1] <= middle else high
        if reply(low)[1] > middle > reply(high)[1]:
            price = float(brentq(lambda x: reply(x)[1] - middle, low, high, xtol=1e-7 * high))
        ell, mean = reply(price)
        x = self.answer + ell
        worth = float((self.stake * w.share) @ w.curves.value(ell))
        most = worth - f * float(w.share @ x**2) - price * mean
        return most + max(price * left.at, price * right.at) - g


def _chord(one: float, two: float, bend: float) -> float:
    r"""Return the largest value of :math:`(1-\theta)L_1 + \theta L_2 + \theta(1-\theta)R`."""
    if bend <= abs(two - one):
        return max(one, two)
    return (one + two) / 2 + bend / 4 + (two - one) ** 2 / (4 * bend)
