r"""First come, first served by one server: Lindley's recursion, in every use that is made of it.

:math:`W_{n+1} = \max(0,\, W_n + S_n - A_{n+1})` needs the last waiting time and nothing else, so a
billion queries need no more memory than a thousand. On fixed arrival times and types,

.. math:: W_n = \max_{i \le n}\Bigl(\sum_{j=i}^{n-1} S_j - (t_n - t_i)\Bigr),

a maximum of functions that are linear in the service times. So the mean system time over any
record is convex and piecewise linear in the service times, with the slope

.. math:: \frac{\partial}{\partial s_k}\,\frac1n\sum_n T_n
       = \frac1n \sum_{j:\,k_j = k} (\text{queries from } j \text{ to the end of the busy period}).
"""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.rows import CYCLES, LEAST, ROW, may_end
from thinkqueue.simulation.tally import Tally, close, count, end_row, opened


class Lindley:
    """The engine for one server and the order of arrival."""

    def __init__(self) -> None:
        self._wait = np.zeros(1)

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Tally, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        return serve(kinds, gaps, work, finish, self._wait, tally)

    def drain(self, tally: Tally) -> None:
        """Do nothing: every query is recorded when it comes."""


@inlined
def left_over(wait: float, service: float, gap: float) -> float:
    """Return the work that the next query finds, negative if the server has been idle."""
    return wait + service - gap


@compiled
def serve(kinds: Index, gaps: Array, work: Array, finish: bool, wait: Array, tally: Tally) -> int:
    """Serve queries; return how many.

    Parameters
    ----------
    kinds, gaps, work : ndarray, (n,)
        The type of each, the time to the next and the service time, in s.
    finish : bool
        Whether to stop at the end of the row in progress.
    wait : ndarray, (1,)
        The waiting time of the first of them, and in the end of the first that is not served.
    tally : Tally
        The statistics, changed in place.
    """
    here = wait[0]
    served = kinds.size
    # the sums of the row in progress stay in registers: this is the innermost loop of all
    queries, waiting, busy, length, waiting_squared, system_squared = opened(tally)
    row, least, cycles = tally.state[ROW], tally.state[LEAST], 0
    for place in range(kinds.size):
        k, gap, served_for = kinds[place], gaps[place], work[place]
        time = here + served_for
        queries += 1.0
        waiting += here
        busy += served_for
        length += gap
        waiting_squared += here * here
        system_squared += time * time
        count(tally, row, k, here, time)
        rest = left_over(here, served_for, gap)
        here = max(rest, 0.0)
        # whether the server falls idle is a coin that no processor can foresee, so it is counted
        # and not branched on, except where a row is long enough to end
        cycles += rest <= 0.0
        if queries >= least and may_end(tally, rest <= 0.0):
            close(tally, (queries, waiting, busy, length, waiting_squared, system_squared))
            end_row(tally)
            queries, waiting, busy, length, waiting_squared, system_squared = opened(tally)
            row, least = tally.state[ROW], tally.state[LEAST]
            if finish:
                served = place + 1
                break
    close(tally, (queries, waiting, busy, length, waiting_squared, system_squared))
    tally.state[CYCLES] += cycles
    wait[0] = here
    return served


@compiled
def waiting_and_slope(kinds: Index, gaps: Array, service: Array) -> tuple[Array, Array]:
    """Run several records through the queue, each from empty.

    Parameters
    ----------
    kinds : ndarray of int64, (R, n)
        The type of each query.
    gaps : ndarray, (R, n)
        Time from each query to the next one, in s; one row may serve all records.
    service : ndarray, (N,)
        In s.

    Returns
    -------
    waiting : ndarray, (R,)
        Mean waiting time of each record.
    slope : ndarray, (N,)
        Derivative of the mean system time over all records by each service time.
    """
    records, n = kinds.shape
    waiting, slope = np.zeros(records), np.zeros(service.size)
    for one in range(records):
        row = one % gaps.shape[0]
        here, start = 0.0, 0
        for i in range(n):
            waiting[one] += here
            here = left_over(here, service[kinds[one, i]], gaps[row, i])
            if here <= 0.0 or i == n - 1:
                here = 0.0
                for j in range(start, i + 1):
                    slope[kinds[one, j]] += i + 1 - j
                start = i + 1
        waiting[one] /= n
    return waiting, slope / (records * n)
