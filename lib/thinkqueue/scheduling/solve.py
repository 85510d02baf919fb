r"""Order and budgets together under non-preemptive priority, certified by branch and bound.

The best order for given budgets is that of the service times, so :math:`\mathbb{E}[T]` is a
minimum over orders, and for each order convex in :math:`u = \ln s`. A node of the search is a box
of u and groups of types served one after the other. Its bound is a tangent of a convex lower bound
of :math:`\mathbb{E}[T]` (:mod:`~thinkqueue.scheduling.relaxation`) against the concave envelopes
of the accuracy curves (:mod:`~thinkqueue.scheduling.envelope`): conditional gradient with a line
search. What is uncertain, who goes first in a group or where a curve bends, is branched on.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, first
from thinkqueue.checks import check_count, one_number
from thinkqueue.delay.time import delay_of, stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.objective import objective
from thinkqueue.scheduling.envelope import Envelope
from thinkqueue.scheduling.relaxation import Groups, Relaxation, relaxed
from thinkqueue.solution import Bounded, Status
from thinkqueue.solve import solve
from thinkqueue.solvers.quasi_newton import QuasiNewton
from thinkqueue.workload import (
    Affine,
    NonPreemptivePriority,
    Saturating,
    ShortestFirst,
    Workload,
)

STEPS = 40
"""Steps of conditional gradient at a node, at most."""

HALVINGS = 9
"""Halvings of the way in each of them."""

FIRST = 0.5
"""A curve is branched on before an order where it is so many times as uncertain."""

INSIDE = 1 - 1e-9
"""No load nearer to 1 than this is looked at."""


@dataclass(frozen=True)
class OrderSolution(Bounded[float]):
    """Budgets and the order in which the types are served, with a bound on all others.

    Attributes
    ----------
    order : tuple of int
        The types, the most urgent first.
    mean_system_time : float
        In s.
    utilization : float
        The load.
    nodes : int
        How many boxes were bounded.
    status : Status
        CONVERGED, or OUT_OF_STEPS where a gap is left.
    """

    order: tuple[int, ...]
    mean_system_time: float
    utilization: float
    nodes: int
    status: Status


class _Node(NamedTuple):
    low: Array
    high: Array
    groups: Groups


def solve_order(workload: Workload, *, gap: float = 1e-4, max_nodes: int = 20_000) -> OrderSolution:
    r"""Find the best budgets under non-preemptive priority, and the best order unless it is given.

    .. math:: \max_{\ell,\,\sigma}\; \alpha\sum_kw_k\pi_kp_k(\ell_k) - \mathbb{E}[T]_\sigma(\ell)

    Parameters
    ----------
    workload : Workload
        With ``ShortestFirst()``, for the best of all orders, or with
        ``NonPreemptivePriority(order)``. Curves must saturate and every ``base_time`` be positive.
    gap : float, optional
        The certified gap at which to stop, relative to :math:`\max(1, |J|)`.
    max_nodes : int, optional
        When to give up; the gap that is left is certified all the same.

    Returns
    -------
    OrderSolution
        With an upper bound on all budgets and, for ``ShortestFirst()``, on all orders: by the
        polymatroid of the conservation laws on every rule that interrupts nobody and does not
        know the future.

    Raises
    ------
    UnstableError
        If no allocation is stable.
    WorkloadError
        If the workload is another one.

    Notes
    -----
    Computed in floating point. The number of orders grows fast: expect seconds for five types, and
    a gap that is left for eight.
    """
    gap = one_number("gap", gap, least=0)
    check_count("max_nodes", max_nodes)
    _check(workload)
    stable_state(workload, np.zeros(len(workload)))
    search = _Search(workload)
    root = search.root()
    wanted = gap * max(1.0, abs(search.value))
    serial = itertools.count()
    upper, seed = search.bound(root)
    heap = [(-upper, next(serial), root, seed)]
    nodes, dropped = 1, -np.inf
    while heap and nodes < max_nodes and -heap[0][0] > search.value + wanted:
        above, _, node, at = heapq.heappop(heap)
        for child in search.children(node, at):
            bound, seed = search.bound(child)
            nodes += 1
            bound = min(bound, -above)
            if bound > search.value + wanted / 2:
                heapq.heappush(heap, (-bound, next(serial), child, seed))
            else:
                dropped = max(dropped, bound)
    upper = max(search.value, dropped, -heap[0][0] if heap else -np.inf)
    return search.solution(upper, nodes, wanted)


def _check(workload: Workload) -> None:
    server = workload.server
    known = isinstance(server, ShortestFirst | NonPreemptivePriority) and server.servers == 1
    if not known:
        raise WorkloadError(
            "The search over orders is for ShortestFirst() and NonPreemptivePriority(order) with "
            f"one server; this workload is served by {server!r}.",
            parameter="server",
            value=server,
        )
    if type(workload.curves) is not Saturating or not isinstance(workload.service, Affine):
        raise WorkloadError(
            "The search over orders needs saturating curves and affine service times; solve() "
            "finds a local optimum without a bound.",
            parameter="accuracy",
        )
    if not (workload.base_time > 0).all():
        k = int(np.argmin(workload.base_time))
        raise WorkloadError(
            f"base_time of task type {shown(workload.name(k))} is 0; the search works with "
            "logarithms of service times and needs a positive one.",
            parameter="base_time",
            value=0.0,
            task=workload.name(k),
        )


class _Search:
    """The workload in u, the best allocation so far, bounds and branches."""

    def __init__(self, workload: Workload) -> None:
        w = self.w = workload
        self.rate = float(w.arrival_rate)
        self.worth = w.accuracy_weight * w.weight * w.share * w.gain
        self.beta = w.rate / w.time_per_token
        self.idle = float(w.accuracy_weight * (w.weight * w.share) @ w.baseline)
        self.free = isinstance(w.server, ShortestFirst)
        self.tokens, self.value = self._start()

    def _start(self) -> tuple[Array, float]:
        """Budgets and order in turns, then with every two neighbours exchanged."""
        best = solve(self.w, QuasiNewton(), throw=False)
        tokens, value = best.tokens, best.objective
        if not self.free:
            return tokens, value
        moved = True
        while moved:
            moved = False
            order = list(np.argsort(self.w.service.mean(tokens), kind="stable"))
            for i in range(len(order) - 1):
                other = order.copy()
                other[i], other[i + 1] = other[i + 1], other[i]
                there = self.w.replace(server=NonPreemptivePriority(other))
                found = solve(there, QuasiNewton(), start=tokens, throw=False).tokens
                worth = float(objective(self.w, found))
                if worth > value + 1e-9 * abs(value):
                    tokens, value, moved = found, worth, True
        return tokens, value

    def root(self) -> _Node:
        w = self.w
        low = np.log(w.base_time)
        # with the others at their least, a type alone may fill what is left of the server
        left = INSIDE - self.rate * float(w.share @ w.base_time)
        with np.errstate(divide="ignore"):
            most = w.base_time + left / (self.rate * w.share)
        top = w.base_time + w.time_per_token * w.max_tokens
        high = np.log(np.minimum(top, most))
        every = range(len(w))
        groups: Groups = (tuple(every),)
        if not self.free:
            groups = tuple((k,) for k in w.server.order)
        return _Node(low, np.maximum(high, low), groups)

    def bound(self, node: _Node) -> tuple[float, Array]:
        """Return what no allocation in the box exceeds, and where the relaxed one is best."""
        u = node.low.copy()
        low, env = self._relaxed(node)
        time, slope = low.at(u)
        if not np.isfinite(time):
            return -np.inf, u
        known = np.clip(np.log(self.w.service.mean(self.tokens)), node.low, node.high)
        if np.isfinite(low.at(known)[0]):
            u = known
            time, slope = low.at(u)
        best = np.inf
        for _ in range(STEPS):
            here = float(env.value(u).sum()) - time
            reply = env.reply(slope)
            gain = float((env.value(reply) - env.value(u) - slope * (reply - u)).sum())
            best = min(best, here + max(gain, 0.0))
            over = here + self.idle - self.value
            # below what is known, or so far above that more precision would not change that
            if best + self.idle <= self.value or gain <= max(over / 4, 1e-6):
                break
            u, time, slope = _search_line(env, low, u, reply)
        self._try(u)
        return best + self.idle, u

    def _relaxed(self, node: _Node) -> tuple[Relaxation, Envelope]:
        w = self.w
        reference = np.exp((node.low + node.high) / 2)
        reference *= min(1.0, 0.9 / (self.rate * float(w.share @ reference)))
        low = relaxed(w.share, self.rate, node.groups, np.exp(node.high), reference)
        parts = (self.worth, self.beta, w.base_time, w.share, low.square, node.low, node.high)
        return low, Envelope(*parts)

    def _try(self, u: Array) -> None:
        """Take the budgets of a relaxed optimum where they are better than what is known."""
        w = self.w
        tokens = np.clip((np.exp(u) - w.base_time) / w.time_per_token, 0, w.max_tokens)
        state = delay_of(w.server).at(w, tokens)
        if state.slack > 0:
            value = float(objective(w, tokens))
            if value > self.value:
                self.tokens, self.value = tokens, value

    def children(self, node: _Node, u: Array) -> Iterator[_Node]:
        """Part a node where it is least certain: in a curve, or in the order of a group."""
        low_bound, env = self._relaxed(node)
        bent = env.value(u) - env.curve(u)
        k = int(np.argmax(bent))
        group = next((i for i, one in enumerate(node.groups) if len(one) > 1), None)
        if group is None or bent[k] > FIRST * self._disorder(low_bound, u):
            if bent[k] <= 0:
                k = int(np.argmax(node.high - node.low))
            width = node.high[k] - node.low[k]
            cut = float(np.clip(u[k], node.low[k] + 0.2 * width, node.high[k] - 0.2 * width))
            for left in (True, False):
                low, high = node.low.copy(), node.high.copy()
                (high if left else low)[k] = cut
                yield _Node(low, high, node.groups)
            return
        members = node.groups[group]
        for one in members:
            rest = tuple(k for k in members if k != one)
            low, high = node.low.copy(), node.high.copy()
            # the first of them is not longer than any other
            high[one] = min(high[one], *(high[k] for k in rest))
            for k in rest:
                low[k] = max(low[k], low[one])
            if high[one] >= low[one] and all(high[k] >= low[k] for k in rest):
                groups = (*node.groups[:group], (one,), rest, *node.groups[group + 1 :])
                yield _Node(low, high, groups)

    def _disorder(self, low: Relaxation, u: Array) -> float:
        """Return by how much the bound on the mean time is too low at a point."""
        s = np.exp(u)
        order = tuple((int(k),) for k in np.argsort(s, kind="stable"))
        exact = relaxed(self.w.share, self.rate, order, s, s)
        whole = exact.at(u)[0] + float((exact.square - low.square) @ s**2)
        return whole - low.at(u)[0]

    def solution(self, upper: float, nodes: int, wanted: float) -> OrderSolution:
        left = upper - self.value
        state = stable_state(self.w, self.tokens)
        tokens = self.tokens.copy()
        tokens.flags.writeable = False
        order = self.w.server.order if not self.free else tuple(
            int(k) for k in np.argsort(self.w.service.mean(tokens), kind="stable")
        )  # fmt: skip
        return OrderSolution(
            tokens=tokens,
            objective=self.value,
            upper_bound=upper,
            gap=left,
            order=order,
            mean_system_time=first(state.time),
            utilization=1 - first(state.slack),
            nodes=nodes,
            status=Status.CONVERGED if left <= wanted else Status.OUT_OF_STEPS,
        )


def _search_line(
    env: Envelope, low: Relaxation, u: Array, reply: Array
) -> tuple[Array, float, Array]:
    """Halve the way to the reply until the relaxed objective is flat along it."""
    step, left, right = reply - u, 0.0, 1.0
    for turn in range(HALVINGS):
        part = 1.0 if turn == 0 else (left + right) / 2
        time, slope = low.at(u + part * step)
        if not np.isfinite(time):
            right = part
            continue
        there = u + part * step
        # a type at both ends of its box at once has no slope, and needs none
        rise = np.where(step == 0, 0.0, env.tilt(there))
        drift = float(((rise - slope) * step).sum())
        if drift >= 0:
            left = part
            if part == 1.0:
                break
        else:
            right = part
    there = u + left * step
    time, slope = low.at(there)
    return there, time, slope
