r"""The best budgets for accuracy curves of any kind, first come, first served: a bound that closes.

At a fixed load the mean time is separable with its quadratic kept. With
:math:`\tau = \lambda/(2y)`, :math:`m(\tau) = 1/\lambda - 1/(2\tau)` and service times whose first
moment is affine and whose second moment :math:`q_k` is convex in the tokens,

.. math:: J \le L(\tau, \mu) = \sum_k\pi_k\max_x\,[\alpha w_kp_k(x) - (1+\mu)s_k(x)
          - \tau q_k(x)] + \mu\,m(\tau)

for every allocation of that load and any :math:`\mu`. (A second moment that is convex and not
quadratic, as under caps on a random length, is held from below by its tangents, piece by piece.)
The maximum is over the *curve* and not over its concave envelope, so that a type cannot pretend to
mix two budgets at the variance of one: what
is left of the gap belongs to one type, see :func:`fixed_load_bound`. Between two loads the bound of
:mod:`~thinkqueue.whole_tokens.load_search` holds,

.. math:: J \le (1-\theta)L_1 + \theta L_2 + \theta(1-\theta)R, \qquad
          R = -(\mu_2-\mu_1)(m_2-m_1) + \max(\mu_1,\mu_2)\frac{(\tau_2-\tau_1)^2}{2\tau_1^2\tau_2},

and where that one type keeps the bound from closing, its budgets are cut in two. Curves enter by
the lines above them of :class:`~thinkqueue.global_search.pieces.Pieces`. (Our own derivation.)
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import floats, one_number
from thinkqueue.delay.time import only_fifo, refuse_unstable
from thinkqueue.errors import WorkloadError
from thinkqueue.global_search.pieces import Also, Pieces, Replies, TooManyPieces, by_type
from thinkqueue.solution import Step
from thinkqueue.workload import Interpolated, Workload

MULTIPLIER_STEPS = 60
"""The largest number of steps towards the best multiplier of one load; any multiplier is valid."""

ENOUGH = 0.02
"""How closely a multiplier is sought, relative to what separates its bound from the best."""

FIRST_CELLS = 4
"""How many cells the loads are cut into at first."""

COARSEST, FINER = 1e-3, 100.0
"""By which part of the worth of all answers the first lines may raise the bound; how it falls."""

NARROWEST = 1e-12
"""The relative width of a cell that is not halved any more."""


class Times:
    r"""Service times with a mean :math:`t + cx` and a convex second moment q.

    Where q is quadratic, it is taken as it is; where not, a tangent of q is below it on a piece.

    Parameters
    ----------
    workload : Workload
        The workload.

    Raises
    ------
    WorkloadError
        If the mean is not affine or the second moment is not convex in the tokens.
    """

    def __init__(self, workload: Workload) -> None:
        self.moments, zero = workload.service.moments, np.zeros(len(workload))
        start = self.moments(zero)
        self.t, self.c = start.mean, start.mean_slope + zero
        self.bend = np.asarray(start.square_bend / 2 + zero)
        self.quadratic = True
        for part in (1e-3, 0.01, 0.1, 0.5, 0.999):
            x = part * np.minimum(workload.max_tokens, 1e6)
            there = self.moments(x)
            size = 1e-9 * (np.abs(there.square) + np.abs(there.mean)) + 1e-300
            parabola = start.square + (start.square_slope + self.bend * x) * x
            self.quadratic &= bool((np.abs(there.square - parabola) <= size).all())
            affine = (np.abs(there.mean - self.mean(x)) <= size).all()
            if not (affine and np.all(there.square_bend >= 0)):
                raise WorkloadError(
                    "The search for the best of all optima needs service times whose mean is "
                    "affine and whose second moment is convex in the tokens.",
                    parameter="service",
                    value=workload.service,
                )
        if not self.quadratic:
            self.bend = zero

    def mean(self, tokens: Array) -> Array:
        """Return s at these tokens.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.t + self.c * tokens)

    def square(self, tokens: Array) -> Array:
        """Return q at these tokens.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.moments(tokens).square)

    def square_slope(self, tokens: Array) -> Array:
        """Return q' at these tokens.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.moments(tokens).square_slope + np.zeros_like(tokens))

    def below(self, pieces: Pieces) -> tuple[Array, Array]:
        r"""Return :math:`a, b` with :math:`q \ge a + bx + \text{bend}\,x^2` on every piece.

        Parameters
        ----------
        pieces : Pieces
            With K pieces a type at most.
        """
        at = (pieces.left + pieces.right).T / 2
        q, slope = self.square(at), self.square_slope(at)
        line = slope - 2 * self.bend * at
        return (q - (line + self.bend * at) * at).T, line.T

    def sag(self, kind: Index, left: Array, right: Array) -> Array:
        """Return how far q is above that at most, on pieces of these types and ends.

        Parameters
        ----------
        kind : ndarray of int, (P,)
            The types.
        left, right : ndarray, (P,)
            The ends.
        """
        size, middle = len(self.c), (left + right) / 2
        q, slope = (by_type(f, size, kind, middle) for f in (self.square, self.square_slope))
        off = [
            by_type(self.square, size, kind, x) - q - slope * (x - middle) for x in (left, right)
        ]
        return np.asarray(np.maximum(np.max(off, axis=0), 0.0))


