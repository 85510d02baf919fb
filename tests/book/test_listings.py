"""Every public module stands on one page of the library reference, and each page in the book."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from thinkqueue.book.layout import Book
from thinkqueue.book.listings import module_index, module_pages, module_sections

ROOT = Path(__file__).parents[2]


def test_each_part_of_the_library_has_a_page() -> None:
    pages = {page for page in Book(ROOT).pages if page.startswith("chapters/library/")}
    assert pages == {f"chapters/library/{name}" for name in module_pages()}
    for page in pages:
        text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
        assert f"<!-- the public modules of {Path(page).name} -->" in text


def test_the_index_leads_to_every_section_and_each_stands_once() -> None:
    led = re.findall(r"\(#(module-[\w.]+)\)", module_index())
    written = [
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "chapters" / "library").glob("*.md"))
    ]
    sections = "".join([*written, *(module_sections(page) for page in module_pages())])
    assert led
    assert sorted(led) == sorted(re.findall(r"\((module-[\w.]+)\)=", sections))
    assert "module-thinkqueue.solve" in led
    assert "module-thinkqueue.delay.fifo" in led


@pytest.mark.parametrize("row", module_index().splitlines()[2:])
def test_each_module_says_what_it_is_for_in_one_line(row: str) -> None:
    sentence = row.split(" | ")[1].removesuffix(" |")
    assert 15 < len(sentence) < 200
