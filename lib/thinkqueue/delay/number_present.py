r"""How many queries are present at a server whose total rate depends on how many there are.

Tokens are asked for at :math:`\theta` a second and n queries together get :math:`\varphi(n) =
n/\tau(n)` of them, each the same. Whatever the lengths are distributed like (generalised processor
sharing; the balance of births and deaths proves it for exponential ones),

.. math:: P(n) \propto w_n = \prod_{i=1}^n \frac{\theta}{\varphi(i)} .

As a function of :math:`\ln\theta` this is an exponential family, so that with :math:`D =
\mathrm{d}/\mathrm{d}\ln\theta` and :math:`Z = \sum_n w_n` the cumulants of N are
:math:`\kappa_j = D^j\ln Z`, and each is the derivative of the one before.

For :math:`\tau(n) = c + sn` it is the negative binomial law of index :math:`1 + c/s` and parameter
:math:`\rho = s\theta`, or Poisson's where s = 0. Everything else differs from such a law in a part:
a cap has another tail, a table has another head. With :math:`p_n` the negative binomial masses and
:math:`G = Z/Z_0` the mass that is there in their scale,

.. math:: \kappa_j = \kappa^0_j + D^j\ln G, \qquad
          G_{\text{cap}} = \sum_{n\le B}p_n + p_B\frac{\sigma}{1-\sigma}, \qquad
          G_{\text{table}} = \sum_{n\le L}\frac{p_L}{w_L}w_n + \sum_{n>L}p_n,

where the sums of masses are incomplete beta functions, and their derivatives are masses. Nothing is
summed to infinity, and nothing large is subtracted from something large (our own derivation).
Against fifty digits the relative error of mean and variance is below 1e-11, that of
:math:`\kappa_3 - \kappa_2` below 1e-10, and at most 1e-11 + 4e-15/(1 − σ) near saturation, as far
as batches of 1e4, beyond which it was not looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import NamedTuple, cast

import numpy as np
from scipy.special import betainc, betaincc, gammainc, gammaincc, gammaln

from thinkqueue.arrays import Array, Scalar
from thinkqueue.workload.token_time import TokenTime, TokenTimeTable

TINIEST = 1e-120
"""A rate of no tokens at all is taken for this one: its square is a number still."""

SHORT = 64
"""Where less than one query is present in the mean, nobody sees this many."""

HALF_LOG_TWO_PI = 0.5 * float(np.log(2 * np.pi))


class Present(NamedTuple):
    r"""The law of the number present, in numbers that stay finite as :math:`\theta \to 0`.

    Attributes
    ----------
    mean : float or ndarray, (..., 1)
        :math:`\kappa_1/\theta`, which is the time that a token takes in the mean, in s.
    variance : float or ndarray, (..., 1)
        :math:`\kappa_2/\theta`, the price of a token, in s.
    excess : float or ndarray, (..., 1)
        :math:`(\kappa_3 - \kappa_2)/\theta^2`, how the price rises, in s².
    waiting : float or ndarray, (..., 1)
        :math:`E[(N-B)^+]/\theta`, in s; 0 without a cap.
    rise, bend : float or ndarray, (..., 1)
        :math:`q = D\ln E[(N-B)^+]` and :math:`Dq`.
    """

    mean: Scalar
    variance: Scalar
    excess: Scalar
    waiting: Scalar = 0.0
    rise: Scalar = 0.0
    bend: Scalar = 0.0


class Line(NamedTuple):
    r"""A step of :math:`c + sn` seconds: the law that the others are measured against."""

    intercept: float
    slope: float

    def log_mass(self, n: Array | float, theta: Scalar) -> Array:
        r"""Return :math:`\ln p_n`, by deviances: right to some digits of itself and not of n.

        Parameters
        ----------
        n : float or ndarray
            How many.
        theta : float or ndarray
            :math:`\theta`.
        """
        c, s = self
        n = np.asarray(n, dtype=np.float64)
        some = np.maximum(n, 1e-300)
        if s == 0:
            x = c * np.asarray(theta)
            empty, apart = -x, x - n
            body = -some * _deviance(apart / some, x / some) - _stirling(some)
            body = body - HALF_LOG_TWO_PI - 0.5 * np.log(some)
        else:
            k, rho = 1 + c / s, s * np.asarray(theta)
            q = 1 - rho
            empty, apart = k * np.log1p(-rho), k * rho - n * q
            body = -k * _deviance(-apart / k, (n + k) * q / k)
            body = body - some * _deviance(apart / some, (n + k) * rho / some)
            body = body + _stirling(n + k) - _stirling(np.asarray(k)) - _stirling(some)
            body = body - HALF_LOG_TWO_PI + 0.5 * np.log(k / (some * (n + k)))
        return np.where(n == 0, empty, body)

    def up_to(self, n: float, theta: Scalar) -> Array:
        r"""Return :math:`\sum_{i\le n}p_i`.

        Parameters
        ----------
        n : float
            How many.
        theta : float or ndarray
            :math:`\theta`.
        """
        c, s = self
        if s == 0:
            return np.asarray(gammaincc(n + 1, c * theta))
        return np.asarray(betaincc(n + 1, 1 + c / s, s * theta))

    def above(self, n: float, theta: Scalar) -> Array:
        r"""Return :math:`\sum_{i>n}p_i`.

        Parameters
        ----------
        n : float
            How many.
        theta : float or ndarray
            :math:`\theta`.
        """
        c, s = self
        if s == 0:
            return np.asarray(gammainc(n + 1, c * theta))
        return np.asarray(betainc(n + 1, 1 + c / s, s * theta))

    def present(self, theta: Scalar) -> Present:
        r"""Return :math:`\kappa_1/\theta = \tau(1)/q,\; \tau(1)/q^2,\; 2s\tau(1)/q^3`.

        Parameters
        ----------
        theta : float or ndarray
            :math:`\theta`, below 1/s.
        """
        one, q = self.intercept + self.slope, 1 - self.slope * theta
        return Present(one / q, one / q**2, 2 * self.slope * one / q**3)


def law_of(time: TokenTime | TokenTimeTable, cap: int | None) -> Law:
    """Return the law of the number present.

    Parameters
    ----------
    time : TokenTime or TokenTimeTable
        What a step takes, without context.
    cap : int or None
        How many may take part.
    """
    if isinstance(time, TokenTime):
        line = Line(time.base, time.per_query)
        return Straight(line) if cap is None else CappedLine(line, cap)
    if cap is None:
        return Measured(Line(*time.tail), time.last, _log_rates(time, max(time.last, SHORT)))
    return Listed(_log_rates(time, cap))


class Law(ABC):
    """A law of the number present, as a function of the tokens asked for in a second."""

    pace: float
    r"""Seconds that one more token takes of a full server, :math:`1/\max\varphi`."""

    @abstractmethod
    def present(self, theta: Scalar) -> Present:
        r"""Return the cumulants at a stable :math:`\theta`, NaN where that is NaN.

        Parameters
        ----------
        theta : float or ndarray, (..., 1)
            Tokens asked for in a second.
        """

    @abstractmethod
    def log_probability(self, n: Array, theta: float) -> Array:
        r"""Return :math:`\ln P(n)`.

        Parameters
        ----------
        n : ndarray
            Whole numbers.
        theta : float
            Tokens asked for in a second.
        """


class Straight(Law):
    """No cap and a straight line: negative binomial."""

    def __init__(self, line: Line) -> None:
        self.line, self.pace = line, line.slope

    def present(self, theta: Scalar) -> Present:
        """Return the cumulants."""
        return self.line.present(theta)

    def log_probability(self, n: Array, theta: float) -> Array:
        """Return the logarithms of the masses."""
        return self.line.log_mass(n, theta)


class CappedLine(Law):
    """A straight line up to B; those above share the rate of B, which makes the tail geometric."""

    def __init__(self, line: Line, cap: int) -> None:
        self.line, self.cap = line, float(cap)
        self.pace = (line.intercept + line.slope * cap) / cap

    def present(self, theta: Scalar) -> Present:
        """Return the cumulants."""
        theta = _positive(theta)
        base, line, cap = self.line.present(theta), self.line, self.cap
        mass = np.exp(line.log_mass(cap, theta))
        queue = _odds(self.pace * theta)
        # what is missing above B: its derivatives are masses
        gone, odds = mass * self._flow(theta), line.slope * theta / (1 - line.slope * theta)
        mean, variance = base.mean * theta, base.variance * theta
        third = base.excess * theta**2 + variance
        e = cap - mean + 1 + odds
        gone = -gone * np.stack([np.ones_like(e), e, e * e - variance + odds * (1 + odds)])
        # what is there instead
        tail, e = mass * queue, cap - mean + 1 + queue
        bend = queue * (1 + queue) - variance
        more = queue * (1 + queue) * (1 + 2 * queue) - third
        tail_moves = tail * np.stack([e, e * e + bend, e**3 + 3 * e * bend + more])
        whole = line.up_to(cap, theta) + tail
        moves = _logarithmic((gone + tail_moves) / whole)
        return _crowded(_shifted(base, moves, theta), theta, queue, cap, tail * (1 + queue) / whole)

    def _flow(self, theta: Scalar) -> Scalar:
        line = self.line
        step = line.intercept + line.slope * (self.cap + 1)
        return step * theta / (1 - line.slope * theta)

    def log_probability(self, n: Array, theta: float) -> Array:
        """Return the logarithms of the masses."""
        line, cap, queue = self.line, self.cap, _odds(self.pace * theta)
        whole = line.up_to(cap, theta) + np.exp(line.log_mass(cap, theta)) * queue
        beyond = np.maximum(n - cap, 0)
        mass = line.log_mass(np.minimum(n, cap), theta)
        return np.asarray(mass + beyond * np.log(self.pace * theta) - np.log(whole))


class Measured(Law):
    """Any steps up to L and a straight line from there on."""

    def __init__(self, line: Line, last: int, log_rates: Array) -> None:
        self.line, self.last, self.log_rates = line, last, log_rates
        self.pace = line.slope

    def present(self, theta: Scalar) -> Present:
        """Return the cumulants."""
        theta = _positive(theta)
        base = self.line.present(theta)
        mean, variance = base.mean * theta, base.variance * theta
        third = base.excess * theta**2 + variance
        head, tail = self._parts(theta)
        e = np.arange(self.last + 1) - mean
        powers = (np.ones_like(e), e, e * e - variance, e**3 - 3 * variance * e - third)
        sums: Array = np.stack([np.sum(head * power, axis=-1, keepdims=True) for power in powers])
        sums = np.asarray(sums if np.ndim(theta) else sums[:, 0], dtype=np.float64)
        line, last = self.line, float(self.last)
        odds = line.slope * theta / (1 - line.slope * theta)
        step = line.intercept + line.slope * (last + 1)
        gained = np.exp(line.log_mass(last, theta)) * step * theta / (1 - line.slope * theta)
        past = last - mean + 1 + odds
        bend = past * past - variance + odds * (1 + odds)
        sums += np.stack([tail, gained, gained * past, gained * bend])
        found = _shifted(base, _logarithmic(sums[1:] / sums[0]), theta)
        few = found.mean * theta < 1
        if not np.any(few):
            return found
        short = _listed(self.log_rates, theta, 0.0)
        return Present(*(np.where(few, a, b) for a, b in zip(short, found, strict=True)))

    def _parts(self, theta: Scalar) -> tuple[Array, Array]:
        """Return the masses up to L and the mass above, both in the scale of the line's law."""
        weights = _log_weights(self.log_rates[: self.last + 1], theta)
        scale = self.line.log_mass(float(self.last), theta)
        return np.exp(weights - weights[..., -1:] + scale), self.line.above(self.last, theta)

    def log_probability(self, n: Array, theta: float) -> Array:
        """Return the logarithms of the masses."""
        head, tail = self._parts(theta)
        inside = np.log(np.maximum(head, 1e-300))[np.minimum(n, self.last).astype(np.int64)]
        beyond = self.line.log_mass(np.maximum(n, self.last), theta)
        return np.asarray(np.where(n <= self.last, inside, beyond) - np.log(head.sum() + tail))


