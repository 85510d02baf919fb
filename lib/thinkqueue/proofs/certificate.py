r"""Bounds on the optimum that hold for sure: the tangent bound and the optimum itself, in balls.

Floating point makes the gap of a solution an estimate of a bound. Here every number is a ball that
certainly holds the exact value, with the parameters of the workload taken as the exact binary
numbers that they are.

*The value.* J at the tokens is a lower bound on :math:`J^*`. The tangent bound adds

.. math:: \sum_k \pi_k \frac{c_k q_k}{b_k}\, g_k, \qquad
          g_k = \max_v \bigl[e^{u_k}(1 - e^{-v}) - v\bigr] \le e^{u_k} - 1 - u_k
          \le \tfrac12 u_k^2\, e^{\max(u_k, 0)},

with :math:`u_k` the logarithm of a marginal token's worth over its price and the maximum over the
steps :math:`v` that the budget allows.

*The place.* Types meet only in the two moments of the service time. At given :math:`z = (m, M)`
the prices are :math:`\mu_1 = 1 + \lambda^2 M/(2y^2)` and :math:`\mu_2 = \lambda/y`, and each
budget is the root of a decreasing function of one variable, cut at 0 and at its cap:

.. math:: \alpha w_k A_k b_k e^{-b_k \ell} = c_k(\mu_1 + \mu_2 s_k(\ell)).

The moments of these budgets are :math:`\Phi(z)`, and :math:`\ell` is the optimum exactly where
:math:`z = \Phi(z)`. So the optimum of a million types is a zero of two equations, and Krawczyk's
operator on a box of z proves that there is exactly one in it (our own reduction; where lengths vary
by :math:`v_k`, :math:`s_k(\ell)` in the price is :math:`t_{0,k} + (1 + v_k^2)\,c_k\ell`):

.. math:: z_0 - Y(z_0 - \Phi(z_0)) + (I - Y(I - \Phi'(Z)))(Z - z_0) \subset \operatorname{int} Z .
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array
from thinkqueue.delay.time import only_fifo
from thinkqueue.objective import saturating
from thinkqueue.proofs import batching
from thinkqueue.proofs.answers import AnswersInBalls, Budgets
from thinkqueue.proofs.balls import above, below, import_flint
from thinkqueue.workload import Batching, Varying, Workload, tokens_array

if TYPE_CHECKING:
    from flint import arb, arb_mat

PRECISION = 128
"""Bits of the midpoints."""

PROVEN = (
    "Proven: exactly one allocation satisfies the conditions of optimality in the box, and it is "
    "the optimum."
)
UNDECIDED = (
    "Undecided: no box around these tokens could be shown to hold the optimum. The enclosure of J* "
    "holds all the same; start from tokens closer to the optimum, as solve(…) returns them."
)


@dataclass(frozen=True)
class Certificate:
    r"""What is certain about :math:`J^*` and about where it is reached.

    Attributes
    ----------
    lower, upper : float
        :math:`\text{lower} \le J(\ell) \le J^* \le \text{upper}`, in s.
    gap : float
        No allocation is better than these tokens by more than this, in s; finer than
        ``upper - lower``, which are rounded outward.
    proven : bool
        Whether the optimum is proven to exist, and to be the only one, in the box below.
    tokens_lower, tokens_upper : ndarray, (N,), or None
        The corners of the box, if it is enclosed.
    free, at_zero, at_cap : ndarray of bool, (N,)
        Types whose optimal budget is certainly strictly inside, certainly 0, certainly the cap (the
        gradient has a certain sign there). A type may be in none of them: then it is too close to
        call. All False where the optimum is not enclosed.
    status : str
        The verdict on the box, in words.
    """

    lower: float
    upper: float
    gap: float
    proven: bool
    tokens_lower: Array | None
    tokens_upper: Array | None
    free: NDArray[np.bool_]
    at_zero: NDArray[np.bool_]
    at_cap: NDArray[np.bool_]
    status: str


def certify(workload: Workload, tokens: ArrayLike) -> Certificate:
    r"""Enclose :math:`J^*` and the optimum itself, rigorously.

    Parameters
    ----------
    workload : Workload
        The workload; its parameters are taken as the exact values of their float64.
    tokens : array_like, (N,)
        A stable allocation within the caps, best the optimum that a solver returned.

    Returns
    -------
    Certificate
        Bounds on :math:`J^*`, and, where it could be decided, the box that holds the optimum.

    Raises
    ------
    UnstableError
        If the load is not certainly below 1.
    WorkloadError
        If the tokens are no allocation within the caps, the curves do not saturate, service times
        are neither affine nor :class:`~thinkqueue.Varying`, or the server is neither ``Fifo()`` nor
        a :class:`~thinkqueue.Batching` whose mean time is convex.
    ThinkQueueError
        If python-flint is not installed.

    Notes
    -----
    The tangent bound and the reduction to two unknowns are our own derivation; the test on the
    box is Krawczyk's; a batching server needs none, see :mod:`thinkqueue.proofs.batching`. Cost:
    O(N), some 0.1 ms a type, and O(B) where a batch is capped at B.
    """
    saturating(workload)
    flint = import_flint()
    ell = tokens_array(workload, tokens, capped=True, single=True)
    batches = isinstance(workload.server, Batching) and not _one_by_one(workload.server)
    return (_batching if batches else _first_come)(workload, ell, flint)


def _one_by_one(server: Batching) -> bool:
    """Whether a batch of one, for which the others wait: first come, first served."""
    return server.max_batch == 1 and server.overflow == "wait"


def _first_come(workload: Workload, ell: Array, flint: Any) -> Certificate:
    if not isinstance(workload.server, Batching):
        only_fifo(workload, "The certificate in ball arithmetic, but for Batching(...),")
    with flint.ctx.workprec(PRECISION):
        types = _Types(workload, flint)
        value, gap = types.bound(ell.tolist())
        box = _enclose(types, ell)
        return _certificate(workload, value, gap, box)


def _batching(workload: Workload, ell: Array, flint: Any) -> Certificate:
    steps = batching.exact_steps(workload.server, flint)
    asked = workload.arrival_rate * float(workload.share @ workload.service.mean(ell))
    with flint.ctx.workprec(PRECISION + batching.extra_bits(steps, asked)):
        server = batching.Server(workload, steps, flint)
        value, gap = server.bound(ell)
        return _certificate(workload, value, gap, server.enclose(ell))


def _certificate(
    workload: Workload, value: arb, gap: arb, box: Budgets | _Moments | None
) -> Certificate:
    lower, upper, gap_above = below(value), above(value + gap), above(gap) + 0.0
    nothing = np.zeros(len(workload), dtype=bool)
    if box is None:
        none = (None, None, nothing, nothing, nothing, UNDECIDED)
        return Certificate(lower, upper, gap_above, False, *none)
    low = np.clip([below(x) for x in box.tokens], 0, workload.max_tokens)
    high = np.clip([above(x) for x in box.tokens], 0, workload.max_tokens)
    where = np.array(box.where)
    return Certificate(
        lower,
        upper,
        gap_above,
        True,
        low,
        high,
        where == "free",
        where == "zero",
        where == "cap",
        PROVEN,
    )


@dataclass(frozen=True)
class _Moments:
    r"""The budgets at prices, their moments :math:`\Phi`, and its derivative by the prices."""

    tokens: list[arb]
    where: list[str]
    value: arb_mat
    slopes: arb_mat


class _Types(AnswersInBalls):
    """The parameters of a workload that is served first come, first served, as exact balls."""

    def __init__(self, workload: Workload, flint: Any) -> None:
        super().__init__(workload, flint)
        self.spread: list[arb] = [self.arb(1)] * len(workload)
        if isinstance(workload.server, Batching):  # one by one, a token taking τ(1)
            step: arb = self.arb(batching.exact_seconds(workload.server, 1, flint)[0])
            self.base_time: list[arb] = [step * x for x in self.exact(workload.answer_tokens)]
            self.time_per_token: list[arb] = [step] * len(workload)
            return
        times: Any = workload  # has the two times only where they are certain
        if isinstance(workload.service, Varying):
            times = workload.service
            self.spread = [1 + v * v for v in self.exact(times.variation)]
        self.base_time = self.exact(times.base_time)
        self.time_per_token = self.exact(times.time_per_token)

    def service(self, k: int, x: arb) -> tuple[arb, arb, arb]:
        r"""Return :math:`s_k,\ \mathbb{E}[S_k^2]` and the slope of the latter over 2c."""
        t0, thought, spread = self.base_time[k], self.time_per_token[k] * x, self.spread[k]
        s = t0 + thought
        return s, s * s + (spread - 1) * thought * thought, t0 + spread * thought

    def moments(self, tokens: list[arb]) -> tuple[arb, arb]:
        each = [self.service(k, x) for k, x in enumerate(tokens)]
        return self.mean(s for s, _, _ in each), self.mean(square for _, square, _ in each)

    def prices(self, first: arb, second: arb) -> tuple[arb, arb, arb] | None:
        r"""Return :math:`y, \mu_1, \mu_2`, or None where y is not certainly positive."""
        y = 1 - self.arrival_rate * first
        if not y > 0:
            return None
        pressure = self.arrival_rate / y
        return y, 1 + pressure * pressure * second / 2, pressure

    def bound(self, tokens: list[float]) -> tuple[arb, arb]:
        """Return J at the tokens, and an upper bound on what any allocation can add to it."""
        ell = [self.arb(x) for x in tokens]
        first, second = self.moments(ell)
        found = self.prices(first, second)
        if found is None:
            self.refuse(self.arrival_rate * first)
        y, mu, pressure = found
        prices = [
            c * (mu + pressure * self.service(k, x)[2])
            for k, (c, x) in enumerate(zip(self.time_per_token, ell))
        ]
        return self.value_and_gap(ell, first + self.arrival_rate * second / (2 * y), prices)

    def respond(self, mu: arb, pressure: arb, near: list[float]) -> _Moments | None:
        r"""Return the budgets at prices :math:`\mu_1, \mu_2` (balls), and their moments."""
        zero = self.arb(0)
        tokens: list[arb] = []
        where: list[str] = []
        first, second = zero, zero
        slopes = self.matrix([[0, 0], [0, 0]])
        for k, start in enumerate(near):
            found = self._budget(k, mu, pressure, start)
            if found is None:
                return None
            x, place, bend = found
            tokens.append(x)
            where.append(place)
            share, c = self.share[k], self.time_per_token[k]
            s, square, r = self.service(k, x)
            first += share * s
            second += share * square
            if bend is not None:  # dΦ = π c (1, 2r)ᵀ dℓ and dℓ = −bend c (1, r) d(μ₁, μ₂)
                by_price = -share * c * c * bend
                slopes += by_price * self.matrix([[1, r], [2 * r, 2 * r * r]])
        return _Moments(tokens, where, self.matrix([[first], [second]]), slopes)

    def _budget(
        self, k: int, mu: arb, pressure: arb, start: float
    ) -> tuple[arb, str, arb | None] | None:
        r"""Return the root :math:`\ell_k`, where it lies, and −1 over the slope at it."""
        ball, value, b = self.arb, self.value[k], self.rate[k]
        c, top = self.time_per_token[k], self.max_tokens[k]

        def excess(x: arb) -> arb:
            return value * (-b * x).exp() - c * (mu + pressure * self.service(k, x)[2])

        def bend(x: arb) -> arb:
            return b * value * (-b * x).exp() + c * c * self.spread[k] * pressure

        at_zero = excess(ball(0))
        if at_zero < 0 or top.is_zero():
            return ball(0), "zero", None
        at_top = excess(top)
        if at_top > 0:
            return top, "cap", None
        x = ball(min(max(start, 0.0), float(top)))
        for _ in range(3):
            x = (x + excess(x) / bend(x)).mid()
            x = x.max(ball(0)).min(top).mid()
        error = excess(x)
        slope = bend(x)
        radius = (4 * error.abs_upper() / slope.abs_lower() + ball(2) ** -100 * (1 + x)).upper()
        spread = x + radius * ball(0, 1)
        steps = bend(spread)
        root = x + error / steps
        if not spread.contains_interior(root):
            return None
        inverse = 1 / bend(root)
        if at_zero > 0 and at_top < 0:
            return root, "free", inverse
        # too close to call: the budget is the root or the end, and its slope anything between
        return root.max(ball(0)).min(top), "unclear", inverse.union(ball(0))


def _enclose(types: _Types, tokens: Array) -> _Moments | None:
    """Return a box of budgets that certainly holds exactly one optimum, or None."""
    ball, matrix, near = types.arb, types.matrix, tokens.tolist()
    moments = types.moments([ball(x) for x in near])
    z = matrix([[moments[0]], [moments[1]]])
    for _ in range(3):  # refine the moments by Newton's method, in balls but not yet rigorously
        step = _newton(types, z, near)
        if step is None:
            return None
        residual, inverse, near = step
        z = (z - inverse * residual).mid()
    step = _newton(types, z, near)
    if step is None:
        return None
    residual, inverse, near = step
    shift = -(inverse * residual)
    tiny = ball(2) ** -300  # where nobody is served for any time, the moments are 0
    radius = [
        2 * d.abs_upper() + ball(2) ** -90 * x.abs_upper() + tiny
        for d, x in zip(shift.entries(), z.entries())
    ]
    for _ in range(8):
        found = _krawczyk(types, z, radius, shift, inverse, near)
        if found is not None:
            return found
        radius = [8 * r for r in radius]
    return None


def _newton(
    types: _Types, z: arb_mat, near: list[float]
) -> tuple[arb_mat, arb_mat, list[float]] | None:
    r"""Return :math:`z - \Phi(z)`, an approximate inverse Y of its derivative, and the budgets."""
    at = _at(types, z, near)
    if at is None:
        return None
    try:
        inverse = _derivative(types, z, at).inv().mid()
    except ZeroDivisionError:
        return None
    return z - at.value, inverse, [float(x.mid()) for x in at.tokens]


def _at(types: _Types, z: arb_mat, near: list[float]) -> _Moments | None:
    """Return what the types answer to the prices at moments, or None where that is undecided."""
    prices = types.prices(z[0, 0], z[1, 0])
    return None if prices is None else types.respond(prices[1], prices[2], near)


def _derivative(types: _Types, z: arb_mat, at: _Moments) -> arb_mat:
    r"""Return :math:`I - \Phi'`, with :math:`\Phi' = \partial_\mu\Phi\;\partial_z\mu`."""
    rate = types.arrival_rate
    pressure = rate / (1 - rate * z[0, 0])
    square = pressure * pressure
    prices = types.matrix([[square * pressure * z[1, 0], square / 2], [square, 0]])
    slope: arb_mat = types.matrix([[1, 0], [0, 1]]) - at.slopes * prices
    return slope


def _krawczyk(
    types: _Types,
    z: arb_mat,
    radius: list[arb],
    shift: arb_mat,
    inverse: arb_mat,
    near: list[float],
) -> _Moments | None:
    """Return the budgets over the box if Krawczyk's operator maps it into its interior."""
    unit = types.arb(0, 1)
    d = types.matrix([[r.upper() * unit] for r in radius])
    over = _at(types, z + d, near)
    if over is None:
        return None
    spread = types.matrix([[1, 0], [0, 1]]) - inverse * _derivative(types, z + d, over)
    image = shift + spread * d
    inside = all(a.contains_interior(b) for a, b in zip(d.entries(), image.entries()))
    return over if inside else None
