"""Reading a file of any known tool, and joining several."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from thinkqueue.calibration.measurements import read_measurements
from thinkqueue.calibration.tables import MeasurementError
from thinkqueue.errors import ThinkQueueError
from thinkqueue.names import brief, listed, shown
from thinkqueue.readers.aiperf import AIPERF
from thinkqueue.readers.blis import BLIS
from thinkqueue.readers.document import Document, open_document
from thinkqueue.readers.evidence import Evidence
from thinkqueue.readers.formats import Format
from thinkqueue.readers.guidellm import GUIDELLM
from thinkqueue.readers.inference_perf import INFERENCE_PERF
from thinkqueue.readers.inspect_ai import INSPECT
from thinkqueue.readers.litellm import LITELLM
from thinkqueue.readers.lm_eval import LM_EVAL
from thinkqueue.readers.log import Log, log_of
from thinkqueue.readers.opentelemetry import OPENTELEMETRY
from thinkqueue.readers.sglang import SGLANG
from thinkqueue.readers.vllm import VLLM

FORMATS: tuple[Format, ...] = (
    VLLM, SGLANG, GUIDELLM, AIPERF, INFERENCE_PERF, LITELLM, OPENTELEMETRY, INSPECT, LM_EVAL, BLIS,
)  # fmt: skip
"""Every format that is known, in the order in which they are tried."""


def read_log(
    path: str | os.PathLike[str],
    *,
    tasks: Mapping[str, str] | None = None,
    budget: float | None = None,
    answer_tokens: float | None = None,
    formats: Sequence[Format] = FORMATS,
) -> Log:
    """Read the log of a serving benchmark, a proxy, a tracer or an evaluation.

    Parameters
    ----------
    path : path-like
        The file; the tool that wrote it is recognised by what it holds.
    tasks : mapping of str to str, optional
        The names that tasks are to have, by the name in the file; where the file names none, by the
        file's name.
    budget : float, optional
        The thinking budget under which the file was made, where it does not say.
    answer_tokens : float, optional
        Tokens of an answer in the mean, where thoughts are not told apart or were not counted.
    formats : sequence of Format, optional
        What to look for; a format of one's own goes here.

    Returns
    -------
    Log
        The requests, with what was left out.

    Raises
    ------
    MeasurementError
        If no format fits, a value is impossible, or thoughts were counted as none beside their
        text; the message says what would mend it.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    document = open_document(path)
    return _read(document, tasks or {}, budget, answer_tokens, formats)


def read_logs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    tasks: Mapping[str, str] | None = None,
    budgets: Mapping[str, float] | None = None,
    answer_tokens: float | None = None,
    columns: Mapping[str, str] | None = None,
) -> Evidence:
    """Read several files and join them by task.

    Parameters
    ----------
    paths : iterable of path-like
        Logs of any known tool, and tables with this library's own columns.
    tasks : mapping of str to str, optional
        As in :func:`read_log`: the name of an evaluation by that of the traffic, for instance.
    budgets : mapping of str to float, optional
        The budget of a file that does not say it, by the file's name.
    answer_tokens : float, optional
        As in :func:`read_log`.
    columns : mapping of str to str, optional
        What columns of tables are called.

    Returns
    -------
    Evidence
        What the files say together, and what is missing.

    Raises
    ------
    MeasurementError
        As :func:`read_log`; and if a name in `tasks` or `budgets` is nowhere.
    OSError
        If a file cannot be read.
    """
    tasks, budgets = dict(tasks or {}), dict(budgets or {})
    logs, tables, found = [], [], set[str]()
    for path in map(Path, paths):
        found |= {path.name, path.stem, str(path)}
        if _is_table(path, columns or {}):
            table = read_measurements(path, columns=columns)
            found |= {*table.names}
            renamed = tuple(tasks.get(name, name) for name in table.task)
            tables.append(replace(table, task=renamed))
            continue
        document = open_document(path)
        budget = next(
            (budgets[name] for name in (str(path), path.name, path.stem) if name in budgets), None
        )
        log = _read(document, {}, budget, answer_tokens, FORMATS)
        found |= {*log.names}
        logs.append(_renamed(log, tasks, path))
    unknown = [name for name in (*tasks, *budgets) if name not in found]
    if unknown:
        raise MeasurementError(
            f"{listed(map(shown, unknown))} is neither a task nor a file; tasks are "
            f"{listed(sorted({name for log in logs for name in log.names}))}.",
            source="the files",
        )
    return Evidence(tuple(logs), tuple(tables))


def _read(
    document: Document,
    tasks: Mapping[str, str],
    budget: float | None,
    answer_tokens: float | None,
    formats: Sequence[Format],
) -> Log:
    for form in formats:
        if not _is_of(document, form):
            continue
        with _shape(document, form):
            requests, notes = form.read(document)
            log = log_of(
                document, form.name, requests,
                remedy=form.remedy, answer_tokens=answer_tokens, notes=notes,
            )  # fmt: skip
            break
    else:
        keys = listed(sorted(map(str, document.first))) or "none"
        raise document.error(
            f"this is no log of a known tool ({', '.join(form.name for form in formats)}), and no "
            f"table with a column 'task'. Its first names are {keys}."
        )
    if budget is not None:
        if budget < 0 or not math.isfinite(budget):
            raise document.error(f"a budget of {budget:g} tokens is none.")
        log = replace(log, budget=np.where(np.isnan(log.budget), budget, log.budget))
    named = tuple(name or document.path.stem for name in log.task)
    return _renamed(replace(log, task=named), tasks, document.path)


def _is_of(document: Document, form: Format) -> bool:
    with _shape(document, form):
        return form.recognises(document)


#: What a reader runs into where a value is not what it takes it for.
_OTHER = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError


@contextmanager
def _shape(document: Document, form: Format) -> Iterator[None]:
    """Say in words where a file does not have the shape that its format gives it."""
    try:
        yield
    except ThinkQueueError:
        raise
    except _OTHER as error:
        raise document.error(
            f"this looks like a log of {form.name}, but something is not where that tool puts it "
            f"({type(error).__name__}: {brief(str(error), 60)}). Was it cut, or is the version "
            "one that this reader does not know?"
        ) from error


def _renamed(log: Log, tasks: Mapping[str, str], path: Path) -> Log:
    names = dict(tasks)
    for key in (path.name, str(path)):
        if key in tasks:
            names[path.stem] = tasks[key]
    return replace(log, task=tuple(names.get(name, name) for name in log.task))


def is_log(path: Path) -> bool:
    """Return whether a file is the log of a known tool, and no table with this library's columns.

    Parameters
    ----------
    path : Path
        The file; what cannot be read is none.
    """
    try:
        if _is_table(path, {}):
            return False
        document = open_document(path)
        return any(_is_of(document, form) for form in FORMATS)
    except MeasurementError:
        return False


def _is_table(path: Path, columns: Mapping[str, str]) -> bool:
    """Whether a file is a table with this library's columns, or under names that were given."""
    if columns or path.suffix.lower() in {".parquet", ".pq"}:
        return True
    with path.open("rb") as stream:
        head = stream.readline(1 << 16)
    names = {
        name.strip(' "\r\n').casefold()
        for separator in ",;\t"
        for name in head.decode("utf-8-sig", errors="replace").split(separator)
    }
    return "task" in names and not names.isdisjoint({"budget", "tokens"})
