"""Measurements in long format: one row a question, or one row a task and budget with counts.

Columns, in any order; others are left alone:

==================  ====================================================================
``task``            which type of query; needed in every row
``budget``          thinking tokens that were allowed
``tokens``          thinking tokens that were used (in the mean, if the row has counts)
``correct``         right answers: a count, or 0/1, true/false where ``total`` is missing
``total``           questions; 1 if there is no such column
``accuracy``        share of right answers, in place of ``correct``; ``total`` is needed
``latency``         seconds that the query took on a server that did nothing else
==================  ====================================================================

At least one of ``budget`` and ``tokens`` and at least one of ``correct``, ``accuracy`` and
``latency`` must be there. An empty cell is a missing value.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.calibration.fit import Series
from thinkqueue.errors import ThinkQueueError

COLUMNS = ("task", "budget", "tokens", "correct", "total", "accuracy", "latency")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
_MISSING = {"", "na", "<na>", "n/a", "nan", "none", "null"}
MOST_POINTS = 24
"""How many points a series keeps; a deviance from more points of few questions tests nothing."""
_WHOLE = 0.051
"""How far a share times its total may lie from a whole number to be taken for that number: shares
are published with two to four digits."""


class MeasurementError(ThinkQueueError):
    """A measurement that cannot be read, or says something impossible.

    Attributes
    ----------
    source : str
        The file, or "the data".
    line : int or None
        The line of the file (the header is line 1), or the row of a frame from 1.
    column : str or None
        The column at fault.
    """

    def __init__(
        self, message: str, *, source: str, line: int | None = None, column: str | None = None
    ) -> None:
        where = source if line is None else f"{source}, line {line}"
        super().__init__(f"{where if column is None else f'{where}, column {column!r}'}: {message}")
        self.source, self.line, self.column = source, line, column


@dataclass(frozen=True, eq=False)
class Measurements:
    """Checked measurements, one entry a row; NaN marks a missing value.

    Attributes
    ----------
    task : tuple of str
        The type of each row.
    budget, tokens, correct, total, latency : ndarray, (R,)
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
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks in the order in which they first appear."""
        return tuple(dict.fromkeys(self.task))

    def rows(self, task: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which rows belong to a task.

        Parameters
        ----------
        task : str
            Its name.
        """
        return np.array([name == task for name in self.task])

    def series(self, task: str) -> Series | None:
        """Return the counts of a task added up over rows of one budget, or None without counts.

        Rows are grouped by budget where there is one, and otherwise by tokens used. The point on
        the axis is the mean of the tokens used over the group where they are known, and otherwise
        the budget: tokens used by single questions are never regressed on, because hard questions
        think longer and fail more often, which says nothing about what a larger budget buys. More
        than 24 points are joined to 24 classes of about equal numbers of questions.

        Parameters
        ----------
        task : str
            Its name.
        """
        rows = self.rows(task) & np.isfinite(self.correct)
        if not rows.any():
            return None
        budget, tokens = self.budget[rows], self.tokens[rows]
        correct, total = self.correct[rows], self.total[rows]
        key = np.where(np.isfinite(budget), budget, tokens)
        points: dict[float, tuple[float, float]] = {}
        for value in np.unique(key):
            group = key == value
            used = tokens[group]
            at = float(np.average(used, weights=total[group])) if np.isfinite(used).all() else value
            right, asked = points.get(at, (0.0, 0.0))
            points[at] = (right + correct[group].sum(), asked + total[group].sum())
        table = np.array([(at, *points[at]) for at in sorted(points)], dtype=float)
        return _in_classes(*table.T)

    def latencies(self, task: str) -> tuple[Array, Array]:
        """Return tokens (used, or else allowed) and seconds of the rows of a task that have both.

        Parameters
        ----------
        task : str
            Its name.
        """
        tokens = np.where(np.isfinite(self.tokens), self.tokens, self.budget)
        rows = self.rows(task) & np.isfinite(self.latency) & np.isfinite(tokens)
        return tokens[rows], self.latency[rows]


def _in_classes(tokens: Array, correct: Array, total: Array) -> Series:
    """Return a series of at most 24 points, each the mean of its neighbours."""
    if tokens.size <= MOST_POINTS:
        return Series(tokens, correct, total)
    share = (np.cumsum(total) - total / 2) / total.sum()
    group = np.minimum((share * MOST_POINTS).astype(int), MOST_POINTS - 1)
    spent, right, asked = (
        np.bincount(group, weights=x).astype(float) for x in (total * tokens, correct, total)
    )
    used = asked > 0
    return Series(spent[used] / asked[used], right[used], asked[used])


