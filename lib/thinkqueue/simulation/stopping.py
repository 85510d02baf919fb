"""First come, first served by one server that reads its queue: thoughts that are stopped by it.

A query is served from the moment at which the one before it is done. While it is, others come, and
each may bring the end of the service forward, to the moment of its coming at the earliest.
"""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled


@compiled
def by_table(
    kinds: Index, times: Array, limits: Array, which: Index, kept: bool
) -> tuple[Array, Array]:
    """Serve a record with times that are looked up by the number waiting.

    Parameters
    ----------
    kinds : ndarray of int64, (n,)
        The type of each query.
    times : ndarray, (n,)
        When it comes, in s, never decreasing.
    limits : ndarray, (H, R, N)
        Service times in s, a row a number waiting, the last one for all beyond; of several tables.
    which : ndarray of int64, (n,)
        Which of the tables a query is served by.
    kept : bool
        Whether the time is chosen at the start and kept.

    Returns
    -------
    system, service : ndarray, (n,)
        From arrival to answer, and of work, in s.
    """
    n, last = kinds.size, limits.shape[1] - 1
    system, service = np.zeros(n), np.zeros(n)
    free, come = times[0], 0
    for i in range(n):
        start = max(free, times[i])
        while come < n and times[come] <= start:
            come += 1
        waiting = come - i - 1
        table, k = which[i], kinds[i]
        end = start + limits[table, min(waiting, last), k]
        while not kept and come < n and times[come] < end:
            waiting += 1
            end = max(times[come], start + limits[table, min(waiting, last), k])
            come += 1
        free = end
        system[i], service[i] = end - times[i], end - start
    return system, service


@compiled
def by_price(
    kinds: Index,
    times: Array,
    curves: tuple[Array, Array, Array, Array],
    work: Array,
    per_query: Array,
    per_second: Array,
) -> tuple[Array, Array]:
    r"""Serve a record; a second costs :math:`1 + un + vU` while n wait with U seconds of work.

    Parameters
    ----------
    kinds, times : ndarray, (n,)
        As in :func:`by_table`.
    curves : tuple of four ndarrays, (N,)
        What a second is worth at first; the seconds in which that falls by a factor of e; the base
        time; the most seconds of thought.
    work : ndarray, (N,)
        What a waiting query counts for, in s.
    per_query, per_second : ndarray, (n,)
        u and v at the service of each query.

    Returns
    -------
    system, service : ndarray, (n,)
        As in :func:`by_table`.
    """
    first, fall, base, most = curves
    n = kinds.size
    system, service = np.zeros(n), np.zeros(n)
    free, come, ahead = times[0], 0, 0.0
    for i in range(n):
        start = max(free, times[i])
        while come < n and times[come] <= start:
            ahead += work[kinds[come]]
            come += 1
        k = kinds[i]
        ahead -= work[k]
        price = 1 + per_query[i] * (come - i - 1) + per_second[i] * max(ahead, 0.0)
        thought = fall[k] * np.log(first[k] / price) if first[k] > price else 0.0
        end = start + base[k] + min(thought, most[k])
        while come < n and times[come] < end:
            ahead += work[kinds[come]]
            come += 1
            price = 1 + per_query[i] * (come - i - 1) + per_second[i] * max(ahead, 0.0)
            thought = fall[k] * np.log(first[k] / price) if first[k] > price else 0.0
            end = max(times[come - 1], start + base[k] + min(thought, most[k]))
        free = end
        system[i], service[i] = end - times[i], end - start
    return system, service
