"""What a log says: times with intervals, who was there, and the waits that its services explain."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.live.gateway import LoggedQuery
from thinkqueue.simulation.estimates import Estimate, ratio


def times(log: Sequence[LoggedQuery]) -> Array:
    """Return the time of each query from arrival to end, in s.

    Parameters
    ----------
    log : sequence of LoggedQuery
        In the order of arrival.
    """
    return np.array([row.ended - row.arrived for row in log])


def cycles(log: Sequence[LoggedQuery]) -> Array:
    """Return the number of each query's cycle; one begins with a query that finds nobody there.

    Parameters
    ----------
    log : sequence of LoggedQuery
        In the order of arrival.
    """
    arrived = np.array([row.arrived for row in log])
    ended = np.maximum.accumulate([row.ended for row in log])
    return np.cumsum(np.append(True, arrived[1:] >= ended[:-1])) - 1


def mean(log: Sequence[LoggedQuery], values: ArrayLike, among: ArrayLike | None = None) -> Estimate:
    r"""Return a mean over queries with its regenerative interval.

    The cycles of a queue with Poisson arrivals are independent, so the mean is one sum over cycles
    over another, :math:`\sum_i Y_i/\sum_i N_i`, with the interval of a ratio.

    Parameters
    ----------
    log : sequence of LoggedQuery
        In the order of arrival.
    values : array_like, (n,)
        A value for each query.
    among : array_like of bool, (n,), optional
        The queries that count; all by default.
    """
    cycle = cycles(log)
    counts = np.ones(len(log)) if among is None else np.asarray(among, dtype=np.float64)
    above, below = (
        np.bincount(cycle, weights).astype(np.float64)
        for weights in (np.asarray(values, dtype=np.float64) * counts, counts)
    )
    found = ratio(above, below, 0.95, skewed=False)
    return Estimate(float(found.value), float(found.low), float(found.high), 0.95)


def replayed(log: Sequence[LoggedQuery], services: ArrayLike | None = None) -> Array:
    r"""Return how long each query would have waited for services alone, in s.

    Lindley's recursion, with as many places as the log has: a query that comes at
    :math:`t_i` starts at :math:`\max(t_i, f)` where f is when the first place is free.

    Parameters
    ----------
    log : sequence of LoggedQuery
        In the order of arrival.
    services : array_like, (n,), optional
        Service times in s; those of the log by default.
    """
    work = [r.ended - r.started for r in log] if services is None else np.asarray(services).tolist()
    free = [-np.inf] * (1 + max(row.place for row in log))
    waits = []
    for row, service in zip(log, work, strict=True):
        start = max(row.arrived, heapq.heappop(free))
        heapq.heappush(free, start + service)
        waits.append(start - row.arrived)
    return np.array(waits)


def number_present(log: Sequence[LoggedQuery]) -> Array:
    """Return the share of time in which 0, 1, 2, … queries were there, waiting or in service.

    Parameters
    ----------
    log : sequence of LoggedQuery
        In the order of arrival; what counts is the time between its first and last arrival.
    """
    moments = np.array([[row.arrived, row.ended] for row in log])
    step = np.repeat([[1, -1]], len(log), axis=0).ravel()
    order = np.argsort(moments.ravel(), kind="stable")
    at, present = moments.ravel()[order], np.cumsum(step[order])
    spans = np.diff(np.minimum(at, moments[-1, 0]))
    return np.asarray(np.bincount(present[:-1], spans) / spans.sum())