def read_measurements(source: Any) -> Measurements:
    """Read measurements from a file or take them from a table in memory.

    Parameters
    ----------
    source : path-like, data frame, mapping of columns, iterable of mappings or Measurements
        A ``.csv`` or ``.parquet`` file; a pandas (or like) data frame; ``{"task": […], …}``; or
        rows as mappings. Parquet needs the extra ``thinkqueue[calibrate]``.

    Raises
    ------
    MeasurementError
        If a column is missing or a value impossible; the message names file, line and column.
    OSError
        If a file cannot be read.
    """
    if isinstance(source, Measurements):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.suffix.lower() in {".parquet", ".pq"}:
            return _checked(_parquet_rows(path), str(path))
        return _checked(_csv_rows(path), str(path))
    return _checked(_rows_in_memory(source), "the data")


Row = tuple[int, Mapping[str, Any]]


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        try:
            header = [name.strip() for name in next(reader, [])]
            twice = [name for name in header if header.count(name) > 1 and name in COLUMNS]
            if twice:
                raise MeasurementError(
                    "this column is there twice.", source=str(path), line=1, column=twice[0]
                )
            yield 1, dict.fromkeys(header)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise MeasurementError(
                        f"there are {len(cells)} cells, and the header has {len(header)}.",
                        source=str(path), line=reader.line_num,
                    )  # fmt: skip
                yield reader.line_num, dict(zip(header, cells, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise MeasurementError(
                f"this is not a CSV file in UTF-8: {error}.", source=str(path)
            ) from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MeasurementError(
            "reading Parquet needs pyarrow: pip install 'thinkqueue[calibrate]'.", source=str(path)
        ) from None
    try:
        table = pyarrow.parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise MeasurementError(f"this is not a Parquet file: {error}.", source=str(path)) from None
    yield from _rows_in_memory({name: table[name].to_pylist() for name in table.column_names})


def _rows_in_memory(source: Any) -> Iterator[Row]:
    """Yield the header as row 0 and then the rows, from columns or from mappings."""
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        source = {str(name): list(source[name]) for name in source.columns}
    if isinstance(source, Mapping):
        columns = {name: list(values) for name, values in source.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise MeasurementError(f"the columns differ in length: {lengths}.", source="the data")
        yield 0, dict.fromkeys(columns)
        for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
            yield number, dict(zip(columns, cells, strict=True))
        return
    if not isinstance(source, Iterable):
        raise MeasurementError(
            f"measurements are a file, a data frame, columns or rows, not {type(source).__name__}.",
            source="the data",
        )
    rows = list(source)
    if not all(isinstance(row, Mapping) for row in rows):
        raise MeasurementError("each row must be a mapping of columns.", source="the data")
    yield 0, dict.fromkeys(name for row in rows for name in row)
    yield from enumerate(rows, start=1)


def _checked(rows: Iterator[Row], source: str) -> Measurements:
    _, header = next(rows)
    _check_header(set(header), source)
    notes = _notes_on_header(set(header))
    columns: dict[str, list[float]] = {name: [] for name in COLUMNS if name != "task"}
    tasks: list[str] = []
    without_tokens = fractional = 0
    for line, cells in rows:
        task = cells.get("task")
        if _is_missing(task):
            raise MeasurementError("the task has no name.", source=source, line=line, column="task")
        row = {name: _number(cells.get(name), name, source, line) for name in columns}
        _check_counts(row, header, source, line)
        if math.isnan(row["budget"]) and math.isnan(row["tokens"]):
            without_tokens += 1
            continue
        fractional += row["correct"] % 1 != 0 and not math.isnan(row["correct"])
        tasks.append(str(task).strip())
        for name, value in row.items():
            columns[name].append(value)
    if without_tokens:
        notes.append(f"{without_tokens} rows have neither tokens nor a budget and were left out.")
    if fractional:
        notes.append(
            f"In {fractional} rows the share of right answers is no whole count: an average over "
            "repetitions, whose spread the binomial law overstates."
        )
    if not tasks:
        raise MeasurementError("there is no row to read.", source=source)
    arrays = {name: np.array(columns[name], dtype=float) for name in columns if name != "accuracy"}
    measured = Measurements(task=tuple(tasks), **arrays, notes=tuple(notes))
    return _with_notes_on_rows(measured)


def _check_header(header: set[str], source: str) -> None:
    found = f"found {', '.join(sorted(map(str, header))) or 'none'}"
    if "task" not in header:
        raise MeasurementError(f"there is no column 'task'; {found}.", source=source)
    for choice in (("budget", "tokens"), ("correct", "accuracy", "latency")):
        if not header & set(choice):
            raise MeasurementError(
                f"one of the columns {', '.join(choice)} is needed; {found}.", source=source
            )
    if {"correct", "accuracy"} <= header:
        raise MeasurementError(
            "give 'correct' or 'accuracy', not both.", source=source, column="accuracy"
        )
    if "accuracy" in header and "total" not in header:
        raise MeasurementError(
            "a share says nothing without the number of questions: add a column 'total'.",
            source=source, column="accuracy",
        )  # fmt: skip


def _notes_on_header(header: set[str]) -> list[str]:
    notes = []
    if "latency" not in header:
        notes.append("No latency was measured: service times have to come from elsewhere.")
    if not header & {"correct", "accuracy"}:
        notes.append("No answers were scored: accuracy curves have to come from elsewhere.")
    if "tokens" not in header:
        notes.append("Tokens used are not given: each query is taken to use its whole budget.")
    return notes


def _is_missing(cell: Any) -> bool:
    return str(cell).strip().lower() in _MISSING


def _number(cell: Any, column: str, source: str, line: int) -> float:
    """Return a cell as a number that is at least zero, or NaN where it is empty."""
    if _is_missing(cell):
        return math.nan
    if isinstance(cell, str):
        cell = _WORDS.get(cell.strip().lower(), cell) if column == "correct" else cell
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise MeasurementError(
            f"{cell!r} is not a number.", source=source, line=line, column=column
        ) from None
    if value < 0 or math.isinf(value):
        raise MeasurementError(
            f"{value:g} is impossible; it must be a finite number of at least 0.",
            source=source, line=line, column=column,
        )  # fmt: skip
    return value


def _check_counts(row: dict[str, float], header: Mapping[str, Any], source: str, line: int) -> None:
    """Complete correct and total of a row in place, and refuse what cannot be."""
    if "total" not in header:
        row["total"] = 1.0
    scored = "accuracy" if "accuracy" in header else "correct"
    if math.isnan(row[scored]):
        return
    total = row["total"]
    if math.isnan(total) or total < 1 or total % 1 != 0:
        raise MeasurementError(
            f"{'nothing' if math.isnan(total) else format(total, 'g')} is no number of questions; "
            "it must be a whole number of at least 1.",
            source=source, line=line, column="total",
        )  # fmt: skip
    limit = 1.0 if scored == "accuracy" else total
    if row[scored] > limit:
        raise MeasurementError(
            f"{row[scored]:g} is more than {limit:g}, the most there can be"
            + ("; give a share, not a percentage." if scored == "accuracy" else "."),
            source=source, line=line, column=scored,
        )  # fmt: skip
    if scored == "accuracy":
        count = row["accuracy"] * total
        row["correct"] = round(count) if abs(count - round(count)) < _WHOLE else count


def _with_notes_on_rows(measured: Measurements) -> Measurements:
    """Add a warning where answers are only known by the tokens that each question used."""
    notes = list(measured.notes)
    for task in measured.names:
        rows = measured.rows(task) & np.isfinite(measured.correct)
        single = rows & (measured.total == 1) & np.isnan(measured.budget)
        points = np.where(np.isfinite(measured.budget), measured.budget, measured.tokens)[rows]
        if np.unique(points).size > MOST_POINTS:
            notes.append(
                f"Task {task!r} has {np.unique(points).size} different token counts; they were "
                f"joined to {MOST_POINTS} classes."
            )
        used = measured.tokens[single]
        if used.size >= 10 and np.unique(used).size > used.size / 2:
            notes.append(
                f"Task {task!r} has single questions with the tokens they used and no budget. Hard "
                "questions think longer and fail more often, so this shows no effect of a budget: "
                "add the column 'budget'."
            )
    return Measurements(
        measured.task, measured.budget, measured.tokens, measured.correct, measured.total,
        measured.latency, tuple(notes),
    )  # fmt: skip
