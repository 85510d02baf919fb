r"""The waiting time from its transform: Fourier inversion whose whole error is bounded.

.. math:: \tilde W(z) = \mathbb{E}\,e^{-zW} = \frac{1-\rho}{1 - \rho\tilde R(z)}, \qquad
          \tilde R(z) = \frac{1 - \sum_k\pi_k e^{-z s_k}}{m z} .

W is a sum of a geometric number of independent residual services R, and the terms with few of them
carry the kinks: a Fourier series meets the corners of the distribution of :math:`R_1` with errors
that fall like 1/frequency, and no summation trick repairs that. So the terms with at most r
residuals are taken out and evaluated exactly,

.. math:: P(R_1 + \dots + R_n \le t) = \frac{1}{n!\,m^n}
          \sum_{j=0}^{n} (-1)^j\binom nj\, \mathbb{E}\bigl[(t - S_1 - \dots - S_j)_+^n\bigr],

and only what remains is inverted. Its transform falls like :math:`|z|^{-r-2}`, with explicit
constants, so that the truncation error has a bound as well as the aliasing error (the method of
Abate and Whitt 1992 has a bound for the second only).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, factorial, pi
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array
from thinkqueue.checks import SMALLEST, one_number
from thinkqueue.waiting_time.bounds import bound_of, times_array
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.workload import Workload

Complex = NDArray[np.complexfloating[Any, Any]]

DAMPING = 2.0
"""a L: the transform is sampled where Re z = a, and errors are amplified by :math:`e^{at}`."""

ALIASING = 1e-16
MOST_TERMS = 20_000
MOST_REMOVED = 6
MOST_FREQUENCIES = 400_000
CHUNK = 2_000_000
BLOCK = 64
EXACT = 8
"""Blocks of frequencies in which :math:`1 - e^{-zs}` is computed without cancellation."""


@dataclass(frozen=True)
class Inversion:
    """A probability for each time asked for, and how far it can be off.

    Attributes
    ----------
    value : ndarray
        P(W > t), or what was asked for.
    error : float
        A bound on the absolute error of each value: truncation and aliasing by inequalities,
        rounding by the size of the terms that are added.
    removed : int
        r, the number of residual services up to which terms are exact.
    frequencies : int
        The terms of the Fourier series that were added.
    """

    value: Array
    error: float
    removed: int
    frequencies: int


def invert_waiting_time_tail(
    workload: Workload, tokens: ArrayLike, t: ArrayLike, *, error: float = 1e-10
) -> Inversion:
    r"""Return :math:`P(W > t)` by inverting the transform of W, with a bound on the error.

    A second method, independent of the one behind :func:`thinkqueue.waiting_time_tail`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    t : array_like
        Times in s.
    error : float, optional
        The truncation error aimed for; the bound that was reached is in the result.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    return invert(ServiceMixture.of(workload, tokens), times_array(t), error=error)


def invert(mixture: ServiceMixture, t: Array, *, waits: int = 1, error: float = 1e-10) -> Inversion:
    r"""Return :math:`P(W_1 + \dots + W_q > t)` for q = 1 or 2 independent waits.

    Parameters
    ----------
    mixture : ServiceMixture
        The service times.
    t : ndarray
        Times in s.
    waits : int, optional
        q. The sum of two waits is what the price of a tail is made of.
    error : float, optional
        The truncation error aimed for.
    """
    error = one_number("error", error, least=SMALLEST)
    asked = np.maximum(t, 0.0)
    if not len(mixture.service):
        return Inversion(np.where(t < 0, 1.0, 0.0), 0.0, 0, 0)
    # the sum of two waits decays like t e^{-θt}; 1.2 makes room for the t
    forgotten = -np.log(ALIASING) / bound_of(mixture).decay_rate * (1.2 if waits == 2 else 1.0)
    far = asked > forgotten
    plan = _Plan.make(mixture, forgotten, float(asked[~far].max(initial=0.0)), waits, error)
    unique, where = np.unique(np.where(far, 0.0, asked), return_inverse=True)
    cdf, rounding_few = _few_residuals(mixture, unique, plan.removed, waits)
    rest, rounding_many = _many_residuals(mixture, unique, plan, waits)
    total = plan.truncation + plan.aliasing + rounding_few + rounding_many
    value = np.clip(1 - cdf - rest, 0.0, 1.0)[where].reshape(t.shape)
    value = np.where(t < 0, 1.0, np.where(far, 0.0, value))
    return Inversion(value, float(total), plan.removed, plan.frequencies)


