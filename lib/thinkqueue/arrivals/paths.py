r"""The queue on given arrivals: its mean system time, and the exact slope of it.

On fixed arrival times and types the waiting times are

.. math:: W_n = \max_{i \le n}\Bigl(\sum_{j=i}^{n-1} S_j - (t_n - t_i)\Bigr),

a maximum of functions that are linear in the service times. So the mean system time over any
record is convex and piecewise linear in the tokens, with the slope

.. math:: \frac{\partial}{\partial s_k}\,\frac1n\sum_n T_n
       = \frac1n \sum_{j:\,k_j = k} (\text{queries from } j \text{ to the end of the busy period}).
"""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled


@compiled
def waiting_and_slope(gaps: Array, kinds: Index, service: Array) -> tuple[Array, Array]:
    """Run several records through the queue, each from empty.

    Parameters
    ----------
    gaps : ndarray, (R, n)
        Time from each query to the next one, in s; one row may serve all records.
    kinds : ndarray of int64, (R, n)
        The type of each query.
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
    for record in range(records):
        row = record % gaps.shape[0]
        wait, start = 0.0, 0
        for i in range(n):
            waiting[record] += wait
            wait += service[kinds[record, i]] - gaps[row, i]
            if wait <= 0.0 or i == n - 1:
                wait = 0.0
                for j in range(start, i + 1):
                    slope[kinds[record, j]] += i + 1 - j
                start = i + 1
        waiting[record] /= n
    return waiting, slope / (records * n)
