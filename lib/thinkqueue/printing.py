"""What the commands print: tables that fit a terminal, sentences, JSON; no name is obeyed."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from thinkqueue.names import printable


def print_anywhere() -> None:
    """Print even where no output is open, and to a terminal that lacks a letter its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_lines(*lines: str) -> None:
    """Print text as wide as the terminal, broken between words.

    Parameters
    ----------
    *lines : str
        Each starts a new line.
    """
    console = _console()
    for line in lines:
        console.print(printable(line))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with numbers at the right; a long name goes on below itself.

    Parameters
    ----------
    headings : sequence of str
        One a column.
    rows : iterable of sequence of str
        A name, then numbers.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, *numbers in rows:
        table.add_row(printable(name), *numbers)
    _console().print(table)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object to standard output.

    Parameters
    ----------
    facts : mapping
        What to print; what is infinite or no number is null.
    """
    print(json.dumps(_finite(facts), indent=2, allow_nan=False))


def number(value: float, format: str) -> str:
    """Write a number; what is infinite or none is a dash.

    Parameters
    ----------
    value : float
        The number.
    format : str
        As for :func:`format`.
    """
    return f"{value:{format}}" if math.isfinite(value) else "–"


def _console() -> Any:
    from rich.console import Console

    # in a notebook it would print tables as markup, in colours
    return Console(highlight=False, markup=False, emoji=False, force_jupyter=False)


def _finite(facts: Any) -> Any:
    if isinstance(facts, Mapping):
        return {name: _finite(value) for name, value in facts.items()}
    if isinstance(facts, list):
        return [_finite(value) for value in facts]
    return None if isinstance(facts, float) and not math.isfinite(facts) else facts
