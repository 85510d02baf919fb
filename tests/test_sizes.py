"""Files that would fill the memory are refused before they are read, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import thinkqueue as tq
from thinkqueue import files
from thinkqueue.arrivals.trace import Trace
from thinkqueue.readers.document import open_document

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a.toml": ("workload", tq.Workload.from_toml),
    "a.csv": ("measurements", tq.read_measurements),
    "a.parquet": ("measurements", tq.read_measurements),
    "a.jsonl": ("measurements", tq.read_log),
    "a.json": ("measurements", open_document),
    "trace.csv": ("measurements", Trace.from_csv),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path, name: str) -> None:
    kind, read = READERS[name]
    path = tmp_path / name
    with path.open("wb") as stream:  # a hole: nothing of it lies on the disk
        stream.truncate(files.LARGEST[kind] + 2**20)
    with pytest.raises(tq.ThinkQueueError) as caught:
        read(path)
    message = str(caught.value)
    assert name in message
    most = files.LARGEST[kind] // 2**20
    assert f"it has {most + 1:,} MiB, and a file of {kind} may have {most:,} MiB" in message
    assert len(message.splitlines()) == 1


def test_the_limit_itself_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time\n0\n1\n3\n", encoding="utf-8")
    monkeypatch.setitem(files.LARGEST, "measurements", path.stat().st_size)
    Trace.from_csv(path)
    monkeypatch.setitem(files.LARGEST, "measurements", path.stat().st_size - 1)
    with pytest.raises(tq.WorkloadError, match="may have"):
        Trace.from_csv(path)
