"""The values that chapters state, held against the values that they stated when last reviewed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from thinkqueue.book.layout import Book, BookError
from thinkqueue.book.values import Stated, stated_values
from thinkqueue.checks import one_number
from thinkqueue.files import write_atomically
from thinkqueue.names import brief, printable, shown


@dataclass(frozen=True)
class Difference:
    """A value that is not what the reference says.

    Parameters
    ----------
    page
        The chapter.
    name
        The value's name.
    before, after
        The reference and the value now; None where there is none.
    """

    page: str
    name: str
    before: Stated | None
    after: Stated | None

    def __str__(self) -> str:
        """Say chapter, name, both values and the step between them in tolerances."""
        text = f"{PurePosixPath(self.page).name}: {self.name}"
        if self.before is None:
            return f"{text} = {self.after.value!r} is new" if self.after else text
        if self.after is None:
            return f"{text} = {self.before.value!r} is no longer stated"
        text += f" was {self.before.value!r}, is {self.after.value!r}"
        if self.before.is_number and self.after.is_number:
            step = abs(float(self.after.value) - float(self.before.value))
            text += f" (off by {step:.3g}, {_in_tolerances(step, self.before.allowance)})"
        if self.before.accepts(self.after):
            text += "; its tolerance changed"
        return text


def collect(notebooks: Mapping[str, Any]) -> dict[str, dict[str, Stated]]:
    """Return the values that each executed chapter states, without those of the machine.

    Parameters
    ----------
    notebooks
        Pages and their executed notebooks.

    Raises
    ------
    ValueError
        If two chapters give one name to two values.
    """
    owners: dict[str, str] = {}
    collected: dict[str, dict[str, Stated]] = {}
    for page, notebook in notebooks.items():
        values = stated_values(notebook)
        for name in values:
            if name in owners:
                message = f"both {owners[name]} and {page} glue a value named {name!r}"
                raise ValueError(message)
            owners[name] = page
        collected[page] = {name: value for name, value in values.items() if not value.measured}
    return collected


def compare(book: Book, stated: Mapping[str, Mapping[str, Stated]]) -> list[Difference]:
    """Return every value that the reference does not accept, or does not know.

    Parameters
    ----------
    book
        The book, with its reference.
    stated
        What the chapters state now, from :func:`collect`.
    """
    found = []
    for page, values in stated.items():
        before = load(book, page)
        for name in dict.fromkeys([*before, *values]):
            old, new = before.get(name), values.get(name)
            if old is None or new is None or not old.accepts(new) or old.tolerance != new.tolerance:
                found.append(Difference(page, name, old, new))
    return found


def load(book: Book, page: str) -> dict[str, Stated]:
    """Read the reference of one chapter; empty where it has none.

    Parameters
    ----------
    book
        The book.
    page
        The chapter.

    Raises
    ------
    BookError
        If its file is not as :func:`renew` writes it.
    """
    path = _file(book, page)
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stated = {name: Stated(**entry) for name, entry in content.items()}
        for value in stated.values():
            _check(value)
        return stated
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
        reason = brief(printable(str(error)), 80)
        message = f"{path} is not as `make reference` writes it ({reason}); restore the file."
        raise BookError(message) from error


def _check(stated: Stated) -> None:
    """Refuse a value or a tolerance that nothing can be held against."""
    tolerances = {"rtol": stated.rtol, "atol": stated.atol}
    for name, number in tolerances.items():
        one_number(name, number, least=0)
    if stated.is_number:
        one_number("value", cast(float, stated.value), least=-math.inf)
    elif not isinstance(stated.value, bool | str):
        message = f"{shown(stated.value)} is no value"
        raise TypeError(message)
    if not math.isfinite(stated.allowance):
        message = "a number is not finite"
        raise ValueError(message)


def renew(book: Book, stated: Mapping[str, Mapping[str, Stated]]) -> list[Difference]:
    """Write what the chapters state now into the reference, and return what that changes.

    A value that the reference accepts keeps its old digits, so that a renewal on another machine
    touches only what changed.

    Parameters
    ----------
    book
        The book.
    stated
        What the chapters state now, from :func:`collect`.
    """
    differences = compare(book, stated)
    changed = {(difference.page, difference.name) for difference in differences}
    book.reference.mkdir(parents=True, exist_ok=True)
    for page, values in stated.items():
        before, path = load(book, page), _file(book, page)
        kept = {
            name: value if (page, name) in changed else before[name]
            for name, value in values.items()
        }
        if not kept:
            path.unlink(missing_ok=True)
            continue
        content = {
            name: {"value": v.value, "rtol": v.rtol, "atol": v.atol} for name, v in kept.items()
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(path, text)
    return differences


def _in_tolerances(step: float, allowance: float) -> str:
    if allowance == 0:
        return "and nothing is allowed"
    return f"which is {step / allowance:.3g} times its tolerance of {allowance:.3g}"


def _file(book: Book, page: str) -> Any:
    return book.reference / f"{PurePosixPath(page).name}.json"
