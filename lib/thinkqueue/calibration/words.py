"""Values and names as they stand in messages: never longer than a line can bear."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

_LONGEST, _MOST = 40, 6


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return a text with its middle left out where it is too long.

    Parameters
    ----------
    text : str
        The text.
    longest : int, optional
        Characters that may stay.
    """
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[-(longest // 2) + 1 :]}"


def shown(value: Any) -> str:
    """Return the representation of any value, cut to some forty characters.

    Parameters
    ----------
    value : Any
        What a table or a caller gave.
    """
    try:
        return shortened(reprlib.repr(value))
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"{type(value).__name__} of too many digits"


def listed(names: Iterable[Any]) -> str:
    """Return names with commas between them, and how many more there are.

    Parameters
    ----------
    names : iterable
        What to list.
    """
    every = [shortened(str(name)) for name in names]
    more = [f"and {len(every) - _MOST:,} more"] if len(every) > _MOST else []
    return ", ".join([*every[:_MOST], *more])