@dataclass(frozen=True)
class End:
    """One end of a cell: a load with its multiplier and its bound; the replies on either side."""

    burden: float
    price: float
    mean: float
    bound: float
    long: Array
    short: Array


class Box(NamedTuple):
    """Budgets between two allocations, whose entries are ends of pieces."""

    low: Array
    high: Array


class FixedLoad:
    """The bound at one load and between two, and the best allocation that came by.

    Parameters
    ----------
    workload : Workload
        Served first come, first served.
    error : float
        By how much the lines above the curves may raise the bound in all, in s.
    alone : bool, optional
        Whether budgets by which one type alone would overload the server are left out.
    """

    def __init__(self, workload: Workload, error: float, *, alone: bool = True) -> None:
        only_fifo(workload, "The bound of a load")
        self.w, self.service = workload, Times(workload)
        w, own = workload, self.service
        self.share, self.rate = w.share, w.arrival_rate
        self.worth = np.asarray(w.accuracy_weight * w.weight)
        self.idle = float(w.share @ own.t)
        slack = 1 - self.rate * self.idle
        if not slack > 0:
            refuse_unstable(w, 1 - slack, "even with no thinking tokens at all")
        # beyond, a query costs more time than any answer is worth; and no type overloads alone
        top = np.minimum(w.max_tokens, self.worth / own.c)
        if alone:
            with np.errstate(divide="ignore", over="ignore"):
                most = slack / (self.rate * w.share * own.c)
            top = np.minimum(top, most)
        self.all = Box(np.zeros(len(w)), top)
        self.best_tokens, self.best_value = np.zeros(len(w)), -np.inf
        self.pieces = Pieces.of(w.curves, self.all.high, self._part(error), self._also())

    def _part(self, error: float) -> Array:
        stake = float(self.worth @ self.share)
        return np.full(len(self.w), error / stake if stake > 0 else 1.0)

    def _also(self) -> Also | None:
        """Return what tangents of second moments are off, as if it were accuracy."""
        if self.service.quadratic:
            return None
        load = self.rate * float(self.share @ self.service.mean(self.best_tokens))
        stake = float(self.worth @ self.share)
        dear = self.rate / (2 * (1 - load)) / (stake if stake > 0 else 1.0)
        return lambda kind, left, right: dear * self.service.sag(kind, left, right)

    def refine(self, keep: NDArray[np.bool_], error: float) -> None:
        """Cut the pieces that are kept anew, and forget the others.

        Parameters
        ----------
        keep : ndarray of bool, (N, K)
            Which.
        error : float
            By how much the lines may then raise the bound in all, in s.
        """
        self.pieces = self.pieces.refined(self.w.curves, keep, self._part(error), self._also())
        for known in ("dearest", "all_answers", "squares"):
            self.__dict__.pop(known, None)

    def objective(self, tokens: Array) -> float:
        """Return J, minus infinity where the queue is unstable.

        Parameters
        ----------
        tokens : ndarray, (N,)
            Thinking tokens.
        """
        own = self.service
        m, second = float(self.share @ own.mean(tokens)), float(self.share @ own.square(tokens))
        y = 1 - self.rate * m
        if not y > 0:
            return -np.inf
        worth = float((self.worth * self.share) @ self.w.curves.value(tokens))
        return worth - m - self.rate * second / (2 * y)

    def offer(self, tokens: Array) -> bool:
        """Keep an allocation if it is the best so far; return whether it is.

        Parameters
        ----------
        tokens : ndarray, (N,)
            Thinking tokens.
        """
        value = self.objective(tokens)
        if value > self.best_value:
            self.best_tokens, self.best_value = np.array(tokens), value
            return True
        return False

    @cached_property
    def squares(self) -> tuple[Array, Array]:
        """What second moments are at least, piece by piece: see :meth:`Times.below`."""
        return self.service.below(self.pieces)

    @cached_property
    def dearest(self) -> float:
        """The multiplier at which no piece is worth its price any more."""
        steep = np.maximum(self.pieces.slope, 0.0).max(axis=1)
        used = self.share > 0
        return float(np.max((self.worth * steep / self.service.c)[used], initial=0.0)) + 1.0

    @cached_property
    def all_answers(self) -> float:
        """What the answers of all types are worth at most, in s."""
        p = self.pieces
        top = np.maximum(p.height + p.slope * p.left, p.height + p.slope * p.right)
        top = np.where(p.real, top, -np.inf).max(axis=1)
        return float((self.worth * self.share) @ top)

    def replies(self, burden: float, price: float, box: Box) -> Replies:
        """Return what every piece of a box is worth at a load and its multiplier.

        Parameters
        ----------
        burden, price : float
            τ and μ.
        box : Box
            The budgets that are allowed.
        """
        own = self.service
        least, line = self.squares
        whole = box is self.all
        return self.pieces.replies(
            self.worth,
            (1 + price) * own.c[:, None] + burden * line,
            burden * own.bend,
            burden * least,
            None if whole else box.low,
            None if whole else box.high,
        )

    def end(self, burden: float, box: Box, guess: float | None = None) -> End:
        r"""Minimise the bound of a load over :math:`\mu \ge 0`.

        Where the replies are together longer than the load, :math:`\mu` is too low. Two replies,
        one on either side, are two tangents of the bound, which is convex in :math:`\mu`: where
        they meet is a number below its minimum.

        Parameters
        ----------
        burden : float
            τ.
        box : Box
            The budgets that are allowed.
        guess : float, optional
            A multiplier near the best one.
        """
        own, share = self.service, self.share
        mean = 1 / self.rate - 1 / (2 * burden)
        fixed = float(share @ own.t)

        def at(price: float) -> _Look:
            value, tokens = self.replies(burden, price, box).best()
            bound = float(share @ value) - fixed + price * (mean - self.idle)
            return _Look(price, bound, mean - float(share @ own.mean(tokens)), tokens)

        left = at(0.0)
        if left.slope >= 0 or not left.bound > -np.inf:
            return End(burden, 0.0, mean, left.bound, left.tokens, left.tokens)
        right = at(self.dearest)
        best = min(left, right, key=_bound)
        tried = [] if guess is None else [0.97 * guess - 1e-9, 1.03 * guess + 1e-9]
        for step in range(MULTIPLIER_STEPS):
            bend = right.slope - left.slope
            if not bend > 0:
                break
            meet = left.bound - right.bound + right.slope * right.price - left.slope * left.price
            meet /= bend
            least = left.bound + left.slope * (meet - left.price)
            slack = max(best.bound - self.best_value, 0.0)
            if best.bound - least <= max(ENOUGH * slack, 1e-13 * abs(best.bound)):
                break
            if tried:
                middle = tried.pop()
                if not left.price < middle < right.price:
                    continue
            else:
                width = right.price - left.price
                cut = (meet - left.price) / width if step % 3 else 0.5
                middle = left.price + min(max(cut, 0.02), 0.98) * width
                if not left.price < middle < right.price:
                    break
            here = at(middle)
            best = min(best, here, key=_bound)
            left, right = (here, right) if here.slope < 0 else (left, here)
        self.offer(left.tokens)
        self.offer(right.tokens)
        return End(burden, best.price, mean, best.bound, left.tokens, right.tokens)

    def span(self, box: Box) -> tuple[float, float]:
        r"""Return the values of τ that an allocation as good as the best so far can have.

        Parameters
        ----------
        box : Box
            The budgets that are allowed.
        """
        own, share = self.service, self.share
        m, second = float(share @ own.mean(box.low)), float(share @ own.square(box.low))
        load = self.rate * float(share @ own.mean(box.high))
        # J ≤ worth − m − τM with M ≥ M(0) and M ≥ m²: what is left for τM bounds τ
        left = self.all_answers - m - self.best_value
        if not (self.rate * m < 1 and left > 0):
            return np.inf, -np.inf
        a = self.rate * left
        y = 1 / ((1 + a) + np.sqrt(a * (2 + a)))
        stop = min(left / second if second > 0 else np.inf, self.rate / (2 * y))
        if load < 1:
            stop = min(stop, self.rate / (2 * (1 - load)))
        return self.rate / (2 * (1 - self.rate * m)), stop

    def kept(self, node: Node) -> NDArray[np.bool_]:
        """Return the pieces that an allocation better than the best so far may have in a cell.

        Parameters
        ----------
        node : Node
            The cell.
        """
        fall = []
        for end in (node.left, node.right):
            replies = self.replies(end.burden, end.price, node.box)
            top, _ = replies.best()
            fall.append(
                self.share[:, None]
                * np.where(self.pieces.real, top[:, None] - replies.value, np.inf)
            )
        used = self.share[:, None] > 0
        fall = [
            np.where(used & np.isfinite(f), f, np.where(np.isinf(f) & used, np.inf, 0.0))
            for f in fall
        ]
        with np.errstate(invalid="ignore"):
            most = cell_bound(node.left, node.right, fall[0], fall[1])
        return np.asarray(self.pieces.real & ~(most < self.best_value))


