"""The distribution of the time that a query waits, and of the time until its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import floats
from thinkqueue.delay import service_time
from thinkqueue.errors import ThinkQueueError
from thinkqueue.waiting_time.bounds import TailBound, bound_of, times_array
from thinkqueue.waiting_time.inversion import Inversion, invert
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.waiting_time.renewal import TiltedTail, solve
from thinkqueue.workload import Workload

ROUNDS = 200
"""Enough for a bracket of any width to shrink to two neighbouring numbers."""

PARTS = np.arange(1, 16) / 16
"""Where a bracket is looked at in each round; one evaluation costs little more than none."""

FALLBACK = 1e-9
"""The error asked of the inversion where the panels would be too many."""


@dataclass(frozen=True)
class WaitingTime:
    r"""The stationary waiting time under FIFO, computed once and asked as often as wanted.

    Attributes
    ----------
    mixture : ServiceMixture
        The service times that it belongs to.
    bound : TailBound
        The exponential bound, the asymptote and the decay rate.
    """

    mixture: ServiceMixture
    bound: TailBound
    _tilted: TiltedTail | None
    """None where the transform is inverted instead."""

    @property
    def error(self) -> float:
        r"""An estimate of the relative error of :meth:`tail`, where :math:`P(W>t) > 10^{-30}`.

        Where the tail comes from the inversion of the transform, the bound on its absolute error.
        """
        if self._tilted is not None:
            return self._tilted.error
        return self._invert(np.zeros(1)).error if len(self.mixture.service) else 0.0

    def tail(self, t: ArrayLike) -> Array:
        """Return P(W > t), of the shape of t; 1 for t < 0.

        Parameters
        ----------
        t : array_like
            Times in s.
        """
        at = times_array(t)
        return self._invert(at).value if self._tilted is None else self._tilted.tail(at)

    def _invert(self, at: Array) -> Inversion:
        return invert(self.mixture, at, error=FALLBACK)

    def density(self, t: ArrayLike) -> Array:
        r"""Return the density of W at t > 0, by the equation of Takács, in 1/s.

        .. math:: -\tfrac{d}{dt}P(W>t) = \lambda\Bigl(\sum_k\pi_k P(W > t-s_k) - P(W>t)\Bigr)

        It jumps at every service time. The atom :math:`P(W=0) = 1-\rho` is not part of it.

        Parameters
        ----------
        t : array_like
            Times in s.
        """
        at = times_array(t)
        mixture = self.mixture
        later = self.tail(at[..., None] - mixture.service) @ mixture.share
        return np.where(at < 0, 0.0, mixture.arrival_rate * np.maximum(later - self.tail(at), 0.0))

    def quantile(self, p: ArrayLike) -> Array:
        r"""Return the least t with :math:`P(W \le t) \ge p`; 0 up to :math:`p = 1-\rho`.

        Parameters
        ----------
        p : array_like
            Levels in [0, 1).
        """
        return _least_time(self.tail, levels_array(p), 0.0, self.bound)


def waiting_time_distribution(
    workload: Workload, tokens: ArrayLike, *, error: float = 1e-12
) -> WaitingTime:
    r"""Compute the distribution of the waiting time under an allocation.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    error : float, optional
        How closely the tail must have settled on its asymptote before the latter takes over,
        relatively.

    Returns
    -------
    WaitingTime
        Tail, density and quantiles at any times.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.

    Notes
    -----
    Exact to rounding for up to about five types; with more, :attr:`WaitingTime.error` says how
    close, typically 1e-9 or better. The method is our own; see
    :mod:`thinkqueue.waiting_time.renewal`. Its work is bounded: where services differ so much in
    length that it would take more than a few seconds, the transform is inverted instead, with an
    absolute error that :attr:`WaitingTime.error` bounds.
    """
    mixture = ServiceMixture.of(workload, tokens)
    if not len(mixture.service):
        return WaitingTime(mixture, bound_of(mixture), None)
    return WaitingTime(mixture, bound_of(mixture), solve(mixture, error=error))


def waiting_time_tail(workload: Workload, tokens: ArrayLike, t: ArrayLike) -> Array:
    r"""Return :math:`P(W > t)`, the probability that a query waits longer than t.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    t : array_like
        Times in s; 1 is returned for negative ones.

    Returns
    -------
    ndarray, the shape of t

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.

    Notes
    -----
    Every query waits alike, whatever its type, because the line is served in the order of
    arrival. Exact for this model; :func:`waiting_time_distribution` keeps the result for reuse.
    """
    return waiting_time_distribution(workload, tokens).tail(t)


def system_time_tail(
    workload: Workload, tokens: ArrayLike, t: ArrayLike, *, per_type: bool = False
) -> Array:
    r"""Return :math:`P(T > t)`, the probability that an answer takes longer than t.

    .. math:: P(T_k > t) = P(W > t - s_k), \qquad P(T > t) = \sum_k \pi_k P(T_k > t).

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    t : array_like
        Times in s.
    per_type : bool, optional
        Whether to return one probability for each type.

    Returns
    -------
    ndarray
        The shape of t, followed by (N,) if ``per_type``.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    wait = waiting_time_distribution(workload, tokens)
    tails = wait.tail(times_array(t)[..., None] - service_time(workload, tokens))
    return tails if per_type else np.asarray(tails @ workload.share)


