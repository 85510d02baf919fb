"""Continuous batching: all queries in the batch get a token at each step, the others wait."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.heap import Heap, empty_heap, is_full, pop, push, with_room
from thinkqueue.simulation.rows import CYCLES, is_long, may_end
from thinkqueue.simulation.tally import Tally, end_row, pass_time, record
from thinkqueue.workload import Batching

LISTED = 4096
"""Up to so many queries at least the step is looked up; beyond, it goes on along a line."""


class Batch:
    r"""The engine for a batching server.

    A query enters the batch at virtual time V and leaves it at V + s, where s is its time alone and
    V passes at the rate :math:`\tau(1)/\tau(n)` of n queries in the batch; where more than B share,
    at B/n of the rate of B. Its waiting time is what it was there beyond s.

    Parameters
    ----------
    server : Batching
        Its steps, its places, and what happens to those that find none.
    """

    def __init__(self, server: Batching) -> None:
        time, cap = server.token_time, server.max_batch or np.iinfo(np.int64).max
        rows = getattr(time, "queries", (0.0,))[-1]
        places = np.arange(1.0, min(max(LISTED, int(np.ceil(rows))), cap) + 2)
        steps = time.seconds_at(np.minimum(places, cap))
        stretch = steps * np.maximum(places / cap, 1.0) / float(time.seconds_at(1.0))
        self._stretch = np.concatenate([[1.0], stretch])
        self._places = cap if server.overflow == "wait" else np.iinfo(np.int64).max
        self._crowd = Crowd(np.zeros(2), np.zeros(1, np.int64), empty_heap(), empty_heap())

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Tally, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        handled = 0
        ended = False
        while handled < kinds.size and not ended:
            crowd = self._crowd
            self._crowd = crowd._replace(
                batch=with_room(crowd.batch), waiting=with_room(crowd.waiting)
            )
            rest = kinds[handled:], gaps[handled:], work[handled:]
            more, ended = serve(*rest, finish, self._places, self._stretch, self._crowd, tally)
            handled += more
        return handled

    def drain(self, tally: Tally) -> None:
        """Serve all that are still there."""
        drain(self._stretch, self._crowd, tally)


NOW, VIRTUAL = range(2)


class Crowd(NamedTuple):
    """Who is there; kernels change it in place.

    Attributes
    ----------
    clock : ndarray, (2,)
        Time and virtual time, in s; both are set back to zero whenever the system empties.
    serial : ndarray of int64, (1,)
        The number of the next arrival.
    batch : Heap
        The queries in the batch, by the virtual time at which they leave.
    waiting : Heap
        The others, in the order of arrival.
    """

    clock: Array
    serial: Index
    batch: Heap
    waiting: Heap


@compiled
def serve(
    kinds: Index,
    gaps: Array,
    work: Array,
    finish: bool,
    places: int,
    stretch: Array,
    crowd: Crowd,
    tally: Tally,
) -> tuple[int, bool]:
    r"""Serve queries until there is no room for another one.

    Parameters
    ----------
    kinds, gaps, work : ndarray, (n,)
        The type of each, the time to the next and the time alone, :math:`\tau(1)x`, in s.
    finish : bool
        Whether to stop at the end of the row in progress.
    places : int
        How many the batch holds before others wait.
    stretch : ndarray
        By how much so many in the batch prolong a token.
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
    while (
        handled < kinds.size
        and not ended
        and not is_full(crowd.batch)
        and not is_full(crowd.waiting)
    ):
        k, own = kinds[handled], work[handled]
        serial, now = crowd.serial[0], crowd.clock[NOW]
        if crowd.batch.size[0] < places:
            push(crowd.batch, crowd.clock[VIRTUAL] + own, serial, now, k, own)
        else:
            push(crowd.waiting, float(serial), serial, now, k, own)
        crowd.serial[0] += 1
        pass_time(tally, gaps[handled])
        pass_until(now + gaps[handled], stretch, crowd, tally)
        handled += 1
        empty = crowd.batch.size[0] == 0
        if empty:
            crowd.clock[NOW] = crowd.clock[VIRTUAL] = 0.0
        tally.state[CYCLES] += empty
        if is_long(tally) and may_end(tally, empty):
            end_row(tally)
            ended = finish
    return handled, ended


@inlined
def pass_until(until: float, stretch: Array, crowd: Crowd, tally: Tally) -> None:
    """Let time pass, queries leave, and others take their places."""
    now, virtual = crowd.clock[NOW], crowd.clock[VIRTUAL]
    last = stretch.size - 1
    while crowd.batch.size[0] > 0:
        n = crowd.batch.size[0]
        slow = stretch[min(n, last)] + max(n - last, 0) * (stretch[last] - stretch[last - 1])
        next_virtual = crowd.batch.key[0]
        leaves = now + (next_virtual - virtual) * slow
        if leaves > until:
            virtual += (until - now) / slow
            break
        now, virtual = leaves, next_virtual
        _, _, arrival, k, own = pop(crowd.batch)
        record(tally, k, max(now - arrival - own, 0.0), own)
        if crowd.waiting.size[0] > 0:
            _, serial, came, kind, more = pop(crowd.waiting)
            push(crowd.batch, virtual + more, serial, came, kind, more)
    crowd.clock[NOW], crowd.clock[VIRTUAL] = until, virtual


@compiled
def drain(stretch: Array, crowd: Crowd, tally: Tally) -> None:
    """Let all queries leave."""
    pass_until(np.inf, stretch, crowd, tally)
