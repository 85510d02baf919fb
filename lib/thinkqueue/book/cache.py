"""The outputs of executed chapters, dropped as soon as the library or the data change.

jupyter-cache finds outputs by the content of a notebook's code cells alone. That misses an edited
library or data file, so the cache carries the hashes it was filled under.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from thinkqueue.book import fingerprint
from thinkqueue.book.layout import Book


class OutputCache:
    """Outputs by notebook, valid for one state of library, data and environment.

    Parameters
    ----------
    book
        The book; what is stale is dropped at once.
    """

    def __init__(self, book: Book) -> None:
        import shutil

        from jupyter_cache import get_cache

        current = fingerprint.computation(book)
        stamp = book.cache / "computation.json"
        found = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else None
        self.was_stale = book.cache.is_dir() and found != current
        if self.was_stale:
            shutil.rmtree(book.cache)
        book.cache.mkdir(parents=True, exist_ok=True)
        stamp.write_text(json.dumps(current, indent=1) + "\n", encoding="utf-8")
        self._cache = get_cache(str(book.cache))

    def find(self, notebook: Any) -> Any | None:
        """Return the notebook with its stored outputs, or None.

        Parameters
        ----------
        notebook
            A notebook as it was read from the chapter.
        """
        with suppress(KeyError):
            return self._cache.merge_match_into_notebook(notebook)[1]
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
        """
        from jupyter_cache.base import CacheBundleIn

        bundle = CacheBundleIn(notebook, uri, data={"execution_seconds": seconds})
        self._cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
