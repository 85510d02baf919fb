r"""A promise about any query: the union, over all ways to share out its lateness, of convex sets.

With :math:`\varepsilon_k = P(T_k > d)` the promise is :math:`\sum_k\pi_k\varepsilon_k \le
\varepsilon`. While :math:`\varepsilon_k` lies in :math:`[l_k, h_k]`, :math:`u = 1 - \varepsilon_k =
(1-\rho)/I_k` is at most the secant of 1/r at :math:`r = I_k/(1-\rho)`, so that, with
:math:`I_k = 1 - \rho + L_k`,

.. math:: \sum_k \pi_k (1-l_k)(1-h_k)\, L_k \;\le\;
          \Bigl(\varepsilon - \sum_k\pi_k l_k h_k\Bigr)(1-\rho), \qquad
          (1-h_k)\,L_k \le h_k\,(1-\rho),

is necessary: a convex program (our own derivation). A type that may be given up altogether has
:math:`h_k = 1` and drops out, as it must. The secant is off by the square of the width of the
interval, so that halving intervals closes the gap: branch and bound. With both ends of all
intervals at the :math:`\varepsilon_k` of some budgets the same inequality is *sufficient*, because
a tangent of 1/r lies below it: solving that again and again climbs to a local optimum.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.targets.tangents import Found, Limits, Tangents, solve_limits
from thinkqueue.waiting_time.limited_buffer import lost_load
from thinkqueue.workload import Workload

LOOKS = 2
"""Evaluations spent on a node before it is split."""

UPHILL = 40
"""Evaluations spent at most on a step of a climb."""

MOST_CLIMBS = 24
CLIMBING = 12
POLISH = 0.01
"""The last climb goes on for this part of what the others stop at."""

BISECTIONS = 40
MIDDLE = 0.15
"""How close to its ends an interval may be split, in parts of its width."""


@dataclass(order=True)
class _Node:
    """Intervals for the lateness of each type, with a bound on what they allow."""

    priority: float
    number: int
    low: Array = field(compare=False)
    high: Array = field(compare=False)


class Splits:
    """The search for the best way to share out the lateness.

    Parameters
    ----------
    workload : Workload
        The workload.
    deadline, probability : float
        d in s and the share of all answers that may be late.
    count_delay : bool
        Whether J is maximised, and not the accuracy.
    """

    def __init__(self, workload: Workload, deadline: float, probability: float, count_delay: bool):
        self.workload, self.deadline, self.probability = workload, deadline, probability
        self.types = np.flatnonzero(workload.share > 0)
        self.share = workload.share[self.types]
        times = np.full(len(self.types), deadline)
        self.tangents = Tangents(workload, times, self.types, count_delay, probability)
        # nobody can be late less often than when nobody thinks
        self.least = self.lateness(np.zeros(len(workload)))

    def lateness(self, tokens: Array) -> Array:
        """Return P(T > d) of each type that arrives."""
        w = self.workload
        buffer = self.deadline - (w.base_time + w.time_per_token * tokens)[self.types]
        late = np.ones(len(buffer))
        fits = buffer >= 0
        lost = lost_load(w, tokens, buffer[fits], error=self.tangents.error)
        late[fits] = lost / (lost + self.tangents.slack(tokens))
        return late

    def together(self, low: Array, high: Array) -> Limits:
        """Return the limit on the sum: necessary within the intervals, sufficient if low = high."""
        matrix = (self.share * (1 - low) * (1 - high))[None]
        return Limits(matrix, np.array([self.probability - float(self.share @ (low * high))]))

    def necessary(self, low: Array, high: Array) -> Limits:
        """Return all convex limits that intervals for the lateness imply."""
        total, kept = self.together(low, high), high < 1
        each = np.diag(1 - high)[kept]
        return Limits(
            np.concatenate([total.matrix, each]), np.concatenate([total.room, high[kept]])
        )

    def most(self, high: Array) -> Array:
        """Return how long each type may think, in s: a type not given up within the deadline."""
        most = self.tangents.most.copy()
        within = self.types[high < 1]
        base = self.workload.base_time[within]
        most[within] = np.minimum(most[within], np.maximum(self.deadline - base, 0.0))
        return most

    def tighten(self, low: Array, high: Array) -> Array | None:
        """Return what is left of the upper ends when the others take their least, or None."""
        left = self.probability - float(self.share @ low)
        high = np.minimum(high, low + left / self.share)
        return None if left < 0 or (high < low).any() else high

    def search(self, *, gap: float, nodes: int) -> Found:
        """Branch and bound.

        Parameters
        ----------
        gap : float
            When to stop.
        nodes : int
            How many nodes to look at at most.
        """
        nothing = np.zeros(len(self.workload))
        best = Found(nothing, self.tangents.value(nothing), np.inf, nothing)
        high = self.tighten(self.least, np.ones(len(self.share)))
        assert high is not None
        heap = [_Node(-np.inf, 0, self.least, high)]
        patterns: set[bytes] = set()
        seen = 0
        while heap and seen < nodes and -heap[0].priority > best.value + gap:
            node = heapq.heappop(heap)
            seen += 1
            limits, most = self.necessary(node.low, node.high), self.most(node.high)
            look = solve_limits(
                self.tangents,
                limits,
                most,
                gap=gap / 2,
                rounds=LOOKS if seen > 1 else 3 * LOOKS,
                hopeless=best.value + gap,
            )
            bound = min(look.upper_bound, -node.priority)
            outer = self._stable(look.outer)
            late = self.lateness(outer)
            if float(self.share @ late) <= self.probability - self.tangents.error:
                value = self.tangents.value(outer)
                if value > best.value:
                    best = Found(outer, value, np.inf, outer)
            late = np.clip(late, node.low, node.high)
            pattern = (late > 0.5).tobytes()
            if len(patterns) < MOST_CLIMBS and pattern not in patterns:
                patterns.add(pattern)
                found = self.climb(look.outer, gap)
                if found is not None and found.value > best.value:
                    best = found
            if bound <= best.value + gap:
                heapq.heappush(heap, _Node(-bound, seen * 2, node.low, node.high))
                continue
            for child in self._children(node, late):
                child.priority, child.number = -bound, child.number + seen * 2
                heapq.heappush(heap, child)
        polished = self.climb(best.tokens, gap * POLISH)
        if polished is not None and polished.value > best.value:
            best = polished
        bound = max(-heap[0].priority if heap else -np.inf, best.value)
        return Found(best.tokens, best.value, bound, best.outer)

    def _children(self, node: _Node, late: Array) -> list[_Node]:
        """Split the interval in which the secant is furthest off."""
        width = node.high - node.low
        off = (late - node.low) * (node.high - late) / np.maximum(1 - late, 1e-12)
        k = int(np.argmax(self.share * np.where(late < 1, off, 0.0)))
        if off[k] <= 0:
            k = int(np.argmax(self.share * width))
        edge = MIDDLE * width[k]
        at = float(np.clip(late[k], node.low[k] + edge, node.high[k] - edge))
        children = []
        for number, (low, high) in enumerate(((node.low[k], at), (at, node.high[k]))):
            lows, highs = node.low.copy(), node.high.copy()
            lows[k], highs[k] = low, high
            tight = self.tighten(lows, highs)
            if tight is not None:
                children.append(_Node(0.0, number, lows, tight))
        return children

    def _stable(self, tokens: Array) -> Array:
        """The same budgets, drawn back to where the queue is stable."""
        while self.tangents.slack(tokens) < 1e-6 * self.tangents.idle_slack:
            tokens = 0.9 * tokens
        return tokens

    def climb(self, outer: Array, gap: float) -> Found | None:
        """Climb to a local optimum from where the way to some budgets leaves the promise.

        Parameters
        ----------
        outer : ndarray, (N,)
            Budgets that break the promise, or just keep it.
        gap : float
            Climb no further for less than a tenth of this.
        """
        end = self._stable(outer)
        low, high = 0.0, 1.0
        if float(self.share @ self.lateness(end)) <= self.probability:
            low = 1.0
        for _ in range(BISECTIONS):
            if high - low <= 1e-3:
                break
            middle = (low + high) / 2
            kept = float(self.share @ self.lateness(middle * end)) <= self.probability
            low, high = (middle, high) if kept else (low, middle)
        at = low * end
        best = Found(at, self.tangents.value(at), np.inf, at)
        for _ in range(CLIMBING):
            late = self.lateness(best.tokens)
            if float(self.share @ late) > self.probability:
                return None
            late = np.where(late >= 1 - 1e-9, 1.0, late)
            found = solve_limits(
                self.tangents,
                self.together(late, late),
                self.most(late),
                gap=gap / 20,
                rounds=UPHILL,
            )
            if found.value <= best.value + gap / 10:
                break
            best = found
        return best
