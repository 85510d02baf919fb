r"""Several servers and one line, first come first served: approximations for the M/G/k queue.

With :math:`a = \lambda m`, :math:`c^2 = M/m^2 - 1`, C the formula of Erlang, the wait of
exponential times is :math:`W_M = Cm/(k-a)`, that of equal ones (Spitzer's identity, exact)

.. math:: W_D = \frac1\lambda\sum_{n\ge1}\frac1n\,\mathbb{E}\bigl[(A_n - nk)^+\bigr], \qquad
          A_n \sim \mathrm{Poisson}(na),

and the six approximations are

====================  ====================================================================
Lee–Longton           :math:`\tfrac{1+c^2}{2}W_M`
Cosmetatos            :math:`c^2W_M + (1-c^2)W_D`
Kimura                :math:`(1+c^2)\big/\bigl(2c^2/W_M + (1-c^2)/W_D\bigr)`
Boxma–Cohen–Huffels   :math:`(1+c^2)\,W_MW_D/\bigl(2\beta W_D + (1-\beta)W_M\bigr)`
light–heavy           :math:`C\gamma + C\,\frac{\rho}{1-\rho}\,\frac{M}{2km}`
Sakasegawa            :math:`\frac{1+c^2}{2}\,\frac{m}{k}\,\frac{\rho^{\sqrt{2(k+1)}-1}}{1-\rho}`
====================  ====================================================================

where :math:`\beta = \frac{1}{k-1}\bigl(\frac{M}{\gamma m} - k - 1\bigr)`, and
:math:`\gamma = \int_0^\infty\bigl(\sum_j\pi_j(s_j-t)^+/m\bigr)^k\,dt` is what is left of the first
of k services in progress. All are exact for one server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import gammainc, gammaincc, gammaln

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count
from thinkqueue.delay.delay import State
from thinkqueue.errors import WorkloadError
from thinkqueue.workload.parameters import Parameters
from thinkqueue.workload.service import Affine

Rule = Literal[
    "boxma-cohen-huffels", "light-heavy", "cosmetatos", "kimura", "lee-longton", "sakasegawa"
]
RULES: tuple[Rule, ...] = (
    "boxma-cohen-huffels", "light-heavy", "cosmetatos", "kimura", "lee-longton", "sakasegawa"
)  # fmt: skip

TERMS = 200_000
"""Terms of Spitzer's sum at most: enough up to a load of .999."""


class Erlang(NamedTuple):
    """The formula of Erlang, C, with two derivatives by the offered load a."""

    value: float
    slope: float
    bend: float


def erlang_c(servers: int, offered: float) -> Erlang:
    r"""Return the probability of waiting in M/M/k.

    .. math:: B = \frac{a^k/k!}{\sum_{i\le k}a^i/i!}, \qquad C = \frac{kB}{k - a(1-B)} .

    Parameters
    ----------
    servers : int
        k.
    offered : float
        a, below k.
    """
    k, a = servers, offered
    if a <= 0:
        return Erlang(0.0, 1.0 if k == 1 else 0.0, 0.0)
    b = float(np.exp(k * np.log(a) - a - gammaln(k + 1)) / gammaincc(k + 1, a))
    growth = k / a - 1 + b
    b1 = b * growth
    b2 = b1 * growth + b * (b1 - k / a**2)
    room, room1, room2 = k - a * (1 - b), b - 1 + a * b1, 2 * b1 + a * b2
    c = k * b / room
    c1 = (k * b1 - c * room1) / room
    return Erlang(c, c1, (k * b2 - 2 * c1 * room1 - c * room2) / room)


def line_of_equal_times(servers: int, offered: float) -> tuple[float, float]:
    r"""Return the mean number waiting in M/D/k, :math:`\lambda W_D`, and its derivative by a.

    .. math:: \sum_{n\ge1}\tfrac1n\,\mathbb{E}[(A_n-nk)^+], \qquad \sum_{n\ge1}P(A_n\ge nk)

    Convex in a, since every term is.

    Parameters
    ----------
    servers : int
        k.
    offered : float
        a, below k.
    """
    k, a = servers, offered
    if a <= 0:
        return 0.0, 0.0
    rate = k * (a / k - 1 - np.log(a / k))
    n = np.arange(1.0, min(TERMS, 2 + int(45 / rate)) + 1)
    reach = gammainc(n * k, n * a)  # P(A ≥ nk)
    there = np.exp(n * k * np.log(n * a) - n * a - gammaln(n * k + 1))
    over = n * (a - k) * reach + n * k * there
    return float(np.maximum(over, 0.0) @ (1 / n)), float(reach.sum())


