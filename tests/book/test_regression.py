"""The book is its own test: what it states is held, and a wrong library turns it red."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

import pytest

from thinkqueue.book import fingerprint, reference
from thinkqueue.book.cache import OutputCache
from thinkqueue.book.execution import has_code, read_notebook
from thinkqueue.book.layout import Book

#: A formula of the library, and the same formula off by one part in twenty thousand.
FORMULA = ("lib/thinkqueue/delay/fifo.py", "/ (2 * self.y)", "/ (2.0001 * self.y)")
RunBook = Callable[..., subprocess.CompletedProcess[str]]
CHAPTER = "chapters/01_the_server_as_a_queue"


def test_the_chapters_state_what_the_reference_says(book: Book) -> None:
    cache = OutputCache(book)
    read = {page: read_notebook(book, page) for page in book.pages}
    found = {page: cache.find(nb) for page, nb in read.items() if nb is not None and has_code(nb)}
    assert found, "no chapter was executed"
    assert all(notebook is not None for notebook in found.values())
    assert reference.compare(book, reference.collect(found)) == []


def test_every_reference_belongs_to_a_chapter(book: Book) -> None:
    names = {page.rpartition("/")[2] for page in book.pages}
    assert {path.stem for path in book.reference.glob("*.json")} <= names


def test_the_manifest_says_on_what_the_book_was_computed_and_the_appendix_shows_it(
    book: Book,
) -> None:
    manifest = json.loads((book.html / "manifest.json").read_text(encoding="utf-8"))
    computed = fingerprint.computation(book)
    python = computed.pop("python")
    assert manifest["sha256"] == computed
    assert manifest["versions"].pop("python") == python
    lock = (book.root / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    ours = manifest["versions"].pop("thinkqueue")
    assert set(manifest["versions"].items()) <= locked
    chapters = {page for page in book.pages if _has_code(book, page)}
    assert set(manifest["run_seconds"]) == chapters
    assert all(seconds > 0 for seconds in manifest["run_seconds"].values())
    page = (book.html / "chapters" / "how_it_was_computed.html").read_text(encoding="utf-8")
    shown = [digest[:16] for digest in computed.values()] + [manifest["machine"]["processor"]]
    shown += [ours, python, *manifest["versions"].values()]
    assert [text for text in shown if text not in page] == []


def _has_code(book: Book, page: str) -> bool:
    notebook = read_notebook(book, page)
    return notebook is not None and has_code(notebook)


@pytest.mark.slow
def test_a_wrong_library_turns_the_book_red(copied_book: Book, run_book: RunBook) -> None:
    root = copied_book.root
    toc = f"format: jb-book\nroot: {CHAPTER}\n"
    (root / "_toc.yml").write_text(toc, encoding="utf-8")
    path, right, wrong = FORMULA
    source = (root / path).read_text(encoding="utf-8")
    assert source.count(right) == 1, "the formula moved; point this test to it again"
    (root / path).write_text(source.replace(right, wrong), encoding="utf-8")
    done = run_book("build", root=root)
    assert done.returncode == 1
    assert "stated values are not what data/reference/ says" in done.stderr
    assert not copied_book.html.exists()
