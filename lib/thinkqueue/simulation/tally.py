"""What a simulation gathers on its way, in memory that does not grow with the run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.rows import (
    CYCLES,
    QUERIES,
    ROW,
    ROWS,
    Counts,
    first_row,
    halve,
    is_long,
    may_end,
    next_row,
)
from thinkqueue.simulation.sketch import BINS, COARSE_BINS, bin_of, coarse

FEWEST_ROWS, MOST_SUMS = 16, 1 << 17
"""There are fewer rows by type where types are many."""

# the sums over the queries of a row: how many, their waiting and their service times, the time
# from each arrival to the next, the squares of waiting and of system times
WAITING, BUSY, LENGTH, WAITING_SQUARED, SYSTEM_SQUARED = range(QUERIES + 1, 6)
SUMS = 6

# the sums over the queries of one type: how many, waiting times, how many missed the deadline
TYPE_QUERIES, TYPE_WAITING, TYPE_LATE = range(3)
TYPE_SUMS = 3


class Tally(NamedTuple):
    """The statistics of one replication; kernels change them in place.

    Attributes
    ----------
    state : ndarray of int64, (4,)
        Where the rows stand (``rows.py``).
    sums : ndarray, (ROWS, 6)
        Sums over the queries of each row.
    of_type : ndarray, (ROWS / 2**sharing, N, 3)
        Sums over the queries of each type.
    sharing : int
        Row i of the types is shared by rows i 2**sharing and those after it. 0 unless types are
        many.
    system_rows, waiting_rows : ndarray of int32, (ROWS, COARSE_BINS)
        Histograms of the times of each row, in coarse bins.
    system, waiting : ndarray of int64, (BINS,)
        Histograms of the times of the whole run, in fine bins.
    deadline : ndarray, (N,)
        In s.
    """

    state: Index
    sums: Array
    of_type: Array
    sharing: int
    system_rows: Counts
    waiting_rows: Counts
    system: Index
    waiting: Index
    deadline: Array


def empty_tally(deadline: Array, least: int, anywhere: bool) -> Tally:
    """Return the tally of a replication that has not begun.

    Parameters
    ----------
    deadline : ndarray, (N,)
        Of each type, in s.
    least, anywhere
        When a row ends (``rows.py``).
    """
    sharing = 0
    while ROWS >> sharing > FEWEST_ROWS and (ROWS >> sharing) * deadline.size > MOST_SUMS:
        sharing += 1
    return Tally(
        state=first_row(least, anywhere),
        sums=np.zeros((ROWS, SUMS)),
        of_type=np.zeros((ROWS >> sharing, deadline.size, TYPE_SUMS)),
        sharing=sharing,
        system_rows=np.zeros((ROWS, COARSE_BINS), np.int32),
        waiting_rows=np.zeros((ROWS, COARSE_BINS), np.int32),
        system=np.zeros(BINS, np.int64),
        waiting=np.zeros(BINS, np.int64),
        deadline=deadline,
    )


@inlined
def record(tally: Tally, k: int, wait: float, service: float) -> None:
    """Add one query of type k to the row in progress."""
    time = wait + service
    row = tally.state[ROW]
    tally.sums[row, QUERIES] += 1.0
    tally.sums[row, WAITING] += wait
    tally.sums[row, BUSY] += service
    tally.sums[row, WAITING_SQUARED] += wait * wait
    tally.sums[row, SYSTEM_SQUARED] += time * time
    count(tally, row, k, wait, time)


@inlined
def count(tally: Tally, row: int, k: int, wait: float, time: float) -> None:
    """Add one query to the sums of its type and to the histograms."""
    shared = row >> tally.sharing
    tally.of_type[shared, k, TYPE_QUERIES] += 1.0
    tally.of_type[shared, k, TYPE_WAITING] += wait
    if time > tally.deadline[k]:
        tally.of_type[shared, k, TYPE_LATE] += 1.0
    fine = bin_of(time)
    tally.system[fine] += 1
    tally.system_rows[row, coarse(fine)] += 1
    fine = bin_of(wait)
    tally.waiting[fine] += 1
    tally.waiting_rows[row, coarse(fine)] += 1


@inlined
def pass_time(tally: Tally, gap: float) -> None:
    """Let the time to the next arrival pass."""
    tally.sums[tally.state[ROW], LENGTH] += gap


@inlined
def opened(tally: Tally) -> tuple[float, float, float, float, float, float]:
    """Return the sums of the row in progress as numbers, which a loop keeps in registers."""
    row, sums = tally.state[ROW], tally.sums
    return sums[row, 0], sums[row, 1], sums[row, 2], sums[row, 3], sums[row, 4], sums[row, 5]


@inlined
def close(tally: Tally, new: tuple[float, float, float, float, float, float]) -> None:
    """Put the sums back into the row in progress."""
    row, sums = tally.state[ROW], tally.sums
    sums[row, 0], sums[row, 1], sums[row, 2] = new[0], new[1], new[2]
    sums[row, 3], sums[row, 4], sums[row, 5] = new[3], new[4], new[5]


@compiled
def end_row(tally: Tally) -> None:
    """Begin the next row."""
    if next_row(tally.state):
        halve(tally.sums)
        halve(tally.of_type)
        halve(tally.system_rows)
        halve(tally.waiting_rows)


@inlined
def turn(tally: Tally, empty: bool, finish: bool) -> bool:
    """Count a cycle where the system is empty; end a row that is long, and say whether to stop."""
    tally.state[CYCLES] += empty
    if is_long(tally) and may_end(tally, empty):
        end_row(tally)
        return finish
    return False
