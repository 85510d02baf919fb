"""Processor sharing: all queries present are served at once, each at the same rate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.heap import Heap, empty_heap, is_full, pop, push, with_room
from thinkqueue.simulation.tally import Tally, pass_time, record, turn


class Sharing:
    """The engine for processor sharing.

    A query that comes at virtual time V leaves at V + s, where V passes at the common rate
    min(1, servers / present); its waiting time is what it was there beyond its service time.

    Parameters
    ----------
    servers : int
        How many servers there are.
    """

    def __init__(self, servers: int) -> None:
        self._servers = servers
        self._crowd = Crowd(np.zeros(2), np.zeros(1, np.int64), empty_heap())

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Tally, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        handled = 0
        ended = False
        while handled < kinds.size and not ended:
            self._crowd = self._crowd._replace(present=with_room(self._crowd.present))
            rest = kinds[handled:], gaps[handled:], work[handled:]
            more, ended = serve(*rest, finish, self._servers, self._crowd, tally)
            handled += more
        return handled

    def drain(self, tally: Tally) -> None:
        """Serve all that are still there."""
        drain(self._servers, self._crowd, tally)


NOW, VIRTUAL = range(2)


class Crowd(NamedTuple):
    """Who is there; kernels change it in place.

    Attributes
    ----------
    clock : ndarray, (2,)
        Time and virtual time, in s; both are set back to zero whenever the system empties.
    serial : ndarray of int64, (1,)
        The number of the next arrival.
    present : Heap
        All queries by the virtual time at which they leave.
    """

    clock: Array
    serial: Index
    present: Heap


@compiled
def serve(
    kinds: Index,
    gaps: Array,
    work: Array,
    finish: bool,
    servers: int,
    crowd: Crowd,
    tally: Tally,
) -> tuple[int, bool]:
    """Serve queries until there is no room for another one.

    Parameters
    ----------
    kinds, gaps, work : ndarray, (n,)
        The type of each, the time to the next and the service time, in s.
    finish : bool
        Whether to stop at the end of the row in progress.
    servers : int
        How many servers there are.
    crowd : Crowd
        Who is there.
    tally : Tally
        The statistics, changed in place.

    Returns
    -------
    handled : int
        How many queries have come.
    ended : bool
        Whether the row in progress was to be finished and has ended.
    """
    handled, ended = 0, False
    while handled < kinds.size and not ended and not is_full(crowd.present):
        k, own = kinds[handled], work[handled]
        leaves = crowd.clock[VIRTUAL] + own
        push(crowd.present, leaves, crowd.serial[0], crowd.clock[NOW], k, own)
        crowd.serial[0] += 1
        pass_time(tally, gaps[handled])
        pass_until(crowd.clock[NOW] + gaps[handled], servers, crowd, tally)
        handled += 1
        empty = crowd.present.size[0] == 0
        if empty:
            crowd.clock[NOW] = crowd.clock[VIRTUAL] = 0.0
        ended = turn(tally, empty, finish)
    return handled, ended


@inlined
def pass_until(until: float, servers: int, crowd: Crowd, tally: Tally) -> None:
    """Let time pass and queries leave."""
    now, virtual = crowd.clock[NOW], crowd.clock[VIRTUAL]
    while crowd.present.size[0] > 0:
        rate = min(1.0, servers / crowd.present.size[0])
        next_virtual = crowd.present.key[0]
        leaves = now + (next_virtual - virtual) / rate
        if leaves > until:
            virtual += (until - now) * rate
            break
        now, virtual = leaves, next_virtual
        _, _, arrival, k, own = pop(crowd.present)
        record(tally, k, max(now - arrival - own, 0.0), own)
    crowd.clock[NOW], crowd.clock[VIRTUAL] = until, virtual


@compiled
def drain(servers: int, crowd: Crowd, tally: Tally) -> None:
    """Let all queries leave."""
    pass_until(np.inf, servers, crowd, tally)
