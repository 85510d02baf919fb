"""One visual language, read off the chapters' sources: whose ink a line has, how a unit is written.

An axis says what is measured, then a comma, then the unit: ``mean time, s``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from thinkqueue.book.execution import read_notebook
from thinkqueue.book.layout import Book

BOOK = Book(Path(__file__).parents[2])
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


@pytest.mark.parametrize("page", PAGES)
def test_the_colours_of_tasks_come_by_the_number_of_tasks(page: str) -> None:
    """All else is drawn in the other inks, which a line has that names none."""
    nodes = (node for cell in code(page) for node in ast.walk(cell))
    assert "PALETTE" not in {node.id for node in nodes if isinstance(node, ast.Name)}


def test_a_percentage_is_written_in_one_way() -> None:
    """95%, and in words per cent."""
    texts = {page: BOOK.source(page).read_text(encoding="utf-8") for page in PAGES}
    texts["dictionary"] = (BOOK.root / "data/dictionary.csv").read_text(encoding="utf-8")
    other = re.compile(r".*(?:\d %|\w percent\b).*")
    assert {page: found for page, text in texts.items() if (found := other.findall(text))} == {}
