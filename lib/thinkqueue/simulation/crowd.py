"""Continuous batching with thoughts that the number present may stop."""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined


@inlined
def budget(first: float, fall: float, most: float, price: float) -> float:
    """Return the tokens whose last one is worth its price."""
    if first <= price:
        return 0.0
    return float(min(fall * np.log(first / price), most))


@compiled
def serve_crowd(
    kinds: Index,
    times: Array,
    curves: tuple[Array, Array, Array],
    answer: Array,
    step: tuple[float, float],
    price: tuple[float, float],
) -> tuple[Array, Array]:
    r"""Serve a record; n present get a token each in :math:`a + bn` seconds.

    Parameters
    ----------
    kinds, times : ndarray, (n,)
        The type of each query, and when it comes in s.
    curves : tuple of three ndarrays, (N,)
        What a token is worth at first, in s; the tokens in which that falls by a factor of e; the
        most of them.
    answer : ndarray, (N,)
        Tokens of the answer, which follow the thought and are not stopped.
    step : tuple of float
        a and b in s.
    price : tuple of float
        Of a token while n are present, in s: the first of these, and n - 1 times the second.

    Returns
    -------
    system, tokens : ndarray, (n,)
        From arrival to answer in s, and the tokens thought.
    """
    first, fall, most = curves
    n = kinds.size
    system, tokens = np.zeros(n), np.zeros(n)
    # a common clock that counts the tokens of whoever is present
    here, begun, ends = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    thinks = np.zeros(n, np.bool_)
    present, come, now, clock = 0, 0, times[0], 0.0
    while come < n or present > 0:
        pace = step[0] + step[1] * present
        dear = price[0] + price[1] * (present - 1)
        # who is beyond what the present number allows goes on to its answer
        soonest = np.inf
        for p in range(present):
            i = here[p]
            k = kinds[i]
            if thinks[p]:
                stop = begun[p] + budget(first[k], fall[k], most[k], dear)
                if stop <= clock * (1 + 1e-15):
                    thinks[p] = False
                    tokens[i] = clock - begun[p]
                    ends[p] = clock + answer[k]
                else:
                    ends[p] = stop
            soonest = min(soonest, ends[p])
        arrives = times[come] if come < n else np.inf
        if present == 0 or now + (soonest - clock) * pace >= arrives:
            if present > 0:
                clock += max(arrives - now, 0.0) / pace
            now = max(arrives, now)
            here[present], begun[present], thinks[present] = come, clock, True
            come += 1
            present += 1
            continue
        now += (soonest - clock) * pace
        clock = soonest
        p = 0
        while p < present:
            if ends[p] > clock:
                p += 1
            elif thinks[p]:
                i = here[p]
                thinks[p] = False
                tokens[i] = clock - begun[p]
                ends[p] = clock + answer[kinds[i]]
                p += 1
            else:
                system[here[p]] = now - times[here[p]]
                present -= 1
                here[p], begun[p], ends[p] = here[present], begun[present], ends[present]
                thinks[p] = thinks[present]
    return system, tokens
