"""The book in one file for a shelf: pages, executed notebooks, PDF, data, lock, and checksums.

The same book gives the same bytes: entries are sorted and carry neither times nor owners.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from thinkqueue.book.building import WHOLE, alone
from thinkqueue.book.checksums import SUMS, listed
from thinkqueue.book.citing import zenodo
from thinkqueue.book.layout import Book

NAME = "thinking-while-others-wait"

#: What lies beside the pages, as it lies in the repository.
_ALONG = ("requirements.lock", "CITATION.cff", "LICENSE", "README.md")


def archive(book: Book) -> Path:
    """Pack the book, which is built and printed already.

    Parameters
    ----------
    book
        The book.

    Raises
    ------
    OSError
        If something of it is not there.
    """
    folder = f"{NAME}-{version('thinkqueue')}"
    target = book.build / f"{folder}.tar.gz"
    with alone(book):
        contents = dict(sorted(_contents(book)))
        sums = listed({name: hashlib.sha256(it).hexdigest() for name, it in contents.items()})
        part = target.with_name(f".{target.name}.part")
        with (
            part.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as file,
        ):
            for name, content in {**contents, SUMS: sums.encode()}.items():
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mode = len(content), 0o644
                file.addfile(entry, io.BytesIO(content))
        part.replace(target)
    return target


def _contents(book: Book) -> Iterator[tuple[str, bytes]]:
    for path in book.html.rglob("*"):
        if path.is_file() and path.name not in (WHOLE, SUMS):
            place = path.relative_to(book.html)
            if place.parts[0] == "_sources" and path.suffix == ".ipynb":
                yield f"notebooks/{place.relative_to('_sources').as_posix()}", path.read_bytes()
            yield f"html/{place.as_posix()}", path.read_bytes()
    for path in (book.root / "data").rglob("*"):
        if path.is_file():
            yield path.relative_to(book.root).as_posix(), path.read_bytes()
    for name in _ALONG:
        yield name, (book.root / name).read_bytes()
    yield ".zenodo.json", zenodo(book).encode()
    printed = book.build / f"{NAME}.pdf"
    yield printed.name, printed.read_bytes()
