"""The question turned round: what a latency target asks of arrivals, hardware and weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from thinkqueue.checks import LARGEST, check_count, one_number
from thinkqueue.delay import stable_state, utilization
from thinkqueue.errors import ThinkQueueError, UnstableError
from thinkqueue.grid import solve_grid
from thinkqueue.names import listed, shown
from thinkqueue.solve import solve
from thinkqueue.targets.solve import solve_target
from thinkqueue.targets.target import InfeasibleTargetError, Target
from thinkqueue.workload import Batching, TokenTime, TokenTimeTable, Workload, tokens_array

PRECISION = 1e-9
"""Relative precision of what is returned, on the side on which the target holds."""

COARSE = 1e-4
"""The same where every trial solves an optimisation."""

SEARCHED = 1e-5
LOOKS = 4
"""The gap at which each of these optimisations stops, and the splits that it may look at."""

WEIGHTS = 400

FASTEST = 1e-25
"""The factor on the time of a token that counts as none."""

CALM = 1e-9
"""A part of the arrival rate at which a server counts as empty."""


def largest_arrival_rate(
    workload: Workload,
    target: Target,
    *,
    tokens: ArrayLike | None = None,
    accuracy: float | None = None,
) -> float:
    r"""Return the largest arrival rate at which a latency target can be met, in 1/s.

    Parameters
    ----------
    workload : Workload
        The workload; its own arrival rate plays no part.
    target : MeanTarget, WaitingTarget, TailTarget or TypeTailTarget
        What must hold.
    tokens : array_like, (N,), optional
        Budgets that stay as they are.
    accuracy : float, optional
        Instead of fixed budgets: the mean accuracy that must be reached, with the best budgets
        under the target at each arrival rate.

    Raises
    ------
    InfeasibleTargetError
        If no arrival rate is small enough, because the services alone take too long.
    ThinkQueueError
        If neither or both of ``tokens`` and ``accuracy`` are given, or if no service takes time.

    Notes
    -----
    Every wait grows with the arrival rate, so there is one threshold, found by bracketing. With
    ``accuracy`` it rests on the budgets that :func:`solve_target` finds, hence is a rate at which
    the target surely can be met; under a :class:`TailTarget`, whose best budgets are known to a
    gap only, perhaps not quite the largest.
    """
    ell = np.zeros(len(workload))
    if tokens is not None:
        ell = tokens_array(workload, tokens, single=True)
    # the load is proportional to the arrival rate
    load = float(utilization(workload, ell))
    if tokens is not None and load == 0:
        raise ThinkQueueError("No service takes any time; no arrival rate is too large.")
    fastest = workload.arrival_rate / max(load, workload.arrival_rate / LARGEST)
    return _largest(
        lambda rate: workload.replace(arrival_rate=rate), fastest, target, tokens, accuracy
    )


def slowest_decode(
    workload: Workload,
    target: Target,
    *,
    tokens: ArrayLike | None = None,
    accuracy: float | None = None,
) -> float:
    r"""Return the largest factor on every :math:`c_k` with which a latency target can be met.

    At a batching server the factor is on the time of a step.

    Below 1: the server must decode that much faster, each token in this part of its present time.
    Above 1: it could do with slower hardware.

    Parameters
    ----------
    workload : Workload
        The workload.
    target : MeanTarget, WaitingTarget, TailTarget or TypeTailTarget
        What must hold.
    tokens : array_like, (N,), optional
        Budgets that stay as they are.
    accuracy : float, optional
        Instead of fixed budgets: the mean accuracy that must be reached, with the best budgets
        under the target at each speed.

    Raises
    ------
    InfeasibleTargetError
        If no decode is fast enough, because the rest of the services takes too long.
    ThinkQueueError
        If neither or both of ``tokens`` and ``accuracy`` are given, or if no tokens are spent.
    """
    slowest = 1e6
    if tokens is not None:
        ell = tokens_array(workload, tokens, single=True)
        fixed = float(utilization(_slowed(workload, 0.0), ell))
        decode = float(utilization(workload, ell)) - fixed
        if decode == 0:
            raise ThinkQueueError("tokens are all 0; how fast they are decoded does not matter.")
        slowest = max(1 - fixed, 0.0) / decode
    return _largest(lambda factor: _slowed(workload, factor), slowest, target, tokens, accuracy)


def _slowed(workload: Workload, factor: float) -> Workload:
    """Return the workload with tokens that take so many times as long."""
    server, factor = workload.server, max(factor, FASTEST)
    if not isinstance(server, Batching):
        return workload.replace(time_per_token=workload.time_per_token * factor)
    time = server.token_time
    if isinstance(time, TokenTimeTable):
        slowed: TokenTime | TokenTimeTable = replace(
            time, seconds=tuple(factor * x for x in time.seconds)
        )
    else:
        slowed = TokenTime(*(factor * x for x in (time.base, time.per_query, time.per_context)))
    return workload.replace(server=replace(server, token_time=slowed))


def _calm(workload: Workload) -> float:
    """Return an arrival rate at which hardly anybody meets anybody."""
    return workload.arrival_rate * CALM


def least_accuracy_weight(workload: Workload, task: str | int) -> float:
    r"""Return the smallest :math:`\alpha` at which the optimum gives a type any tokens, in s.

    While it has none, type k is worth its first token iff
    :math:`\alpha w_k A_k b_k > c_k q_k(\ell^*(\alpha))`. An empty line asks
    :math:`\alpha > c_k/(w_kA_kb_k)`, with :math:`\tau(1)` for :math:`c_k` in a batch; the true
    threshold is higher, because the others are at the server already.

    Parameters
    ----------
    workload : Workload
        The workload; its own weight plays no part.
    task : str or int
        The type, by name or index.

    Raises
    ------
    ThinkQueueError
        If no type has that name, if tokens do nothing for it, or if it gets none at any weight.

    Notes
    -----
    The first weight of a fine geometric grid at which the type gets tokens, refined by bisection.
    Prices rise with the weight too, so nothing promises that the type keeps them ever after.
    """
    if isinstance(task, str) and task not in workload.names:
        raise ThinkQueueError(
            f"No task type is called {shown(task)}; there are {listed(workload.names)}."
        )
    k = workload.names.index(task) if isinstance(task, str) else task
    check_count("task", k, least=0)
    if k >= len(workload):
        raise ThinkQueueError(f"There is no task type {k}; the last is {len(workload) - 1}.")
    value = float(workload.weight[k] * workload.gain[k] * workload.rate[k])
    if value == 0 or workload.max_tokens[k] == 0:
        raise ThinkQueueError(f"Tokens cannot help task type {shown(workload.name(k))} at all.")
    calm = workload.replace(arrival_rate=_calm(workload))
    floor = float(stable_state(calm, np.zeros(len(workload))).price[k]) / value
    weights = floor * np.geomspace(1.0, 1e8, WEIGHTS)
    spent = solve_grid(workload, accuracy_weight=weights, throw=False).tokens[:, k] > 0
    if not spent.any():
        raise ThinkQueueError(
            f"Task type {shown(workload.name(k))} gets no tokens at any weight up to "
            f"{weights[-1]:g} s."
        )
    first = int(np.argmax(spent))
    low, high = float(weights[max(first - 1, 0)]), float(weights[first])
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        found = solve(workload.replace(accuracy_weight=middle), throw=False)
        low, high = (low, middle) if found.tokens[k] > 0 else (middle, high)
    return high


def _largest(
    change: Callable[[float], Workload],
    limit: float,
    target: Target,
    tokens: ArrayLike | None,
    accuracy: float | None,
) -> float:
    """The largest number below a limit at which the changed workload still does what is asked."""
    if (tokens is None) == (accuracy is None):
        raise ThinkQueueError("Give either tokens (fixed budgets) or accuracy (a floor), not both.")
    if accuracy is not None:
        accuracy = one_number("accuracy", accuracy, least=0)

    @cache
    def reserve(number: float) -> float:
        workload = change(number)
        if tokens is not None:
            try:
                ratio = target.ratio(workload, tokens).max()
            except UnstableError:
                return -np.inf
            return float(-np.log(max(ratio, 1e-300)))
        assert accuracy is not None
        if utilization(workload, np.zeros(len(workload))) >= 1:
            return -np.inf
        try:
            found = solve_target(workload, target, gap=SEARCHED, nodes=LOOKS)
            return float(found.mean_accuracy - accuracy)
        except InfeasibleTargetError:
            return -np.inf

    precision = PRECISION if tokens is not None else COARSE
    high = limit
    low = min(high, 1.0) * 1e-9
    if not reserve(low) >= 0:
        why = "the services alone take too long"
        if tokens is None:
            why = f"no budgets that meet it reach an accuracy of {accuracy:g}"
        raise InfeasibleTargetError(
            f"The target cannot be met at the easiest end of the range: {why}.", least=np.inf
        )
    # a geometric bisection down to where both ends are finite and close, then Brent's method
    while high / low > 1.5 or not np.isfinite(reserve(high)):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if reserve(middle) >= 0 else (low, middle)
        if high - low <= precision * low:
            return low
    if reserve(high) >= 0:
        return high
    root = float(brentq(reserve, low, high, xtol=precision * low / 4, rtol=precision / 4))
    while reserve(root) < 0:
        root *= 1 - precision
    return root