class Listed(Law):
    """Any steps up to B; those above share the rate of B."""

    def __init__(self, log_rates: Array) -> None:
        self.log_rates, self.pace = log_rates, float(np.exp(-log_rates[-1]))

    def present(self, theta: Scalar) -> Present:
        """Return the cumulants."""
        theta = _positive(theta)
        return _listed(self.log_rates, theta, _odds(self.pace * theta))

    def log_probability(self, n: Array, theta: float) -> Array:
        """Return the logarithms of the masses."""
        weights, cap = _log_weights(self.log_rates, theta), len(self.log_rates) - 1
        top = weights.max()
        whole = np.exp(weights - top).sum() + np.exp(weights[-1] - top) * _odds(self.pace * theta)
        beyond = np.maximum(n - cap, 0) * np.log(self.pace * theta)
        inside = weights[np.minimum(n, cap).astype(np.int64)]
        return np.asarray(inside + beyond - top - np.log(whole))


def _listed(log_rates: Array, theta: Scalar, queue: Scalar) -> Present:
    """Return the cumulants from all masses up to B and the odds of the geometric tail above it."""
    weights, cap = _log_weights(log_rates, theta), len(log_rates) - 1.0
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    tail = weights[..., -1:] * queue
    whole = weights.sum(axis=-1, keepdims=True) + tail
    mass, tail, n = weights / whole, tail / whole, np.arange(cap + 1)
    above, v = cap + 1 + queue, queue * (1 + queue)
    v3 = v * (1 + 2 * queue)

    def mean_of(values: Array, beyond: Scalar) -> Array:
        return np.asarray(np.sum(mass * values, axis=-1, keepdims=True) + tail * beyond)

    first = mean_of(n, above)
    d = above - first
    second = mean_of((n - first) ** 2, v + d * d)
    third = mean_of((n - first) ** 3, v3 + 3 * v * d + d**3)
    square, cube = v + above**2, v3 + 3 * v * above + above**3
    two = mean_of(n * (n - 1.0), square - above)
    three = mean_of(n * (n - 1.0) * (n - 2.0), cube - 3 * square + 2 * above)
    # κ₃ − κ₂ in factorial moments, which does not cancel where hardly anybody is there
    rare = three + 2 * two - 3 * first * two - 2 * first**2 + 2 * first**3
    excess = np.where(first < 1, rare, third - second)
    parts = [first / theta, second / theta, excess / theta**2, tail * (1 + queue)]
    if not np.ndim(theta):
        parts = [part[0] for part in parts]
    return _crowded(Present(*parts[:3]), theta, queue, cap, parts[3])


