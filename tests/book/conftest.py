"""One build of the book for every test that looks at it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.book.visits import Silent, serving
from tests.repeated import copied

from thinkqueue.book import checksums
from thinkqueue.book.browser import find_browser
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[2]

RunBook = Callable[..., subprocess.CompletedProcess[str]]


def run_book_command(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run the book machine on a folder, with the library that lies in that folder."""
    environment = {**os.environ, "PYTHONPATH": str(root / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("CI", None)  # there the reference is not renewed, and these tests renew theirs
    command = [sys.executable, "-m", "thinkqueue.book", *arguments, "--root", str(root)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=root, check=False
    )


@pytest.fixture(scope="session")
def run_book() -> RunBook:
    return run_book_command


@pytest.fixture(scope="session")
def book() -> Book:
    """The book, built: at once when nothing changed, and once for all workers otherwise."""
    done = run_book_command("build", root=ROOT)
    assert done.returncode == 0, f"the book does not build:\n{done.stdout}\n{done.stderr}"
    return Book(ROOT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        pytest.fail("the pages are tested in a Chromium, which `make test` installs", pytrace=False)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def served(book: Book) -> Iterator[str]:
    yield from serving(Silent, book)


@pytest.fixture
def copied_book(tmp_path: Path) -> Book:
    """A copy of the book's sources, to be spoilt."""
    root = tmp_path / "copy"
    root.mkdir()
    return copied(root)


CHAPTER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A page

The number is {glue:text}`small_number:.1f`.

```{code-cell} ipython3
from pathlib import Path

from thinkqueue.book import glue

number = float(Path("../data/number.txt").read_text())
glue("small_number", number)
```

Words between cells.

```{code-cell} ipython3
number + 1
```
"""


@pytest.fixture
def small_book(copied_book: Book) -> Book:
    """The machine and the settings of the book, with one small chapter in place of its own."""
    root = copied_book.root
    shutil.rmtree(copied_book.reference, ignore_errors=True)
    for path in (root / "chapters").glob("*.md"):
        path.unlink()
    (root / "_toc.yml").write_text("format: jb-book\nroot: chapters/page\n", encoding="utf-8")
    (root / "chapters" / "page.md").write_text(CHAPTER, encoding="utf-8")
    (root / "data" / "number.txt").write_text("1.5\n", encoding="utf-8")
    checksums.accept(Book(root))
    return Book(root)
