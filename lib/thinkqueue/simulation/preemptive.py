"""Service by rank or by what is left to do, where whoever is more urgent interrupts and resumes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.heap import Heap, empty_heap, is_full, pop, push, with_room
from thinkqueue.simulation.tally import Tally, pass_time, record, turn


class Preemptive:
    """The engine for preemptive resume and for the shortest remaining time.

    A query's waiting time is what it was there beyond its service time, interruptions included.

    Parameters
    ----------
    rank : ndarray, (N,)
        The smaller, the more urgent; among equal ranks the older query goes first.
    by_rest : bool, optional
        Whether what is left to do decides instead.
    """

    def __init__(self, rank: Array, *, by_rest: bool = False) -> None:
        self._rank, self._by_rest = rank, by_rest
        self._desk = Desk(np.zeros(4), np.zeros(4, np.int64), np.zeros_like(rank), empty_heap())

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Tally, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        handled = 0
        ended = False
        while handled < kinds.size and not ended:
            self._desk = self._desk._replace(waiting=with_room(self._desk.waiting))
            rest = kinds[handled:], gaps[handled:], work[handled:]
            more, ended = serve(*rest, finish, self._by_rest, self._desk, self._rank, tally)
            handled += more
        return handled

    def drain(self, tally: Tally) -> None:
        """Serve all that are there."""
        drain(self._by_rest, self._desk, tally)


NOW, LEFT, SINCE, ASKED = range(4)
BUSY, KIND, SERIAL, NEXT = range(4)


class Desk(NamedTuple):
    """Who is served and who waits; kernels change it in place.

    Attributes
    ----------
    time : ndarray, (4,)
        The time, in s, set back to zero whenever the system empties; what is left to do for the
        query in service, when it came, and its whole service time.
    present : ndarray of int64, (4,)
        Whether there is one, its type and its number, and the number of the next arrival.
    begun : ndarray, (N,)
        What is left to do for the interrupted query of each type, if any. By rank there is at most
        one of each, the oldest of its rank, as nobody overtakes within a rank.
    waiting : Heap
        All others, by rank or by what is left.
    """

    time: Array
    present: Index
    begun: Array
    waiting: Heap


@compiled
def serve(
    kinds: Index,
    gaps: Array,
    work: Array,
    finish: bool,
    by_rest: bool,
    desk: Desk,
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
    by_rest : bool
        Whether what is left to do decides, and not the rank.
    desk : Desk
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
    time, present = desk.time, desk.present
    while handled < kinds.size and not ended and not is_full(desk.waiting):
        k, own = kinds[handled], work[handled]
        mine = own if by_rest else rank[k]
        at_work = present[KIND]
        urgency = time[LEFT] if by_rest else rank[at_work]
        if present[BUSY] and mine >= urgency:
            push(desk.waiting, mine, present[NEXT], time[NOW], k, own)
        else:
            if present[BUSY]:
                desk.begun[at_work] = time[LEFT]
                since, asked = time[SINCE], time[ASKED]
                push(desk.waiting, urgency, present[SERIAL], since, at_work, asked)
            present[BUSY], present[KIND], present[SERIAL] = 1, k, present[NEXT]
            time[LEFT], time[SINCE], time[ASKED] = own, time[NOW], own
        present[NEXT] += 1
        pass_time(tally, gaps[handled])
        work_until(time[NOW] + gaps[handled], by_rest, desk, tally)
        handled += 1
        empty = present[BUSY] == 0
        if empty:
            time[NOW] = 0.0
        ended = turn(tally, empty, finish)
    return handled, ended


@inlined
def work_until(until: float, by_rest: bool, desk: Desk, tally: Tally) -> None:
    """Work until some time; whoever is done is followed by the most urgent one that waits."""
    time, present = desk.time, desk.present
    while present[BUSY] and time[NOW] + time[LEFT] <= until:
        time[NOW] += time[LEFT]
        k = present[KIND]
        record(tally, k, max(time[NOW] - time[SINCE] - time[ASKED], 0.0), time[ASKED])
        present[BUSY] = desk.waiting.size[0] > 0
        if present[BUSY]:
            key, serial, since, k, asked = pop(desk.waiting)
            present[KIND], present[SERIAL] = k, serial
            time[SINCE], time[ASKED] = since, asked
            if by_rest:
                time[LEFT] = key
            else:
                time[LEFT] = desk.begun[k] if desk.begun[k] > 0.0 else asked
                desk.begun[k] = 0.0
    if present[BUSY]:
        time[LEFT] -= until - time[NOW]
    time[NOW] = until


@compiled
def drain(by_rest: bool, desk: Desk, tally: Tally) -> None:
    """Let all queries leave."""
    work_until(np.inf, by_rest, desk, tally)
