"""A few kills and one full disk; the long form is ``make check-interruption``."""

from __future__ import annotations

import pytest

from interruption import kill_small_book, kill_sweep, repeated, without_room


@pytest.mark.slow
def test_a_killed_build_is_gone_on_with_and_publishes_nothing_mixed() -> None:
    seen = kill_small_book(5, seed=3)
    assert seen["kills"] == 5
    assert seen["finished"] >= 2


@pytest.mark.slow
def test_a_killed_sweep_leaves_a_whole_record() -> None:
    assert kill_sweep(5, seed=1)["kills"] == 5


@pytest.mark.slow
def test_where_there_is_no_room_one_sentence_says_so() -> None:
    (first, second) = without_room((60_000,), ())
    assert "File too large" in first["said"]
    assert "File too large" in second["said"]


def test_a_chapter_that_was_stored_anew_is_noticed() -> None:
    before = {"key": ("library", 1)}
    assert repeated(before, {"key": ("library", 2)}) == ["key"]
    assert repeated(before, {"key": ("library", 1)}) == []
    assert repeated(before, {"key": ("another library", 2)}) == []
