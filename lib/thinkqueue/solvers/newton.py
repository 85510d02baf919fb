r"""Projected Newton on a diagonal plus rank-two curvature: O(N) a step (our own derivation).

Three ideas, each a few lines below.

*The secant curvature.* Newton's model replaces the accuracy curve by a parabola, which is hopeless
far from the optimum, where :math:`e^{-b\ell}` spans many decades. The model here takes, for each
type, the parabola whose slope is right at :math:`\ell_k` and whose top is at the type's reply to
its price: with frozen prices it is exact in one step, wherever that starts. Near the optimum it
turns into Newton's own, so the convergence is quadratic once the types at 0 and at their caps are
the right ones.

*Two unknowns.* In the model, types meet only in :math:`a = \sum\pi c\,d`, by which a step moves the
mean of what is asked of the server, and in its price :math:`\eta`. At given values of these the
model falls apart into one clipped parabola a type; they follow from a 2 × 2 system, whose
determinant is a sum of positive terms, so that it stays exact as :math:`\rho \to 1`.

*A step that cannot fail.* Where the active set of that system cycles, the curvature is replaced by
a larger one, :math:`\sum\pi h(d + ra)^2 \le 2\sum\pi hd^2 + 2a^2\sum\pi hr^2`: one unknown, the
root of an increasing function.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import cast

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array, Scalar, total
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.delay.delay import TimeCurvature
from thinkqueue.delay.time import curved
from thinkqueue.objective import Answers
from thinkqueue.rows import Rows, pick, put
from thinkqueue.solution import Status
from thinkqueue.workload import Grid, Parameters

SAMPLE, SAMPLE_STEPS, GUESSES = 4096, 8, 3
FEW_ROUNDS, MANY_ROUNDS = 4, 16
HALVINGS = 60
LEAPS = 12
EPSILON = float(np.finfo(np.float64).eps)
RESOLUTION = 1e-13
"""Relative to J, what a comparison of two objectives in double precision is trusted to resolve."""

Settled = bool | NDArray[np.bool_]


@dataclass(frozen=True)
class Newton:
    r"""Projected Newton with the secant curvature: the default, and the fastest at any size.

    Notes
    -----
    For every delay that knows its curvature. A step is shortened where it would cross into
    :math:`\rho \ge 1`, does not raise J, or overshoots, which is where the slope beyond it turns
    steeply down.

    It reached the gap on every workload of one type that was tried, with parameters over sixty
    decades, whose optimum leaves the server free for a part :math:`10^{-9}` of the time.
    Nearer to a full server a last bit of a budget moves the prices by a part
    :math:`\varepsilon/(1-\rho)`, the bound cannot close, and the status may be ``STALLED``.
    """

    def iterates(
        self, problem: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, Rows | None, Status]:
        """Yield the start and then the allocation after each step.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one: then the rows are solved side by side,
            and rows that are sent back are the only ones to go on.
        tokens : ndarray, (..., N), optional
            A stable start within the caps, used unless no tokens at all are better; where not
            given, no tokens, or for many types the allocation at the prices that are right for a
            sample of them.
        """
        answers, delay = Answers.of(problem), curved(problem.server)
        if tokens is None:
            tokens = _first_guess(problem, answers)
        if tokens is None:
            # column by column, so that in a grid the workloads and not the types are the inner loop
            tokens = np.zeros(answers.stake.shape, order="F")
        else:
            tokens = _unless_worse_than_idle(problem, answers, tokens)
        here = tangent(problem, tokens, answers)
        if not problem.curves.concave and here.tokens.ndim == 1 and here.state.slack > 0:
            here = _leap(problem, answers, here)
        least, fullest, fruitless = here.gap, here.state.slack, 0
        while fruitless < 3:
            rows = yield here
            if rows is not None:
                problem, here = pick(problem, rows), pick(here, rows)
                least, fullest = pick(least, rows), pick(fullest, rows)
                answers = Answers.of(problem)
            bent = delay.curvature(problem, here.state)
            if not delay.convex:  # a model that is concave for certain leads up for certain
                bent = bent._replace(joint=greater(bent.joint, 0.0))
            there = _climb(problem, answers, here, bent)
            resolved = there.objective - here.objective > _blur(here)
            closer = there.gap < least / 2  # than ever: rounding makes it come and go
            # the bound is far off till the prices are right, which near the edge takes many steps
            fuller = there.state.slack < 0.75 * fullest
            fruitless = 0 if some(resolved | closer | fuller) else fruitless + 1
            here, least = there, lesser(there.gap, least)
            fullest = lesser(there.state.slack, fullest)
        return Status.STALLED


def every(settled: Settled) -> bool:
    """Return whether something holds for all workloads, without NumPy for a single one."""
    return settled if isinstance(settled, bool) else bool(settled.all())


def some(settled: Settled) -> bool:
    """Return whether something holds for any workload, without NumPy for a single one."""
    return settled if isinstance(settled, bool) else bool(settled.any())


def lesser(one: Scalar, other: Scalar) -> Scalar:
    """Return the smaller of two scalars, without NumPy for a single workload."""
    return min(one, other) if isinstance(one, float) else np.minimum(one, other)


def greater(one: Scalar, other: float) -> Scalar:
    """Return the larger of two scalars, without NumPy for a single workload."""
    return max(one, other) if isinstance(one, float) else np.maximum(one, other)


def _unless_worse_than_idle(p: Parameters, answers: Answers, tokens: Array) -> Array:
    """Keep a start, or drop it where it is on the brink of overload and thinking hurts."""

    def objective(at: Array) -> Scalar:
        return answers.worth(at) - answers.delay.at(p, at).time

    idle = np.zeros_like(tokens)
    return np.asarray(np.where(objective(idle) > objective(tokens), idle, tokens), order="F")


def _first_guess(p: Parameters, answers: Answers) -> Array | None:
    r"""With many types, answer the prices that are right for a sample of them."""
    if answers.stake.ndim > 1 or answers.stake.size < 8 * SAMPLE:
        return None
    delay = answers.delay
    some_of = slice(None, None, answers.stake.size // SAMPLE)
    share = p.share[some_of]
    if not (hasattr(delay, "frozen") and hasattr(p.service, "pick") and share.sum() > 0):
        return None
    sample = Grid(
        share=share / share.sum(),
        max_tokens=p.max_tokens[some_of],
        weight=p.weight[some_of],
        curves=p.curves.pick(some_of),
        service=p.service.pick(some_of),
        arrival_rate=p.arrival_rate,
        accuracy_weight=p.accuracy_weight,
        server=p.server,
    )
    nothing = np.zeros(share.size)
    if not delay.at(sample, nothing).slack > 0:
        return None
    for look in islice(Newton().iterates(sample), SAMPLE_STEPS):
        state = look.state
    tokens = np.zeros(answers.stake.shape)
    for _ in range(GUESSES):
        price, rise = delay.frozen(p, tokens, state)
        tokens = tokens + answers.towards(tokens, price, rise)
        tokens = np.minimum(np.maximum(tokens, 0), p.max_tokens)
    return tokens if delay.at(p, tokens).slack > state.slack / 2 else None


def _leap(p: Parameters, answers: Answers, here: Tangent) -> Tangent:
    """Where a curve is not concave, go some way to its global replies, past what looks flat."""
    for _ in range(LEAPS):
        way = here.reply(p.max_tokens) - here.tokens
        for halvings in range(LEAPS):
            with np.errstate(all="ignore"):
                there = tangent(p, here.tokens + way / 2**halvings, answers)
            if there.state.slack > 0 and there.objective > here.objective:
                here = there
                break
        else:
            break
    return here


def _direction(p: Parameters, look: Tangent, bent: TimeCurvature) -> tuple[Array, Scalar]:
    r"""Maximise the model :math:`g^\top d - \tfrac12 d^\top H d` over the box that
    :math:`\ell + d` may lie in; in a grid, workloads that need another attempt make it alone.

    Returns
    -------
    d, a : ndarray, (..., N), and scalar
        The direction, and by how much it moves the mean.
    """
    d, a, settled = _two_unknowns(p, look, bent, FEW_ROUNDS)
    for attempt in (partial(_two_unknowns, rounds=MANY_ROUNDS), _cautious):
        if every(settled):
            break
        if isinstance(settled, bool):
            d, a, settled = attempt(p, look, bent)
        else:
            rest = ~settled[:, 0]
            bare = look._replace(state=look.state._replace(detail=None))
            part = attempt(pick(p, rest), pick(bare, rest), pick(bent, rest))
            put((d, a, settled), rest, part)
    return d, a


def _two_unknowns(
    p: Parameters, look: Tangent, bent: TimeCurvature, rounds: int
) -> tuple[Array, Scalar, Settled]:
    r"""Maximise the model for a guess of who is clipped, until the guess proves right.

    At the price :math:`\eta` of the mean and its move a, each type's step is its parabola's top
    :math:`(g - \eta c - hra)/D`, clipped; both follow from those that are not.
    """
    own, cross, square, c, joint, _ = bent
    diagonal = look.bend + own
    diagonal += 1e-300  # a type that tokens do nothing for goes to an end, wherever that is
    low, high = -look.tokens, p.max_tokens - look.tokens
    weighted, crossed, squared = p.share * c, p.share * cross, p.share * square
    rest = look.bend / diagonal
    free = look.step != 0  # at first everybody may move who is not pressed against an end
    held: Array | None = None
    for _ in range(rounds):
        inverse = free / diagonal
        one, two = weighted * inverse, crossed * inverse
        mix = 1 + total(two, c)
        g0, g1 = total(one, look.slope), total(two, look.slope)
        if held is not None:
            g0, g1 = g0 + total(weighted, held), g1 + total(crossed, held)
        z00 = total(one, c)
        left = joint + total(squared, np.maximum(rest, ~free))
        determinant = mix * mix + z00 * left
        a = (mix * g0 - z00 * g1) / determinant
        eta = (mix * g1 + left * g0) / determinant
        top = look.slope - eta * c
        top -= cross * a
        top /= diagonal
        d = np.minimum(np.maximum(top, low), high)
        now = top == d
        same = now == free
        # who is clipped decides, and at which end: the clipped ones must stay where they are held
        before, held = held, d * ~now
        same &= now | (held == (0.0 if before is None else before))
        free = now
        settled: Settled = (
            same.all(axis=-1, keepdims=True) if same.ndim > 1 else bool(np.logical_and.reduce(same))
        )
        if every(settled):
            break
    # where two terms cancel that are 10¹⁶ times as large, what is left may even lead down
    return d, a, settled & (total(p.share * d, look.slope) >= 0)


def _cautious(p: Parameters, look: Tangent, bent: TimeCurvature) -> tuple[Array, Scalar, Settled]:
    r"""Maximise the model under a curvature that is larger, and has one unknown.

    Its price :math:`\eta` solves :math:`\eta = \beta a(\eta)`, where
    :math:`\beta = \kappa + 2\sum\pi hr^2` and :math:`a(\eta) = \sum\pi c\,d(\eta)` never increases.
    """
    own, _, square, c, joint, _ = bent
    beta: Scalar = np.maximum(joint, 0) + 2 * total(p.share, square + np.zeros_like(look.tokens))
    diagonal = look.bend + 2 * own + 1e-300
    low, high = -look.tokens, p.max_tokens - look.tokens
    weighted = p.share * c

    def step(price: Scalar) -> Array:
        return np.minimum(np.maximum((look.slope - c * price) / diagonal, low), high)

    most: Scalar = beta * total(weighted, step(0.0))
    below: Scalar = np.minimum(most, 0)
    above: Scalar = np.maximum(most, 0)
    for _ in range(100):
        middle: Scalar = (below + above) / 2
        rising = beta * total(weighted, step(middle)) > middle
        below, above = np.where(rising, middle, below), np.where(rising, above, middle)
    # the root may lie between two neighbouring doubles, and then d lies between their steps
    d, other = step(above), step(below)
    short: Scalar = np.maximum(above - beta * total(weighted, d), 0)
    span: Scalar = np.maximum(beta * total(weighted, other - d), short + 1e-300)
    d = d + short / span * (other - d)
    a = total(weighted, d)
    return d, a, True if isinstance(a, float) else np.ones_like(a, dtype=bool)


def _blur(look: Tangent) -> Scalar:
    r"""Return what rounding may do to J: that of :math:`1 - \rho` is magnified."""
    size = cast(Scalar, abs(look.objective))
    return RESOLUTION * size + EPSILON * look.state.magnified


def _climb(p: Parameters, answers: Answers, here: Tangent, bent: TimeCurvature) -> Tangent:
    """Go along a direction of ascent as far as is stable, better and not far beyond the top."""
    d, a = _direction(p, here, bent)
    drift, edge = bent.drift * a, 0.99 * here.state.slack
    t: Scalar
    if isinstance(drift, float) and isinstance(edge, float):
        t = edge / drift if drift > edge else 1.0
    else:
        t = np.where(drift > edge, edge / np.where(drift > 0, drift, 1), 1.0)
    return _shorten(p, answers, here, d, t, HALVINGS)


def _shorten(
    p: Parameters, answers: Answers, here: Tangent, d: Array, t: Scalar, halvings: int
) -> Tangent:
    """Halve a step until it is good; in a grid, workloads whose step is not good go on alone."""
    there = tangent(p, np.minimum(np.maximum(here.tokens + t * d, 0), p.max_tokens), answers)
    blur, weighted = _blur(here), p.share * d
    rise = total(weighted, here.slope)
    better = there.objective >= here.objective + 1e-4 * t * rise - blur
    beyond = total(weighted, there.slope) < -0.5 * rise - blur
    good = (there.state.slack > 0) & better & (beyond ^ True)
    if every(good):
        return there
    if not halvings:
        return here
    if d.ndim == 1:
        return _shorten(p, answers, here, d, t / 2, halvings - 1)
    rest = ~np.asarray(good)[:, 0]
    alone = pick(p, rest)
    start = pick(here._replace(state=here.state._replace(detail=None)), rest)
    part = _shorten(alone, Answers.of(alone), start, d[rest], pick(t, rest) / 2, halvings - 1)
    put(there, rest, part)
    return there