class _Look(NamedTuple):
    price: float
    bound: float
    slope: float
    tokens: Array


def _bound(look: _Look) -> float:
    return look.bound


class Node(NamedTuple):
    """Allocations whose load lies between two ends and whose budgets lie in a box."""

    left: End
    right: End
    box: Box


class Found(NamedTuple):
    """Where the search stands: the best allocation, the bound on all others, how many cells."""

    history: tuple[Step, ...]
    tokens: Array
    objective: float
    upper_bound: float
    cells: int


class Search:
    """Branch and bound over loads and budgets, with lines above the curves that are refined.

    Parameters
    ----------
    workload : Workload
        Served first come, first served.
    wanted : float
        The gap at which to stop, relative to what the best allocation is worth, or 1 s.
    """

    def __init__(self, workload: Workload, wanted: float) -> None:
        self.part = wanted
        stake = workload.accuracy_weight * float(workload.weight @ workload.share)
        self.error = COARSEST * max(1.0, stake)
        self.bound = FixedLoad(workload, self.error)
        self.bound.offer(self.bound.best_tokens)
        self.order, self.cells = itertools.count(), 0
        self.heap: list[tuple[float, int, Node]] = []
        self.closed = -np.inf
        self.history: list[Step] = []

    @property
    def wanted(self) -> float:
        """The gap at which to stop, in s."""
        return self.part * max(1.0, abs(self.bound.best_value))

    @property
    def upper(self) -> float:
        """What no allocation exceeds, in s."""
        top = -self.heap[0][0] if self.heap else -np.inf
        return max(top, self.closed, self.bound.best_value)

    def run(self, max_cells: int) -> Found:
        """Search until the gap is reached or the cells run out.

        Parameters
        ----------
        max_cells : int
            The largest number of cells that are cut.
        """
        bound = self.bound
        whole = bound.all
        start, stop = bound.span(whole)
        if start < stop:
            ends = [bound.end(at, whole) for at in np.geomspace(start, stop, FIRST_CELLS + 1)]
            for left, right in itertools.pairwise(ends):
                self._push(Node(left, right, whole), np.inf)
        self._close(max_cells)
        while self.heap and self.cells < max_cells and self._refine():
            self._close(max_cells)
        return Found(
            tuple(self.history), bound.best_tokens, bound.best_value, self.upper, self.cells
        )

    def _push(self, node: Node, most: float) -> None:
        top = min(float(cell_bound(node.left, node.right)), most)
        if top > self.bound.best_value + self.wanted:
            heapq.heappush(self.heap, (-top, next(self.order), node))
        else:
            self.closed = max(self.closed, top)

    def _close(self, max_cells: int) -> None:
        """Cut cells until the lines above the curves are what keeps the bound from closing."""
        bound, heap = self.bound, self.heap
        while heap and self.cells < max_cells:
            if -heap[0][0] <= bound.best_value + max(self.wanted, 3 * self.error):
                break
            negative, _, node = heapq.heappop(heap)
            if -negative <= bound.best_value + self.wanted:
                self.closed = max(self.closed, -negative)
                continue
            self.cells += 1
            for part in self._parts(node, -negative):
                self._push(part, -negative)
        value = bound.best_value
        load = bound.rate * float(bound.share @ bound.service.mean(bound.best_tokens))
        self.history.append(Step(value, self.upper - value, load))

    def _parts(self, node: Node, top: float) -> Iterator[Node]:
        """Cut a cell: where one type is torn its budgets, else the loads."""
        bound = self.bound
        left, right = node.left, node.right
        better = left if left.bound >= right.bound else right
        narrow = right.burden - left.burden <= NARROWEST * right.burden
        k, at = torn(bound, better, node.box)
        wide = top - better.bound
        if k >= 0 and (narrow or 2 * wide < top - bound.best_value):
            low, high = node.box.low.copy(), node.box.high.copy()
            low[k] = high[k] = at
            for box in (Box(node.box.low, high), Box(low, node.box.high)):
                start, stop = bound.span(box)
                start, stop = max(start, left.burden), min(stop, right.burden)
                if start <= stop:
                    yield Node(
                        bound.end(start, box, left.price), bound.end(stop, box, right.price), box
                    )
        elif narrow:
            self.closed = max(self.closed, top)
        else:
            middle = (left.burden + right.burden) / 2
            cut = bound.end(middle, node.box, (left.price + right.price) / 2)
            yield Node(left, cut, node.box)
            yield Node(cut, right, node.box)

    def _refine(self) -> bool:
        """Forget pieces that no open cell needs, cut the others anew, and bound the cells again."""
        bound = self.bound
        if self.error <= self.wanted / 4:
            return False
        self.error = max(self.error / FINER, self.wanted / 4)
        nodes = []
        for negative, _, node in self.heap:
            if -negative > bound.best_value + self.wanted:
                nodes.append((node, -negative))
            else:
                self.closed = max(self.closed, -negative)
        self.heap = [entry for entry in self.heap if -entry[0] > bound.best_value + self.wanted]
        heapq.heapify(self.heap)
        if not nodes:
            return False
        try:
            bound.refine(np.any([bound.kept(node) for node, _ in nodes], axis=0), self.error)
        except TooManyPieces:
            return False
        self.heap.clear()
        known: dict[tuple[float, int], End] = {}
        for node, top in nodes:
            ends = []
            for end in (node.left, node.right):
                key = (end.burden, id(node.box))
                if key not in known:
                    known[key] = bound.end(end.burden, node.box, end.price)
                ends.append(known[key])
            self._push(Node(ends[0], ends[1], node.box), top)
        return True


