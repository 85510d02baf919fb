"""What an allocation costs in time, whatever the server is."""

from __future__ import annotations

from typing import NoReturn, cast

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first, total
from thinkqueue.delay.delay import CurvedDelay, Delay, State
from thinkqueue.errors import UnstableError, WorkloadError
from thinkqueue.names import shown
from thinkqueue.workload import (
    Affine,
    Batching,
    Fifo,
    Generated,
    NonPreemptivePriority,
    Parameters,
    PreemptivePriority,
    PreemptiveShortestFirst,
    ProcessorSharing,
    ShortestFirst,
    ShortestRemaining,
    Workload,
    tokens_array,
)


def delay_of(server: object) -> Delay:
    """Return the formulas of a server.

    Parameters
    ----------
    server : object
        ``Fifo()``, ``ProcessorSharing()``, ``Batching(...)``, one server of another discipline, or
        any object that is a :class:`~thinkqueue.delay.Delay` itself. ``Fifo(servers=k)`` is an
        approximation: :mod:`thinkqueue.delay.several`.

    Raises
    ------
    WorkloadError
        If no formula for its mean time is known here.
    """
    from thinkqueue.delay.fifo import FirstCome
    from thinkqueue.delay.sharing import Sharing

    if hasattr(server, "at"):
        return server  # type: ignore[return-value]
    if getattr(server, "servers", 1) == 1:
        if isinstance(server, Fifo):
            return FirstCome()
        if isinstance(server, ProcessorSharing):
            return Sharing()
    if isinstance(server, Batching):
        from thinkqueue.delay.batching import batching

        return batching(server)
    if isinstance(server, Fifo):
        from thinkqueue.delay.several import SeveralServers

        return SeveralServers(server.servers)
    by_rank = _by_rank(server)
    if by_rank is not None:
        return by_rank
    raise WorkloadError(
        f"No formula for the mean time of {server!r} is known here; simulate() can judge "
        "allocations on it, and Fifo() or ProcessorSharing() can be solved.",
        parameter="server",
        value=server,
    )


def _by_rank(server: object) -> Delay | None:
    """Return the formulas of a single server that serves by rank, or None."""
    from thinkqueue.delay.preemptive import Resume
    from thinkqueue.delay.priority import Priority
    from thinkqueue.delay.remaining import LeastLeft
    from thinkqueue.delay.shortest_first import ShortFirst

    match server:
        case NonPreemptivePriority(servers=1):
            return Priority(server.order)
        case ShortestFirst(servers=1):
            return ShortFirst()
        case PreemptivePriority():
            return Resume(server.order)
        case PreemptiveShortestFirst():
            return Resume()
        case ShortestRemaining():
            return LeastLeft()
        case _:
            return None


def curved(server: object) -> CurvedDelay:
    """Return the formulas of a server that knows its curvature.

    Parameters
    ----------
    server : object
        As for :func:`delay_of`.

    Raises
    ------
    WorkloadError
        If it does not.
    """
    delay = delay_of(server)
    if not hasattr(delay, "curvature"):
        raise WorkloadError(
            f"{server!r} has no curvature, which Newton() and negative_hessian need; QuasiNewton() "
            "and ConditionalGradient() do without.",
            parameter="server",
            value=server,
        )
    return cast(CurvedDelay, delay)


def only_fifo(workload: Parameters, what: str) -> None:
    """Refuse a workload whose server is not one that takes queries first come, first served.

    Parameters
    ----------
    workload : Workload
        The workload.
    what : str
        What holds for that server only, as the beginning of a sentence.

    Raises
    ------
    WorkloadError
        If it has another server.
    """
    if workload.server != Fifo():
        raise WorkloadError(
            f"{what} holds for Fifo() with one server only; this workload is served by "
            f"{workload.server!r}. Use workload.replace(server=Fifo()) if that is meant.",
            parameter="server",
            value=workload.server,
        )


def only_affine(problem: Parameters, what: str) -> None:
    """Refuse service times that are not certain and affine in the tokens.

    Parameters
    ----------
    problem : Workload
        The workload.
    what : str
        What holds for those only, as the beginning of a sentence.

    Raises
    ------
    WorkloadError
        If it has others.
    """
    if not isinstance(problem.service, Affine):
        raise WorkloadError(
            f"{what} holds for certain service times, affine in the tokens, only; these are "
            f"{problem.service!r}.",
            parameter="service",
            value=problem.service,
        )


