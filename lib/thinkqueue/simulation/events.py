"""Every other discipline and several servers: an event simulation on heaps, compiled.

Types and gaps are drawn in the same order as in ``lindley.py``, so one seed sends the same
queries at the same times through every discipline. The clock is set back to zero whenever the
system empties, which keeps its precision however long the run is.
"""

from __future__ import annotations

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.alias import draw
from thinkqueue.simulation.compiled import compiled
from thinkqueue.simulation.streams import State, exponential, keep_words, words_of
from thinkqueue.simulation.tally import Tally, pass_time, record, regenerate

# the columns of a heap of queries: what orders it, in which order they came, and when
KEY, SERIAL, ARRIVAL = range(3)


@compiled
def before(heap: Array, i: int, j: int) -> bool:
    """Say whether entry i goes before entry j: the smaller key, then the older query."""
    if heap[i, KEY] != heap[j, KEY]:
        return bool(heap[i, KEY] < heap[j, KEY])
    return bool(heap[i, SERIAL] < heap[j, SERIAL])


@compiled
def swap(heap: Array, kinds: Index, i: int, j: int) -> None:
    """Exchange two entries."""
    for column in range(3):
        heap[i, column], heap[j, column] = heap[j, column], heap[i, column]
    kinds[i], kinds[j] = kinds[j], kinds[i]


@compiled
def push(
    heap: Array, kinds: Index, size: int, key: float, serial: float, arrival: float, kind: int
) -> None:
    """Put a query into a heap of the given size."""
    heap[size, KEY], heap[size, SERIAL], heap[size, ARRIVAL] = key, serial, arrival
    kinds[size] = kind
    child = size
    while child > 0:
        parent = (child - 1) // 2
        if not before(heap, child, parent):
            break
        swap(heap, kinds, child, parent)
        child = parent


@compiled
def pop(heap: Array, kinds: Index, size: int) -> None:
    """Take the first query out of a heap of the given size; it lies behind the heap afterwards."""
    last = size - 1
    swap(heap, kinds, 0, last)
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= last:
            return
        if child + 1 < last and before(heap, child + 1, child):
            child += 1
        if not before(heap, child, parent):
            return
        swap(heap, kinds, child, parent)
        parent = child


@compiled
def serve_by_rank(
    jobs: int,
    finish: bool,
    servers: int,
    rank: Array,
    clock: Array,
    counts: Index,
    waiting: Array,
    waiting_kinds: Index,
    leaving: Array,
    leaving_kinds: Index,
    stream: State,
    keep: Array,
    first: Index,
    other: Index,
    service: Array,
    deadline: Array,
    mean_gap: float,
    tally: Tally,
) -> tuple[int, bool]:
    """Serve by the smallest rank, without interrupting anybody.

    Parameters
    ----------
    jobs : int
        How many arrivals to handle at most; fewer when the heap of waiting queries is full.
    finish : bool
        Whether to stop at the end of the block in progress.
    servers : int
        How many servers there are.
    rank : ndarray, (N,)
        The smaller, the more urgent.
    clock, counts : ndarray, (2,)
        Time and serial number of the next arrival; how many wait and how many are served.
    waiting, waiting_kinds, leaving, leaving_kinds
        The heaps of those that wait, by rank, and of those in service, by departure.

    Returns
    -------
    handled : int
        How many arrivals were handled.
    finished : bool
        Whether the run stopped at the end of a block that was asked to be finished.
    """
    words = words_of(stream)
    handled, finished = 0, False
    while handled < jobs and counts[0] < waiting_kinds.size and not finished:
        handled += 1
        k, words = draw(words, keep, first, other)
        if counts[1] < servers:
            record(tally, k, 0.0, service[k], deadline[k])
            push(leaving, leaving_kinds, counts[1], clock[0] + service[k], clock[1], 0.0, k)
            counts[1] += 1
        else:
            push(waiting, waiting_kinds, counts[0], rank[k], clock[1], clock[0], k)
            counts[0] += 1
        gap, words = exponential(words)
        gap *= mean_gap
        pass_time(tally, gap)
        clock[0] += gap
        clock[1] += 1.0
        while counts[1] > 0 and leaving[0, KEY] <= clock[0]:
            now, serial = leaving[0, KEY], leaving[0, SERIAL]
            pop(leaving, leaving_kinds, counts[1])
            counts[1] -= 1
            if counts[0] > 0:
                pop(waiting, waiting_kinds, counts[0])
                counts[0] -= 1
                k = waiting_kinds[counts[0]]
                record(tally, k, now - waiting[counts[0], ARRIVAL], service[k], deadline[k])
                push(leaving, leaving_kinds, counts[1], now + service[k], serial, 0.0, k)
                counts[1] += 1
        if counts[1] == 0:
            clock[0] = 0.0
            finished = regenerate(tally) and finish
    keep_words(stream, words)
    return handled, finished


@compiled
def serve_shared(
    jobs: int,
    finish: bool,
    servers: int,
    clock: Array,
    counts: Index,
    present: Array,
    kinds: Index,
    stream: State,
    keep: Array,
    first: Index,
    other: Index,
    service: Array,
    deadline: Array,
    mean_gap: float,
    tally: Tally,
) -> tuple[int, bool]:
    """Serve all that are present at once, each at the rate min(1, servers / present).

    A query that starts at virtual time V leaves at V + s, where V passes at that common rate;
    its waiting time is what it was there beyond its service time.

    Parameters
    ----------
    jobs, finish, servers
        As in :func:`serve_by_rank`.
    clock, counts : ndarray, (3,) and (2,)
        Time, serial number and virtual time; how many are present.
    present, kinds
        The heap of queries by the virtual time at which they leave.

    Returns
    -------
    handled : int
        How many arrivals were handled.
    finished : bool
        Whether the run stopped at the end of a block that was asked to be finished.
    """
    words = words_of(stream)
    handled, finished = 0, False
    while handled < jobs and counts[0] < kinds.size and not finished:
        handled += 1
        k, words = draw(words, keep, first, other)
        push(present, kinds, counts[0], clock[2] + service[k], clock[1], clock[0], k)
        counts[0] += 1
        gap, words = exponential(words)
        gap *= mean_gap
        pass_time(tally, gap)
        now, arrival = clock[0], clock[0] + gap
        clock[1] += 1.0
        while counts[0] > 0:
            rate = min(1.0, servers / counts[0])
            leaves = now + (present[0, KEY] - clock[2]) / rate
            if leaves > arrival:
                clock[2] += (arrival - now) * rate
                break
            clock[2], now = present[0, KEY], leaves
            pop(present, kinds, counts[0])
            counts[0] -= 1
            k = kinds[counts[0]]
            delay = now - present[counts[0], ARRIVAL] - service[k]
            record(tally, k, max(delay, 0.0), service[k], deadline[k])
        clock[0] = arrival
        if counts[0] == 0:
            clock[0] = clock[2] = 0.0
            finished = regenerate(tally) and finish
    keep_words(stream, words)
    return handled, finished
