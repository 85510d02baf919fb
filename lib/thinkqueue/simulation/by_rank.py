"""Service by rank, without interrupting anybody, by one server or several: events on two heaps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.heap import Heap, empty_heap, is_full, pop, push, with_room
from thinkqueue.simulation.tally import Tally, pass_time, record, turn


class ByRank:
    """The engine for first come first served with several servers, and for priorities.

    Parameters
    ----------
    rank : ndarray, (N,)
        The smaller, the more urgent; among equal ranks the older query goes first.
    servers : int
        How many servers there are.
    """

    def __init__(self, rank: Array, servers: int) -> None:
        self._rank = rank
        self._servers = servers
        self._line = Line(np.zeros(1), np.zeros(1, np.int64), empty_heap(), empty_heap())

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Tally, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        handled = 0
        ended = False
        while handled < kinds.size and not ended:
            line = self._line
            self._line = line._replace(
                waiting=with_room(line.waiting), leaving=with_room(line.leaving)
            )
            rest = kinds[handled:], gaps[handled:], work[handled:]
            more, ended = serve(*rest, finish, self._servers, self._line, self._rank, tally)
            handled += more
        return handled

    def drain(self, tally: Tally) -> None:
        """Serve all that are still waiting."""
        drain(self._line, tally)


class Line(NamedTuple):
    """Where the queue stands; kernels change it in place.

    Attributes
    ----------
    clock : ndarray, (1,)
        The time, in s. It is set back to zero whenever the system empties, which keeps its
        precision however long the run is.
    serial : ndarray of int64, (1,)
        The number of the next arrival.
    waiting, leaving : Heap
        Those that wait, by rank, and those in service, by the time at which they leave.
    """

    clock: Array
    serial: Index
    waiting: Heap
    leaving: Heap


@compiled
def serve(
    kinds: Index,
    gaps: Array,
    work: Array,
    finish: bool,
    servers: int,
    line: Line,
    rank: Array,
    tally: Tally,
) -> tuple[int, bool]:
    """Serve queries until there is no room for another one to wait.

    Parameters
    ----------
    kinds, gaps, work : ndarray, (n,)
        The type of each, the time to the next and the service time, in s.
    finish : bool
        Whether to stop at the end of the row in progress.
    servers : int
        How many servers there are.
    line : Line
        Where the queue stands.
    rank : ndarray, (N,)
        Of each type.
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
    room = not is_full(line.waiting) and not is_full(line.leaving)
    while handled < kinds.size and room and not ended:
        k, own = kinds[handled], work[handled]
        serial, now = line.serial[0], line.clock[0]
        if line.leaving.size[0] < servers:
            record(tally, k, 0.0, own)
            push(line.leaving, now + own, serial, now, k, own)
        else:
            push(line.waiting, rank[k], serial, now, k, own)
        line.serial[0] += 1
        pass_time(tally, gaps[handled])
        line.clock[0] += gaps[handled]
        handled += 1
        depart(line.clock[0], line, tally)
        empty = line.leaving.size[0] == 0
        if empty:
            line.clock[0] = 0.0
        ended = turn(tally, empty, finish)
        room = not is_full(line.waiting) and not is_full(line.leaving)
    return handled, ended


@inlined
def depart(until: float, line: Line, tally: Tally) -> None:
    """Let queries leave until some time; each makes room for the most urgent one that waits."""
    while line.leaving.size[0] > 0 and line.leaving.key[0] <= until:
        now, _, _, _, _ = pop(line.leaving)
        if line.waiting.size[0] > 0:
            _, serial, arrival, k, own = pop(line.waiting)
            record(tally, k, now - arrival, own)
            push(line.leaving, now + own, serial, arrival, k, own)


@compiled
def drain(line: Line, tally: Tally) -> None:
    """Let all queries leave."""
    depart(np.inf, line, tally)
