"""One style in all chapters: units, per cent, and colours that belong to tasks."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from thinkqueue.book.figures import use_book_style
from thinkqueue.book.inks import SERIES
from thinkqueue.calibration import figures as calibration

ROOT = Path(__file__).parents[2]
CHAPTERS = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("chapters/*.md")}
_CODE = re.compile(r"^(`{3,}).*?^\1`*$|^---$.*?^---$|`[^`]*`|\$[^$]*\$", re.M | re.S)

#: What is written in another way than the rest of the book, and how it should be.
RULES = {
    "a unit stands behind a comma": (
        r"[xy]label(?:=|\()\s*f?\"[^\"]*\((?:s|ms|µs|ns|%|1/s|tokens|queries/s)\)\"",
        'ax.set(xlabel="time (s)")',
        'ax.set(xlabel="time, s")',
    ),
    "a per cent sign touches its number": (r"[\d`}] %(?!\w)", "of 95 %.", "of 95%."),
    "colours of tasks come from line_colours": (r"\bPALETTE\b", "PALETTE[0]", "SERIES[0]"),
}


@pytest.mark.parametrize("rule", RULES)
def test_chapters_are_written_in_one_style(rule: str) -> None:
    pattern, wrong, right = RULES[rule]
    assert re.search(pattern, wrong)
    assert not re.search(pattern, right)
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in CHAPTERS.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == []


def test_the_word_is_per_cent() -> None:
    assert "percent" in _CODE.sub("", "about 3 percent, `percent = 1`")
    found = [
        name for name, text in CHAPTERS.items() if re.search(r"\bpercents?\b", _CODE.sub("", text))
    ]
    assert found == []


def test_a_line_that_is_no_task_is_drawn_in_no_colour_of_a_task() -> None:
    with mpl.rc_context():
        use_book_style()
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert tuple(cycle) == SERIES
    assert set(calibration.COLOURS.values()) <= set(SERIES)
