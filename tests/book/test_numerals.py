"""Numbers are set as a book sets them, and nothing else is touched."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup

from thinkqueue.book.layout import Book
from thinkqueue.book.numerals import typeset
from thinkqueue.book.tables import table


@pytest.mark.parametrize(
    ("written", "set_"),
    [
        ("-1,389.0 ± 18.9 s", "−1,389.0 ± 18.9 s"),
        ("-3.9%, -20.6%", "−3.9%, −20.6%"),
        ("-0.220 / +0.301", "−0.220 / +0.301"),
        ("1e-13 s", "10⁻¹³ s"),
        ("-8.47e-07", "−8.47·10⁻⁷"),
        ("+2e+03", "+2·10³"),
        ("1.5e+00", "1.5"),
        ("0.0e+00", "0"),
        ("-∞", "−∞"),
    ],
)
def test_a_number_is_set(written: str, set_: str) -> None:
    assert typeset(written) == set_
    assert typeset(set_) == set_


@pytest.mark.parametrize("text", ["2026-11-24", "GPT-5", "r1-8b", "x-1", "f(x)-1", "abc1e-05"])
def test_what_is_no_number_stays(text: str) -> None:
    assert typeset(text) == text


def test_a_table_sets_its_numbers_and_keeps_its_names() -> None:
    rows = [{"task": "one -1e-05", "loss": "-1e-05"}, {"task": "two", "loss": "1"}]
    assert re.findall(r"<td[^>]*>([^<]*)<", table(rows).data) == ["one -1e-05", "−10⁻⁵", "two", "1"]


def test_no_page_says_a_number_as_a_machine_does(book: Book) -> None:
    found = []
    for page in book.pages:
        text = (book.html / f"{page}.html").read_text(encoding="utf-8")
        for said in BeautifulSoup(text, "html.parser").select(".pasted-text, .book-table .number"):
            words = said.get_text()
            if re.search(r"\de[-+]\d|(?<![\w)])-[\d.]|\d %|(?<![\d,.\w])\d{5,}(?![\d.]*-)", words):
                found.append(f"{page}: {words}")
    assert found == []