def service_time(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the service times :math:`s_k = t_{0,k} + c_k \ell_k` in seconds.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (..., N)

    Raises
    ------
    WorkloadError
        If the server generates many answers at once: then a query has no time of its own.
    """
    _only_seconds(workload)
    return workload.service.mean(tokens_array(workload, tokens))


def certain_service_time(workload: Workload, tokens: ArrayLike, what: str) -> Array:
    r"""Return the service times where nothing is random about them.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.
    what : str
        What holds for certain times only, as the beginning of a sentence.

    Raises
    ------
    WorkloadError
        If :math:`\mathbb{E}[S_k^2] > \mathbb{E}[S_k]^2` for some type.
    """
    _only_seconds(workload)
    types = workload.service.moments(tokens_array(workload, tokens))
    random = types.square > types.mean**2 * (1 + 1e-12)
    if random.any():
        k = int(np.argmax(random.reshape(-1, len(workload)).any(axis=0)))
        raise WorkloadError(
            f"{what} holds for certain service times only, and that of task type "
            f"{shown(workload.name(k))} is random at these tokens; mean times hold for it, and "
            "simulate() where its law is known.",
            parameter="service",
            value=workload.service,
            task=workload.name(k),
        )
    return types.mean


def service_moments(workload: Workload, tokens: ArrayLike) -> tuple[Array, Array]:
    r"""Return the first two moments of the service time of a query.

    .. math:: m = \sum_k \pi_k s_k, \qquad M = \sum_k \pi_k s_k^2.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    m, M : ndarray, (...)
        In s and s².

    Raises
    ------
    WorkloadError
        If the server generates many answers at once: then a query has no time of its own.
    """
    _only_seconds(workload)
    types = workload.service.moments(tokens_array(workload, tokens))
    return np.asarray(types.mean @ workload.share), np.asarray(types.square @ workload.share)


def _only_seconds(workload: Workload) -> None:
    if isinstance(workload.service, Generated):
        raise WorkloadError(
            f"{workload.server!r} works on many queries at once, so that none has a service time "
            "of its own; mean_type_time gives the mean time of each type.",
            parameter="server",
            value=workload.server,
        )


def utilization(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the load :math:`\rho`; the queue is stable iff it is below 1.

    At a server that takes one query at a time it is :math:`\lambda m`; at one that batches, what
    is asked of it over the most that it can do.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (...)
        The busy fraction of the server where it is below 1, the overload where not.
    """
    ell = tokens_array(workload, tokens)
    server = workload.server
    with np.errstate(all="ignore"):
        slack = delay_of(server).at(workload, ell).slack
    load = 1 - slack
    if not (isinstance(server, Batching) or hasattr(server, "at")):
        # of a small load the difference keeps an absolute error of a last bit of 1
        asked = total(workload.share, workload.service.mean(ell))
        small = workload.arrival_rate * asked / getattr(server, "servers", 1)
        load = np.where(slack > 0.5, small, load)
    return flat(load, ell)


def mean_system_time(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the mean time from arrival to answer, in seconds.

    First come, first served it is

    .. math:: \mathbb{E}[T] = m + \frac{\lambda M}{2 (1 - \rho)}.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (...)

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    ell = tokens_array(workload, tokens)
    return flat(stable_state(workload, ell).time, ell)


def flat(value: float | Array, tokens: Array) -> Array:
    """Return a scalar of a state with the shape of the allocations that it is for.

    Parameters
    ----------
    value : float or ndarray, (..., 1)
        The scalar.
    tokens : ndarray, (..., N)
        The allocations.
    """
    return np.reshape(value, tokens.shape[:-1])


def stable_state(workload: Workload, tokens: Array) -> State:
    r"""Return the state at checked allocations, all of them stable.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : ndarray, (..., N)
        Thinking tokens, already checked.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at any of the allocations.
    """
    with np.errstate(all="ignore"):
        state = delay_of(workload.server).at(workload, tokens)
    if not np.all(state.slack > 0):
        refuse_unstable(workload, float(np.max(1 - state.slack)), "at these tokens")
    return state


def refuse_unstable(workload: Workload, utilization: float, where: str) -> NoReturn:
    r"""Raise the error that says how unstable an allocation is.

    Parameters
    ----------
    workload : Workload
        The workload.
    utilization : float
        :math:`\rho` of the allocation.
    where : str
        Which allocation it is, in words.

    Raises
    ------
    UnstableError
        Always.
    """
    rate = first(workload.arrival_rate)
    limit = rate / utilization
    raise UnstableError(
        f"The queue is unstable {where}: the load is {utilization:.6g} and must be below 1. "
        f"With these service times any arrival rate below {limit:.6g}/s is stable; it is "
        f"{rate:.6g}/s.",
        utilization=utilization,
        max_arrival_rate=limit,
    )