def system_time_quantile(
    workload: Workload, tokens: ArrayLike, p: ArrayLike, *, per_type: bool = False
) -> Array:
    r"""Return the time within which a fraction p of the answers comes.

    .. math:: \inf\{t : P(T \le t) \ge p\}, \qquad T = W + s_k \text{ with probability } \pi_k.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    p : array_like
        Levels in [0, 1), for example 0.99.
    per_type : bool, optional
        Whether to return one quantile for each type (that of W, plus :math:`s_k`) and not that
        of all queries together.

    Returns
    -------
    ndarray
        In s; the shape of p, followed by (N,) if ``per_type``.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    ThinkQueueError
        If a level is not in [0, 1).
    """
    levels = levels_array(p)
    wait = waiting_time_distribution(workload, tokens)
    service = service_time(workload, tokens)
    if per_type:
        return np.asarray(wait.quantile(levels)[..., None] + service)
    asked = workload.share > 0
    share, service = workload.share[asked], service[asked]

    def tail(t: Array) -> Array:
        return np.asarray(wait.tail(t[..., None] - service) @ share)

    return _least_time(tail, levels, float(service.max()), wait.bound)


def levels_array(p: ArrayLike) -> Array:
    """Return levels of quantiles as float64, or say which one is out of range.

    Parameters
    ----------
    p : array_like
        Levels.

    Raises
    ------
    ThinkQueueError
        If one is not in [0, 1).
    """
    levels = floats("p", p)
    bad = ~((levels >= 0) & (levels < 1))
    if bad.any():
        raise ThinkQueueError(f"p is {levels[bad].flat[0]:g}; a level must lie in [0, 1).")
    return levels


def _least_time(
    tail: Callable[[Array], Array], levels: Array, shift: float, bound: TailBound
) -> Array:
    """The least t with tail(t) ≤ 1 − p, by sections; where it jumps, that is where it jumps."""
    rare = 1 - levels
    if np.isinf(bound.decay_rate):
        high = np.full_like(levels, shift)
    else:
        high = shift + np.maximum(-np.log(rare), 0.0) / bound.decay_rate
    low = np.zeros_like(levels)
    low = np.where(tail(low) <= rare, -1.0, low)
    # a level that P(W = 0) or P(T = 0) reaches already
    high = np.where(low < 0, 0.0, high)
    low = np.maximum(low, 0.0)
    for _ in range(ROUNDS):
        inner = low[..., None] + (high - low)[..., None] * PARTS
        if not ((inner > low[..., None]) & (inner < high[..., None])).any():
            break
        enough = tail(inner) <= rare[..., None]
        # the tail falls: the first point that suffices ends the new bracket
        high = np.where(enough, inner, high[..., None]).min(axis=-1)
        low = np.where(enough | (inner >= high[..., None]), low[..., None], inner).max(axis=-1)
    return high
