r"""First come, first served at one server: the M/G/1 queue.

With the moments :math:`m = \sum_k \pi_k s_k` and :math:`M = \sum_k \pi_k s_k^2`, the load
:math:`\rho = \lambda m` and :math:`y = 1 - \rho`, the formula of Pollaczek and Khinchine says

.. math:: \mathbb{E}[W] = \frac{\lambda M}{2 y}, \qquad \mathbb{E}[T] = m + \mathbb{E}[W],
          \qquad \text{stable iff } \rho < 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Scalar, first
from thinkqueue.delay.delay import RateSlopes, State
from thinkqueue.delay.time import only_fifo, refuse_unstable
from thinkqueue.delay.two_moments import Formula, TwoMoments, by_rate, room
from thinkqueue.workload import Parameters, Workload, tokens_array


class FirstCome(TwoMoments):
    r"""Pollaczek and Khinchine: :math:`g(m) = m`, :math:`f(m) = \lambda/(2(1-\lambda m))`."""

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        r"""Return :math:`f = \nu/2,\ f' = \nu^2/2` with :math:`\nu = \lambda/y`; the excess is 0.

        Parameters
        ----------
        rate : float or ndarray, (..., 1)
            :math:`\lambda`.
        m : float or ndarray, (..., 1)
            The mean service time.
        """
        slack = 1 - rate * m
        pressure = rate / room(slack)
        return Formula(slack, m, 1.0, 0.0, pressure / 2, pressure * pressure / 2, 0.0)

    def by_rate(self, problem: Parameters, state: State) -> RateSlopes:
        r"""Return how time and prices move with the arrival rate.

        The service of a query is its own: what is taken from the server prolongs the wait alone,
        by :math:`\lambda M/(2y^2)`.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        wait = first(state.detail.formula.f * state.detail.M)
        return by_rate(problem, state)._replace(taken=wait / first(state.slack))


@dataclass(frozen=True)
class Queue:
    """The M/G/1 queue in the letters of its formulas; scalars have shape (..., 1)."""

    s: Array
    m: Array
    M: Array
    y: Array

    def mean_waiting_time(self, arrival_rate: float | Array) -> Array:
        """E[W] by the formula of Pollaczek and Khinchine, shape (..., 1)."""
        return np.asarray(arrival_rate * self.M / (2 * self.y))


def queue(parameters: Parameters, tokens: Array) -> Queue:
    r"""Return :math:`s, m, M, y` at an allocation that may be unstable (:math:`y \le 0`).

    Parameters
    ----------
    parameters : Parameters
        A workload, or arrays that broadcast like one.
    tokens : ndarray, (..., N)
        Thinking tokens, already checked.
    """
    types = parameters.service.moments(tokens)
    s = types.mean
    m = np.sum(parameters.share * s, axis=-1, keepdims=True)
    second = np.sum(parameters.share * types.square, axis=-1, keepdims=True)
    return Queue(s, m, second, np.asarray(1 - parameters.arrival_rate * m))


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
    WorkloadError
        If the workload has another server.
    """
    only_fifo(workload, "The M/G/1 queue in closed form")
    state = queue(workload, tokens_array(workload, tokens))
    if not (state.y > 0).all():
        refuse_unstable(workload, float((1 - state.y).max()), "at these tokens")
    return state
