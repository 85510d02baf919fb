"""Where the book keeps its things, and which pages it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


class BookError(RuntimeError):
    """A book that cannot be built, and why."""


@dataclass(frozen=True)
class Book:
    """The folder of a book: ``_config.yml``, ``_toc.yml``, ``chapters/``, ``lib/`` and ``data/``.

    Parameters
    ----------
    root
        The folder itself.
    """

    root: Path

    @property
    def build(self) -> Path:
        """Everything that can be made again."""
        return self.root / "_build"

    @property
    def html(self) -> Path:
        """The pages, whole or absent."""
        return self.build / "html"

    @property
    def cache(self) -> Path:
        """The outputs of the chapters, by the content of their code cells."""
        return self.build / ".jupyter_cache"

    @property
    def reference(self) -> Path:
        """The values that the chapters state, one file a chapter."""
        return self.root / "data" / "reference"

    @cached_property
    def pages(self) -> tuple[str, ...]:
        """Every page of the table of contents, without its suffix, in the order of reading."""
        import yaml

        toc = yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8"))
        return tuple(_files(toc))

    def source(self, page: str) -> Path:
        """Return the Markdown file of a page.

        Parameters
        ----------
        page
            A name out of :attr:`pages`.
        """
        return self.root / f"{page}.md"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of ``_config.yml``."""
        import yaml

        content = yaml.safe_load((self.root / "_config.yml").read_text(encoding="utf-8"))
        return dict(content)


def _files(entry: Any) -> Iterator[str]:
    if isinstance(entry, list):
        for item in entry:
            yield from _files(item)
    elif isinstance(entry, dict):
        for key in ("root", "file"):
            if key in entry:
                yield str(entry[key]).removesuffix(".md")
        for key in ("parts", "chapters", "sections", "subtrees", "entries"):
            yield from _files(entry.get(key, []))