def _crowded(found: Present, theta: Scalar, queue: Scalar, cap: float, waiting: Scalar) -> Present:
    r"""Add the queries above B: :math:`Dq = 2s(1+s) - \kappa_2`, :math:`s = \sigma/(1-\sigma)`."""
    rise = cap + 1 + 2 * queue - found.mean * theta
    bend = 2 * queue * (1 + queue) - found.variance * theta
    return found._replace(waiting=waiting / theta, rise=rise, bend=bend)


def _shifted(base: Present, moves: Array, theta: Scalar) -> Present:
    """Add the derivatives of ln G to the cumulants of the line's law."""
    return Present(
        base.mean + moves[0] / theta,
        base.variance + moves[1] / theta,
        base.excess + (moves[2] - moves[1]) / theta**2,
    )


def _logarithmic(moves: Array) -> Array:
    """Return the derivatives of ln G from those of G, divided by G."""
    one, two, three = moves
    return np.stack([one, two - one * one, three - 3 * one * two + 2 * one**3])


def _positive(theta: Scalar) -> Scalar:
    return cast(Scalar, np.maximum(theta, TINIEST))


def _odds(load: Scalar) -> Scalar:
    return load / (1 - load)


def _log_weights(log_rates: Array, theta: Scalar) -> Array:
    n = np.arange(len(log_rates))
    return np.asarray(n * np.log(theta) - np.cumsum(log_rates))