@dataclass(frozen=True)
class _Plan:
    half_period: float
    removed: int
    frequencies: int
    truncation: float
    aliasing: float

    @classmethod
    def make(
        cls, mixture: ServiceMixture, forgotten: float, latest: float, waits: int, error: float
    ) -> _Plan:
        half = max(latest, forgotten / 2, 4 * mixture.longest)
        plans = []
        for removed in range(1, MOST_REMOVED + 1):
            if removed > 1 and comb(len(mixture.service) + removed, removed) > MOST_TERMS:
                break
            front, base = _truncation_constants(mixture, removed, waits)
            top = base * max((2 * front / error) ** (1 / (removed + 1)), 2.0)
            count = int(min(np.ceil(top * half / pi), MOST_FREQUENCIES))
            ratio = base * half / (count * pi)
            reached = front * ratio ** (removed + 1) / (1 - ratio) ** waits if ratio < 1 else 1.0
            # the exact part adds terms as large as (λ t)^n / n! with t up to n longest services
            sizes = [
                (n * mixture.arrival_rate * mixture.longest) ** n / factorial(n)
                for n in range(removed + 1)
            ]
            rounding = np.finfo(float).eps * (1 - mixture.load) ** waits * sum(sizes)
            plan = cls(half, removed, count, float(reached), 10 * ALIASING)
            plans.append((plan.truncation + rounding, plan))
        good = [plan for total, plan in plans if total <= 2 * error]
        if good:
            # each time costs one term for every sum that is exact and for every frequency
            kinds = len(mixture.service)
            return min(good, key=lambda p: p.frequencies + comb(kinds + p.removed, p.removed))
        return min(plans, key=lambda pair: pair[0])[1]


def _truncation_constants(mixture: ServiceMixture, removed: int, waits: int) -> tuple[float, float]:
    r"""For :math:`|z| > 2\lambda`: the sum beyond frequency Y is at most front (base / Y)^{r+1}.

    :math:`|\rho\tilde R(z)| \le 2\lambda/|z|`, and integrating :math:`|z|^{-r-2}` from Y on gives
    :math:`e^{aL}/\pi \cdot (1-\rho)^q (r+2)^{q-1} (2\lambda/Y)^{r+1}/(r+1)`.
    """
    front = np.exp(DAMPING) / pi * (1 - mixture.load) ** waits
    return float(front * (removed + 2) ** (waits - 1) / (removed + 1)), 2 * mixture.arrival_rate


def _few_residuals(
    mixture: ServiceMixture, t: Array, removed: int, waits: int
) -> tuple[Array, float]:
    r"""The exact part: at most ``removed`` residual services, with its rounding error."""
    rho, m = mixture.load, mixture.mean
    total = np.ones_like(t)
    rounding = 1.0
    sums, weight = np.zeros(1), np.ones(1)
    levels = [(sums, weight)]
    for _ in range(removed):
        sums, where = np.unique((sums[:, None] + mixture.service).ravel(), return_inverse=True)
        products = (weight[:, None] * mixture.share).ravel()
        weight = np.bincount(where, weights=products).astype(np.float64)
        levels.append((sums, weight))
    for n in range(1, removed + 1):
        cdf, size = np.zeros_like(t), 0.0
        for j, (at, w) in enumerate(levels[: n + 1]):
            power = _powers(t, at, w, n)
            cdf += (-1) ** j * comb(n, j) * power
            size += comb(n, j) * float(power[t <= n * mixture.longest].max(initial=0.0))
        scale = factorial(n) * m**n
        cdf = np.where(t >= n * mixture.longest, 1.0, cdf / scale)
        coefficient = rho**n * (n + 1) ** (waits - 1)
        total += coefficient * cdf
        rounding += coefficient * size / scale
    mass = (1 - rho) ** waits
    return mass * total, 4 * np.finfo(float).eps * mass * rounding


