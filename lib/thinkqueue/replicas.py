"""How many equal servers a stream of queries needs, each of them sent its part at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first
from thinkqueue.checks import LARGEST, SMALLEST, check_count, one_number
from thinkqueue.delay.time import delay_of
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.objective import mean_accuracy
from thinkqueue.solve import solve
from thinkqueue.workload import Workload, tokens_array

PRECISION = 1e-7
"""Relative precision of the worth of accuracy at which both promises are weighed."""

DEAREST = 1e15
"""No right answer is taken to be worth more, in s."""


@dataclass(frozen=True)
class Replicas:
    """How many servers are needed, and what one of them does.

    Attributes
    ----------
    count : int
        The least number that keeps what was asked for.
    arrival_rate : float
        What each of them gets, in 1/s.
    tokens : ndarray, (N,)
        Thinking tokens of each type: those given, or some that keep both promises.
    mean_system_time : float
        In s.
    mean_accuracy : float
        Of all answers, weighted.
    utilization : float
        The load of each.
    """

    count: int
    arrival_rate: float
    tokens: Array
    mean_system_time: float
    mean_accuracy: float
    utilization: float


def replicas_needed(
    workload: Workload,
    *,
    tokens: ArrayLike | None = None,
    accuracy: float | None = None,
    latency: float | None = None,
    most: int = 10**6,
) -> Replicas:
    r"""Return the least number of equal servers that keep a promise, arrivals split at random.

    .. math:: \min n \quad\text{such that}\quad \rho_{\lambda/n}(\ell) < 1,\quad
              \mathbb{E}[T]_{\lambda/n}(\ell) \le d,

    where :math:`\ell` is given, or any that reaches a mean accuracy. A random part of a Poisson
    stream is a Poisson stream, so each of the n is the workload's server at :math:`\lambda/n`. With
    fewer arrivals every allocation is quicker; so there is one threshold, found by halving.

    Parameters
    ----------
    workload : Workload
        With all queries, and one server of the kind that there will be several of, for example
        ``Batching(...)``.
    tokens : array_like, (N,), optional
        Budgets that stay as they are.
    accuracy : float, optional
        Instead: the mean accuracy :math:`\sum_k w_k\pi_kp_k` that must be reached.
    latency : float, optional
        d, the largest mean time from arrival to answer, in s; needed with ``accuracy``. Without it
        the servers must only be stable.
    most : int, optional
        How many servers there may be.

    Returns
    -------
    Replicas
        With ``accuracy`` and a mean time that is not convex in the tokens the budgets are the best
        that a local search finds: the promise is kept, but fewer servers might do.

    Raises
    ------
    ThinkQueueError
        If not even ``most`` servers are enough.
    WorkloadError
        If not exactly one of ``tokens`` and ``accuracy`` is given, or a value is out of range.
    """
    if (tokens is None) == (accuracy is None):
        raise WorkloadError(
            "Give either tokens (fixed budgets) or accuracy (a floor), not both.",
            parameter="tokens",
            value=tokens,
        )
    if accuracy is not None and latency is None:
        raise WorkloadError(
            "An accuracy alone asks for no second server; give a latency as well.",
            parameter="latency",
        )
    check_count("most", most)
    # an unstable server takes for ever, which is beyond any limit
    limit = LARGEST if latency is None else one_number("latency", latency, least=SMALLEST)
    if tokens is None:
        floor = one_number("accuracy", accuracy or 0.0, least=0)

        def keeps(count: int) -> Array | None:
            return _accurate_enough(_one_of(workload, count), floor, limit)
    else:
        ell = tokens_array(workload, tokens, capped=True, single=True)

        def keeps(count: int) -> Array | None:
            return ell if _time(_one_of(workload, count), ell) <= limit else None

    count, found = _least(keeps, most)
    if found is None:
        raise ThinkQueueError(
            f"Not even {most} servers keep this: each of them would get "
            f"{workload.arrival_rate / most:.4g} queries a second. Allow more time, or ask for "
            "less accuracy."
        )
    one = _one_of(workload, count)
    state = delay_of(one.server).at(one, found)
    return Replicas(
        count,
        one.arrival_rate,
        found,
        first(state.time),
        float(mean_accuracy(one, found)),
        1 - first(state.slack),
    )


def _one_of(workload: Workload, count: int) -> Workload:
    return workload.replace(arrival_rate=workload.arrival_rate / count)


def _least(keeps: Callable[[int], Array | None], most: int) -> tuple[int, Array | None]:
    """Return the least number that keeps the promise, with its tokens: doubled, then halved."""
    low, high = 0, 1
    found = keeps(high)
    while found is None and high < most:
        low, high = high, min(2 * high, most)
        found = keeps(high)
    while found is not None and high - low > 1:
        middle = (low + high) // 2
        there = keeps(middle)
        if there is None:
            low = middle
        else:
            high, found = middle, there
    return high, found


def _time(one: Workload, tokens: Array) -> float:
    """Return the mean time at one server, infinite where it is unstable."""
    with np.errstate(all="ignore"):
        state = delay_of(one.server).at(one, tokens)
    return first(state.time) if first(state.slack) > 0 else np.inf


def _accurate_enough(one: Workload, accuracy: float, latency: float) -> Array | None:
    r"""Return budgets that reach an accuracy within a mean time, or None.

    The more an answer is worth, the more accurate and the slower are the best budgets. So each
    worth tells which way to go, until one keeps both promises or misses both.
    """
    if not _time(one, np.zeros(len(one))) <= latency:
        return None
    low, high, worth = 0.0, np.inf, 1.0
    while SMALLEST < worth <= DEAREST and high - low > PRECISION * worth:
        best = solve(one.replace(accuracy_weight=worth), throw=False)
        right, quick = best.mean_accuracy >= accuracy, best.mean_system_time <= latency
        if right and quick:
            return best.tokens
        if not right and not quick:
            return None
        low, high = (low, worth) if right else (worth, high)
        worth = np.sqrt(max(low, worth * 1e-3) * high) if np.isfinite(high) else 10 * worth
    return None
