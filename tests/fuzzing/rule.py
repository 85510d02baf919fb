"""A case ends in a result without NaN, or in one of our errors with a sentence."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from thinkqueue.errors import ThinkQueueError

#: An error cuts a longer sentence wherever that is, so what it quotes must be cut before.
LONGEST = 499


class Ended(Enum):
    """How a case ended well."""

    RESULT = "result"
    REFUSAL = "refusal"


class Finding(AssertionError):
    """A case that ended otherwise."""


def held(case: Callable[[], Any]) -> Ended:
    """Run a case, with warnings as errors, and return how it ended; raise what it found."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = case()
        except ThinkQueueError as error:
            sentence(str(error))
            return Ended.REFUSAL
    if any(math.isnan(number) for number in numbers(found)):
        message = f"NaN in {type(found).__name__}"
        raise Finding(message)
    return Ended.RESULT


def sentence(text: str) -> None:
    """Refuse what no reader could use: nothing, too much, or what a terminal would obey."""
    odd = [letter for letter in text if not letter.isprintable()]
    if not text.strip() or odd or len(text) > LONGEST:
        message = f"a sentence of {len(text)} letters, with {odd[:3]}: {text[:80]!r}"
        raise Finding(message)


def numbers(thing: Any) -> Iterator[float]:
    """Yield the numbers in a result."""
    if isinstance(thing, float):
        yield thing
    elif isinstance(thing, np.ndarray) and thing.dtype.kind == "f":
        yield from thing.ravel().tolist()
    elif isinstance(thing, tuple | list):
        for part in thing:
            yield from numbers(part)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from numbers(getattr(thing, field.name))