@lru_cache(maxsize=64)
def _log_rates(time: TokenTimeTable, last: int) -> Array:
    """Return the logarithms of φ(1) … φ(last), behind a zero that no product minds."""
    return np.concatenate([[0.0], np.log(time.rate_at(np.arange(1.0, last + 1)))])


def _stirling(z: Array) -> Array:
    r"""Return :math:`\ln\Gamma(z+1) - (z+\tfrac12)\ln z + z - \tfrac12\ln 2\pi`."""
    small = np.minimum(z, 16.0)
    exact = gammaln(small + 1) - (small + 0.5) * np.log(small) + small - HALF_LOG_TWO_PI
    x = 1 / np.maximum(z, 16.0)
    y = x * x
    series = x * (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y / 1188))))
    return np.where(z < 16, exact, series)


def _deviance(x: Array, ratio: Array) -> Array:
    r"""Return :math:`x - \ln(1+x)`, where :math:`1 + x` is at hand too, for x close to -1."""
    near = np.abs(x) < 0.2
    t = np.where(near, x, 0.0) / (2 + np.where(near, x, 0.0))
    y = t * t
    odd = sum((y**j / (2 * j + 3) for j in range(7)), start=np.zeros_like(y))
    return np.where(near, t * np.where(near, x, 0.0) - 2 * t * y * odd, x - np.log(ratio))