def torn(bound: FixedLoad, end: End, box: Box) -> tuple[int, float]:
    """Return the type that its multiplier leaves undecided most, −1 if none, and where to cut it.

    Parameters
    ----------
    bound : FixedLoad
        The bound.
    end : End
        The end of a cell.
    box : Box
        The budgets that are allowed.
    """
    apart = np.abs(end.long - end.short)
    k = int(np.argmax(bound.share * bound.service.c * apart))
    ends = bound.pieces.right[k, : bound.pieces.count[k]]
    low, high = sorted((end.long[k], end.short[k]))
    inner = ends[(ends > low) & (ends < high) & (ends > box.low[k]) & (ends < box.high[k])]
    if not inner.size:
        return -1, 0.0
    return k, float(inner[np.argmin(np.abs(inner - (low + high) / 2))])


def cell_bound(
    left: End, right: End, first: Array | float = 0.0, second: Array | float = 0.0
) -> Array:
    r"""Return the largest value of :math:`(1-\theta)L_1 + \theta L_2 + \theta(1-\theta)R`.

    Parameters
    ----------
    left, right : End
        The ends.
    first, second : float or ndarray, optional
        By how much the bounds at the two ends fall where a type must take other budgets.
    """
    one, two = left.bound - first, right.bound - second
    steep = max(left.price, right.price)
    bend = steep * (right.burden - left.burden) ** 2 / (2 * left.burden**2 * right.burden)
    bend -= (right.price - left.price) * (right.mean - left.mean)
    ends = np.maximum(one, two)
    if not bend > 0:
        return np.asarray(ends)
    apart = np.where(np.isfinite(ends), two - one, np.inf)
    with np.errstate(invalid="ignore"):
        inner = (one + two) / 2 + bend / 4 + apart**2 / (4 * bend)
    return np.asarray(np.where(np.abs(apart) < bend, inner, ends))


