r"""What a simulation gathers on its way, in memory that does not grow with the run.

The queue starts anew whenever a query finds it empty, so busy cycles are independent and alike.
A *block* is as many whole cycles as it takes to hold at least 32 queries: it ends where a cycle
ends, by a rule that looks at the block alone, so blocks are independent and alike as well. Of each
block six sums are kept until it ends; then they and their products are added to the totals, from
which ratio estimates with intervals follow (``estimates.py``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled
from thinkqueue.simulation.sketch import BINS, bin_of

BLOCK = 32
"""The fewest queries of a block: enough to make closing one cheap, few enough for many blocks."""

# the sums over the queries of one block
QUERIES, WAITING, BUSY, LENGTH, WAITING_SQUARED, SYSTEM_SQUARED = range(6)
SUMS = 6

# the sums over the queries of one type in one block
TYPE_QUERIES, TYPE_WAITING, TYPE_LATE = range(3)
TYPE_SUMS = 3

RUNNING = 4
"""The first four sums are also kept for each batch."""


class Tally(NamedTuple):
    """The statistics of one replication; kernels change them in place.

    Attributes
    ----------
    open : ndarray, (6,)
        Sums over the queries of the block in progress: how many, their waiting times, their
        service times, the time between arrivals, squares of waiting and of system times.
    cycles, blocks : ndarray of int64, (1,)
        How many cycles and how many blocks have ended.
    sums : ndarray, (6,)
        The same sums over the blocks that have ended.
    products : ndarray, (6, 6)
        Sums of the products of the sums of each block; the lower triangle is used.
    cubes : ndarray, (6, 6, 6)
        The same for products of three; indices never increase.
    type_open : ndarray, (N, 3)
        For each type the queries of the block in progress, their waiting times, and how many of
        them were answered after their deadline.
    type_sums : ndarray, (N, 3)
        The same over the blocks that have ended.
    type_products, type_cubes : ndarray, (N, 3, 3) and (N, 3, 3, 3)
        Sums of products, as above.
    touched : ndarray of int64, (N + 1,)
        The types that the block in progress has seen; the last entry counts them. Where types are
        few, all of them count as seen from the start.
    system_sketch, waiting_sketch : ndarray of int64, (BINS,)
        The histograms of ``sketch.py`` of the batch in progress.
    """

    open: Array
    cycles: Index
    blocks: Index
    sums: Array
    products: Array
    cubes: Array
    type_open: Array
    type_sums: Array
    type_products: Array
    type_cubes: Array
    touched: Index
    system_sketch: Index
    waiting_sketch: Index


def empty_tally(types: int) -> Tally:
    """Return the tally of a replication that has not begun.

    Parameters
    ----------
    types : int
        How many task types there are.
    """
    touched = np.arange(types + 1)
    touched[-1] = types if types <= BLOCK else 0
    return Tally(
        open=np.zeros(SUMS),
        cycles=np.zeros(1, np.int64),
        blocks=np.zeros(1, np.int64),
        sums=np.zeros(SUMS),
        products=np.zeros((SUMS, SUMS)),
        cubes=np.zeros((SUMS, SUMS, SUMS)),
        type_open=np.zeros((types, TYPE_SUMS)),
        type_sums=np.zeros((types, TYPE_SUMS)),
        type_products=np.zeros((types, TYPE_SUMS, TYPE_SUMS)),
        type_cubes=np.zeros((types, TYPE_SUMS, TYPE_SUMS, TYPE_SUMS)),
        touched=touched,
        system_sketch=np.zeros(BINS, np.int64),
        waiting_sketch=np.zeros(BINS, np.int64),
    )


@compiled
def record(tally: Tally, k: int, wait: float, service: float, deadline: float) -> None:
    """Add one query of type k to the block in progress."""
    time = wait + service
    tally.open[QUERIES] += 1.0
    tally.open[WAITING] += wait
    tally.open[BUSY] += service
    tally.open[WAITING_SQUARED] += wait * wait
    tally.open[SYSTEM_SQUARED] += time * time
    tally.system_sketch[bin_of(time)] += 1
    tally.waiting_sketch[bin_of(wait)] += 1
    if tally.touched[-1] < tally.touched.size - 1 and tally.type_open[k, TYPE_QUERIES] == 0.0:
        tally.touched[tally.touched[-1]] = k
        tally.touched[-1] += 1
    tally.type_open[k, TYPE_QUERIES] += 1.0
    tally.type_open[k, TYPE_WAITING] += wait
    if time > deadline:
        tally.type_open[k, TYPE_LATE] += 1.0


@compiled
def pass_time(tally: Tally, gap: float) -> None:
    """Let the time to the next arrival pass."""
    tally.open[LENGTH] += gap


@compiled
def regenerate(tally: Tally) -> bool:
    """Note that the next query finds the system empty; say whether this ended a block."""
    tally.cycles[0] += 1
    if tally.open[QUERIES] < BLOCK:
        return False
    close_block(tally)
    return True


@compiled
def close_block(tally: Tally) -> None:
    """Add the sums of the block in progress and their products to the totals."""
    tally.blocks[0] += 1
    for i in range(SUMS):
        tally.sums[i] += tally.open[i]
        for j in range(i + 1):
            product = tally.open[i] * tally.open[j]
            tally.products[i, j] += product
            for h in range(j + 1):
                tally.cubes[i, j, h] += product * tally.open[h]
    for place in range(tally.touched[-1]):
        k = tally.touched[place]
        for i in range(TYPE_SUMS):
            tally.type_sums[k, i] += tally.type_open[k, i]
            for j in range(i + 1):
                product = tally.type_open[k, i] * tally.type_open[k, j]
                tally.type_products[k, i, j] += product
                for h in range(j + 1):
                    tally.type_cubes[k, i, j, h] += product * tally.type_open[k, h]
        for i in range(TYPE_SUMS):
            tally.type_open[k, i] = 0.0
    if tally.touched.size - 1 > BLOCK:
        tally.touched[-1] = 0
    for i in range(SUMS):
        tally.open[i] = 0.0
