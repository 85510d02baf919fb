r"""The certificate of a batching server: the law of the number present, in balls.

With :math:`\theta = \lambda m/u` and weights :math:`w_n = \prod_{i\le n}\theta\,\tau(i)/i`, all of
them positive, mean time and price are

.. math:: \mathbb{E}[T] = \frac mu\frac FZ + \frac{\bar p}y, \qquad
          q = \frac1u\Bigl[\frac SZ - \theta\Bigl(\frac FZ\Bigr)^2\Bigr]
              + \frac{\lambda\bar p}{y^2\max\varphi}, \qquad
          Z = \sum_n w_n,\; F = \sum_n\frac{n w_n}\theta,\; S = \sum_n\frac{n^2w_n}\theta,

see :mod:`thinkqueue.delay.batching`. Above a cap the weights fall geometrically, above the last row
of a table they are those of a negative binomial law, whose whole sums are known.

*The place.* The types meet in m alone. At price q each budget is :math:`\ln(V_k/q)/\beta_k`, cut at
0 and at its cap; let :math:`\Phi(m)` be the tokens that they ask for at q(m). As q rises with m,
:math:`m - \Phi(m)` rises at least as fast as m does, so that its only zero is no farther from any m
than :math:`|m - \Phi(m)|`: nothing else is needed (our own derivation).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.errors import WorkloadError
from thinkqueue.proofs.answers import AnswersInBalls, Budgets
from thinkqueue.workload import Batching, Workload
from thinkqueue.workload.token_time import TokenTime, TokenTimeTable

if TYPE_CHECKING:
    from flint import arb, fmpq

ROUNDS = 12
"""Steps of Newton's method towards the mean number of tokens at most; near the optimum each adds
some forty bits."""

MOST_BITS = 20_000


@dataclass(frozen=True)
class Steps:
    r"""What a step takes, in exact rational numbers.

    Attributes
    ----------
    head : list of fmpq
        :math:`\tau(1), \tau(2), \dots` up to where the rest is known in closed form.
    intercept, slope : fmpq
        :math:`\tau(n) = c + sn` from there on; meaningless where those above share.
    pace : fmpq
        :math:`1/\max\varphi`.
    capped : bool
        Whether those above the head share the rate of its end.
    """

    head: list[fmpq]
    intercept: fmpq
    slope: fmpq
    pace: fmpq
    capped: bool


def exact_steps(server: Batching, flint: Any) -> Steps:
    r"""Return what a step takes, with :math:`\varphi` concave for certain.

    Parameters
    ----------
    server : Batching
        The server; its parameters are taken as the exact values of their float64.
    flint : module
        ``flint``.

    Raises
    ------
    WorkloadError
        If the mean time is not convex, or only up to rounding.
    """
    if not server.convex or (server.max_batch is not None and server.overflow == "wait"):
        raise WorkloadError(
            f"The mean time of {server!r} is not convex in the tokens as far as is known, so that "
            "no tangent bounds the optimum; solve_globally may bound it, in floating point.",
            parameter="server",
            value=server,
        )
    time, cap = server.token_time, server.max_batch
    if isinstance(time, TokenTime):
        a, b = _exact(time.base, flint), _exact(time.per_query, flint)
        head = exact_seconds(server, cap or 1, flint)
        return Steps(head, a, b, b if cap is None else head[-1] / cap, cap is not None)
    last = int(np.ceil(time.queries[-1])) + 1
    tau = exact_seconds(server, max(last, cap or 0), flint)
    c, s = _lines(time, flint)[-1]
    rate = [flint.fmpq(0), *(n / t for n, t in enumerate(tau[: min(last, cap or last)], 1))]
    rises = [y - x for x, y in pairwise(rate)]
    sure = rises[-1] >= 0 and all(x >= y for x, y in pairwise(rises))
    if not sure:  # and where it is, the line beyond has c ≥ 0 and s ≥ 0
        raise WorkloadError(
            "The rate n/τ(n) of this table is concave up to rounding only, so that nothing is "
            "certain; TokenTime(base, per_query) leaves no such doubt.",
            parameter="token_time",
            value=time,
        )
    if cap is not None:
        return Steps(tau[:cap], c, s, tau[cap - 1] / cap, True)
    return Steps(tau[: max(time.last, 1)], c, s, s, False)


def exact_seconds(server: Batching, count: int, flint: Any) -> list[fmpq]:
    r"""Return :math:`\tau(1), \dots` in exact rational numbers.

    Parameters
    ----------
    server : Batching
        The server.
    count : int
        How many.
    flint : module
        ``flint``.
    """
    time = server.token_time
    if isinstance(time, TokenTime):
        a, b = _exact(time.base, flint), _exact(time.per_query, flint)
        return [a + b * n for n in range(1, count + 1)]
    lines, whole = _lines(time, flint), np.arange(1, count + 1)
    which = np.searchsorted(time.queries[1:-1], whole)
    return [lines[i][0] + lines[i][1] * n for i, n in zip(which.tolist(), whole.tolist())]


def _lines(time: TokenTimeTable, flint: Any) -> list[tuple[fmpq, fmpq]]:
    """Return the lines between the rows, as intercept and slope."""
    rows = [(_exact(n, flint), _exact(t, flint)) for n, t in zip(time.queries, time.seconds)]
    slopes = [(t1 - t0) / (n1 - n0) for (n0, t0), (n1, t1) in pairwise(rows)]
    return [(t - s * n, s) for (n, t), s in zip(rows, slopes)]


def _exact(x: float, flint: Any) -> fmpq:
    exact: fmpq = flint.fmpq(*x.as_integer_ratio())
    return exact


def extra_bits(steps: Steps, theta: float) -> int:
    """Return how many bits are lost where the head is subtracted from the whole law of the line.

    Parameters
    ----------
    steps : Steps
        The steps.
    theta : float
        About how many tokens are asked for in a second.
    """
    if steps.capped or len(steps.head) == 1:
        return 0
    c, s = _float(steps.intercept), _float(steps.slope)
    tau = np.array([_float(x) for x in steps.head])
    line = np.maximum(c + s * np.arange(1.0, len(tau) + 1), 1e-300)
    few = max(-np.log2(max(theta * tau[0], 1e-300)), 0.0)
    return int(min(2 * np.abs(np.log2(tau / line)).sum() + few, MOST_BITS))


def _float(x: fmpq) -> float:
    return int(x.p) / int(x.q)


class LawInBalls:
    r"""The number present, in balls.

    Parameters
    ----------
    steps : Steps
        The steps.
    ball : type
        ``flint.arb``.
    """

    def __init__(self, steps: Steps, ball: Any) -> None:
        self.arb, self.capped = ball, steps.capped
        self.head: list[arb] = [ball(x) for x in steps.head]
        self.line: tuple[arb, arb] = ball(steps.intercept), ball(steps.slope)
        self.pace: arb = ball(steps.pace)

    def present(self, theta: arb) -> tuple[arb, arb]:
        r"""Return :math:`\mathbb{E}[N]/\theta` and :math:`\operatorname{Var}N/\theta`.

        Parameters
        ----------
        theta : arb
            :math:`\theta \ge 0`, certainly stable.
        """
        if len(self.head) == 1 and not self.capped:  # negative binomial
            left = 1 - theta * self.line[1]
            return self.head[0] / left, self.head[0] / (left * left)
        v: arb = self.arb(0)
        whole = first = second = v
        for n, tau in enumerate(self.head, 1):  # v = w/θ
            v = v * theta * tau / n if n > 1 else tau
            whole, first, second = whole + v, first + n * v, second + n * n * v
        beyond = self._shared(theta) if self.capped else self._further(theta)
        whole, first, second = (x + v * y for x, y in zip((whole, first, second), beyond))
        mean = first / (1 + theta * whole)
        return mean, second / (1 + theta * whole) - theta * mean * mean

    def _shared(self, theta: arb) -> tuple[arb, arb, arb]:
        r"""Return the sums of :math:`\sigma^j, (B+j)\sigma^j, (B+j)^2\sigma^j` over j ≥ 1."""
        cap, load = len(self.head), theta * self.pace
        odds = load / (1 - load)
        one = odds * (1 + odds)
        return odds, cap * odds + one, cap * cap * odds + 2 * cap * one + one * (1 + 2 * odds)

    def _further(self, theta: arb) -> tuple[arb, arb, arb]:
        """Return the same where the line goes on: the whole law of the line less its head."""
        c, s = self.line
        if not theta > 0:
            return self.arb(0), self.arb(0), self.arb(0)
        if s.is_zero():
            x = c * theta
            whole, mean = x.exp(), x
            square = x + x * x
        else:
            k, left = 1 + c / s, 1 - s * theta
            odds = s * theta / left
            whole, mean = (-k * left.log()).exp(), k * odds
            square = mean + k * (k + 1) * odds * odds
        p, head = self.arb(1), [self.arb(1), self.arb(0), self.arb(0)]
        for n in range(1, len(self.head) + 1):
            p = p * theta * (c + s * n) / n
            head = [head[0] + p, head[1] + n * p, head[2] + n * n * p]
        zero, one, two = (whole * x - y for x, y in zip((self.arb(1), mean, square), head))
        return zero / p, one / p, two / p


class Server(AnswersInBalls):
    """A workload of a batching server in balls.

    Parameters
    ----------
    workload : Workload
        The workload.
    steps : Steps
        Its steps.
    flint : module
        ``flint``.
    """

    def __init__(self, workload: Workload, steps: Steps, flint: Any) -> None:
        super().__init__(workload, flint)
        self.law = LawInBalls(steps, flint.arb)
        self.answer = self.exact(workload.answer_tokens)
        self.prompt = self.mean(self.exact(workload.prompt_time))

    def tokens_asked(self, ell: list[arb]) -> arb:
        """Return the mean number of tokens of a query, m."""
        return self.mean(a + x for a, x in zip(self.answer, ell))

    def time_and_price(self, m: arb) -> tuple[arb, arb] | None:
        """Return mean time and price of a token, or None where m is not certainly stable."""
        u = 1 - self.arrival_rate * self.prompt
        y = u - self.arrival_rate * m * self.law.pace
        if not (u > 0 and y > 0):
            return None
        mean, variance = self.law.present(self.arrival_rate * m / u)
        stretched = self.prompt / y
        price = variance / u + stretched * self.arrival_rate * self.law.pace / y
        return m * mean / u + stretched, price

    def bound(self, tokens: Array) -> tuple[arb, arb]:
        """Return J at the tokens, and what any allocation can add to it at most.

        Parameters
        ----------
        tokens : ndarray, (N,)
            The tokens.
        """
        ell = self.exact(tokens)
        m = self.tokens_asked(ell)
        found = self.time_and_price(m)
        if found is None:
            self.refuse(self.arrival_rate * (self.prompt + m * self.law.pace))
        return self.value_and_gap(ell, found[0], [found[1]] * len(ell))

    def budgets(self, price: arb) -> Budgets:
        """Return the best budgets at a price."""
        tokens, where = [], []
        for value, rate, top in zip(self.value, self.rate, self.max_tokens):
            worth = value / price
            if worth < 1 or top.is_zero():
                x, place = self.arb(0), "zero"
            elif worth * (-rate * top).exp() > 1:
                x, place = top, "cap"
            else:
                inside = worth > 1 and worth * (-rate * top).exp() < 1
                x = worth.log() / rate
                place = "free" if inside else "unclear"
                x = x if inside else x.max(self.arb(0)).min(top)
            tokens.append(x)
            where.append(place)
        return Budgets(tokens, where)

    def enclose(self, tokens: Array) -> Budgets | None:
        """Return the budgets between the prices at two m that hold the optimum's for certain.

        Parameters
        ----------
        tokens : ndarray, (N,)
            Tokens close to the optimum.
        """
        tiny = self.arb(2) ** -100

        def excess(m: arb) -> arb | None:
            found = self.time_and_price(m)
            return None if found is None else m - self.tokens_asked(self.budgets(found[1]).tokens)

        m = self.tokens_asked(self.exact(tokens)).mid()
        for _ in range(ROUNDS):
            step = m * self.arb(2) ** -40 + tiny
            here, there = excess(m), excess((m + step).mid())
            if here is None or there is None:
                return None
            if here.abs_upper() <= tiny * m:
                break
            rise = ((there - here) / step).mid()
            moved = (m - here / (rise if rise > 1 else self.arb(1))).mid()
            m = moved if moved > 0 else self.arb(0)
        here = excess(m)
        if here is None:
            return None
        off = here.abs_upper() + tiny * m
        low = self.time_and_price((m - off).lower().max(self.arb(0)))
        high = self.time_and_price((m + off).upper())
        if low is None or high is None:
            return None
        return self.budgets(low[1].union(high[1]))
