"""Tables on the pages: alignment follows the content, and no content is markup."""

from __future__ import annotations

import re

import pytest

from thinkqueue.book import table

ROWS = [
    {"task": "GSM8K", "tokens": "1,437", "wait": "8.9 ± 0.1 s", "mixed": "3", "none": "–"},
    {"task": "AIME 25", "tokens": "−12", "wait": "∞", "mixed": "three", "none": ""},
]


def kinds(markup: str, tag: str) -> list[str]:
    return re.findall(rf'<{tag} class="(\w+)"', markup)


def test_columns_of_numbers_stand_to_the_right_with_their_headings() -> None:
    markup = table(ROWS).data
    assert kinds(markup, "th") == ["text", "number", "number", "text", "number"]
    assert kinds(markup, "td") == 2 * kinds(markup, "th")
    assert re.findall(r'<td [^>]*data-head="wait">([^<]*)<', markup) == ["8.9 ± 0.1 s", "∞"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["0.0 s", "1.6 s", "unstable"], "number"),
        (["0.0 s", "unstable"], "text"),
        (["0.0 s", "1.6 s", "too long to be a number"], "text"),
        (["a", "b", "1"], "text"),
    ],
)
def test_a_word_among_numbers_stands_with_them(cells: list[str], kind: str) -> None:
    assert kinds(table([{"loss": cell} for cell in cells]).data, "th") == [kind]


def test_only_a_wide_table_becomes_cards() -> None:
    assert 'class="book-table wide"' in table(ROWS).data
    assert 'class="book-table"' in table([{"a": 1, "b": 2, "c": 3}]).data


def test_names_and_headings_are_text() -> None:
    markup = table([{"<b>&": '<script>"x"</script>', "late": 1}, {"late": 2}]).data
    assert "<script>" not in markup
    assert "<b>" not in markup
    assert markup.count("&lt;b&gt;&amp;") == 3  # the heading, and on each card
    assert '"x"' not in re.sub(r'(class|data-head)="[^"]*"', "", markup)
