"""One style in all chapters: units, per cent, and colours that belong to tasks.

An axis says what is measured, then a comma, then the unit: ``mean time, s``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

from thinkqueue.book.execution import read_notebook
from thinkqueue.book.figures import use_book_style
from thinkqueue.book.inks import SERIES
from thinkqueue.book.layout import Book
from thinkqueue.calibration import figures as calibration

ROOT = Path(__file__).parents[2]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("chapters/*.md")}
TEXTS["dictionary.csv"] = (ROOT / "data" / "dictionary.csv").read_text(encoding="utf-8")

#: What is written in another way than the rest of the book, and how it should be.
RULES = {
    "a per cent sign touches its number": (r"[\d`}] %(?!\w)", "of 95 %.", "of 95%."),
    "the word is per cent": (r"\w percents?\b", "about 3 percent", "about 3 per cent"),
    "colours of tasks come from line_colours": (r"\bPALETTE\b", "PALETTE[0]", "SERIES[0]"),
}


@pytest.mark.parametrize("rule", RULES)
def test_chapters_are_written_in_one_style(rule: str) -> None:
    pattern, wrong, right = RULES[rule]
    assert re.search(pattern, wrong)
    assert not re.search(pattern, right)
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in TEXTS.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == []


def test_a_line_that_is_no_task_is_drawn_in_no_colour_of_a_task() -> None:
    with mpl.rc_context():
        use_book_style()
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    assert tuple(cycle) == SERIES
    assert set(calibration.COLOURS.values()) <= set(SERIES)


BOOK = Book(ROOT)
PAGES = [page for page in BOOK.pages if "/library/" not in page]
LABELS = ("xlabel", "ylabel", "set_xlabel", "set_ylabel")
#: A unit in brackets, a unit with nothing that is measured in it, a unit spelt out at the end.
OTHER_FORM = re.compile(
    r"[(\[](n|µ|m)?s[)\]]|[(\[](%|tokens|1/s|queries/s)[)\]]"
    r"|^((n|µ|m)?s|%|1/s|queries/s)\b|\bseconds$|, 1/s$(?<!density, 1/s)"
)


def code(page: str) -> list[ast.Module]:
    notebook = read_notebook(BOOK, page)
    if notebook is None:
        return []
    return [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]


def labels(cells: list[ast.Module]) -> Iterator[str]:
    for node in (node for cell in cells for node in ast.walk(cell)):
        if isinstance(node, ast.keyword) and node.arg in LABELS:
            yield ast.unparse(node.value).lstrip("f").strip("'\"")
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", None) in LABELS:
            yield ast.unparse(node.args[0]).lstrip("f").strip("'\"")


@pytest.mark.parametrize("page", PAGES)
def test_units_follow_a_comma(page: str) -> None:
    assert [label for label in labels(code(page)) if OTHER_FORM.search(label)] == []


@pytest.mark.parametrize(
    ("label", "other"),
    [
        ("mean time, s", False),
        ("right answers, %", False),
        ("density, 1/s", False),
        ("mean time (s)", True),
        ("seconds", True),
        ("ms per token", True),
        ("arrivals, 1/s", True),
    ],
)
def test_another_form_is_seen(label: str, other: bool) -> None:
    assert list(labels([ast.parse(f"ax.set(xlabel={label!r})")])) == [label]
    assert bool(OTHER_FORM.search(label)) == other
