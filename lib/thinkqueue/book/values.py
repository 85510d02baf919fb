"""Values that a chapter states: named in a code cell, pasted into the prose, held by a test."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

_MIME = "application/papermill.record/"
_TOLERANCE = "thinkqueue"


@dataclass(frozen=True)
class Stated:
    """A value with the tolerance that its chapter gives it.

    Parameters
    ----------
    value
        The value itself.
    rtol, atol
        Relative and absolute tolerance.
    measured
        Whether it belongs to the machine that ran the chapter, and is held against nothing.
    """

    value: bool | int | float | str
    rtol: float
    atol: float
    measured: bool = False

    @property
    def is_number(self) -> bool:
        """Whether nearness means anything; a truth value or a text is equal or it is not."""
        return isinstance(self.value, int | float) and not isinstance(self.value, bool)

    @property
    def tolerance(self) -> tuple[float, float]:
        """Relative and absolute tolerance."""
        return self.rtol, self.atol

    @property
    def allowance(self) -> float:
        """How far another value may be from this one."""
        return self.atol + self.rtol * abs(float(self.value)) if self.is_number else 0.0

    def accepts(self, other: Stated) -> bool:
        """Return whether another value may stand in place of this one.

        Parameters
        ----------
        other
            The other value.
        """
        if self.is_number and other.is_number:
            return abs(float(other.value) - float(self.value)) <= self.allowance
        return type(self.value) is type(other.value) and self.value == other.value


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
    display(
        {_MIME + "text/plain": repr(plain)},
        raw=True,
        metadata={
            "scrapbook": {"name": name, "mime_prefix": _MIME},
            _TOLERANCE: {"rtol": rtol, "atol": atol, "measured": measured},
        },
    )


def stated_values(notebook: Any) -> dict[str, Stated]:
    """Return what an executed notebook glued, by name.

    Parameters
    ----------
    notebook
        The notebook, with outputs.

    Raises
    ------
    ValueError
        If one name is given twice.
    """
    values: dict[str, Stated] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            metadata = output.get("metadata", {})
            if _TOLERANCE not in metadata:
                continue
            name = metadata["scrapbook"]["name"]
            if name in values:
                message = f"the name {name!r} is glued twice"
                raise ValueError(message)
            text = output["data"][_MIME + "text/plain"]
            values[name] = Stated(ast.literal_eval(text), **metadata[_TOLERANCE])
    return values


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
