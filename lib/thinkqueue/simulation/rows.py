r"""Independent rows, always some hundreds of them, however long the run is.

The queue starts anew whenever a query finds it empty, so busy cycles are independent and alike.
A *row* holds sums over a stretch of the run. Each cycle has a row to itself at first; when the rows
are used up, neighbours are joined, and from then on a row takes at least twice as many queries.
So rows are always whole cycles, and estimates with intervals follow from them by the formulas of
any textbook (``estimates.py``).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined

ROWS = 1024
"""A run that has used up its rows has from half as many to all of them."""

Counts = NDArray[np.int32]

# where the rows stand: the row in progress, the fewest queries of a row, whether (1) or not (0) a
# row may end where the system is not empty, and how many cycles have ended
ROW, LEAST, ANYWHERE, CYCLES = range(4)

QUERIES = 0
"""The first of the sums of a row: how many queries."""


class Rows(Protocol):
    """What is gathered in rows."""

    @property
    def state(self) -> Index:
        """Where the rows stand, (4,)."""

    @property
    def sums(self) -> Array:
        """The sums of each row, (ROWS, S), of which the first counts queries."""


def first_row(least: int, anywhere: bool) -> Index:
    """Return the state of rows that have not begun.

    Parameters
    ----------
    least : int
        The fewest queries of a row, as long as there are rows.
    anywhere : bool
        Whether a row may end where the system is not empty.
    """
    return np.array([0, least, anywhere, 0])


@inlined
def is_long(rows: Rows) -> bool:
    """Say whether the row in progress has as many queries as it needs."""
    return bool(rows.sums[rows.state[ROW], QUERIES] >= rows.state[LEAST])


@inlined
def may_end(rows: Rows, empty: bool) -> bool:
    """Say whether a row may end where the system is empty, or is not."""
    return bool(empty or rows.state[ANYWHERE] == 1)


@compiled
def next_row(state: Index) -> bool:
    """Begin a row; say whether there was none left, so that all have to be halved."""
    state[ROW] += 1
    if state[ROW] < ROWS:
        return False
    state[ROW] = ROWS // 2
    state[LEAST] *= 2
    return True


@compiled
def halve(rows: Array | Counts) -> None:
    """Join each two neighbours in place; the second half is empty afterwards."""
    flat = rows.reshape(-1)
    width = rows.size // rows.shape[0]
    half = rows.size // 2
    for row in range(rows.shape[0] // 2):
        for place in range(row * width, (row + 1) * width):
            first = place + row * width
            flat[place] = flat[first] + flat[first + width]
    for place in range(half, rows.size):
        flat[place] = 0
