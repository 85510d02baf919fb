"""Some workloads of a grid: rows of arrays, wherever in an object these arrays stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Rows = NDArray[np.intp] | NDArray[np.bool_]


def pick(thing: T, rows: Rows) -> T:
    """Return some rows of an object whose arrays have a row for each workload, or one for all.

    Parameters
    ----------
    thing : Any
        An array, or a tuple, dataclass or plain object of such; anything else is kept as it is.
    rows : ndarray of int or bool
        Which rows.
    """
    return _walk(thing, lambda x: x if len(x) == 1 else np.asfortranarray(x[rows]))


def put(thing: Any, rows: Rows, part: Any) -> None:
    """Write some rows back.

    Parameters
    ----------
    thing : Any
        What :func:`pick` takes apart.
    rows : ndarray of int or bool
        Which rows.
    part : Any
        Their new content, of the same form.
    """
    if isinstance(thing, np.ndarray):
        if thing.flags.writeable and (len(thing) > 1 or len(rows) == 1):
            thing[rows] = part
    elif isinstance(thing, tuple):
        for mine, theirs in zip(thing, part, strict=True):
            put(mine, rows, theirs)
    elif is_dataclass(thing):
        for field in fields(thing):
            put(getattr(thing, field.name), rows, getattr(part, field.name))


def _walk(thing: T, change: Callable[[Any], Any]) -> T:
    if isinstance(thing, np.ndarray) and thing.ndim > 1:
        return change(thing)  # type: ignore[no-any-return]
    if isinstance(thing, tuple):
        parts = [_walk(part, change) for part in thing]
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    if is_dataclass(thing) and not isinstance(thing, type) and not hasattr(thing, "servers"):
        names = [field.name for field in fields(thing)]
        return type(thing)(**{name: _walk(getattr(thing, name), change) for name in names})
    return thing