def _busy(mixture: ServiceMixture, z: Complex, a: float, step: float) -> Complex:
    r"""Return :math:`1 - \sum_k\pi_k e^{-z s_k}` on the line :math:`z_n = a + i n\,\text{step}`.

    The first frequencies, where the difference is small, each by itself; of the others the powers
    with n = BLOCK i + j as products of two small sets.
    """
    first = min(len(z), EXACT * BLOCK)
    busy = np.empty_like(z)
    busy[:first] = -np.expm1(-z[:first, None] * mixture.service) @ mixture.share
    rows = -(-(len(z) - first) // BLOCK)
    fine = np.exp(-1j * step * np.arange(BLOCK) * mixture.service[:, None])
    weight = mixture.share * np.exp(-a * mixture.service)
    for begin in range(0, rows, CHUNK // BLOCK // BLOCK):
        block = np.arange(begin, min(begin + CHUNK // BLOCK // BLOCK, rows))
        coarse = np.exp(-1j * step * (first + BLOCK * block[:, None]) * mixture.service)
        at = first + BLOCK * begin
        part = 1 - ((coarse * weight) @ fine).ravel()
        busy[at : at + len(part)] = part[: len(z) - at]
    return busy


def _fourier_sum(terms: Array, angle: Array) -> Array:
    r"""Return :math:`\operatorname{Re}\sum_k f_k e^{ik\phi}` for each angle.

    With k = BLOCK i + j the sum is a product of two small sets of powers with a matrix.
    """
    rows = -(-len(terms) // BLOCK)
    padded = np.zeros(rows * BLOCK, dtype=np.complex128)
    padded[: len(terms)] = terms
    matrix = padded.reshape(rows, BLOCK)
    value = np.empty_like(angle)
    step = max(1, CHUNK // (rows + BLOCK))
    for first in range(0, len(angle), step):
        part = angle[first : first + step, None]
        coarse = np.exp(1j * BLOCK * part * np.arange(rows))
        fine = np.exp(1j * part * np.arange(BLOCK))
        value[first : first + step] = ((coarse @ matrix) * fine).sum(axis=1).real
    return value


def _powers(t: Array, at: Array, weight: Array, n: int) -> Array:
    r"""Return :math:`\sum_i w_i (t - a_i)_+^n` for each t, in pieces that fit into memory."""
    step = max(1, CHUNK // len(at))
    pieces = [
        np.maximum(t[first : first + step, None] - at, 0.0) ** n @ weight
        for first in range(0, len(t), step)
    ]
    return np.concatenate([np.zeros(0), *pieces])


def _many_residuals(
    mixture: ServiceMixture, t: Array, plan: _Plan, waits: int
) -> tuple[Array, float]:
    r"""The inverted part, :math:`P(\text{more than } r \text{ residuals}, \text{sum} \le t)`.

    With f its value, :math:`\hat f` the transform of f and period 2L, Poisson's summation says

    .. math:: \sum_{j\ge0} e^{-2jaL} f(t + 2jL) = \frac{e^{at}}{2L}
              \sum_{k=-\infty}^{\infty} \hat f\bigl(a + \tfrac{ik\pi}{L}\bigr) e^{ik\pi t/L} ,

    and at t + 2L and later f has reached its limit, which is known.
    """
    half, r, rho = plan.half_period, plan.removed, mixture.load
    a = DAMPING / half
    z = a + 1j * pi / half * np.arange(plan.frequencies + 1)
    x = mixture.arrival_rate * _busy(mixture, z, a, pi / half) / z
    mass = (1 - rho) ** waits
    # what is left of (1 - x)^{-q} = sum of (n + 1)^{q-1} x^n beyond n = r
    count = 1 if waits == 1 else r + 2 - (r + 1) * x
    more = x ** (r + 1) * count / (1 - x) ** waits
    limit = rho ** (r + 1) * (1 if waits == 1 else r + 2 - (r + 1) * rho)
    transform = mass * more / z
    transform[0] /= 2
    value = _fourier_sum(transform, pi / half * t) * np.exp(a * t) / half
    value -= limit * np.exp(-2 * DAMPING) / -np.expm1(-2 * DAMPING)
    # each term carries an error of a few ulp, of its transform divided by 1 - x above all
    spread = np.abs(transform) * (1 + waits * np.abs(x) / np.abs(1 - x))
    rounding = 4 * np.finfo(float).eps * float(np.sqrt((spread**2).sum())) * np.exp(DAMPING) / half
    return value, rounding
