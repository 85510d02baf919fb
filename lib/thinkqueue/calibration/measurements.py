"""Measurements in long format: one row a question, or one row a task and budget with counts.

Columns, in any order and any case; others are left alone:

==================  ====================================================================
``task``            which type of query; needed in every row
``budget``          thinking tokens that were allowed
``tokens``          thinking tokens that were used (in the mean, if the row has counts)
``correct``         right answers: a count, or 0/1, true/false where ``total`` is missing
``total``           questions; 1 if there is no such column
``accuracy``        share of right answers, in place of ``correct``; ``total`` is needed
``latency``         seconds that the query took on a server that did nothing else
``sent``            when it was sent, in seconds on any clock: shows which were not alone
==================  ====================================================================

At least one of ``budget`` and ``tokens`` and at least one of ``correct``, ``accuracy`` and
``latency`` must be there. An empty cell is a missing value.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.calibration.fit import Series
from thinkqueue.calibration.tables import COLUMNS, Table, table_in, table_of
from thinkqueue.calibration.usage import Usage
from thinkqueue.names import brief, listed, shown

_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_MISSING = {"", "na", "<na>", "n/a", "nan", "nat", "none", "null"}
_LEAST, _MOST, _MOST_QUESTIONS = 1e-9, 1e12, 1e7
"""What is counted or timed lies between, or is 0; beyond so many questions the likelihood would be
known no better than to the differences that are read off it."""
_MOST_TASKS = 1000
_LONGEST_NAME = 100
MOST_POINTS = 24
"""How many points a series keeps; a deviance from more points of few questions tests nothing."""
_WHOLE = 0.051
"""How far a share times its total may lie from a whole number to be taken for that number: shares
are published with two to four digits."""
_FEWEST_SINGLES = 10
"""Single questions from which the tokens they used are warned of."""

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Group = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Measurements:
    """Checked measurements, one entry a row; NaN marks a missing value.

    Attributes
    ----------
    task : tuple of str
        The type of each row.
    budget, tokens, correct, total, latency, sent : ndarray, (R,)
        The columns.
    notes : tuple of str
        What was missing, left out or taken for granted, in words.
    """

    task: tuple[str, ...]
    budget: Array
    tokens: Array
    correct: Array
    total: Array
    latency: Array
    sent: Array
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks in the order in which they first appear."""
        return tuple(self._places)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(dict.fromkeys(self.task))}

    @cached_property
    def _which(self) -> Group:
        return np.fromiter(map(self._places.__getitem__, self.task), np.int64, len(self.task))

    def rows(self, task: str) -> Mask:
        """Return which rows belong to a task.

        Parameters
        ----------
        task : str
            Its name.
        """
        return np.asarray(self._which == self._places.get(task, -1))

    @property
    def queries(self) -> Array:
        """How many queries the rows of each task stand for, (N,): the mix of a log."""
        return _sums(self._asked, self._which)

    def series(self, task: str) -> Series | None:
        """Return the counts of a task added up over rows of one budget, or None without counts.

        Rows are grouped by budget where there is one, and otherwise by tokens used. The point on
        the axis is the mean of the tokens used over the group where every group knows them, and
        otherwise the budget: tokens used by single questions are never regressed on, because hard
        questions think longer and fail more often, which says nothing about what a larger budget
        buys. More than 24 points are joined to 24 classes of about equal numbers of questions.

        Parameters
        ----------
        task : str
            Its name.
        """
        rows = self.rows(task) & np.isfinite(self.correct)
        if not rows.any():
            return None
        points, group = np.unique(self._points[rows], return_inverse=True)
        if self.measured_in_use(task):
            points = _means(self.tokens[rows], self.total[rows], group)
        tokens, place = np.unique(points, return_inverse=True)
        where = place[group]
        return _in_classes(tokens, _sums(self.correct[rows], where), _sums(self.total[rows], where))

    def measured_in_use(self, task: str) -> bool:
        """Return whether the tokens of a task's curve are means of tokens used, and not budgets.

        Parameters
        ----------
        task : str
            Its name.
        """
        rows = self.rows(task) & np.isfinite(self.correct)
        known = np.isfinite(self.tokens[rows])
        group = np.unique(self._points[rows], return_inverse=True)[1]
        return bool(np.all(np.bincount(group, known) > 0))

    def usage(self, task: str) -> Usage | None:
        """Return how many tokens were used under each budget, or None if that is not known.

        Parameters
        ----------
        task : str
            Its name.
        """
        rows = self.rows(task) & np.isfinite(self.budget) & np.isfinite(self.tokens)
        if not rows.any() or not self.measured_in_use(task):
            return None
        caps, group = np.unique(self.budget[rows], return_inverse=True)
        return Usage.of_groups(caps, _means(self.tokens[rows], self._asked[rows], group))

    def lengths(self, task: str) -> tuple[Array, Array]:
        """Return budget and tokens used of the single queries of a task that have both.

        Parameters
        ----------
        task : str
            Its name.
        """
        single = ~(self.total > 1)
        rows = self.rows(task) & single & np.isfinite(self.budget) & np.isfinite(self.tokens)
        return self.budget[rows], self.tokens[rows]

    def latencies(self, task: str) -> tuple[Array, Array]:
        """Return tokens (used, or else allowed) and seconds of the rows of a task that have both.

        Rows that are known not to have had the server to themselves are left out.

        Parameters
        ----------
        task : str
            Its name.
        """
        tokens = np.where(np.isfinite(self.tokens), self.tokens, self.budget)
        rows = self.rows(task) & np.isfinite(self.latency) & np.isfinite(tokens) & ~self.crowded
        return tokens[rows], self.latency[rows]

    @cached_property
    def crowded(self) -> Mask:
        """Which rows were sent before another one was answered, or not answered before the next."""
        crowded = np.zeros(len(self.task), dtype=bool)
        timed = np.flatnonzero(np.isfinite(self.sent) & np.isfinite(self.latency))
        timed = timed[np.argsort(self.sent[timed], kind="stable")]
        sent = self.sent[timed]
        answered = sent + self.latency[timed]
        earlier = np.maximum.accumulate(answered)[:-1] > sent[1:]
        crowded[timed[1:]] = earlier
        crowded[timed[:-1]] |= answered[:-1] > sent[1:]
        return crowded

    @property
    def _asked(self) -> Array:
        # a row that was not scored stands for one query at least
        return np.where(self.total >= 1, self.total, 1.0)

    @property
    def _points(self) -> Array:
        return np.where(np.isfinite(self.budget), self.budget, self.tokens)


