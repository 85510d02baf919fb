r"""First come, first served in one compiled pass that holds nothing per query.

Lindley's recursion :math:`W_{n+1} = \max(0,\, W_n + S_n - A_{n+1})` needs the last waiting time
and nothing else, so a billion queries need no more memory than a thousand.
"""

from __future__ import annotations

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.alias import draw
from thinkqueue.simulation.compiled import compiled
from thinkqueue.simulation.streams import State, exponential, keep_words, words_of
from thinkqueue.simulation.tally import BLOCK, QUERIES, Tally, close_block, pass_time, record


@compiled
def serve(
    jobs: int,
    finish: bool,
    wait: float,
    stream: State,
    keep: Array,
    first: Index,
    other: Index,
    service: Array,
    deadline: Array,
    mean_gap: float,
    tally: Tally,
) -> tuple[int, float]:
    """Serve the next queries.

    Parameters
    ----------
    jobs : int
        How many queries to serve at most.
    finish : bool
        Whether to stop at the end of the block in progress.
    wait : float
        The waiting time of the next query.
    stream, keep, first, other
        Where types and gaps come from: random bits and an alias table.
    service, deadline : ndarray, (N,)
        Seconds of each type.
    mean_gap : float
        The mean time between two arrivals, in seconds.
    tally : Tally
        The statistics, changed in place.

    Returns
    -------
    served : int
        How many queries were served.
    wait : float
        The waiting time of the query after them; minus one at the end of a block that was asked
        to be finished.
    """
    words = words_of(stream)
    served = 0
    while served < jobs:
        served += 1
        k, words = draw(words, keep, first, other)
        record(tally, k, wait, service[k], deadline[k])
        gap, words = exponential(words)
        gap *= mean_gap
        pass_time(tally, gap)
        rest = wait + service[k] - gap
        wait = max(rest, 0.0)
        # whether the server falls idle is a coin that no processor can foresee, so it is counted
        # and not branched on, except where a block is long enough to end
        tally.cycles[0] += rest <= 0.0
        if tally.open[QUERIES] >= BLOCK and rest <= 0.0:
            close_block(tally)
            if finish:
                wait = -1.0
                break
    keep_words(stream, words)
    return served, wait
