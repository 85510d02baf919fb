"""What is checked cannot be changed by accident or in silence: data, reference, outputs, pages."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from nbformat.v4 import new_output
from typer.testing import CliRunner

from thinkqueue.book import building, checksums, fingerprint
from thinkqueue.book.__main__ import app
from thinkqueue.book.cache import OutputCache
from thinkqueue.book.execution import read_notebook
from thinkqueue.book.layout import Book
from thinkqueue.book.values import Stated

ROOT = Path(__file__).parents[2]
PAGE = "chapters/page"


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def state(monkeypatch: pytest.MonkeyPatch, **values: Stated) -> None:
    """Let the chapter state these values without being executed."""
    monkeypatch.setattr(building, "_stated_values", lambda *_: {PAGE: values})


def renew(book: Book) -> str:
    done = CliRunner().invoke(app, ["reference", "--root", str(book.root)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def reviewed(small_book: Book, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A book that states one value, which somebody has looked at."""
    monkeypatch.delenv("CI", raising=False)
    state(monkeypatch, near=Stated(2.0, 1e-3, 0.0))
    renew(small_book)
    return small_book


def test_the_reference_is_not_renewed_where_nobody_looks(
    small_book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    state(monkeypatch, number=Stated(1.5, 1e-6, 0.0))
    done = CliRunner().invoke(app, ["reference", "--root", str(small_book.root)])
    assert done.exit_code == 1
    assert done.output.startswith("The reference is not renewed where CI is set")
    assert len(done.output.splitlines()) == 1
    assert not (small_book.reference / "page.json").exists()


def test_each_difference_is_shown_in_tolerances_before_it_is_written(
    small_book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    state(monkeypatch, near=Stated(2.0, 1e-3, 0.0), exact=Stated(3, 0.0, 0.0))
    assert "near = 2.0 is new" in renew(small_book)
    before = (small_book.reference / "page.json").read_bytes()
    state(monkeypatch, near=Stated(2.5, 1e-3, 0.0), exact=Stated(4, 0.0, 0.0))
    seen = []
    monkeypatch.setattr(
        "thinkqueue.book.__main__.typer.echo",
        lambda line, **_: seen.append((line, (small_book.reference / "page.json").read_bytes())),
    )
    renew(small_book)
    lines, files = zip(*seen, strict=True)
    assert lines == (
        "page: near was 2.0, is 2.5 (off by 0.5, which is 250 times its tolerance of 0.002)",
        "page: exact was 3, is 4 (off by 1, and nothing is allowed)",
        "Accepted: 2 values and 0 files that changed.",
    )
    assert files[:2] == (before, before)
    assert files[2] != before


@pytest.mark.parametrize(
    "changed",
    [
        "lib/thinkqueue/bounds.py",
        "data/workloads/*.toml",
        "data/measurements/**/*.csv",
        "data/results/*.*",
        "requirements.lock",
    ],
)
def test_a_changed_bit_in_what_is_computed_with_drops_all_outputs(
    small_book: Book, changed: str
) -> None:
    notebook = read_notebook(small_book, PAGE)
    OutputCache(small_book).store(notebook, "page.md", 1.0)
    files = sorted(path for path in small_book.root.glob(changed) if path.is_file())
    flip(files[0])
    cache = OutputCache(small_book)
    assert cache.was_stale
    assert cache.find(notebook) is None


@pytest.mark.parametrize(
    "changed", ["data/reference/page.json", "_toc.yml", "_config.yml", "chapters/page.md"]
)
def test_a_changed_bit_in_what_is_shown_or_held_asks_for_a_new_build(
    small_book: Book, changed: str
) -> None:
    (small_book.reference / "page.json").write_text("{}", encoding="utf-8")
    before, computed = fingerprint.pages(small_book), fingerprint.computation(small_book)
    flip(small_book.root / changed)
    assert fingerprint.pages(small_book) != before
    assert fingerprint.computation(small_book) == computed


def test_the_book_was_reviewed_with_these_very_files() -> None:
    assert checksums.unreviewed(Book(ROOT)) == []


@pytest.mark.parametrize(
    "changed",
    [
        "data/number.txt",
        "data/results/newton.json",
        "data/batching/licences/*",
        "data/reference/page.json",
        "requirements.lock",
    ],
)
def test_a_changed_bit_of_what_was_reviewed_is_named_and_nothing_is_built(
    reviewed: Book, changed: str
) -> None:
    checksums.hold(reviewed)
    path = sorted(reviewed.root.glob(changed))[0]
    flip(path)
    done = CliRunner().invoke(app, ["build", "--root", str(reviewed.root)])
    assert done.exit_code == 1
    name = path.relative_to(reviewed.root).as_posix()
    assert done.output.splitlines()[1:] == [
        f"  {name} changed",
        "If that is meant, `make reference` accepts it.",
    ]
    assert not reviewed.html.exists()


def test_a_file_that_came_or_went_is_named_and_accepted_when_looked_at(reviewed: Book) -> None:
    (reviewed.root / "data" / "number.txt").rename(reviewed.root / "data" / "other.txt")
    lines = ["data/number.txt is gone", "data/other.txt is new"]
    assert checksums.unreviewed(reviewed) == lines
    assert renew(reviewed).splitlines()[:2] == lines
    assert checksums.unreviewed(reviewed) == []


def test_a_value_that_was_changed_within_its_tolerance_is_shown_all_the_same(
    reviewed: Book,
) -> None:
    path = reviewed.reference / "page.json"
    path.write_text(path.read_text("utf-8").replace("2.0", "2.001"), encoding="utf-8")
    assert renew(reviewed).splitlines() == [
        "data/reference/page.json changed",
        "Accepted: 0 values and 1 files that changed.",
    ]


def test_the_list_of_sums_is_that_of_sha256sum(small_book: Book) -> None:
    checksums.accept(small_book)
    command = ["sha256sum", "--check", "--strict", "--quiet", "data/reference/SHA256SUMS"]
    subprocess.run(command, cwd=small_book.root, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["flip", "remove", "add"])
def test_pages_that_were_changed_since_are_built_again(book: Book, change: str) -> None:
    current = fingerprint.pages(book)
    with tempfile.TemporaryDirectory() as folder:
        other = Book(Path(folder))
        shutil.copytree(book.html, other.html)
        assert building._is_whole(other, current)
        page = other.html / "chapters" / "08_real_streams.html"
        if change == "flip":
            flip(page)
        elif change == "remove":
            page.unlink()
        else:
            page.with_name("one_more.html").write_text("", encoding="utf-8")
        assert not building._is_whole(other, current)


@pytest.mark.parametrize("changed", ["base.ipynb", "base.sha256"])
def test_executed_outputs_that_were_changed_since_are_not_believed(
    small_book: Book, changed: str
) -> None:
    """A digit of an output is not its code: nothing but a hash of the whole notebook tells."""
    notebook = read_notebook(small_book, PAGE)
    executed = copy.deepcopy(notebook)
    executed.cells[-1].outputs = [new_output("stream", name="stdout", text="0123456789" * 500)]
    cache = OutputCache(small_book)
    cache.store(executed, "page.md", 1.0)
    assert OutputCache(small_book).find(notebook).cells[-1].outputs
    (path,) = small_book.cache.glob(f"executed/*/{changed}")
    flip(path)
    json.loads((path.parent / "base.ipynb").read_text(encoding="utf-8"))
    assert OutputCache(small_book).find(notebook) is None
    assert not path.exists(), "the page builder would read it without asking"


def test_outputs_of_a_plain_build_are_sealed_once(small_book: Book) -> None:
    notebook = read_notebook(small_book, PAGE)
    cache = OutputCache(small_book)
    cache.store(notebook, "page.md", 1.0)
    (seal,) = small_book.cache.glob("executed/*/base.sha256")
    seal.unlink()  # as the page builder leaves it, which knows of no seal
    cache.seal()
    assert cache.find(notebook) is not None
    flip(seal.with_name("base.ipynb"))
    cache.seal()
    assert cache.find(notebook) is None
