"""Tables of budgets by the number waiting: what one must be."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import floats
from thinkqueue.delay import only_fifo
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.workload import Affine, Workload, tokens_array

When = Literal["start", "any time"]

MOST_ROWS = 4000
"""A longer table would need matrices that do not fit: it is refused and not cut."""


def check_when(when: str) -> None:
    """Refuse a time at which no budget is read.

    Parameters
    ----------
    when : str
        "start" or "any time".

    Raises
    ------
    WorkloadError
        If it is something else.
    """
    if when not in ("start", "any time"):
        raise WorkloadError(
            f'when is {when!r}; it must be "start", for budgets that are kept, or "any time".',
            parameter="when",
            value=when,
        )


def check_workload(workload: Workload) -> None:
    """Refuse a workload for which nothing is known about tables.

    Parameters
    ----------
    workload : Workload
        First come, first served by one server, with concave curves and affine times.

    Raises
    ------
    WorkloadError
        If it is something else.
    """
    only_fifo(workload, "A table of budgets by the number waiting")
    if not isinstance(workload.service, Affine):
        raise WorkloadError(
            "A table of budgets is worth something known only where service times are affine in "
            "the tokens; give base_time and time_per_token.",
            parameter="service",
            value=workload.service,
        )
    if not workload.curves.concave:
        raise WorkloadError(
            "Whether to stop now can be told from the next token alone only where accuracy curves "
            "are concave, and some of these are not; fit Saturating or PowerLaw curves.",
            parameter="accuracy",
            value=workload.curves,
        )


def table_array(workload: Workload, thresholds: ArrayLike, when: When) -> Array:
    """Check a table and return it without the rows at its end that say nothing new.

    Parameters
    ----------
    workload : Workload
        The workload.
    thresholds : array_like, (R, N)
        Tokens, a row a number waiting; the last row holds for all larger numbers.
    when : {"start", "any time"}
        When a budget is read from it.

    Raises
    ------
    WorkloadError
        If a value is no budget, or a later row of a table that is read at any time is larger.
    """
    table = np.atleast_2d(floats("thresholds", thresholds))
    if table.ndim != 2 or not len(table):
        raise WorkloadError(
            f"thresholds has shape {table.shape}; it must have a row a number waiting and a column "
            "a task type.",
            parameter="thresholds",
            value=table.shape,
        )
    tokens_array(workload, table, capped=True)
    if when == "any time" and (np.diff(table, axis=0) > 0).any():
        row, k = np.argwhere(np.diff(table, axis=0) > 0)[0]
        raise WorkloadError(
            f"thresholds of task type {shown(workload.name(k))} rise from {table[row, k]:.6g} to "
            f"{table[row + 1, k]:.6g} tokens between {row} and {row + 1} waiting; a thought that "
            "was stopped cannot go on, so they must not rise with the number waiting.",
            parameter="thresholds",
            value=float(table[row + 1, k]),
            task=workload.name(k),
        )
    rows = len(table)
    while rows > 1 and np.array_equal(table[rows - 1], table[rows - 2]):
        rows -= 1
    if rows > MOST_ROWS:
        refuse_long(rows)
    return table[:rows]


def refuse_long(rows: float) -> None:
    """Raise the error of a table that is too long.

    Parameters
    ----------
    rows : float
        How many rows it would have.

    Raises
    ------
    WorkloadError
        Always.
    """
    raise WorkloadError(
        f"Some type would still think with {rows:.3g} queries waiting, and its exact value needs a "
        f"table of as many rows; {MOST_ROWS} are the most. Lower accuracy_weight, or a rate.",
        parameter="accuracy_weight",
        value=rows,
    )
