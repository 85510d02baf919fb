r"""A bound that no rounding can have touched: the last dual of a convex program, in balls.

The tangents that the bound rests on are computed again from the exact series of
:mod:`thinkqueue.waiting_time.series`, at the same budgets, and the dual value with the same
multipliers. Whatever multipliers were found, weak duality makes a bound of them; whatever point
:math:`x_0` stands for the best time to think, the concave gain :math:`\varphi` lies below its
tangent there:

.. math:: \varphi(x) - p x \le \varphi(x_0) - p x_0 +
          \max_{0\le x\le h}\,(\varphi'(x_0) - p)(x - x_0).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.errors import ThinkQueueError
from thinkqueue.proofs.balls import above, below, import_flint
from thinkqueue.targets.tangents import Limits, Tangents
from thinkqueue.waiting_time.series import scale
from thinkqueue.workload import Workload

BITS = 320
"""Precision of the balls: doubles multiplied and added stay exact, and the series loses 200."""

WIDER = 1 + 1e-12
"""The box is widened by more than its rounding."""

IDLE = 1e-9
"""Tangents with less than this part of the weight are left out of the proof."""


def prove(
    tangents: Tangents, limits: Limits, most: Array, tokens: Array, probability: Array
) -> tuple[float, float]:
    """Return what some budgets are worth at least, and what none can exceed, both certain.

    Parameters
    ----------
    tangents : Tangents
        As :func:`~thinkqueue.targets.tangents.solve_limits` left them.
    limits : Limits
        The limits.
    most : ndarray, (N,)
        The longest that each type may think, in s.
    tokens : ndarray, (N,)
        The budgets.
    probability : ndarray, (J,)
        What was promised.

    Raises
    ------
    ThinkQueueError
        If python-flint is not installed, if a series is too long, or if the budgets cannot be
        shown to keep the promise.
    """
    flint = import_flint()
    before = flint.ctx.prec
    try:
        flint.ctx.prec = BITS
        server = _Server(flint, tangents.workload)
        for j, allowed in enumerate(probability.tolist()):
            late = server.late(tokens, tangents.deadline[j], int(tangents.own[j]))
            if not late <= server.arb(allowed):
                raise ThinkQueueError(
                    f"The budgets cannot be proved to keep limit {j}: P ≤ {above(late):.17g}, "
                    f"{allowed:.17g} is allowed."
                )
        return below(server.value(tokens)), above(_dual(server, tangents, limits, most))
    finally:
        flint.ctx.prec = before


class _Server:
    """A workload in balls; service times are exact fractions."""

    def __init__(self, flint: Any, workload: Workload):
        self.flint, self.arb, self.workload = flint, flint.arb, workload
        arb, w = flint.arb, workload
        self.share = [arb(x) for x in w.share.tolist()]
        self.rate = [arb(w.arrival_rate) * x for x in self.share]
        self.stake = [arb(x) * p for x, p in zip(w.weight.tolist(), self.share)]
        self.gain = [x * arb(a) for x, a in zip(self.stake, w.gain.tolist())]
        self.fading = [arb(b) / arb(c) for b, c in zip(w.rate.tolist(), w.time_per_token.tolist())]
        self.constant = sum((x * arb(d) for x, d in zip(self.stake, w.baseline.tolist())), arb(0))
        base = (r * arb(t) for r, t in zip(self.rate, w.base_time.tolist()))
        self.idle_slack = 1 - sum(base, arb(0))

    def ball(self, number: Fraction) -> Any:
        return self.arb(self.flint.fmpq(number.numerator, number.denominator))

    def seconds(self, tokens: Array) -> list[Fraction]:
        speed = self.workload.time_per_token.tolist()
        return [Fraction(c) * Fraction(x) for c, x in zip(speed, tokens.tolist())]

    def service(self, tokens: Array) -> list[Fraction]:
        base = self.workload.base_time.tolist()
        return [Fraction(t) + x for t, x in zip(base, self.seconds(tokens))]

    def value(self, tokens: Array) -> Any:
        think = [self.ball(x) for x in self.seconds(tokens)]
        gains = (g * (1 - (-r * x).exp()) for g, r, x in zip(self.gain, self.fading, think))
        return self.constant + sum(gains, self.arb(0))

    def scale(self, service: list[Fraction], t: Fraction) -> tuple[Any, Any]:
        """1/I and its square's counterpart at a time, 0 before 0."""
        if t < 0:
            return self.arb(0), self.arb(0)
        timed = [k for k, s in enumerate(service) if s > 0 and self.workload.share[k] > 0]
        return scale(
            self.arb,
            [self.rate[k] for k in timed],
            [self.ball(service[k]) for k in timed],
            self.ball(t),
        )

    def late(self, tokens: Array, deadline: float, own: int) -> Any:
        service = self.service(tokens)
        t = Fraction(deadline) - (service[own] if own >= 0 else 0)
        think = (r * self.ball(x) for r, x in zip(self.rate, self.seconds(tokens)))
        return 1 - (self.idle_slack - sum(think, self.arb(0))) * self.scale(service, t)[0]

    def tangent(self, tokens: Array, deadline: float, own: int) -> tuple[Any, list[Any]]:
        """The height at no thought, and the slopes, of the lost load at some budgets."""
        service, think = self.service(tokens), self.seconds(tokens)
        t = Fraction(deadline) - (service[own] if own >= 0 else 0)
        q = self.scale(service, t)[0]
        earlier = [self.scale(service, t - s) for s in service]
        slope = [r * (1 - two / q**2) for r, (_, two) in zip(self.rate, earlier)]
        if own >= 0:
            growth = sum((r * (q - one) for r, (one, _) in zip(self.rate, earlier)), self.arb(0))
            slope[own] += growth / q**2
        used = [self.ball(x) for x in think]
        slack = self.idle_slack - sum((r * x for r, x in zip(self.rate, used)), self.arb(0))
        height = 1 / q - slack - sum((g * x for g, x in zip(slope, used)), self.arb(0))
        return height, slope


