"""What may be asked of the latency: a mean, or how rarely an answer is late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.batching.type_time import type_time
from thinkqueue.checks import floats, one_number
from thinkqueue.delay import mean_system_time, service_time
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.waiting_time.inversion import invert
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.workload import Batching, Workload

ACCURACY = 1e-12
"""The error asked of the transform inversion that the targets are evaluated by."""


class InfeasibleTargetError(ThinkQueueError):
    """Not even an allocation without thinking tokens meets the target.

    Attributes
    ----------
    least : float
        The smallest ratio of what is reached to what is allowed; the target needs at most 1.
    """

    def __init__(self, message: str, *, least: float) -> None:
        super().__init__(message)
        self.least = least


class Target(Protocol):
    """A limit on latency. Every token makes every latency longer, and each limit harder to meet."""

    def ratio(self, workload: Workload, tokens: ArrayLike) -> Array:
        """Return what is reached over what is allowed, for each limit; met if none is above 1.

        Parameters
        ----------
        workload : Workload
            The workload.
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        ...


@dataclass(frozen=True)
class MeanTarget:
    r"""The mean time from arrival to answer is capped, :math:`\mathbb{E}[T] \le L`.

    Attributes
    ----------
    limit : float
        L in s.
    """

    limit: float

    def __post_init__(self) -> None:
        _single("limit", _positive("limit", self.limit))

    def ratio(self, workload: Workload, tokens: ArrayLike) -> Array:
        r"""Return :math:`\mathbb{E}[T]/L`, shape (1,).

        Parameters
        ----------
        workload : Workload
            The workload.
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        return np.atleast_1d(mean_system_time(workload, tokens)) / self.limit


@dataclass(frozen=True)
class WaitingTarget:
    r"""Few queries wait long before they are served: :math:`P(W > t) \le \varepsilon`.

    The same as: the :math:`1-\varepsilon` quantile of W is at most t. With t the deadline and
    :math:`\varepsilon = 0.01`, a cap on the 99th percentile of the wait.

    Attributes
    ----------
    time : float
        t in s, at least 0.
    probability : float
        :math:`\varepsilon` in (0, 1).
    """

    time: float
    probability: float

    def __post_init__(self) -> None:
        one_number("time", self.time, least=0.0)
        _single("time", _finite("time", self.time))
        _single("probability", _between("probability", self.probability))

    def ratio(self, workload: Workload, tokens: ArrayLike) -> Array:
        r"""Return :math:`P(W > t)/\varepsilon`, shape (1,).

        Parameters
        ----------
        workload : Workload
            The workload.
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        if isinstance(workload.server, Batching):
            raise WorkloadError(
                "A WaitingTarget is about a line: nobody waits at a Batching(...) server whose "
                "overflow shares, and no law of the wait is known where it waits; use MeanTarget "
                "or TypeTailTarget.",
                parameter="target",
            )
        mixture = ServiceMixture.of(workload, tokens)
        late = invert(mixture, np.array([float(self.time)]), error=ACCURACY).value
        return np.asarray(late / self.probability)


@dataclass(frozen=True)
class TailTarget:
    r"""Among all queries, few answers are late: :math:`P(T > d) \le \varepsilon`.

    The same as: the :math:`1-\varepsilon` quantile of T is at most d.

    Attributes
    ----------
    deadline : float
        d in s.
    probability : float
        :math:`\varepsilon` in (0, 1).
    """

    deadline: float
    probability: float

    def __post_init__(self) -> None:
        _single("deadline", _positive("deadline", self.deadline))
        _single("probability", _between("probability", self.probability))

    def ratio(self, workload: Workload, tokens: ArrayLike) -> Array:
        r"""Return :math:`P(T > d)/\varepsilon`, shape (1,).

        Parameters
        ----------
        workload : Workload
            The workload.
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        late = late_probability(workload, tokens, np.full(len(workload), self.deadline))
        return np.atleast_1d(workload.share @ late) / self.probability


@dataclass(frozen=True)
class TypeTailTarget:
    r"""For every type, few answers are late: :math:`P(T_k > d_k) \le \varepsilon_k`.

    Attributes
    ----------
    deadline : array_like, () or (N,)
        :math:`d_k` in s.
    probability : array_like, () or (N,)
        :math:`\varepsilon_k` in (0, 1).
    """

    deadline: ArrayLike
    probability: ArrayLike

    def __post_init__(self) -> None:
        _positive("deadline", self.deadline)
        _between("probability", self.probability)

    def deadlines(self, workload: Workload) -> Array:
        """Return the deadlines as an array of shape (N,).

        Parameters
        ----------
        workload : Workload
            The workload.
        """
        return _per_type("deadline", self.deadline, workload)

    def probabilities(self, workload: Workload) -> Array:
        """Return the probabilities as an array of shape (N,).

        Parameters
        ----------
        workload : Workload
            The workload.
        """
        return _per_type("probability", self.probability, workload)

    def ratio(self, workload: Workload, tokens: ArrayLike) -> Array:
        r"""Return :math:`P(T_k > d_k)/\varepsilon_k`, shape (N,).

        Parameters
        ----------
        workload : Workload
            The workload.
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        late = late_probability(workload, tokens, self.deadlines(workload))
        return late / self.probabilities(workload)


def late_probability(workload: Workload, tokens: ArrayLike, deadline: Array) -> Array:
    r"""Return :math:`P(T_k > d_k) = P(W > d_k - s_k)` for each type, shape (N,).

    At a batching server it is that of the shifted gamma law of :func:`~thinkqueue.type_time`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    deadline : ndarray, (N,)
        :math:`d_k` in s.
    """
    if isinstance(workload.server, Batching):
        return type_time(workload, tokens).late(deadline)
    slack = deadline - service_time(workload, tokens)
    return invert(ServiceMixture.of(workload, tokens), slack, error=ACCURACY).value


def _positive(name: str, value: ArrayLike) -> Array:
    numbers = floats(name, value)
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ThinkQueueError(f"{name} is {value!r}; it must be positive and finite, in seconds.")
    return numbers


def _finite(name: str, value: ArrayLike) -> Array:
    numbers = floats(name, value)
    if not np.isfinite(numbers).all():
        raise ThinkQueueError(f"{name} is {value!r}; it must be finite, in seconds.")
    return numbers


def _between(name: str, value: ArrayLike) -> Array:
    numbers = floats(name, value)
    if not ((numbers > 0) & (numbers < 1)).all():
        raise ThinkQueueError(f"{name} is {value!r}; it must lie strictly between 0 and 1.")
    return numbers


def _single(name: str, numbers: Array) -> None:
    if numbers.ndim:
        raise ThinkQueueError(f"{name} has shape {numbers.shape}; this target takes one number.")


def _per_type(name: str, value: ArrayLike, workload: Workload) -> Array:
    numbers = floats(name, value)
    if numbers.shape not in ((), (len(workload),)):
        raise ThinkQueueError(
            f"{name} has shape {numbers.shape}; give one number, or one for each of the "
            f"{len(workload)} task types."
        )
    return np.broadcast_to(numbers, (len(workload),)).copy()
