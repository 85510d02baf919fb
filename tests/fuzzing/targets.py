"""The doors of the library: each takes bytes and does with them what a program does first."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd

import thinkqueue as tq
from thinkqueue.arrivals import Trace, read_records
from thinkqueue.book import reference
from thinkqueue.book.layout import Book, BookError
from thinkqueue.calibration import read_measurements
from thinkqueue.cli import app
from thinkqueue.errors import ThinkQueueError
from thinkqueue.readers import read_log

from .rule import Ended, Finding, held

#: How a command may end: well, not near enough, bad input, no stable allocation, interrupted.
STATUSES = (0, 1, 2, 3, 130)
_FILES = ("statistics.csv", "dispersion.csv", "models.csv", "outcomes.csv")


@contextmanager
def _folder() -> Any:
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        yield Path(folder)


def workload(data: bytes) -> Ended:
    """Read a workload, and write one that is read back unchanged."""

    def case() -> Any:
        with _folder() as folder:
            path = folder / "w.toml"
            path.write_bytes(data)
            read = tq.Workload.from_toml(path)
            read.to_toml(path)
            if tq.Workload.from_toml(path) != read:
                message = "a workload is not what was written"
                raise Finding(message)
            if sorted(os.listdir(folder)) != ["w.toml"]:
                message = "a half-written file"
                raise Finding(message)
            most = read.max_tokens
            return list(read.tasks), read.arrival_rate, tq.accuracy(read, most), _load(read, most)

    return held(case)


def _load(read: tq.Workload, tokens: Any) -> Any:
    """The load, where a server has one."""
    try:
        return tq.utilization(read, tokens)
    except ThinkQueueError:
        return None


def measurements(data: bytes) -> Ended:
    """Read a table of measurements."""
    return held(lambda: _read(data, "m.csv", read_measurements, missing=True))


def parquet(data: bytes) -> Ended:
    """Read measurements whose columns are of any type, from Parquet or what is left of it.

    A first byte below 32 says how much of the file is kept; the rest is a table in text.
    """

    def case() -> Any:
        cut = bool(data) and data[0] < 32
        text = (data[1:] if cut else data)[:8192]  # pandas takes long to write more columns
        try:
            table = pd.read_csv(io.BytesIO(text), sep=None, engine="python", on_bad_lines="skip")
            table.columns = table.columns.astype(str)
            packed = table.to_parquet()
        except Exception:  # there is no such table, so no such file
            packed = text
        packed = packed[: len(packed) * data[0] // 32] if cut else packed
        return _read(packed, "m.parquet", read_measurements, missing=True)

    return held(case)


def log(data: bytes) -> Ended:
    """Read a log of any tool."""
    return held(lambda: _read(data, "log.json", read_log, missing=True))


def trace(data: bytes) -> Ended:
    """Read a trace and bring it to a rate."""

    def read(path: Path) -> Any:
        found = Trace.from_csv(path)
        return [found.times, found.arrival_rate, found.at_rate(0.5).times]

    return held(lambda: _read(data, "t.csv", read))


def records(data: bytes) -> Ended:
    """Read the records of traces, four files with a zero byte between them."""

    def case() -> Any:
        with _folder() as folder:
            parts = data.split(b"\0", 3)
            for name, part in zip(_FILES, [*parts, b"", b"", b""], strict=False):
                (folder / name).write_bytes(part)
            return list(read_records(folder).values())

    return held(case)


def stated(data: bytes) -> Ended:
    """Read the reference of a chapter."""

    def case() -> Any:
        with _folder() as folder:
            book = Book(folder)
            book.reference.mkdir(parents=True)
            (book.reference / "page.json").write_bytes(data)
            try:
                values = reference.load(book, "page")
                reference.compare(book, {"page": values})
            except BookError as error:
                raise ThinkQueueError(str(error).replace(str(folder), "")) from None
            return list(values.values())

    return held(case)


def command(data: bytes) -> Ended:
    """Give the command line its arguments, one a line; what was typed may come back as it was."""
    words = [word for word in data.decode("utf-8", "replace").split("\n") if "\0" not in word]
    out, err = io.StringIO(), io.StringIO()
    status: Any = 0
    with _folder() as folder, _inside(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            app(words, prog_name="thinkqueue")
        except SystemExit as end:
            status = end.code
    if status not in STATUSES:
        message = f"status {status!r}"
        raise Finding(message)
    for text in (out.getvalue(), err.getvalue()):
        if "Traceback" in text or "Warning" in text:
            message = f"printed: {text[-200:]}"
            raise Finding(message)
    if "nan" in out.getvalue().split():  # an error may repeat the word, a result may not hold it
        message = f"printed: {out.getvalue()[-200:]}"
        raise Finding(message)
    if status not in (0, 1) and not err.getvalue().strip():
        message = f"status {status}, and nothing said"
        raise Finding(message)
    return Ended.RESULT if status in (0, 1) else Ended.REFUSAL


def _read(data: bytes, name: str, read: Callable[[Path], Any], *, missing: bool = False) -> Any:
    """Write bytes into a file and read it; NaN is what is missing where a format lets it be."""
    with _folder() as folder:
        path = folder / name
        path.write_bytes(data)
        try:
            found = read(path)
        except ThinkQueueError as error:
            raise ThinkQueueError(str(error).replace(str(folder), "")) from None
        return None if missing else found


@contextmanager
def _inside(folder: Path) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


DOORS: dict[str, Callable[[bytes], Ended]] = {
    "workload": workload,
    "measurements": measurements,
    "parquet": parquet,
    "log": log,
    "trace": trace,
    "records": records,
    "reference": stated,
    "command": command,
}