def first_to_end(share: Array, s: Array, servers: int) -> tuple[float, Array]:
    r"""Return γ, the mean of the least of k residual services, and its slope in s.

    Exactly, by Gauss's rule between neighbouring service times.

    Parameters
    ----------
    share, s : ndarray, (N,)
        π and s.
    servers : int
        k.
    """
    m = float(share @ s)
    if m <= 0:
        return 0.0, np.zeros_like(s)
    edges = np.unique(np.concatenate([[0.0], s]))
    nodes, weights = np.polynomial.legendre.leggauss(servers // 2 + 1)
    half = np.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weight = (half * weights).ravel()
    left = np.maximum(s - t[:, None], 0.0)
    tail = left @ share / m
    power = weight * tail ** (servers - 1)
    slope = servers * share * (((s > t[:, None]) - tail[:, None]).T @ power) / m
    return float(power @ tail), slope


@dataclass(frozen=True)
class SeveralServers:
    """The mean time of k servers with one line, by one of the approximations.

    Parameters
    ----------
    servers : int
        k.
    rule : str, optional
        Which approximation: the one of Boxma, Cohen and Huffels, of the least error, where not
        given.
    """

    servers: int
    rule: Rule = "boxma-cohen-huffels"

    def __post_init__(self) -> None:
        check_count("servers", self.servers, most=10_000)
        if self.rule not in RULES:
            raise WorkloadError(
                f"rule is {self.rule!r}; it must be one of {', '.join(RULES)}.",
                parameter="rule",
                value=self.rule,
            )

    @property
    def convex(self) -> bool:
        """Whether the mean time is convex in the tokens for every workload: for one server."""
        return self.servers == 1

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return mean time, prices and slack at an allocation that may be unstable.

        Parameters
        ----------
        problem : Parameters
            A workload.
        tokens : ndarray, (..., N)
            Thinking tokens; of one workload where there are several axes.

        Raises
        ------
        WorkloadError
            If service times are random and the rule looks at their whole distribution.
        """
        looks = self.rule in ("boxma-cohen-huffels", "light-heavy")
        if looks and not isinstance(problem.service, Affine):
            raise WorkloadError(
                f"The rule {self.rule} needs certain service times; lee-longton, kimura, "
                "cosmetatos and sakasegawa need their moments only.",
                parameter="rule",
                value=self.rule,
            )
        types = problem.service.moments(tokens)
        share, *parts, rate = np.broadcast_arrays(
            problem.share, types.mean, types.square, types.mean_slope, types.square_slope,
            np.asarray(problem.arrival_rate),
        )  # fmt: skip
        size = share.shape[-1]
        flat = (a.reshape(-1, size) for a in (share, *parts, rate))
        rows = [
            self._one(a, b, c, d, e, float(f[0])) for a, b, c, d, e, f in zip(*flat, strict=True)
        ]
        if share.ndim == 1:
            return rows[0]
        alike = (*share.shape[:-1], 1)
        time, slack, price, shake = (np.array(x) for x in list(zip(*rows, strict=True))[:4])
        return State(
            time.reshape(alike),
            slack.reshape(alike),
            price.reshape(share.shape),
            shake.reshape(alike),
        )

    def _one(self, share: Array, s: Array, q: Array, s1: Array, q1: Array, rate: float) -> State:
        m, second = float(share @ s), float(share @ q)
        slack = 1 - rate * m / self.servers
        if not slack > 0:
            return State(np.nan, slack, np.full_like(s, np.nan), np.nan)
        if m == 0:
            return State(0.0, slack, s1.copy(), 0.0)
        wait, by_m, by_second, by_gamma = self.waiting(rate, m, second, share, s)
        price = s1 * (1 + by_m) + q1 * by_second + s1 * by_gamma
        return State(m + wait, slack, price, wait / slack)

    def waiting(
        self, rate: float, m: float, second: float, share: Array, s: Array
    ) -> tuple[float, float, float, Array | float]:
        """Return the mean wait and its slopes in m, in M, and through γ in each s, over π.

        Parameters
        ----------
        rate, m, second : float
            λ and the two moments.
        share, s : ndarray, (N,)
            π and s.
        """
        k, a = self.servers, rate * m
        if k == 1:
            free = 1 - a
            return (
                rate * second / (2 * free),
                rate**2 * second / (2 * free**2),
                rate / (2 * free),
                0.0,
            )
        spread = second / m**2  # 1 + c²
        d_spread = -2 * spread / m, 1 / m**2
        c = erlang_c(k, a)
        wm = c.value * m / (k - a)
        wm1 = c.value / (k - a) + m * rate * (c.slope / (k - a) + c.value / (k - a) ** 2)
        if self.rule == "lee-longton":
            half = spread / 2
            return half * wm, half * wm1 + wm * d_spread[0] / 2, wm * d_spread[1] / 2, 0.0
        if self.rule == "sakasegawa":
            p, rho = np.sqrt(2 * (k + 1)) - 1, a / k
            w = m / k * rho**p / (1 - rho)
            w1 = w * ((1 + p) / m + rate / k / (1 - rho))
            return spread / 2 * w, spread / 2 * w1 + w * d_spread[0] / 2, w * d_spread[1] / 2, 0.0
        if self.rule == "light-heavy":
            gamma, slope = first_to_end(share, s, k)
            heavy = c.value * rate / (2 * k * (k - a))
            heavy1 = rate * (c.slope / (k - a) + c.value / (k - a) ** 2) * rate / (2 * k)
            own = c.value * slope / np.where(share > 0, share, 1.0)
            wait = c.value * gamma + heavy * second
            return wait, c.slope * rate * gamma + heavy1 * second, heavy, own
        line, line1 = line_of_equal_times(k, a)
        wd, wd1 = line / rate, line1
        if self.rule == "cosmetatos":
            less = wm - wd
            return (
                (spread - 1) * less + wd,
                (spread - 1) * (wm1 - wd1) + wd1 + less * d_spread[0],
                less * d_spread[1],
                0.0,
            )
        if not wd > 0:  # below what double precision resolves: nobody waits
            return 0.0, 0.0, 0.0, 0.0
        if self.rule == "kimura":
            c2 = spread - 1
            below = 2 * c2 / wm + (1 - c2) / wd
            below1 = -2 * c2 * wm1 / wm**2 - (1 - c2) * wd1 / wd**2
            wait = spread / below
            by_spread = (1 - wait * (2 / wm - 1 / wd)) / below
            return (
                wait,
                by_spread * d_spread[0] - wait * below1 / below,
                by_spread * d_spread[1],
                0.0,
            )
        gamma, slope = first_to_end(share, s, k)
        beta = (second / (gamma * m) - k - 1) / (k - 1)
        below = 2 * beta / wm + (1 - beta) / wd
        below1 = -2 * beta * wm1 / wm**2 - (1 - beta) * wd1 / wd**2
        wait = spread / below
        by_beta = -wait / below * (2 / wm - 1 / wd)
        beta_m, beta_second, beta_gamma = (
            x / (k - 1)
            for x in (-second / (gamma * m**2), 1 / (gamma * m), -second / (gamma**2 * m))
        )
        return (
            wait,
            d_spread[0] / below - wait * below1 / below + by_beta * beta_m,
            d_spread[1] / below + by_beta * beta_second,
            by_beta * beta_gamma * slope / np.where(share > 0, share, 1.0),
        )


def lee_longton_limit(servers: int, offered: float) -> float:
    r"""Return the largest c² at which the mean time of Lee and Longton is convex in the tokens.

    With :math:`h = C/(a(k-a))`, :math:`\varepsilon = ah'/h`, :math:`\eta = a^2h''/h`: convex iff

    .. math:: (1 + c^2)(2\varepsilon^2 - \eta) \le 2(1+\varepsilon)^2

    (our own derivation: the least of the Hessian over all directions of one slope of m).

    Parameters
    ----------
    servers : int
        k.
    offered : float
        a, between 0 and k.
    """
    k, a = servers, offered
    if not 0 < a < k:
        raise WorkloadError(
            f"offered is {a!r}; it must lie between 0 and the number of servers, {k}.",
            parameter="offered",
            value=a,
        )
    c = erlang_c(k, a)
    # logarithmic derivatives add up
    one = a * c.slope / c.value - 1 + a / (k - a)
    two = a**2 * (c.bend / c.value - (c.slope / c.value) ** 2) + 1 + (a / (k - a)) ** 2
    two += one**2
    costs = 2 * one**2 - two
    return float(2 * (1 + one) ** 2 / costs - 1) if costs > 0 else np.inf