def _sums(values: Array, group: Group) -> Array:
    """Return the sum of the values in each group."""
    return np.bincount(group, values).astype(float)


def _means(tokens: Array, weight: Array, group: Group) -> Array:
    """Return the weighted mean of the known tokens in each group."""
    known = np.isfinite(tokens)
    spent = _sums((tokens * weight)[known], group[known])
    return np.asarray(spent / _sums(weight[known], group[known]))


def _in_classes(tokens: Array, correct: Array, total: Array) -> Series:
    """Return a series of at most 24 points, each the mean of its neighbours."""
    if tokens.size <= MOST_POINTS:
        return Series(tokens, correct, total)
    share = (np.cumsum(total) - total / 2) / total.sum()
    group = np.minimum((share * MOST_POINTS).astype(int), MOST_POINTS - 1)
    spent, right, asked = (_sums(x, group) for x in (total * tokens, correct, total))
    used = asked > 0
    return Series(spent[used] / asked[used], right[used], asked[used])


def read_measurements(source: Any, *, columns: Mapping[str, str] | None = None) -> Measurements:
    """Read measurements from a file or take them from a table in memory.

    Parameters
    ----------
    source : path-like, data frame, mapping of columns, iterable of mappings or Measurements
        A ``.csv`` or ``.parquet`` file; a pandas (or like) data frame; ``{"task": […], …}``; or
        rows as mappings. Parquet needs the extra ``thinkqueue[calibrate]``. The cells of a CSV file
        may be separated by commas, semicolons or tabs.
    columns : mapping of str to str, optional
        What a column is called in the source, where it is not called what it is here:
        ``{"task": "benchmark", "latency": "seconds"}``.

    Raises
    ------
    MeasurementError
        If a column is missing or a value impossible; the message names file, line and column.
    OSError
        If a file cannot be opened.
    """
    if isinstance(source, Measurements):
        return source
    if isinstance(source, str | os.PathLike):
        return _checked(table_in(Path(source), columns or {}))
    return _checked(table_of(source, columns or {}))


