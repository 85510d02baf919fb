"""What the library reference makes of docstrings that Sphinx would misread."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
from docutils import nodes
from docutils.utils import new_document
from sphinx import addnodes

from thinkqueue.book import docstrings
from thinkqueue.book.layout import Book


class Pair(NamedTuple):
    """Two fields."""

    first: int
    second: int


def test_several_names_are_one_field_and_a_letter_is_no_list() -> None:
    lines = [
        "Text: of two, three: and more.",
        ":ivar high, low: Two rates.",
        ":vartype high, low: float",
        ":ivar one: Of, several.",
        ":param servers:",
        "               k.",
        "               k. of them, and kk. too",
        "  kk. stays",
    ]
    assert docstrings.mended(lines) == [
        lines[0],
        ":ivar high,low: Two rates.",
        ":vartype high,low: float",
        lines[3],
        lines[4],
        "               \\k.",
        "               \\k. of them, and kk. too",
        lines[7],
    ]


def test_the_fields_of_a_named_tuple_are_not_described_twice() -> None:
    given = (None, "class", "first"), (False, None)
    assert docstrings.skip(*given[0], Pair.first, *given[1]) is True
    assert docstrings.skip(*given[0], Pair.count, *given[1]) is None


def test_long_values_are_left_to_the_source_and_names_are_parted() -> None:
    page = new_document("a page")
    short, long = (addnodes.desc_annotation("", f" = {'9' * n}") for n in (5, 99))
    default = nodes.inline("", "x" * 99, classes=["default_value"])
    names = [addnodes.literal_strong("", name) for name in ("high", ",", "low")]
    page += [nodes.paragraph("", "", short, long, default, *names)]
    docstrings.shorten(None, page)  # type: ignore[arg-type]
    assert page.astext() == " = 99999…high, low"


@pytest.mark.parametrize(("format", "breaks"), [("html", 3), ("latex", 0)])
def test_a_name_breaks_after_its_dots_and_lines(format: str, breaks: int) -> None:
    page = new_document("a page")
    title = nodes.title("", "", nodes.Text("Of a.b "), nodes.literal("", "a.b_c/d"))
    page += [title]
    app = SimpleNamespace(builder=SimpleNamespace(format=format))
    docstrings.let_break(app, page, "a page")  # type: ignore[arg-type]
    assert [raw.astext() for raw in page.findall(nodes.raw)] == ["<wbr>"] * breaks
    assert "".join(map(str, page.findall(nodes.Text))).replace("<wbr>", "") == "Of a.b a.b_c/d"


def test_the_reference_as_it_is_built(book: Book) -> None:
    pages = [
        path.read_text(encoding="utf-8") for path in (book.html / "chapters/library").glob("*.html")
    ]
    assert len(pages) > 15
    for page in pages:
        assert "Alias for field number" not in page
    (markov,) = (
        page for page in pages if 'id="thinkqueue.arrivals.markov.MarkovModulated"' in page
    )
    assert "<strong>high</strong><strong>, </strong><strong>low</strong>" in markov
    (core,) = (page for page in pages if 'id="thinkqueue.checks.LARGEST"' in page)
    found = core.split('id="thinkqueue.checks.LARGEST"')[1].split("</dl>")[0]
    assert "Type" not in found, "a colon in its text is not that of a type"
