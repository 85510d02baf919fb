"""Lists of SHA-256 sums, as ``sha256sum`` writes and checks them.

Two are kept: of what the book was reviewed with (data, records, reference values, lock), and of the
pages that were built. A byte that changed since is named before anything is computed or shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from thinkqueue.book.layout import Book, BookError
from thinkqueue.files import PART, write_atomically

SUMS = "SHA256SUMS"

#: So many files are named where more changed.
_SHOWN = 10


def listed(sums: Mapping[str, str]) -> str:
    """Write a list, by name.

    Parameters
    ----------
    sums
        Hexadecimal sums by name.
    """
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def taken(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """Hash files, but no list of sums and nothing that a killed program left half written.

    Parameters
    ----------
    root
        The folder from which they are named.
    files
        The files; folders among them are passed over.
    """
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and path.name != SUMS and not path.match(PART)
    }


def altered(kept: Path, now: Mapping[str, str]) -> list[str]:
    """Say of each file that it changed, came or went; nothing where all are as they were.

    Parameters
    ----------
    kept
        The list; a list that is not there knows no file.
    now
        The sums of today, from :func:`taken`.
    """
    text = kept.read_text(encoding="utf-8", errors="replace") if kept.is_file() else ""
    lines = (line.partition("  ") for line in text.splitlines())
    before = {name: digest for digest, _, name in lines}
    came = [f"{name} is new" for name in now if name not in before]
    went = [f"{name} is gone" for name in before if name not in now]
    both = [name for name in before if name in now]
    return sorted([*came, *went, *(f"{n} changed" for n in both if before[n] != now[n])])


def reviewed(book: Book) -> dict[str, str]:
    """Hash what the book is held to and computed from, but for the library.

    Parameters
    ----------
    book
        The book.
    """
    root = book.root
    return taken(root, [*(root / "data").rglob("*"), root / "requirements.lock"])


def unreviewed(book: Book) -> list[str]:
    """Say which data, records, reference values or lock are not those that were reviewed.

    Parameters
    ----------
    book
        The book.
    """
    return altered(book.reference / SUMS, reviewed(book))


def hold(book: Book) -> None:
    """Refuse to build with what nobody reviewed.

    Parameters
    ----------
    book
        The book.

    Raises
    ------
    BookError
        Naming each file that changed, came or went.
    """
    if found := unreviewed(book):
        lines = [f"  {line}" for line in found]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"  and {len(lines) - _SHOWN} more"]
        told = "\n".join([f"not as data/reference/{SUMS} says:", *lines])
        message = f"{told}\nIf that is meant, `make reference` accepts it."
        raise BookError(message)


def accept(book: Book) -> None:
    """Write the list of what was reviewed.

    Parameters
    ----------
    book
        The book.
    """
    book.reference.mkdir(parents=True, exist_ok=True)
    write_atomically(book.reference / SUMS, listed(reviewed(book)))
