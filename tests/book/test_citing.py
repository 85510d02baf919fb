"""All that says how to cite the book follows from one file, and the archive holds what it says."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path

import pytest

from thinkqueue.book.archiving import NAME, archive
from thinkqueue.book.citing import bibtex, citation, zenodo
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[2]


def test_the_description_of_a_deposit_is_that_of_the_citation_file() -> None:
    book = Book(ROOT)
    assert (ROOT / ".zenodo.json").read_text(encoding="utf-8") == zenodo(book)
    content, said = json.loads(zenodo(book)), citation(book)
    assert content["title"] == said["title"] == book.config["title"]
    assert [creator["name"] for creator in content["creators"]] == [said["authors"][0]["name"]]
    assert content["related_identifiers"][0]["identifier"] == "arXiv:2601.10274"


def test_the_readme_shows_the_entry() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"```bibtex\n(.*?)```", text, re.S) == [bibtex(Book(ROOT))]


def test_people_dates_and_addresses_come_into_the_entry(small_book: Book) -> None:
    (small_book.root / "CITATION.cff").write_text(
        "title: A title\nversion: 2.0\nauthors: [{family-names: Doe, given-names: J.}]\n"
        "date-released: 2026-11-27\nrepository-code: https://example.org/book\n"
    )
    entry = bibtex(small_book)
    for line in ("author = {Doe, J.}", "year = {2026}", "url = {https://example.org/book}"):
        assert f"  {line},\n" in entry


@pytest.fixture
def printed_book(small_book: Book) -> Book:
    """As it lies there after it was built and printed, as far as packing is concerned."""
    for name in ("CITATION.cff", "LICENSE", "README.md"):
        (small_book.root / name).write_bytes((ROOT / name).read_bytes())
    sources = small_book.html / "_sources" / "chapters"
    sources.mkdir(parents=True)
    (small_book.html / "index.html").write_text("a page")
    (small_book.html / ".whole").write_text("a hash")
    (sources / "page.ipynb").write_text("{}")
    (small_book.build / f"{NAME}.pdf").write_bytes(b"%PDF")
    return small_book


def test_an_archive_holds_everything_with_its_sums(printed_book: Book) -> None:
    with tarfile.open(archive(printed_book)) as file:
        entries = {entry.name.partition("/")[2]: entry for entry in file.getmembers()}
        held = {name: file.extractfile(entry).read() for name, entry in entries.items()}  # type: ignore[union-attr]
    assert all((entry.mtime, entry.uid, entry.uname) == (0, 0, "") for entry in entries.values())
    sums = dict(line.split("  ")[::-1] for line in held.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in held.items()}
    assert {
        "html/index.html",
        "notebooks/chapters/page.ipynb",
        f"{NAME}.pdf",
        "data/number.txt",
        "requirements.lock",
        "CITATION.cff",
        ".zenodo.json",
    } <= set(held)
    assert "html/.whole" not in held


def test_the_same_book_is_packed_into_the_same_bytes(printed_book: Book) -> None:
    first = archive(printed_book).read_bytes()
    (printed_book.html / "index.html").touch()
    assert archive(printed_book).read_bytes() == first
    (printed_book.html / "index.html").write_text("another page")
    assert archive(printed_book).read_bytes() != first


def test_what_was_not_printed_is_not_packed(printed_book: Book) -> None:
    (printed_book.build / f"{NAME}.pdf").unlink()
    with pytest.raises(FileNotFoundError):
        archive(printed_book)
    assert not list(printed_book.build.glob(f"{NAME}*"))