def fixed_load_bound(workload: Workload, utilization: ArrayLike, *, error: float = 1e-4) -> Array:
    r"""Return numbers that no allocation of these very loads exceeds, whatever the curves are.

    .. math:: U(\rho) = \min_{\mu\ge0}\; \sum_k\pi_k\max_x\,[\alpha w_kp_k(x) - (1+\mu)s_k(x)
              - \tau q_k(x)] + \mu m, \qquad \tau = \frac{\lambda}{2(1-\rho)},\; m = \rho/\lambda.

    Where :math:`\mu > 0`, the best allocation of the load is at most :math:`\max_k\pi_k\Delta_k`
    below it, with :math:`\Delta_k` the height of the concave envelope of type k's bracket above
    the bracket: at the best :math:`\mu` all types but one have one budget.

    Parameters
    ----------
    workload : Workload
        Served first come, first served.
    utilization : array_like
        :math:`\rho`, between the load without thinking and 1.
    error : float, optional
        By how much straight lines above the curves may raise the bound, in s.

    Returns
    -------
    ndarray
        In seconds.

    Raises
    ------
    WorkloadError
        If a load does not lie between that without thinking and 1, or the workload has another
        server.
    """
    bound = FixedLoad(workload, one_number("error", error, least=1e-12), alone=False)
    loads = floats("utilization", utilization)
    idle = bound.rate * bound.idle
    bad = ~((loads >= idle * (1 - 1e-12)) & (loads < 1))
    if bad.any():
        raise WorkloadError(
            f"utilization is {loads[bad].flat[0]:g}; it must be at least {idle:.6g}, the load "
            "without thinking, and below 1.",
            parameter="utilization",
            value=float(loads[bad].flat[0]),
        )
    bound.best_value = np.inf  # so that the multiplier is sought to the last digit
    burdens = bound.rate / (2 * (1 - loads.ravel()))
    return np.reshape([bound.end(burden, bound.all).bound for burden in burdens], loads.shape)


