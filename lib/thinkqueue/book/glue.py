"""Give a value a name under which the prose of a chapter can state it."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

#: Metadata key beside the name of a glued value, where its tolerance is kept.
TOLERANCE_KEY = "thinkqueue"


def glue(
    name: str,
    value: Any,
    *,
    rtol: float = 1e-6,
    atol: float = 0.0,
    measured: bool = False,
) -> None:
    r"""Name a value, so that prose states it as ``{glue:text}`name:.3f```.

    The regression test accepts a later value :math:`v` in place of the reference :math:`r` where
    :math:`|v - r| \le \text{atol} + \text{rtol}\,|r|`.

    Parameters
    ----------
    name
        Unique in the whole book.
    value
        A number (Python's or NumPy's), a truth value or a text.
    rtol, atol
        Relative and absolute tolerance of the regression test.
    measured
        Whether the value is a property of the machine, such as a run time: it is shown, and not
        held against the reference.

    Raises
    ------
    ValueError
        If `value` is not finite, or is an array with more than one element.
    TypeError
        If `value` is neither number, truth value nor text.
    """
    from IPython.display import display

    plain = _plain(name, value)
    # a quoted text is what the prose can paste with and without a format
    display(  # type: ignore[no-untyped-call]
        {"application/papermill.record/text/plain": repr(plain)},
        raw=True,
        metadata={
            "scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"},
            TOLERANCE_KEY: {"rtol": rtol, "atol": atol, "measured": measured},
        },
    )


def _plain(name: str, value: Any) -> bool | int | float | str:
    if getattr(value, "size", 1) != 1:
        message = f"glue({name!r}): one value is needed, not an array of shape {value.shape}"
        raise ValueError(message)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            message = f"glue({name!r}): {number} is not a number that a sentence can state"
            raise ValueError(message)
        return number
    message = f"glue({name!r}): a number or a text is needed, not {type(value).__name__}"
    raise TypeError(message)
