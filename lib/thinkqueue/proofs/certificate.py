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
operator on a box of z proves that there is exactly one in it (our own reduction):

.. math:: z_0 - Y(z_0 - \Phi(z_0)) + (I - Y(I - \Phi'(Z)))(Z - z_0) \subset \operatorname{int} Z .
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array
from thinkqueue.delay.time import only_fifo
from thinkqueue.errors import UnstableError
from thinkqueue.objective import saturating
from thinkqueue.proofs.balls import above, below, import_flint
from thinkqueue.workload import Workload, tokens_array

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
        If the tokens are no allocation within the caps, or the workload has another server than
        ``Fifo()`` or curves that do not saturate.
    ThinkQueueError
        If python-flint is not installed.

    Notes
    -----
    The tangent bound and the reduction to two unknowns are our own derivation; the test on the
    box is Krawczyk's. Cost: O(N), some 0.1 ms a type.
    """
    only_fifo(workload, "The certificate in ball arithmetic")
    saturating(workload)
    flint = import_flint()
    ell = tokens_array(workload, tokens, capped=True, single=True)
    with flint.ctx.workprec(PRECISION):
        types = _Types(workload, flint)
        value, gap = types.value_and_gap(ell.tolist())
        lower, upper, gap_above = below(value), above(value + gap), above(gap) + 0.0
        box = _enclose(types, ell)
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


class _Types:
    """The parameters of a workload as exact balls."""

    def __init__(self, workload: Workload, flint: Any) -> None:
        ball = flint.arb
        self.arb, self.matrix, self.workload = ball, flint.arb_mat, workload
        w = workload
        columns = (w.share, w.gain, w.rate, w.baseline, w.base_time, w.time_per_token, w.max_tokens)
        self.share: list[arb]
        self.gain: list[arb]
        self.rate: list[arb]
        self.baseline: list[arb]
        self.base_time: list[arb]
        self.time_per_token: list[arb]
        self.max_tokens: list[arb]
        (
            self.share,
            self.gain,
            self.rate,
            self.baseline,
            self.base_time,
            self.time_per_token,
            self.max_tokens,
        ) = ([ball(x) for x in column.tolist()] for column in columns)
        alpha = ball(w.accuracy_weight)
        self.worth: list[arb] = [alpha * x for x in w.weight.tolist()]
        self.value: list[arb] = [x * a * b for x, a, b in zip(self.worth, self.gain, self.rate)]
        self.arrival_rate: arb = ball(w.arrival_rate)

    def moments(self, tokens: list[arb]) -> tuple[arb, arb]:
        zero = self.arb(0)
        s = [t0 + c * x for t0, c, x in zip(self.base_time, self.time_per_token, tokens)]
        first = sum((p * x for p, x in zip(self.share, s)), zero)
        second = sum((p * x * x for p, x in zip(self.share, s)), zero)
        return first, second

    def prices(self, first: arb, second: arb) -> tuple[arb, arb, arb] | None:
        r"""Return :math:`y, \mu_1, \mu_2`, or None where y is not certainly positive."""
        y = 1 - self.arrival_rate * first
        if not y > 0:
            return None
        pressure = self.arrival_rate / y
        return y, 1 + pressure * pressure * second / 2, pressure

    def value_and_gap(self, tokens: list[float]) -> tuple[arb, arb]:
        """Return J at the tokens, and an upper bound on what any allocation can add to it."""
        ball = self.arb
        ell = [ball(x) for x in tokens]
        first, second = self.moments(ell)
        prices = self.prices(first, second)
        if prices is None:
            load = float((self.arrival_rate * first).mid())
            raise UnstableError(
                f"The load at these tokens is {load:.17g}, not certainly below 1: there is nothing "
                "to certify.",
                utilization=load,
                max_arrival_rate=self.workload.arrival_rate / load,
            )
        y, mu, pressure = prices
        objective = -first - self.arrival_rate * second / (2 * y)
        gap = ball(0)
        for k, x in enumerate(ell):
            b, share = self.rate[k], self.share[k]
            right = self.baseline[k] + self.gain[k] * (1 - (-b * x).exp())
            objective += self.worth[k] * share * right
            c = self.time_per_token[k]
            price = c * (mu + pressure * (self.base_time[k] + c * x))
            gap += share * price / b * self._type_gap(k, x, price)
        return objective, gap

    def _type_gap(self, k: int, x: arb, price: arb) -> arb:
        r"""Return a bound on :math:`\max_v e^u(1 - e^{-v}) - v` for v from −bℓ to b(ℓ_max − ℓ)."""
        one, b = self.arb(1), self.rate[k]
        done, room = b * x, b * (self.max_tokens[k] - x)
        at_zero = self.value[k] / price
        if at_zero <= 1:  # no token is worth its price: the best step goes all the way down
            return done - at_zero * (1 - (-done).exp())
        here = at_zero * (-done).exp()
        if here * (-room).exp() >= 1:  # every token is: all the way up
            return here * (1 - (-room).exp()) - room
        u = at_zero.log() - done
        if u.abs_upper() > 1:
            return here - 1 - u
        return u * u / 2 * u.exp().max(one)

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
            s = self.base_time[k] + c * x
            first += share * s
            second += share * s * s
            if bend is not None:  # dΦ = π c (1, 2s)ᵀ dℓ and dℓ = −bend c (1, s) d(μ₁, μ₂)
                by_price = -share * c * c * bend
                slopes += by_price * self.matrix([[1, s], [2 * s, 2 * s * s]])
        return _Moments(tokens, where, self.matrix([[first], [second]]), slopes)

    def _budget(
        self, k: int, mu: arb, pressure: arb, start: float
    ) -> tuple[arb, str, arb | None] | None:
        r"""Return the root :math:`\ell_k`, where it lies, and −1 over the slope at it."""
        ball, value, b = self.arb, self.value[k], self.rate[k]
        c, t0, top = self.time_per_token[k], self.base_time[k], self.max_tokens[k]

        def excess(x: arb) -> arb:
            return value * (-b * x).exp() - c * (mu + pressure * (t0 + c * x))

        def bend(x: arb) -> arb:
            return b * value * (-b * x).exp() + c * c * pressure

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
