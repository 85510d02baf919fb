"""Values and names as they stand in messages: never longer than a line can bear."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

from thinkqueue.names import brief

_LONGEST, _MOST = 40, 6


def shown(value: Any) -> str:
    """Return the representation of any value, cut to some forty characters.

    Parameters
    ----------
    value : Any
        What a table or a caller gave.
    """
    try:
        return brief(reprlib.repr(value), _LONGEST)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"{type(value).__name__} of too many digits"


def listed(names: Iterable[Any]) -> str:
    """Return names with commas between them, and how many more there are.

    Parameters
    ----------
    names : iterable
        What to list.
    """
    every = [brief(str(name), _LONGEST) for name in names]
    more = [f"and {len(every) - _MOST:,} more"] if len(every) > _MOST else []
    return ", ".join([*every[:_MOST], *more])
