"""Tables on the pages: alignment follows the content, and no content is markup."""

from __future__ import annotations

import re

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


def test_only_a_wide_table_becomes_cards() -> None:
    assert 'class="book-table wide"' in table(ROWS).data
    assert 'class="book-table"' in table([{"a": 1, "b": 2, "c": 3}]).data


def test_names_and_headings_are_text() -> None:
    markup = table([{"<b>&": '<script>"x"</script>', "late": 1}, {"late": 2}]).data
    assert "<script>" not in markup
    assert "<b>" not in markup
    assert markup.count("&lt;b&gt;&amp;") == 3  # the heading, and on each card
    assert '"x"' not in re.sub(r'(class|data-head)="[^"]*"', "", markup)
