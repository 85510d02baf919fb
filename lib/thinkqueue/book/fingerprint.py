"""Hashes of what the numbers in the book depend on."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from pathlib import Path

from thinkqueue.book.layout import Book
from thinkqueue.files import PART


def computation(book: Book) -> dict[str, str]:
    """Hash what can change the result of a cell that did not change: library, data, environment.

    Parameters
    ----------
    book
        The book whose `lib/`, `data/` (without `data/reference/`) and lock are read.
    """
    root = book.root
    return {
        "lib": _digest(root, (root / "lib").rglob("*.py")),
        "data": _digest(
            root, (p for p in _files(root / "data") if not p.is_relative_to(book.reference))
        ),
        "lock": _digest(root, [root / "requirements.lock"]),
        "python": platform.python_version(),
    }


def pages(book: Book) -> str:
    """Hash all that the built pages depend on; equal hashes need no new build.

    Parameters
    ----------
    book
        The book.
    """
    root = book.root
    settings = [root / "_config.yml", root / "_toc.yml", root / "pyproject.toml"]
    prose = _digest(root, [*settings, *_files(root / "chapters"), *_files(book.reference)])
    return hashlib.sha256(repr((prose, computation(book))).encode()).hexdigest()


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _digest(root: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        if (
            path.is_file()
            and "__pycache__" not in path.parts
            and ".ipynb_checkpoints" not in path.parts
            and not path.match(PART)
        ):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
