"""The record of an experiment: a folder of tables, each written when it is whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

from thinkqueue.files import write_atomically
from thinkqueue.live.gateway import LoggedQuery

Row = Mapping[str, Any]

_DIGITS = 6
"""Moments are written to the microsecond."""


def kept(path: Path, measure: Callable[[], Iterable[Row]]) -> list[dict[str, str]]:
    """Return the rows of a table; what is not there yet is measured and written first.

    So an experiment that was stopped goes on where it was, a table a step.

    Parameters
    ----------
    path : path
        The CSV file.
    measure : callable
        Makes the rows, all with the same keys.
    """
    if not path.is_file():
        rows = list(measure())
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _written(value) for name, value in row.items()})
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.getvalue())
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def log_rows(served: Iterable[LoggedQuery]) -> list[Row]:
    """Return the rows of a log.

    Parameters
    ----------
    served : iterable of LoggedQuery
        What :func:`~thinkqueue.live.gateway.serve` returned.
    """
    return [asdict(row) for row in served]


def read_log(path: Path) -> list[LoggedQuery]:
    """Read the log of a run.

    Parameters
    ----------
    path : path
        One of the files ``run-*.csv`` of an experiment.
    """
    kinds = get_type_hints(LoggedQuery)
    with path.open(encoding="utf-8", newline="") as file:
        return [
            LoggedQuery(**{f.name: _read(kinds[f.name], row[f.name]) for f in fields(LoggedQuery)})
            for row in csv.DictReader(file)
        ]


def _written(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return f"{value:.{_DIGITS}f}" if isinstance(value, float) else value


def _read(kind: type, text: str) -> Any:
    return bool(int(text)) if kind is bool else kind(text)
