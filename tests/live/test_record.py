"""A table is measured once, is whole or not there, and comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from thinkqueue.live.gateway import LoggedQuery
from thinkqueue.live.record import Row, kept, log_rows, read_log

ROW = LoggedQuery(
    query=3, type="two", planned=1.5, arrived=1.500001, started=1.6, first=1.7, answering=1.8,
    ended=1.9, waiting=2, budget=4, thought=4, answered=2, read=7, place=1, right=True,
)  # fmt: skip


def test_a_log_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    kept(path, lambda: log_rows([ROW]))
    assert read_log(path) == [ROW]


def test_what_is_there_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.csv"
    assert kept(path, lambda: [{"a": 1, "b": 0.25}]) == [{"a": "1", "b": "0.250000"}]
    assert kept(path, lambda: pytest.fail("measured twice")) == [{"a": "1", "b": "0.250000"}]


def test_half_a_table_is_none(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Row]:
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "a.csv", interrupted)
    assert list(tmp_path.iterdir()) == []
