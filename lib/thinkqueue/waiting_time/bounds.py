r"""How fast long waits become rare: the decay rate, the asymptote, and a rigorous bound.

With the tilted tail :math:`G(t) = e^{\theta t} P(W > t)` and :math:`\theta` the positive root of

.. math:: \lambda\Bigl(\sum_k \pi_k e^{\theta s_k} - 1\Bigr) = \theta,

the equation of the queue becomes a renewal equation whose kernel is a probability density on
:math:`[0, s_{\max}]`:

.. math:: G(t) = \int_0^{s_{\max}} \lambda\,P(S > x)\,e^{\theta x}\, G(t - x)\,dx ,
          \qquad G(u) = e^{\theta u}\ \text{for } u < 0 .

A weighted mean of what came within one longest service before: so from any moment on, G stays
between the least and the largest value that it took in the window before it (our own
formulation of the bounds of Kingman and Ross). At :math:`t = 0` the window says
:math:`e^{-\theta(t+s_{\max})} \le P(W>t) \le e^{-\theta t}`, and a look at the part of the past
that lies before 0 sharpens the lower end to :math:`g(\theta s_{\max})\,e^{-\theta t}` with
:math:`g(x) = x/(e^x - 1)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from thinkqueue.arrays import Array
from thinkqueue.checks import floats
from thinkqueue.errors import ThinkQueueError
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.workload import Workload

SMALL = 0.5
"""Below this :math:`e^x` is taken by its series: what is left after its first terms is exact."""

SERIES = np.array([1 / factorial(n) for n in range(2, 18)])
r"""Coefficients of :math:`(e^x - 1 - x)/x^2`."""

ROUNDING = 4e-16
"""What the rounding of all services and shares may add up to in the load."""


@dataclass(frozen=True)
class TailBound:
    r"""An exponential bound on the waiting time, with the asymptote that it runs parallel to.

    .. math:: g(\theta s_{\max})\,e^{-\theta t} \le P(W > t) \le e^{-\theta t}, \qquad
              P(W > t) \sim C e^{-\theta t}, \qquad g(x) = \frac{x}{e^x - 1}.

    Call it with a time, in seconds and of any shape, for the upper bound there.

    Attributes
    ----------
    decay_rate : float
        :math:`\theta` in 1/s; infinite if no query takes any time.
    asymptotic_constant : float
        :math:`C = (1-\rho) / (\lambda\sum_k\pi_k s_k e^{\theta s_k} - 1)`, by Cramér and Lundberg.
    longest_service : float
        :math:`s_{\max}` in s.
    error : float
        How far :math:`\theta` and C may be off, relatively: what rounding does to :math:`1-\rho`.
        Near 1 only as :math:`\rho` comes within :math:`10^{-15}` of 1, where the parameters
        themselves are no better known.
    """

    decay_rate: float
    asymptotic_constant: float
    longest_service: float
    error: float

    def __call__(self, t: ArrayLike) -> Array:
        """Return a number that P(W > t) never exceeds."""
        return self._decay(np.maximum(times_array(t), 0.0))

    def lower(self, t: ArrayLike) -> Array:
        """Return a number that P(W > t) never falls below, for t ≥ 0; 1 for t < 0.

        Parameters
        ----------
        t : array_like
            Times in s.
        """
        at = times_array(t)
        if np.isinf(self.decay_rate):
            return np.where(at < 0, 1.0, 0.0)
        least = shrink(self.decay_rate * self.longest_service)
        return np.where(at < 0, 1.0, least * self._decay(np.maximum(at, 0)))

    def asymptote(self, t: ArrayLike) -> Array:
        r"""Return :math:`\min(1, C e^{-\theta t})`, what P(W > t) approaches as t grows.

        Parameters
        ----------
        t : array_like
            Times in s.
        """
        at = np.maximum(times_array(t), 0.0)
        return np.minimum(1.0, self.asymptotic_constant * self._decay(at))

    def _decay(self, at: Array) -> Array:
        if np.isinf(self.decay_rate):
            return np.zeros_like(at)
        return np.exp(-self.decay_rate * at)


def tail_bound(workload: Workload, tokens: ArrayLike) -> TailBound:
    r"""Bound the probability of a long wait rigorously, and say how it decays.

    .. math:: P(W > t) \le e^{-\theta t} \text{ for all } t \ge 0, \qquad
              \lambda\Bigl(\sum_k \pi_k e^{\theta s_k} - 1\Bigr) = \theta > 0.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Returns
    -------
    TailBound
        The bound as a function of t, the decay rate and the asymptotic constant.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.

    Notes
    -----
    The upper bound is Kingman's (1970) for this queue; the lower one follows from the same
    renewal equation.
    """
    return bound_of(ServiceMixture.of(workload, tokens))


def bound_of(mixture: ServiceMixture) -> TailBound:
    """Return the tail bound of a service mixture."""
    if not len(mixture.service):
        return TailBound(np.inf, 0.0, 0.0, 0.0)
    theta = decay_rate(mixture)
    x = theta * mixture.service
    # λ Σ π s e^{θs} − 1 = (λ/θ) Σ π ((x − 1) e^x + 1) by the choice of θ, and no term is negative
    with np.errstate(under="ignore"):
        parts = np.expm1(x) * (x - 1) + x
    small = x < SMALL
    parts[small] = x[small] ** 2 * polyval(x[small], SERIES * np.arange(1, len(SERIES) + 1))
    slope = mixture.arrival_rate / theta * float(mixture.share @ parts)
    error = ROUNDING / mixture.slack
    return TailBound(theta, mixture.slack / slope, mixture.longest, error)


def decay_rate(mixture: ServiceMixture) -> float:
    r"""Return the positive root :math:`\theta` of
    :math:`\lambda(\sum_k \pi_k e^{\theta s_k} - 1) = \theta`, in 1/s.

    Taken in the form :math:`\lambda\sum_k\pi_k(e^{\theta s_k} - 1 - \theta s_k) = \theta(1-\rho)`,
    in which nothing cancels however full the server is, and in logarithms, so that nothing
    overflows. The left side over the right grows with :math:`\theta`, and is at least 1 at
    :math:`2(1-\rho)/(\lambda M) = 1/\mathbb{E}[W]`, because :math:`e^x - 1 - x \ge x^2/2`.
    """
    rate = np.log(mixture.arrival_rate * mixture.share)
    slack = np.log(mixture.slack)

    def excess(theta: float) -> float:
        x = theta * mixture.service
        large = np.maximum(x, SMALL)
        logs = rate + np.where(
            x < SMALL,
            2 * np.log(x) + np.log(polyval(np.minimum(x, SMALL), SERIES)),
            large + np.log1p(-(1 + large) * np.exp(-large)),
        )
        top = logs.max()
        return float(top + np.log(np.exp(logs - top).sum()) - np.log(theta) - slack)

    second = float(mixture.share @ mixture.service**2)
    high = low = (1 + 1e-9) * 2 * mixture.slack / (mixture.arrival_rate * second)
    while excess(low) > 0:
        low /= 4
    return float(brentq(excess, low, high, xtol=low * 1e-15, rtol=1e-15))


def shrink(x: float) -> float:
    r"""Return :math:`g(x) = x / (e^x - 1)`, which falls from 1 and is above :math:`e^{-x}`.

    Parameters
    ----------
    x : float
        At least 0.
    """
    return float(x * np.exp(-x) / -np.expm1(-x)) if x > 0 else 1.0


def times_array(t: ArrayLike) -> Array:
    """Return times as float64, or say which one is not a number.

    Parameters
    ----------
    t : array_like
        Times in s, infinite ones allowed.

    Raises
    ------
    ThinkQueueError
        If one is not a number.
    """
    times = floats("t", t)
    if np.isnan(times).any():
        raise ThinkQueueError("t is not a number; give times in seconds.")
    return times
