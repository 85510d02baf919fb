"""Tables on the pages: text to the left, numbers to the right, their headings with them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from thinkqueue.book.numerals import typeset
from thinkqueue.names import printable

if TYPE_CHECKING:
    from IPython.display import HTML

#: What begins as a number does, or stands for one that is missing.
_NUMBER = re.compile(r"[-+±−≤≥<>~$]?\s?\d|[-–—∞]$|$")

#: Letters of what may stand among numbers in the place of one, such as "unstable".
_WORD = 12


def table(rows: Iterable[Mapping[str, Any]]) -> HTML:
    """Set rows as a table, in which no text is taken for markup or for a formula.

    A column in which everything begins like a number, or most and the rest are a word or two, is
    set to the right, in the book's numerals.
    On a phone each row of a wide table becomes a card, on which every cell has its heading.

    Parameters
    ----------
    rows
        One mapping a row, from the heading of a column to what stands there.
    """
    from IPython.display import HTML

    texts = [{head: printable(str(cell)) for head, cell in row.items()} for row in rows]
    heads = list(dict.fromkeys(head for row in texts for head in row))
    kinds = {
        head: "number" if _numbers([row.get(head, "") for row in texts]) else "text"
        for head in heads
    }

    for row in texts:
        row |= {head: typeset(row[head]) for head in row if kinds[head] == "number"}

    def cells(tag: str, row: Mapping[str, str]) -> str:
        return "".join(
            f'<{tag} class="{kinds[head]}" data-head="{html.escape(head)}">'
            f"{html.escape(row.get(head, ''))}</{tag}>"
            for head in heads
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in texts)
    top = "".join(f'<th class="{kinds[head]}">{html.escape(head)}</th>' for head in heads)
    wide = " wide" if len(heads) > 3 else ""
    return HTML(
        f'<div class="tex2jax_ignore mathjax_ignore"><table class="book-table{wide}">\n'
        f"<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>"
    )


def _numbers(column: list[str]) -> bool:
    others = [text for text in column if not _NUMBER.match(text)]
    return 2 * len(others) < len(column) and all(len(text) <= _WORD for text in others)