def envelope_bound(workload: Workload, *, gap: float = 1e-6) -> float:
    r"""Return what the best allocation would be worth with the concave envelopes of the curves.

    An upper bound on J, and the least that any tangent bound can say: a type whose curve is not
    concave is thought to give two budgets by turns and to cost the queue the square of their mean.

    Parameters
    ----------
    workload : Workload
        Served first come, first served.
    gap : float, optional
        By how much the bound may be above that, relative to :math:`\max(1, |J|)`.

    Returns
    -------
    float
        In seconds.

    Raises
    ------
    WorkloadError
        If the workload has another server.
    """
    gap = one_number("gap", gap, least=1e-12)
    stake = workload.accuracy_weight * float(workload.weight @ workload.share)
    whole = FixedLoad(workload, gap * max(1.0, stake), alone=False)
    p = whole.pieces
    curves = []
    for k in range(len(workload)):
        x = np.append(p.left[k, : p.count[k]], p.right[k, p.count[k] - 1])
        line = p.height[k, : p.count[k], None] + p.slope[k, : p.count[k], None] * np.stack(
            [p.left[k, : p.count[k]], p.right[k, : p.count[k]]], axis=1
        )
        y = np.maximum(np.append(line[:, 0], -np.inf), np.append(-np.inf, line[:, 1]))
        curves.append(_hull(x, np.minimum(y, 1.0)))
    return Search(workload.replace(accuracy=curves), gap).run(20_000).upper_bound


def _hull(x: Array, y: Array) -> Interpolated:
    """Return the upper concave hull of points in ascending order, as a curve."""
    kept: list[int] = []
    for i in range(len(x)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) > (y[i] - y[a]) * (x[b] - x[a]):
                break
            kept.pop()
        if kept and x[i] == x[kept[-1]]:
            continue
        kept.append(i)
    if len(kept) == 1:
        return Interpolated((0.0, 1.0), (float(y[0]), float(y[0])))
    return Interpolated(tuple(x[kept]), tuple(y[kept]))
