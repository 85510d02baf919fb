"""A good allocation to start from: one type at a time, always the best single change."""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Index
from thinkqueue.whole_tokens.choices import Choices


def improve(choices: Choices, index: Index, *, max_moves: int | None = None) -> Index:
    """Move single types to a neighbouring budget while that raises J; return the positions.

    Parameters
    ----------
    choices : Choices
        The allowed budgets.
    index : ndarray of int64, (N,)
        Stable positions to start from.
    max_moves : int, optional
        The largest number of moves; as many as ten million evaluations of one type allow, but
        between 10 and 1,000, where not given.
    """
    if max_moves is None:
        max_moves = min(max(10_000_000 // len(index), 10), 1000)
    index = index.copy()
    here = float(choices.objective(index))
    for _ in range(max_moves):
        best, value = None, here
        for way in (1, -1):
            step = np.clip(index + way, 0, choices.count - 1)
            moved = choices.changed(index, step)
            k = int(np.argmax(moved))
            if moved[k] > value:
                best, value = (k, int(step[k])), float(moved[k])
        if best is None:
            return index
        trial = index.copy()
        trial[best[0]] = best[1]
        confirmed = float(choices.objective(trial))
        if confirmed <= here:
            return index
        index, here = trial, confirmed
    return index
