"""The outputs of executed chapters, dropped as soon as the library or the data change.

jupyter-cache finds outputs by the content of a notebook's code cells alone. That misses an edited
library or data file, so the cache carries the hashes it was filled under. Nor does it survive a
full disk, a build that was killed or a changed byte: each notebook carries a seal, its own hash,
and what does not match its seal is taken for absent here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thinkqueue.book import fingerprint
from thinkqueue.book.layout import Book, BookError
from thinkqueue.files import write_atomically

_NOTEBOOK, _SEAL = "base.ipynb", "base.sha256"


class OutputCache:
    """Outputs by notebook, valid for one state of library, data and environment.

    Parameters
    ----------
    book
        The book; what is stale is dropped at once.

    Raises
    ------
    BookError
        Where nothing can be kept, as on a full disk.
    """

    def __init__(self, book: Book) -> None:
        self._book, self._place = book, book.cache
        self._computation = fingerprint.computation(book)
        current = json.dumps(self._computation, indent=1) + "\n"
        stamp = book.cache / "computation.json"
        found = stamp.read_bytes() if stamp.is_file() else None
        self.was_stale = book.cache.is_dir() and found != current.encode()
        if self.was_stale:
            shutil.rmtree(book.cache)
        book.cache.mkdir(parents=True, exist_ok=True)
        write_atomically(stamp, current)
        self._cache = _opened(book.cache)

    def find(self, notebook: Any) -> Any | None:
        """Return the notebook with its stored outputs, or None where they are not as stored.

        Parameters
        ----------
        notebook
            A notebook as it was read from the chapter.
        """
        folder = self._folder(notebook)
        try:
            if (folder / _SEAL).read_text(encoding="ascii") == _hash(folder):
                return self._cache.merge_match_into_notebook(notebook)[1]
        except Exception:  # whatever ails it, it was not stored whole, or not at all
            pass
        self._forget(notebook)
        return None

    def store(self, notebook: Any, uri: str, seconds: float) -> None:
        """Keep a notebook's outputs.

        Parameters
        ----------
        notebook
            The pristine notebook, with outputs and execution counts filled in and nothing else.
        uri
            The chapter's file.
        seconds
            How long it took.

        Raises
        ------
        BookError
            Where nothing can be kept, as on a full disk; where library, data or lock are not what
            they were when the cache was opened, and nobody knows which of them was computed with.
        """
        from jupyter_cache.base import CacheBundleIn

        if fingerprint.computation(self._book) != self._computation:
            message = f"what {Path(uri).name} depends on changed while it ran; build the book again"
            raise BookError(message)
        self._forget(notebook)
        bundle = CacheBundleIn(notebook, uri, data={"execution_seconds": seconds})
        with _needing_room(self._place):
            self._cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            _seal(self._folder(notebook))

    def seal(self) -> None:
        """Seal what somebody else stored meanwhile: a plain build executes chapters by itself."""
        for notebook in self._place.glob(f"executed/*/{_NOTEBOOK}"):
            if not (notebook.parent / _SEAL).exists():
                _seal(notebook.parent)

    def _folder(self, notebook: Any) -> Path:
        key = self._cache.create_hashed_notebook(notebook)[1]
        return self._place / "executed" / str(key)

    def _forget(self, notebook: Any) -> None:
        """Remove the file; a record without one counts for nothing."""
        shutil.rmtree(self._folder(notebook), ignore_errors=True)


def _seal(folder: Path) -> None:
    write_atomically(folder / _SEAL, _hash(folder))


def _hash(folder: Path) -> str:
    return hashlib.sha256((folder / _NOTEBOOK).read_bytes()).hexdigest()


def _opened(place: Path) -> Any:
    from jupyter_cache import get_cache

    try:
        cache = get_cache(str(place))
        cache.list_cache_records()
    except Exception:  # the list of what is stored was not written whole
        stamp = (place / "computation.json").read_text(encoding="utf-8")
        shutil.rmtree(place)
        place.mkdir()
        write_atomically(place / "computation.json", stamp)
        with _needing_room(place):
            cache = get_cache(str(place))
            cache.list_cache_records()
    return cache


@contextmanager
def _needing_room(place: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # from SQLAlchemy or the file system, whatever these raise
        reason = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        message = f"outputs cannot be kept in {place}: {reason}"
        raise BookError(message) from error
