"""What a serving system understands as a thinking budget, and how it holds to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Body = dict[str, Any]
#: Whole tokens, or the name of a level.
Budget = int | str


class Enforcement(StrEnum):
    """What a system does with a budget; the theory differs for each."""

    HARD_CAP = "hard cap"
    SOFT_TARGET = "soft target"
    LEVEL = "level"


@dataclass(frozen=True)
class System:
    """One way of one serving system to be told a budget.

    Attributes
    ----------
    key, name : str
        What it is called on the command line, and in words.
    enforcement : Enforcement
        How it holds to a budget.
    write : callable
        From a budget and the largest number of tokens of the whole response (thoughts and answer)
        to the part of the request's body that says so.
    read : callable
        From such a body back to the two; None for what it does not say.
    source : str
        Where this is written.
    needs : str
        How the server must have been started, or which models understand it.
    least : int
        The smallest budget that is allowed beside 0.
    over : float
        By which part a budget may be exceeded by design.
    levels : tuple of str
        The names of the levels, the least effort first.
    level_tokens : mapping of str to int
        What the levels stand for, where the system says so.
    """

    key: str
    name: str
    enforcement: Enforcement
    write: Callable[[Any, int], Body]
    read: Callable[[Mapping[str, Any]], tuple[Budget | None, int | None]]
    source: str
    needs: str = ""
    least: int = 0
    over: float = 0.0
    levels: tuple[str, ...] = ()
    level_tokens: Mapping[str, int] = field(default_factory=dict)


def within(body: Mapping[str, Any], *path: str) -> Any:
    """Return what lies within nested objects, or None.

    Parameters
    ----------
    body : mapping
        The outermost.
    *path : str
        The keys, from the outside in.
    """
    found: Any = body
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
