r"""Exact integers by fixing the load: the bound that keeps the curvature of the queue.

At a fixed load the mean system time is separable *with* its quadratic: with
:math:`\tau = \lambda/(2y)`, and hence :math:`m(\tau) = 1/\lambda - 1/(2\tau)`,

.. math:: J(\ell) = \sum_k \bigl[\alpha w_k\pi_k p_k - \pi_k s_k - \tau\,\pi_k s_k^2\bigr]
          \qquad\text{for all } \ell \text{ with } \textstyle\sum_k \pi_k s_k = m(\tau),

and a multiplier :math:`\mu` for that one constraint gives the dual bound

.. math:: L(\tau, \mu) = G(\tau, \mu) + \mu\,m(\tau), \qquad
          G(\tau, \mu) = \sum_k \max_v \bigl[\alpha w_k\pi_k p_k(v) - (1+\mu)\pi_k s_k(v)
          - \tau\,\pi_k s_k(v)^2\bigr].

G is a maximum of functions linear in :math:`(\tau, \mu)`, so it is convex, and between two loads
with multipliers :math:`\mu_1, \mu_2` it lies below its chord. With :math:`\theta \in [0, 1]` along
the chord, every allocation whose load lies between satisfies

.. math:: J \le (1-\theta) L_1 + \theta L_2 + \theta(1-\theta) R, \qquad
          R = -(\mu_2 - \mu_1)(m_2 - m_1)
          + \max(\mu_1, \mu_2, 0)\,\frac{(\tau_2-\tau_1)^2}{2\tau_1^2\tau_2},

whose error is of second order in the width of the cell. At a batching server whose overflow shares
nothing but a function T of :math:`m = \sum_k\pi_kx_k` is left of the queue, so that m itself takes
the place of :math:`\tau`, :math:`G(\mu) = \sum_k\max_v[\alpha w_k\pi_kp_k(v) - \mu\pi_kx_k(v)]`,
:math:`L = G + \mu m - T(m)`, and as T lies above its tangents at both ends,

.. math:: R = \bigl[T'(m_2) - T'(m_1) - (\mu_2 - \mu_1)\bigr](m_2 - m_1) .

For fixed budgets of some types,
:math:`L_1` and :math:`L_2` fall by the reduced costs of these budgets at the two ends, and the same
formula bounds what is left. Cells of load are halved, best bound first; a cell with few candidates
is enumerated. (Our own derivation.)
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array, Index
from thinkqueue.delay import only_fifo
from thinkqueue.errors import WorkloadError
from thinkqueue.whole_tokens.choices import EPSILON, Choices, Menu, blur
from thinkqueue.whole_tokens.coupling import End
from thinkqueue.whole_tokens.rounding import round_index
from thinkqueue.workload import Workload

SMALL_ENUMERATION = 10.0
"""Natural logarithm of the number of allocations below which a cell is always enumerated."""

LAYER_LIMIT = 200_000
"""The largest number of partial allocations that an enumeration holds at a time."""

MULTIPLIER_STEPS = 120
"""The largest number of steps towards the best multiplier of one load; any multiplier is valid."""

CALL_COST = 256
"""What a call of NumPy costs, in task types: a bound of few types is charged for that many."""

WINDOW_CALLS = 10
"""What the candidates of a cell are charged, in bounds."""

ENOUGH = 0.02
"""How closely the multiplier of a load is sought, relative to what separates it from the best."""

LONGEST = 400
"""The largest number of undecided types that a cell is enumerated with."""

EXPANSION_LIMIT = 2_000_000
"""The largest number that one more type may turn them into, before the bound thins them out."""

NARROWEST = 1e-10
"""The relative width of a cell that is not halved any more."""


@dataclass(frozen=True)
class Found:
    """Where the search stands: the best positions, their J, the bound on all others."""

    index: Index
    objective: float
    upper_bound: float
    nodes: int
    proven: bool


def search(choices: Choices, incumbent: Index, *, node_limit: int) -> Found:
    """Find the best allowed allocation by branching on the load.

    Parameters
    ----------
    choices : Choices
        The allowed budgets.
    incumbent : ndarray of int64, (N,)
        Stable positions to start from.
    node_limit : int
        When to give up: reduced costs computed, N for each bound (at least 256), and partial
        allocations.

    Returns
    -------
    Found
        With ``proven``, the bounds exclude, rounding included, every allocation that was not
        compared.
    """
    return _Search(choices, incumbent).run(node_limit)


def load_bound(workload: Workload, utilization: float, *, menu: Menu | None = None) -> float:
    r"""Return a number that no allowed allocation of this very load exceeds, the least over μ.

    .. math:: \min_\mu\; L\Bigl(\frac{\lambda}{2(1-\rho)},\, \mu\Bigr) \ge
              \max \{J(\ell) : \ell \text{ allowed},\; \rho(\ell) = \rho\}

    Parameters
    ----------
    workload : Workload
        The workload.
    utilization : float
        :math:`\rho`, between the load without thinking and 1.
    menu : sequence of int, or a sequence of those for each type, optional
        The allowed budgets; all whole numbers where not given.

    Returns
    -------
    float
        In seconds. Most loads are reached by no allowed allocation; they have a bound all the
        same.

    Raises
    ------
    WorkloadError
        If the load does not lie between that of the smallest budgets and 1.
    """
    only_fifo(workload, "The bound of a load")
    choices = Choices.of(workload, menu)
    least = round_index(choices, np.zeros(len(workload)))
    s = choices.service(choices.tokens(least))
    lowest = workload.arrival_rate * float((workload.share * s).sum())
    if not lowest * (1 - EPSILON * 8) <= utilization < 1:
        raise WorkloadError(
            f"utilization is {utilization:g}; with these budgets it must be at least {lowest:.6g} "
            "and below 1.",
            parameter="utilization",
            value=utilization,
        )
    burden = workload.arrival_rate / (2 * (1 - utilization))
    return _Search(choices, least, enough=0.0).end(burden).bound


class _Search:
    def __init__(self, choices: Choices, incumbent: Index, *, enough: float = ENOUGH) -> None:
        assert choices.coupling is not None
        self.choices, self.enough, self.coupling = choices, enough, choices.coupling
        self.best, self.value = incumbent, float(choices.objective(incumbent))
        self.size = choices.magnitude(incumbent)
        self.nodes, self.cost = 0, max(len(choices.count), CALL_COST)

    def run(self, node_limit: int) -> Found:
        low, high = self._range()
        if not low < high:
            low, high = low * (1 - 1e-9), low * (1 + 1e-9)
        order = itertools.count()
        # the first cells meet at the load of the incumbent
        here = self.coupling.number(self._moments(self.best)[0])
        ends = [self.end(at) for at in sorted({low, min(max(here, low), high), high})]
        heap = [(-self._bound(a, b), next(order), a, b) for a, b in itertools.pairwise(ends)]
        heapq.heapify(heap)
        given_up = -np.inf
        while heap:
            negative, _, left, right = heap[0]
            if self._excluded(-negative, left, right):
                heap = []
                break
            if self.nodes > node_limit:
                break
            resolved = -negative - self.value <= 2 * blur(self.size)
            if self._enumerate(left, right, node_limit, anyhow=resolved):
                heapq.heappop(heap)
                continue
            if resolved:  # what is left differs from the incumbent by less than rounding does
                break
            heapq.heappop(heap)
            middle = self._split(left, right)
            if right.at - left.at <= NARROWEST * right.at:
                given_up = max(given_up, -negative + self._tolerance(left, right))
                continue
            split = self.end(middle, between=(right.price, left.price))
            for a, b in ((left, split), (split, right)):
                bound = min(self._bound(a, b), -negative)
                if not self._excluded(bound, a, b):
                    heapq.heappush(heap, (-bound, next(order), a, b))
        left_open = (-negative + self._tolerance(a, b) for negative, _, a, b in heap)
        upper = max(self.value + 2 * blur(self.size), given_up, *left_open)
        proven = not heap and given_up == -np.inf
        return Found(self.best, self.value, upper, self.nodes, proven)

    def _split(self, left: End, right: End) -> float:
        """Return where to cut a cell: in the middle, or nearer to an end that is far better.

        The dual bound falls as the square of the distance from its top, and the bound of a cell
        from one distance to four times that distance is still about the one at its near end. So
        cells far from the top may be cut at a quarter, and no earlier.
        """
        near, far = (left, right) if left.bound >= right.bound else (right, left)
        slack = max(near.bound - self.value, 0.0) + self._tolerance(left, right)
        part = 0.5 if near.bound - far.bound <= 64 * slack else 0.25
        return near.at + part * (far.at - near.at)

    def _moments(self, index: Index) -> tuple[float, float]:
        """Return m and M at positions."""
        choices, share = self.choices, self.choices.workload.share
        s = choices.service(choices.tokens(index))
        return float((share * s).sum()), float((share * s**2).sum())

    def _range(self) -> tuple[float, float]:
        """Return the values of the number that an allocation as good as the incumbent can have."""
        choices = self.choices
        m, second = self._moments(0 * choices.count)
        worth = float(np.maximum(choices.worth(choices.tokens(choices.count - 1)), 0).sum())
        left = worth - self.value + blur(worth + m + abs(self.value))
        low = self.coupling.number(m)
        high = self.coupling.most(m, second, self._moments(choices.count - 1)[0], left)
        return low, max(high, low)

    def end(self, number: float, between: tuple[float, float] | None = None) -> End:
        r"""Minimise the dual bound over μ at a load: bisection on Σπs − m, which falls with μ."""
        w, coupling = self.choices.workload, self.coupling
        mean, burden = coupling.mean(number), coupling.burden(number)
        constant, steep = coupling.constant(number)

        def at(price: float) -> tuple[End, float]:
            self.nodes += self.cost
            linear = coupling.own + price
            index = self.choices.best(linear, burden)
            top = self.choices.lagrangian(index, linear, burden)
            s = self.choices.service(self.choices.tokens(index))
            bound = float(top.sum()) + price * mean - constant
            end = End(coupling, number, price, linear, burden, mean, steep, bound, index, top)
            return end, float((w.share * s).sum()) - mean

        guess = coupling.price(*self._moments(self.best))
        low, high = between or (0.9 * guess, 1.1 * guess)
        low, high = min(low, high), max(low, high)
        below, over = at(low)
        width = max(high - low, 1e-3 * (1 + abs(low)))
        while over < 0 and (below.index < self.choices.count - 1).any():  # too few tokens
            high, low = low, low - width
            width *= 4
            below, over = at(low)
        above, under = at(high)
        width = max(high - low, 1e-3 * (1 + abs(high)))
        while under > 0 and above.index.any():  # too many
            low, below, over = high, above, under
            high += width
            width *= 4
            above, under = at(high)
        best = min((below, above), key=lambda end: end.bound)
        for step in range(MULTIPLIER_STEPS):
            if (below.index != above.index).sum() <= 1:
                break
            # the bound is convex in μ: what can still be gained, beside what is at stake
            if (high - low) * max(over, -under) <= self.enough * abs(best.bound - self.value):
                break
            # a secant where it helps, the middle at least every third time
            cut = over / (over - under) if step % 3 else 0.5
            middle = low + min(max(cut, 0.02), 0.98) * (high - low)
            if not low < middle < high:
                break
            end, excess = at(middle)
            best = min(best, end, key=lambda end: end.bound)
            self._offer(end.index)
            if excess > 0:
                low, below, over = middle, end, excess
            else:
                high, above, under = middle, end, excess
        differ = np.flatnonzero(below.index != above.index)
        if differ.size == 1:  # the minimum is where this type is indifferent
            best = min(best, at(self._tie(int(differ[0]), below, above))[0], key=lambda e: e.bound)
        self._offer(below.index)
        self._offer(above.index)
        return best

    def _tie(self, k: int, below: End, above: End) -> float:
        """Return the multiplier at which one type is indifferent between two budgets."""
        choices, share = self.choices, self.choices.workload.share
        a, b = choices.tokens(below.index), choices.tokens(above.index)
        first = share * (choices.service(a) - choices.service(b))
        own = self.coupling.own
        value = choices.lagrangian(below.index, own, below.burden)
        value = value - choices.lagrangian(above.index, own, below.burden)
        if not first[k] > 0:
            return below.price
        return float(np.clip(value[k] / first[k], below.price, above.price))

    def _offer(self, index: Index) -> None:
        value = float(self.choices.objective(index))
        if value > self.value:
            self.best, self.value = index, value
            self.size = self.choices.magnitude(index)

    def _tolerance(self, *ends: End) -> float:
        """Return how far rounding can take a bound at these ends and J of the incumbent."""
        choices, share = self.choices, self.choices.workload.share
        size = self.size
        for end in ends:
            tokens = choices.tokens(end.index)
            s = choices.service(tokens)
            price = abs(end.linear) + abs(end.price)
            terms = choices.worth(tokens) + share * (s * price + end.burden * s**2)
            size = max(size, float(terms.sum()) + abs(end.price) * self.coupling.scale(end.mean))
        return 2 * blur(size)

    def _excluded(self, bound: float, left: End, right: End) -> bool:
        return bound < self.value - self._tolerance(left, right)

    def _bound(
        self, left: End, right: End, first: Array | float = 0.0, second: Array | float = 0.0
    ) -> float:
        return float(_chord(left, right, np.asarray(first), np.asarray(second)))

    def _enumerate(self, left: End, right: End, node_limit: int, *, anyhow: bool) -> bool:
        """Compare all allocations of a cell that its bound does not exclude, if they are few."""
        tolerance = self._tolerance(left, right)
        self.nodes += WINDOW_CALLS * self.cost
        first, last = self._windows(left, right, self.value - tolerance)
        size = float(np.log(last - first + 1).sum())
        width = self._bound(left, right) - max(left.bound, right.bound)
        slack = self._bound(left, right) - self.value
        if (last > first).sum() > LONGEST:
            return False
        if size > SMALL_ENUMERATION and width > 0.1 * slack and not anyhow:
            return False
        return self._layers(left, right, first, last, tolerance, node_limit)

    def _windows(self, left: End, right: End, threshold: float) -> tuple[Index, Index]:
        """Return the first and last position of each type that the ends do not exclude.

        On the chord a budget can reach the threshold only if it does so at one of the ends, with a
        quarter of the bend to spare; at an end the reduced cost is convex in the position.
        """
        choices = self.choices
        spare = max(_bend(left, right), 0.0) / 4
        low = np.minimum(left.index, right.index)
        high = np.maximum(left.index, right.index)
        for end in (left, right):
            slack = end.bound + spare - threshold
            if slack < 0:
                continue

            def keep(index: Index, end: End = end, slack: float = slack) -> NDArray[np.bool_]:
                value = choices.lagrangian(index, end.linear, end.burden)
                return np.asarray(end.top - value <= slack)

            first, last = choices.window(end.index, keep)
            low, high = np.minimum(low, first), np.maximum(high, last)
        matters = choices.workload.share > 0
        return np.where(matters, low, left.index), np.where(matters, high, left.index)

    def _layers(
        self,
        left: End,
        right: End,
        first: Index,
        last: Index,
        tolerance: float,
        node_limit: int,
    ) -> bool:
        """Extend partial allocations type by type; False where they become too many."""
        choices, share = self.choices, self.choices.workload.share
        fixed = first.copy()
        tokens = choices.tokens(fixed)
        s, worth = choices.service(tokens), choices.worth(tokens)
        shut = first == last
        loss_left = left.top - choices.lagrangian(fixed, left.linear, left.burden)
        loss_right = right.top - choices.lagrangian(fixed, right.linear, right.burden)
        open_types = np.flatnonzero(~shut)
        reach = share * (choices.service(choices.tokens(last)) - s)
        open_types = open_types[np.argsort(-reach[open_types], kind="stable")]
        # state: losses at both ends, Σπs, Σπs², worth; the open types stand at their first budget
        one, two = np.array([loss_left[shut].sum()]), np.array([loss_right[shut].sum()])
        mean, second = np.array([(share * s).sum()]), np.array([(share * s**2).sum()])
        whole = np.array([worth.sum()])
        picks = np.zeros((1, 0), dtype=np.int64)
        still = float(reach[open_types].sum())
        edge = blur(self.coupling.scale(right.mean))
        for k in open_types:
            positions = np.arange(first[k], last[k] + 1)
            if len(one) * len(positions) > EXPANSION_LIMIT:
                return False
            there = choices.row(int(k), positions)
            t = choices.service_of(int(k), there)
            gain = choices.worth_of(int(k), there)
            value = gain - share[k] * (t * left.linear + left.burden * t**2)
            more_left = left.top[k] - value
            value = gain - share[k] * (t * right.linear + right.burden * t**2)
            more_right = right.top[k] - value
            still -= float(reach[k])
            one = (one[:, None] + more_left).ravel()
            two = (two[:, None] + more_right).ravel()
            mean = (mean[:, None] + share[k] * (t - s[k])).ravel()
            second = (second[:, None] + share[k] * (t**2 - s[k] ** 2)).ravel()
            whole = (whole[:, None] + (gain - worth[k])).ravel()
            keep = _chord(left, right, one, two) >= self.value - tolerance
            keep &= (mean <= right.mean + edge) & (mean + still >= left.mean - edge)
            chosen = np.flatnonzero(keep)
            self.nodes += len(keep)
            if len(chosen) > LAYER_LIMIT or self.nodes > node_limit:
                return False
            one, two, mean, second, whole = (
                array[chosen] for array in (one, two, mean, second, whole)
            )
            parent, choice = np.divmod(chosen, len(positions))
            picks = np.concatenate([picks[parent], positions[choice][:, None]], axis=1)
        if len(mean):
            values = whole - self.coupling.time(mean, second)
            for row in np.argsort(-values)[:4]:
                index = fixed.copy()
                index[open_types] = picks[row]
                self._offer(index)
        return True


def _chord(left: End, right: End, first: Array, second: Array) -> Array:
    r"""Return the largest value of :math:`(1-\theta)L_1 + \theta L_2 + \theta(1-\theta)R`."""
    a, b = left.bound - first, right.bound - second
    bend = _bend(left, right)
    ends = np.maximum(a, b)
    if not bend > 0:
        return ends
    inner = (a + b) / 2 + bend / 4 + (b - a) ** 2 / (4 * bend)
    return np.where(np.abs(b - a) < bend, inner, ends)


def _bend(left: End, right: End) -> float:
    """Return R, by how much the bound may rise above the chord (four times that)."""
    return left.coupling.bend(left, right)
