r"""What an allocation costs when queries are served first come, first served.

The server is an M/G/1 queue. With :math:`s_k = t_{0,k} + c_k\ell_k`, the moments
:math:`m = \sum_k \pi_k s_k` and :math:`M = \sum_k \pi_k s_k^2`, the load :math:`\rho = \lambda m`
and :math:`y = 1 - \rho`, the formula of Pollaczek and Khinchine says

.. math:: \mathbb{E}[W] = \frac{\lambda M}{2 y}, \qquad \mathbb{E}[T] = m + \mathbb{E}[W],
          \qquad \text{stable iff } \rho < 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, total
from thinkqueue.errors import UnstableError
from thinkqueue.workload import Parameters, Workload, tokens_array


@dataclass(frozen=True)
class Queue:
    """The state that every formula of the queue is written in; scalars have shape (..., 1)."""

    s: Array
    m: Array
    M: Array
    y: Array

    def mean_waiting_time(self, arrival_rate: float | Array) -> Array:
        """E[W] by the formula of Pollaczek and Khinchine, shape (..., 1)."""
        return np.asarray(arrival_rate * self.M / (2 * self.y))

    def mean_system_time(self, arrival_rate: float | Array) -> Array:
        """E[T] = m + E[W], shape (..., 1)."""
        return np.asarray(self.m + self.mean_waiting_time(arrival_rate))


def queue(parameters: Parameters, tokens: Array) -> Queue:
    r"""Return :math:`s, m, M, y` at an allocation that may be unstable (:math:`y \le 0`).

    Parameters
    ----------
    parameters : Parameters
        A workload, or arrays that broadcast like one.
    tokens : ndarray, (..., N)
        Thinking tokens, already checked.
    """
    s = parameters.base_time + parameters.time_per_token * tokens
    m, second = total(parameters.share, s), total(parameters.share * s, s)
    return Queue(s, m, second, np.asarray(1 - parameters.arrival_rate * m))


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
    """
    ell = tokens_array(workload, tokens)
    return np.asarray(workload.base_time + workload.time_per_token * ell)


def moments(workload: Workload, tokens: ArrayLike) -> tuple[Array, Array]:
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
    """
    state = queue(workload, tokens_array(workload, tokens))
    return state.m[..., 0], state.M[..., 0]


def utilization(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the load :math:`\rho = \lambda m`; the queue is stable iff it is below 1.

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
    return workload.arrival_rate * moments(workload, tokens)[0]


def mean_waiting_time(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the mean time that a query waits before its service starts, in seconds.

    .. math:: \mathbb{E}[W] = \frac{\lambda M}{2 (1 - \rho)}.

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
    return stable_queue(workload, tokens).mean_waiting_time(workload.arrival_rate)[..., 0]


def mean_system_time(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the mean time from arrival to answer, in seconds.

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
    return stable_queue(workload, tokens).mean_system_time(workload.arrival_rate)[..., 0]


def stable_queue(workload: Workload, tokens: ArrayLike) -> Queue:
    r"""Check an allocation and return :math:`s, m, M, y`, with :math:`y > 0`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at any of the allocations.
    """
    state = queue(workload, tokens_array(workload, tokens))
    if not (state.y > 0).all():
        refuse_unstable(workload, float(state.m.max()), "at these tokens")
    return state


def refuse_unstable(workload: Workload, mean_service_time: float, where: str) -> NoReturn:
    r"""Raise the error that says how unstable an allocation is.

    Parameters
    ----------
    workload : Workload
        The workload.
    mean_service_time : float
        :math:`m` of the allocation, in seconds.
    where : str
        Which allocation it is, in words.

    Raises
    ------
    UnstableError
        Always.
    """
    load, limit = workload.arrival_rate * mean_service_time, 1 / mean_service_time
    raise UnstableError(
        f"The queue is unstable {where}: the load is {load:.6g} and must be below 1. "
        f"With {mean_service_time:.6g} s of service per query, any arrival rate below "
        f"{limit:.6g}/s is stable; it is {workload.arrival_rate:.6g}/s.",
        utilization=load,
        max_arrival_rate=limit,
    )
