"""What a reader is, and how the one for a file is found: by what the file holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.log import Request

#: What a reader returns: the requests, and notes on what it left out.
Reading = tuple[Iterable[Request], list[str]]


@dataclass(frozen=True)
class Format:
    """What one tool writes.

    Attributes
    ----------
    name : str
        The tool, and where needed its command.
    recognises : callable
        Whether a :class:`~thinkqueue.readers.document.Document` is one of its files.
    read : callable
        Its requests, and notes.
    holds : str
        What such a file tells.
    remedy : str
        What mends thoughts that it did not count.
    """

    name: str
    recognises: Callable[[Document], bool]
    read: Callable[[Document], Reading]
    holds: str
    remedy: str = ""


def left_out(count: int, of: int, why: str) -> list[str]:
    """Return a note on requests that were left out, or nothing.

    Parameters
    ----------
    count, of : int
        How many, and how many there are.
    why : str
        The reason.
    """
    return [f"{count:,} of {of:,} requests {why} and were left out."] if count else []


def has(document: Document, kind: str, *names: str) -> bool:
    """Return whether a document is of a kind and its first object has all these names.

    Parameters
    ----------
    document : Document
        The document.
    kind : str
        "json", "lines" or "table", or several of them with spaces between.
    *names : str
        Keys, or columns.
    """
    return document.kind in kind.split() and all(name in document.first for name in names)


def inside(value: Any, *path: str) -> Any:
    """Return what lies within nested objects, or None.

    Parameters
    ----------
    value : Any
        The outermost.
    *path : str
        The keys, from the outside in.
    """
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