def _checked(table: Table) -> Measurements:
    _check_header(table)
    if not table.lines:
        raise table.error("there is no row to read.")
    tasks = _names(table)
    columns = {name: _numbers(table, name) for name in COLUMNS if name != "task"}
    correct, total = _counts(table, columns)
    notes = _notes_on_header(table)
    placed = np.isfinite(columns["budget"]) | np.isfinite(columns["tokens"])
    if not placed.all():
        notes.append(f"{np.sum(~placed)} rows have neither tokens nor a budget and were left out.")
    if not placed.any():
        raise table.error("no row has tokens or a budget.")
    fractional = int(np.sum(correct[placed & np.isfinite(correct)] % 1 != 0))
    if fractional:
        notes.append(
            f"In {fractional} rows the share of right answers is no whole count: an average over "
            "repetitions, whose spread the binomial law overstates."
        )
    measured = Measurements(
        task=tuple(task for task, keep in zip(tasks, placed.tolist(), strict=True) if keep),
        correct=correct[placed],
        total=total[placed],
        budget=columns["budget"][placed],
        tokens=columns["tokens"][placed],
        latency=columns["latency"][placed],
        sent=columns["sent"][placed],
    )
    return replace(measured, notes=(*notes, *_notes_on_rows(measured)))


def _check_header(table: Table) -> None:
    header = table.cells.keys()
    found = f"found {listed(sorted(table.header)) or 'none'}"
    if "task" not in header:
        raise table.error(
            f"there is no column 'task'; {found}. If it has another name, say which: "
            "columns={'task': …}, or --column task=… on the command line."
        )
    for choice in (("budget", "tokens"), ("correct", "accuracy", "latency")):
        if not header & set(choice):
            raise table.error(f"one of the columns {', '.join(choice)} is needed; {found}.")
    if {"correct", "accuracy"} <= header:
        raise table.error("give 'correct' or 'accuracy', not both.", column="accuracy")
    if "accuracy" in header and "total" not in header:
        raise table.error(
            "a share says nothing without the number of questions: add a column 'total'.",
            column="accuracy",
        )


def _notes_on_header(table: Table) -> list[str]:
    header = table.cells.keys()
    notes = []
    if "latency" not in header:
        notes.append("No latency was measured: service times have to come from elsewhere.")
    if not header & {"correct", "accuracy"}:
        notes.append("No answers were scored: accuracy curves have to come from elsewhere.")
    if "tokens" not in header:
        notes.append("Tokens used are not given: each query is taken to use its whole budget.")
    return notes


def _names(table: Table) -> list[str]:
    """Return the task of each row."""
    cells = table.cells["task"]
    if set(map(type, cells)) == {str}:
        names = list(map(str.strip, cells))
    else:
        names = ["" if _is_missing(cell) else _text(cell).strip() for cell in cells]
    for name in dict.fromkeys(names):
        if name.casefold() in _MISSING:
            raise table.error("the task has no name.", row=names.index(name), column="task")
        if len(name) > _LONGEST_NAME or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise table.error(
                f"{shown(name)} is no name for a task; it must be Unicode and have at most "
                f"{_LONGEST_NAME} characters.",
                row=names.index(name), column="task",
            )  # fmt: skip
    if len(set(names)) > _MOST_TASKS:
        raise table.error(
            f"there are {len(set(names)):,} different tasks, and at most {_MOST_TASKS:,} make a "
            "workload: the column must name the type of the query and not the query.",
            column="task",
        )
    return names


def _text(cell: Any) -> str:
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    try:
        return str(cell)
    except ValueError:  # an integer of thousands of digits
        return shown(cell)


def _is_missing(cell: Any) -> bool:
    """Return whether a cell is empty, in any of the ways in which tables say so."""
    if cell is None or np.ma.is_masked(cell):
        return True
    if isinstance(cell, float):
        return math.isnan(cell)
    return not isinstance(cell, Real) and _text(cell).strip().casefold() in _MISSING


