"""Names as they may be shown: letter for letter, on one line, and never two that look the same."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    r"""Return a text with everything that a terminal would obey, and not show, as an escape.

    Parameters
    ----------
    text : str
        A name from outside, such as ``"a\x1b[31mb"``, which comes back as ``a\x1b[31mb``.
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def shortened(names: Sequence[str], width: int) -> tuple[str, ...]:
    """Return names of at most so many letters that differ wherever the names do.

    A long name loses its middle, since names of a family often begin alike; where two come out
    the same, each gets its position.

    Parameters
    ----------
    names : sequence of str
        What to show.
    width : int
        The most letters of each, at least 12.
    """
    texts = [printable(name) for name in names]
    short = [_without_middle(text, width) for text in texts]
    return tuple(
        _without_middle(text, width - len(mark)) + mark
        if short.count(brief) > 1 and (mark := f" ({place})")
        else brief
        for place, (text, brief) in enumerate(zip(texts, short, strict=True), 1)
    )


def _without_middle(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
