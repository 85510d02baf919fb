r"""Projected Newton on a diagonal plus rank-two curvature: O(N) a step (our own derivation).

Three ideas, each a few lines below.

*The secant curvature.* Newton's model replaces the accuracy curve by a parabola, which is hopeless
far from the optimum, where :math:`e^{-b\ell}` spans many decades. The model here takes, for each
type, the parabola whose slope is right at :math:`\ell_k` and whose top is at the unclipped
fixed-point step :math:`F_k(\ell)`: with frozen prices it is exact in one step, wherever that
starts. Near the optimum it turns into Newton's own, so the convergence is quadratic.

*Two unknowns.* In the model, types meet only in the two numbers by which a step moves the moments,
:math:`a = \sum\pi c\,d` and :math:`e = \sum\pi c s\,d`. At given prices for these the model falls
apart into one clipped parabola a type; the prices follow from a 2 × 2 system, whose determinant is
written as a sum of positive terms, so that it stays exact as :math:`\rho \to 1`.

*A step that cannot fail.* Where the active set of that system cycles, the curvature is replaced by
:math:`\nabla^2\mathbb{E}[T] \preccurlyeq \frac{2\lambda}{y}\bigl(\operatorname{diag}(\pi c^2) +
\frac{\lambda^2 M}{y^2} uu^\top\bigr)`: one unknown, the root of an increasing function.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array, total
from thinkqueue.bounds import Curves, Tangent, height, tangent
from thinkqueue.delay.fifo import queue
from thinkqueue.solution import Status
from thinkqueue.workload import FIELDS, Grid, Parameters

T = TypeVar("T")

SAMPLE, SAMPLE_STEPS = 4096, 8
FEW_ROUNDS, MANY_ROUNDS = 4, 16
HALVINGS = 60
EPSILON = float(np.finfo(np.float64).eps)
RESOLUTION = 1e-13
"""Relative to J, what a comparison of two objectives in double precision is trusted to resolve."""


@dataclass(frozen=True)
class Newton:
    r"""Projected Newton with the secant curvature: the default, and the fastest at any size.

    Notes
    -----
    A step is shortened where it would cross into :math:`\rho \ge 1`, does not raise J, or
    overshoots, which is where the slope beyond it turns steeply down.
    """

    def iterates(
        self, parameters: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, None, Status]:
        """Yield the start and then the allocation after each step.

        Parameters
        ----------
        parameters : Parameters
            A workload, or arrays that broadcast like one: then the rows are solved side by side.
        tokens : ndarray, (..., N), optional
            A stable start within the caps, used unless no tokens at all are better; where not
            given, no tokens, or for many types the allocation at the prices that are right for a
            sample of them.
        """
        curves = Curves.of(parameters)
        tokens = (
            _first_guess(parameters, curves)
            if tokens is None
            else _unless_worse_than_idle(parameters, curves, tokens)
        )
        here = tangent(parameters, tokens, curves)
        least, fruitless = here.gap, 0
        while fruitless < 3:
            yield here
            there = _climb(parameters, curves, here, _direction(parameters, here))
            resolved = there.objective - here.objective > _blur(parameters, here)
            closer = there.gap < least / 2  # than ever: rounding makes it come and go
            fruitless = 0 if (resolved | closer).any() else fruitless + 1
            here, least = there, np.minimum(there.gap, least)
        return Status.STALLED


def _first_guess(p: Parameters, curves: Curves) -> Array:
    r"""Start where nobody thinks; with many types, where the optimum of a sample of them points.

    The sample's moments give prices :math:`q(s) = \mu + \nu s`. With :math:`\mu, \nu` fixed, the
    condition :math:`u_k = 0` is one convex equation a type, which Newton solves from below.
    """
    # column by column, so that in a grid the workloads and not the types are the inner loop
    idle = np.zeros(np.broadcast_shapes(p.share.shape, curves.log_value.shape), order="F")
    if idle.ndim > 1 or idle.size < 8 * SAMPLE:
        return idle
    every = slice(None, None, idle.size // SAMPLE)
    columns = {field: getattr(p, field)[every] for field in FIELDS}
    mass = columns["share"].sum()
    if not mass > 0:
        return idle
    columns["share"] = columns["share"] / mass
    sample = Grid(**columns, arrival_rate=p.arrival_rate, accuracy_weight=p.accuracy_weight)
    if not queue(sample, idle[every]).y > 0:
        return idle
    for look in islice(Newton().iterates(sample), SAMPLE_STEPS):
        state = look.queue
    nu = p.arrival_rate / state.y
    mu = 1 + nu**2 * state.M / 2
    tokens = idle
    for _ in range(3):
        q = mu + nu * (p.base_time + p.time_per_token * tokens)
        surplus = curves.log_value - p.rate * tokens - np.log(p.time_per_token * q)
        tokens = tokens + surplus / (p.rate + nu * p.time_per_token / q)
        tokens = np.minimum(np.maximum(tokens, 0), p.max_tokens)
    return np.asarray(tokens) if queue(p, tokens).y > state.y / 2 else idle


def _unless_worse_than_idle(p: Parameters, curves: Curves, tokens: Array) -> Array:
    """Keep a start, or drop it where it is on the brink of overload and thinking hurts."""
    idle = np.zeros_like(tokens)
    started = height(p, curves, queue(p, tokens), p.rate * tokens)
    hurts = height(p, curves, queue(p, idle), idle) > started
    return np.asarray(np.where(hurts, idle, tokens))


def _direction(p: Parameters, look: Tangent) -> Array:
    r"""Maximise the model :math:`g^\top d - \tfrac12 d^\top H d` over the box that
    :math:`\ell + d` may lie in; in a grid, workloads that need another attempt make it alone.
    """
    d, settled = _diagonal_plus_rank_two(p, look, FEW_ROUNDS)
    if not settled.all():
        for attempt in (partial(_diagonal_plus_rank_two, rounds=MANY_ROUNDS), _cautious):
            if d.ndim == 1:
                d, settled = attempt(p, look)
            else:
                rest = ~settled[:, 0]
                d[rest], settled[rest] = attempt(_rows(p, rest), _rows(look, rest))
            if settled.all():
                break
    return d


def _secant_curvature(p: Parameters, look: Tangent) -> Array:
    r"""Return :math:`c q b\,(e^u - 1)/u`: c q b at :math:`u = 0`, nothing at minus infinity."""
    flat = look.surplus == 0
    bend = (look.slope + look.cost * flat) * p.rate
    bend /= look.surplus + flat
    return np.asarray(bend)


def _diagonal_plus_rank_two(
    p: Parameters, look: Tangent, rounds: int
) -> tuple[Array, NDArray[np.bool_]]:
    r"""Maximise the model for a guess of who is clipped, until the guess proves right.

    At the prices :math:`\omega + \tau s` of a second, each type's step is its parabola's top,
    clipped; the prices solve the 2 × 2 system of the types that are not.
    """
    s, c = look.queue.s, p.time_per_token
    pressure = p.arrival_rate / look.queue.y
    bend = _secant_curvature(p, look)
    diagonal = bend + pressure * c**2
    low, high = -look.tokens, p.max_tokens - look.tokens

    give = c / diagonal  # how much a type's step yields to a price
    give_s = give * s
    lone = look.slope / diagonal  # the step that a type would take alone
    weighted = p.share * c
    weighted_s = weighted * s
    second = p.share * s**2
    rest = bend / diagonal
    prices, tilt = np.zeros_like(pressure), np.zeros_like(pressure)
    settled = np.zeros_like(pressure, dtype=bool)
    below = above = None
    for _ in range(rounds):
        d = lone - prices * give
        d -= tilt * give_s
        last, below, above = (below, above), d <= low, d >= high
        d = np.minimum(np.maximum(d, low), high)
        if last[0] is not None:
            same = (below == last[0]) & (above == last[1])
            settled = np.asarray(same.all(axis=-1, keepdims=True))
            if settled.all():
                break
        free = ~(below | above)
        s0, s1 = total(weighted * free, give), total(weighted_s * free, give)
        left = pressure**3 * total(second, np.maximum(rest, ~free))
        moved = np.where(free, lone, d)
        g0, g1 = total(weighted, moved), total(weighted_s, moved)
        cross = 1 + pressure**2 * s1
        determinant = cross**2 + s0 * left
        prices = (left * g0 + pressure**2 * cross * g1) / determinant
        tilt = pressure**2 * (cross * g0 - pressure**2 * s0 * g1) / determinant
    return np.asarray(d), settled


def _cautious(p: Parameters, look: Tangent) -> tuple[Array, NDArray[np.bool_]]:
    r"""Maximise the model over the same box with the larger, diagonal plus rank one, curvature.

    Its only unknown is the price :math:`\omega` with :math:`\omega = 2\beta\,a(\omega)`, where
    :math:`\beta = \lambda^3 M/y^3` and :math:`a(\omega) = \sum\pi c\,d(\omega)` never increases.
    """
    c = p.time_per_token
    pressure = p.arrival_rate / look.queue.y
    double_beta = 2 * pressure**3 * look.queue.M
    diagonal = _secant_curvature(p, look) + 2 * pressure * c**2
    low, high = -look.tokens, p.max_tokens - look.tokens

    def step(price: Array) -> Array:
        return np.minimum(np.maximum((look.slope - c * price) / diagonal, low), high)

    def moved(price: Array) -> Array:
        return np.asarray(double_beta * total(p.share * c, step(price)))

    at_zero = moved(np.zeros_like(pressure))
    below, above = np.minimum(at_zero, 0), np.maximum(at_zero, 0)
    for _ in range(100):
        middle = (below + above) / 2
        rising = moved(middle) > middle
        below, above = np.where(rising, middle, below), np.where(rising, above, middle)
    return step(above), np.ones_like(pressure, dtype=bool)


def _blur(p: Parameters, look: Tangent) -> Array:
    r"""Return what rounding may do to J: that of :math:`y` is magnified by :math:`E[W]/y`."""
    waiting = look.queue.mean_waiting_time(p.arrival_rate)
    return np.asarray(RESOLUTION * np.abs(look.objective) + EPSILON * waiting / look.queue.y)


def _climb(p: Parameters, curves: Curves, here: Tangent, d: Array) -> Tangent:
    """Go along a direction of ascent as far as is stable, better and not far beyond the top."""
    drift = p.arrival_rate * total(p.share * d, p.time_per_token)
    edge = 0.99 * here.queue.y
    t = np.where(drift > edge, edge / np.where(drift > 0, drift, 1), 1.0)
    with np.errstate(all="ignore"):  # a trial may be unstable; it is then refused
        return _shorten(p, curves, here, d, t, HALVINGS)


def _shorten(
    p: Parameters, curves: Curves, here: Tangent, d: Array, t: Array, halvings: int
) -> Tangent:
    """Halve a step until it is good; in a grid, workloads whose step is not good go on alone."""
    there = tangent(p, np.minimum(np.maximum(here.tokens + t * d, 0), p.max_tokens), curves)
    blur = _blur(p, here)
    weighted = p.share * d
    rise = total(weighted, here.slope)
    better = there.objective >= here.objective + 1e-4 * t * rise - blur
    beyond = total(weighted, there.slope) < -0.5 * rise - blur
    good = (there.queue.y > 0) & better & ~beyond
    if good.all():
        return there
    if not halvings:
        return here
    if d.ndim == 1:
        return _shorten(p, curves, here, d, t / 2, halvings - 1)
    rest = ~good[:, 0]
    alone, their_curves, start = _rows(p, rest), _rows(curves, rest), _rows(here, rest)
    _put(there, rest, _shorten(alone, their_curves, start, d[rest], t[rest] / 2, halvings - 1))
    return there


def _rows(grid: T, chosen: NDArray[np.bool_]) -> T:
    """Pick some workloads out of a dataclass of arrays with a row for each, or with one for all."""
    parts: dict[str, Any] = {}
    for field in fields(grid):  # type: ignore[arg-type]
        value = getattr(grid, field.name)
        if is_dataclass(value):
            parts[field.name] = _rows(value, chosen)
        else:
            parts[field.name] = value if len(value) == 1 else np.asfortranarray(value[chosen])
    return type(grid)(**parts)


def _put(grid: Tangent, chosen: NDArray[np.bool_], part: Tangent) -> None:
    """Write some workloads' rows back."""
    for field in fields(part):
        mine, theirs = getattr(grid, field.name), getattr(part, field.name)
        if is_dataclass(mine):
            _put(mine, chosen, theirs)  # type: ignore[arg-type]
        else:
            mine[chosen] = theirs