def _dual(server: _Server, tangents: Tangents, limits: Limits, most: Array) -> Any:
    """The dual value with the multipliers of the last model, in balls."""
    arb, zero = server.arb, server.arb(0)
    proof = tangents.proof
    kept = np.flatnonzero(proof.weight > IDLE * proof.weight.max(initial=0.0))
    count = len(server.rate)
    matrix, room = limits.matrix.tolist(), limits.room.tolist()
    price, total = [zero] * count, server.constant
    for mu, allowed in zip(proof.limits.tolist(), room):
        price = [p + arb(mu) * arb(allowed) * r for p, r in zip(price, server.rate)]
        total += arb(mu) * arb(allowed) * server.idle_slack
    loose = [
        -sum((arb(mu) * arb(row[j]) for mu, row in zip(proof.limits.tolist(), matrix)), zero)
        for j in range(len(tangents.deadline))
    ]
    for c in kept:
        number, weight = proof.tangents[c], arb(float(proof.weight[c]))
        j = int(tangents.which[number])
        height, slope = server.tangent(
            tangents.points[number], float(tangents.deadline[j]), int(tangents.own[j])
        )
        price = [p + weight * g for p, g in zip(price, slope)]
        total -= weight * height
        loose[j] += weight
    # a lost load is at most what a limit allows it
    for j, rest in enumerate(loose):
        allowed = min((room[i] / row[j] for i, row in enumerate(matrix) if row[j] > 0), default=0.0)
        total += _positive(arb, rest) * arb(allowed) * server.idle_slack * arb(WIDER)
    for k in range(count):
        top, gain, fading = arb(float(most[k])) * arb(WIDER), server.gain[k], server.fading[k]
        at = arb(_stop(float(gain.mid()), float(fading.mid()), float(price[k].mid()), most[k]))
        left = (-fading * at).exp()
        surplus = gain * fading * left - price[k]
        total += gain * (1 - left) - price[k] * at
        total += _positive(arb, surplus) * (top - at) + _positive(arb, -surplus) * at
    return total


def _positive(arb: Any, x: Any) -> Any:
    """An upper bound on max(x, 0)."""
    return arb(max(above(x), 0.0))


def _stop(gain: float, fading: float, price: float, most: float) -> float:
    """Where a gain less its price is largest."""
    if price <= 0:
        return most
    with np.errstate(divide="ignore"):
        return float(np.clip(np.log(gain * fading / price) / fading, 0.0, most))