def _numbers(table: Table, column: str) -> Array:
    """Return a column as numbers that are 0 or of a possible size, NaN where a cell is empty."""
    cells = table.cells.get(column)
    if cells is None:
        return np.full(len(table.lines), np.nan)
    try:
        # the fast way; other types may turn into floats with a warning, or lose a part
        if not set(map(type, cells)) <= {str, int, float, bool}:
            raise TypeError
        values = np.array(list(map(float, cells)))
    except (TypeError, ValueError, OverflowError):
        values = np.array([_number(table, column, i, cell) for i, cell in enumerate(cells)])
    values += 0.0  # no cell is minus zero
    most = _MOST_QUESTIONS if column in ("correct", "total") else _MOST
    wrong = ~(np.isnan(values) | (values == 0) | ((values >= _LEAST) & (values <= most)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise table.error(
            f"{brief(_text(cells[row]), 40)} is impossible; it must be 0 or a number from "
            f"{_LEAST:g} to {most:g}.",
            row=row, column=column,
        )  # fmt: skip
    return values


def _number(table: Table, column: str, row: int, cell: Any) -> float:
    if _is_missing(cell):
        return math.nan
    if isinstance(cell, str | bytes):
        cell = _text(cell).strip().casefold()
        if column == "correct" and cell in _WORDS:
            return _WORDS[cell]
        if table.decimal_comma:
            cell = _with_point(table, column, row, cell)
    try:
        if not isinstance(cell, str | Real | Decimal | np.bool_):
            cell = cell.item()  # an array of no dimensions
            if not isinstance(cell, Real):
                raise TypeError
        with np.errstate(over="ignore"):
            return float(cell)
    except OverflowError:
        return math.inf
    except (AttributeError, TypeError, ValueError):
        raise table.error(f"{shown(cell)} is not a number.", row=row, column=column) from None


def _with_point(table: Table, column: str, row: int, cell: str) -> str:
    """Return a number with a decimal comma as one with a point, unless it may be in thousands."""
    if column not in ("accuracy", "latency", "sent") and re.fullmatch(r"\d{1,3}(,\d{3})+", cell):
        raise table.error(
            f"{cell} may be in thousands or have a decimal comma: write it without a comma.",
            row=row, column=column,
        )  # fmt: skip
    return cell.replace(",", ".")


def _counts(table: Table, columns: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return right answers and questions of each row, and refuse what cannot be."""
    total = columns["total"] if "total" in table.cells else np.ones(len(table.lines))
    scored = "accuracy" if "accuracy" in table.cells else "correct"
    right = columns[scored]
    answered = ~np.isnan(right)
    uncounted = answered & ~((total >= 1) & (total % 1 == 0))
    if uncounted.any():
        row = int(np.argmax(uncounted))
        raise table.error(
            f"{'nothing' if math.isnan(total[row]) else format(total[row], 'g')} is no number of "
            "questions; it must be a whole number of at least 1.",
            row=row, column="total",
        )  # fmt: skip
    most = np.ones_like(total) if scored == "accuracy" else total
    beyond = answered & (right > most)
    if beyond.any():
        row = int(np.argmax(beyond))
        raise table.error(
            f"{right[row]:g} is more than {most[row]:g}, the most there can be"
            + ("; give a share, not a percentage." if scored == "accuracy" else "."),
            row=row, column=scored,
        )  # fmt: skip
    if scored == "correct":
        return right, total
    count = right * total
    whole = np.rint(count)
    return np.where(np.abs(count - whole) < _WHOLE, whole, count), total


def _notes_on_rows(measured: Measurements) -> list[str]:
    """Return a warning where the rows do not say what they seem to."""
    notes = []
    for task in measured.names:
        rows = measured.rows(task) & np.isfinite(measured.correct)
        points = np.unique(measured._points[rows]).size
        if points > MOST_POINTS:
            notes.append(
                f"Task {shown(task)} has {points} different token counts; they were "
                f"joined to {MOST_POINTS} classes."
            )
        used = measured.tokens[rows & (measured.total == 1) & np.isnan(measured.budget)]
        # lengths that a model chose are as many as the questions or, in a long log, as the tokens
        many = min(used.size / 2, MOST_POINTS)
        if used.size >= _FEWEST_SINGLES and np.unique(used).size > many:
            notes.append(
                f"Task {shown(task)} has single questions with the tokens they used and no budget. "
                "Hard questions think longer and fail more often, so this shows no effect of a "
                "budget: add the column 'budget'."
            )
        if np.isfinite(measured.tokens[rows]).any() and not measured.measured_in_use(task):
            notes.append(
                f"Task {shown(task)} has budgets without the tokens used: its curve is one of "
                "budgets."
            )
    crowded = int(measured.crowded.sum())
    if crowded:
        notes.append(
            f"{crowded} rows were sent before another one was answered, or answered after the next "
            "was sent: their latencies are not those of a query alone on the server and were left "
            "out."
        )
    return notes
