"""Names and values as they may be shown: on one line, no longer than it bears, each by itself."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST, _MOST, _LONGEST_LINE = 40, 6, 500


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


def brief(text: str, width: int) -> str:
    """Return a text of at most so many letters: a longer one loses its middle.

    Parameters
    ----------
    text : str
        What to show.
    width : int
        The most letters.
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def legible(message: str) -> str:
    """Return a message with each line printable and cut to what can be read at a glance.

    Parameters
    ----------
    message : str
        What to say; a text from outside in it may hold anything.
    """
    return "\n".join(brief(printable(line), _LONGEST_LINE) for line in message.split("\n"))


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
    short = [brief(text, width) for text in texts]
    return tuple(
        brief(text, width - len(mark)) + mark
        if short.count(name) > 1 and (mark := f" ({place})")
        else name
        for place, (text, name) in enumerate(zip(texts, short, strict=True), 1)
    )


def shown(value: Any) -> str:
    """Return the representation of any value, cut to some forty characters.

    Parameters
    ----------
    value : Any
        What a table or a caller gave.
    """
    try:
        text = repr(value) if isinstance(value, str) else reprlib.repr(value)
        return brief(text, _LONGEST)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"{type(value).__name__} of too many digits"


def listed(names: Iterable[Any]) -> str:
    """Return names with commas between them, and how many more there are.

    Parameters
    ----------
    names : iterable
        What to list.
    """
    every = [brief(printable(str(name)), _LONGEST) for name in names]
    more = [f"and {len(every) - _MOST:,} more"] if len(every) > _MOST else []
    return ", ".join([*every[:_MOST], *more])
