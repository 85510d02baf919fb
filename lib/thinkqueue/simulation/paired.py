r"""Two allocations under the same arrivals: their difference, and what is left of it beyond slope.

Both queues see the same types at the same times (common random numbers). Along with the waiting
times :math:`W^a, W^b` goes the pathwise derivative of :math:`W^a` in the direction of
:math:`b - a`,

.. math:: G_{n+1} = (G_n + s^b_{k_n} - s^a_{k_n})\,\mathbf 1\{W^a_{n+1} > 0\},

the slope of a function that is convex and piecewise linear in the service times, for every path.
So the remainder :math:`R_n = W^b_n - W^a_n - G_n` is never negative, and it is zero unless busy
periods merge or split between a and b: it resolves second-order differences that the noise of the
first-order part would drown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.lindley import left_over
from thinkqueue.simulation.rows import LEAST, QUERIES, ROW, ROWS, first_row, halve, next_row

# the other sums of a row: system times of the two queues, their difference, slope and remainder
SYSTEM_A, SYSTEM_B, DIFFERENCE, SLOPE, REMAINDER = range(QUERIES + 1, 6)
SUMS = 6


class Pairs(NamedTuple):
    """The statistics of both queues; a row ends where both are empty.

    Attributes
    ----------
    state : ndarray of int64, (4,)
        Where the rows stand (``rows.py``).
    sums : ndarray, (ROWS, 6)
        Sums over the queries of each row.
    """

    state: Index
    sums: Array


def no_pairs() -> Pairs:
    """Return the statistics of queues that have not begun."""
    return Pairs(first_row(1, False), np.zeros((ROWS, SUMS)))


class Paired:
    """The engine for both queues at once."""

    def __init__(self) -> None:
        self._waits = np.zeros(3)

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Pairs, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        return serve(gaps, work, finish, self._waits, tally)

    def drain(self, tally: Pairs) -> None:
        """Do nothing: every query is recorded when it comes."""


@compiled
def serve(gaps: Array, work: Array, finish: bool, waits: Array, pairs: Pairs) -> int:
    """Serve the queries in both queues; return how many.

    Parameters
    ----------
    gaps : ndarray, (n,)
        The time from each to the next in s.
    work : ndarray, (n, 2)
        The service times of each in a and b, in s.
    finish : bool
        Whether to stop at the end of the row in progress.
    waits : ndarray, (3,)
        The next query's waiting times in a and b, and the slope.
    pairs : Pairs
        The statistics, changed in place.
    """
    wait_a, wait_b, slope = waits[0], waits[1], waits[2]
    served = gaps.size
    # the sums of the row in progress stay in registers
    queries = system_a = system_b = difference = slopes = remainder = 0.0
    row, least = pairs.state[ROW], pairs.state[LEAST]
    for place in range(gaps.size):
        gap, a, b = gaps[place], work[place, 0], work[place, 1]
        time_a, time_b = wait_a + a, wait_b + b
        slope += b - a
        queries += 1.0
        system_a += time_a
        system_b += time_b
        difference += time_b - time_a
        slopes += slope
        remainder += time_b - time_a - slope
        wait_a = left_over(wait_a, a, gap)
        wait_b = max(left_over(wait_b, b, gap), 0.0)
        if wait_a <= 0.0:
            wait_a = slope = 0.0
            if wait_b == 0.0 and pairs.sums[row, QUERIES] + queries >= least:
                add(pairs, (queries, system_a, system_b, difference, slopes, remainder))
                queries = system_a = system_b = difference = slopes = remainder = 0.0
                if next_row(pairs.state):
                    halve(pairs.sums)
                row, least = pairs.state[ROW], pairs.state[LEAST]
                if finish:
                    served = place + 1
                    break
    add(pairs, (queries, system_a, system_b, difference, slopes, remainder))
    waits[0], waits[1], waits[2] = wait_a, wait_b, slope
    return served


@inlined
def add(pairs: Pairs, more: tuple[float, float, float, float, float, float]) -> None:
    """Add to the sums of the row in progress."""
    row, sums = pairs.state[ROW], pairs.sums
    sums[row, QUERIES] += more[0]
    sums[row, SYSTEM_A] += more[1]
    sums[row, SYSTEM_B] += more[2]
    sums[row, DIFFERENCE] += more[3]
    sums[row, SLOPE] += more[4]
    sums[row, REMAINDER] += more[5]
