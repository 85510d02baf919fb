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

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.alias import draw
from thinkqueue.simulation.compiled import compiled
from thinkqueue.simulation.streams import State, exponential, keep_words, words_of
from thinkqueue.simulation.tally import BLOCK

# the sums of one block; system times of the two queues, their difference, slope and remainder
QUERIES, SYSTEM_A, SYSTEM_B, DIFFERENCE, SLOPE, REMAINDER = range(6)
SUMS = 6


@compiled
def serve_both(
    jobs: int,
    finish: bool,
    waits: Array,
    stream: State,
    keep: Array,
    first: Index,
    other: Index,
    service_a: Array,
    service_b: Array,
    mean_gap: float,
    open_: Array,
    blocks: Index,
    sums: Array,
    products: Array,
    cubes: Array,
) -> tuple[int, bool]:
    """Serve the next queries in both queues.

    Parameters
    ----------
    jobs : int
        How many queries to serve at most.
    finish : bool
        Whether to stop at the end of the block in progress.
    waits : ndarray, (3,)
        The next query's waiting times in a and b, and the slope.
    service_a, service_b : ndarray, (N,)
        Service times of the two allocations.
    open_, blocks, sums, products, cubes
        As in ``tally.py``; a block ends where both queues are empty.

    Returns
    -------
    served : int
        How many queries were served.
    finished : bool
        Whether the run stopped at the end of a block that was asked to be finished.
    """
    wait_a, wait_b, slope = waits[0], waits[1], waits[2]
    words = words_of(stream)
    served, finished = 0, False
    while served < jobs and not finished:
        served += 1
        k, words = draw(words, keep, first, other)
        wait_a += service_a[k]
        wait_b += service_b[k]
        slope += service_b[k] - service_a[k]
        open_[QUERIES] += 1.0
        open_[SYSTEM_A] += wait_a
        open_[SYSTEM_B] += wait_b
        open_[DIFFERENCE] += wait_b - wait_a
        open_[SLOPE] += slope
        open_[REMAINDER] += wait_b - wait_a - slope
        gap, words = exponential(words)
        gap *= mean_gap
        wait_a -= gap
        wait_b = max(wait_b - gap, 0.0)
        if wait_a <= 0.0:
            wait_a = slope = 0.0
            if wait_b == 0.0 and open_[QUERIES] >= BLOCK:
                blocks[0] += 1
                for i in range(SUMS):
                    sums[i] += open_[i]
                    for j in range(i + 1):
                        product = open_[i] * open_[j]
                        products[i, j] += product
                        for h in range(j + 1):
                            cubes[i, j, h] += product * open_[h]
                for i in range(SUMS):
                    open_[i] = 0.0
                finished = finish
    waits[0], waits[1], waits[2] = wait_a, wait_b, slope
    keep_words(stream, words)
    return served, finished
