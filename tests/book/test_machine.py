"""The book machine on a small book: what fails, what is stale, what is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thinkqueue.book import building, fingerprint
from thinkqueue.book.__main__ import app
from thinkqueue.book.building import WHOLE, alone
from thinkqueue.book.cache import OutputCache
from thinkqueue.book.execution import read_notebook
from thinkqueue.book.layout import Book, BookError
from thinkqueue.book.publishing import pages_address, theme_options

RunBook = Callable[..., subprocess.CompletedProcess[str]]


def page_text(book: Book) -> str:
    return (book.html / "chapters" / "page.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_failure_names_its_place_and_leaves_the_old_book(
    small_book: Book, run_book: RunBook
) -> None:
    root = small_book.root
    unknown = run_book("build", root=root)
    assert unknown.returncode == 1
    assert "page: small_number = 1.5 is new" in unknown.stderr
    assert not small_book.html.exists()

    renewed = run_book("reference", root=root)
    assert renewed.returncode == 0, renewed.stderr
    assert "Accepted: 1 values" in renewed.stdout
    built = run_book("build", root=root)
    assert built.returncode == 0, built.stderr
    assert (small_book.html / "index.html").as_uri() in built.stdout
    before = page_text(small_book)
    assert "1.5" in before
    assert (small_book.html / "_sources" / "chapters" / "page.ipynb").is_file()
    stamp = small_book.html.stat().st_ino

    assert run_book("build", root=root).returncode == 0
    assert small_book.html.stat().st_ino == stamp, "nothing changed, and yet it was built again"

    chapter = small_book.source("chapters/page")
    good = chapter.read_text(encoding="utf-8")
    chapter.write_text(good.replace("number + 1", "number / 0"), encoding="utf-8")
    failed = run_book("build", root=root)
    assert failed.returncode == 1
    line = good.splitlines().index("number + 1") + 1
    assert f"page.md: code cell 2 (line {line}) failed: ZeroDivisionError" in failed.stderr
    assert page_text(small_book) == before

    chapter.write_text(good + "\n{ref}`nowhere`\n", encoding="utf-8")
    faulty = run_book("build", root=root)
    assert faulty.returncode == 1
    assert "nowhere" in faulty.stderr
    assert page_text(small_book) == before
    assert [path.name for path in small_book.build.iterdir() if "stage" in path.name] == []


@pytest.mark.slow
def test_a_plain_build_is_never_stale(small_book: Book) -> None:
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    root = small_book.root
    environment = {**os.environ, "PYTHONPATH": str(root / "lib")}
    for number in ("1.5", "2.5"):
        (root / "data" / "number.txt").write_text(f"{number}\n", encoding="utf-8")
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert number in page_text(small_book)
        assert not (small_book.html / WHOLE).exists()
    assert "1.5" not in page_text(small_book)


@pytest.mark.parametrize(
    "changed", ["lib/thinkqueue/delay/fifo.py", "data/number.txt", "requirements.lock"]
)
def test_outputs_are_dropped_when_what_they_depend_on_changes(
    small_book: Book, changed: str
) -> None:
    notebook = read_notebook(small_book, "chapters/page")
    OutputCache(small_book).store(notebook, "page.md", 1.0)
    assert OutputCache(small_book).find(notebook) is not None
    path = small_book.root / changed
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    cache = OutputCache(small_book)
    assert cache.was_stale
    assert cache.find(notebook) is None


@pytest.mark.parametrize(
    "damaged", ["computation.json", "global.db", "__version__.txt", "executed/*/base.ipynb"]
)
@pytest.mark.parametrize("how", ["emptied", "cut off", "removed"])
def test_a_record_that_was_not_written_whole_counts_for_nothing(
    small_book: Book, damaged: str, how: str
) -> None:
    """As after a full disk or a kill at the wrong moment: the next build goes its way."""
    notebook = read_notebook(small_book, "chapters/page")
    OutputCache(small_book).store(notebook, "page.md", 1.0)
    (path,) = small_book.cache.glob(damaged)
    whole = path.read_bytes()
    if how == "removed":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2 if how == "cut off" else 0])
    cache = OutputCache(small_book)
    assert cache.find(notebook) is None or damaged == "__version__.txt"
    cache.store(notebook, "page.md", 1.0)
    assert OutputCache(small_book).find(notebook) is not None


def test_where_nothing_can_be_kept_one_sentence_says_so(
    small_book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("no access") from OSError("database or disk is full\n[more]")

    notebook = read_notebook(small_book, "chapters/page")
    cache = OutputCache(small_book)
    monkeypatch.setattr(cache._cache, "cache_notebook_bundle", full)
    with pytest.raises(BookError, match=r"cannot be kept in .*: database or disk is full$"):
        cache.store(notebook, "page.md", 1.0)
    monkeypatch.setattr("jupyter_cache.get_cache", full)
    with pytest.raises(BookError, match="disk is full"):
        OutputCache(small_book)


def test_what_changes_while_a_chapter_runs_is_not_kept_for_either_state(small_book: Book) -> None:
    notebook = read_notebook(small_book, "chapters/page")
    cache = OutputCache(small_book)
    (small_book.root / "data" / "number.txt").write_text("2.5\n", encoding="utf-8")
    with pytest.raises(BookError, match=r"page\.md depends on changed while it ran"):
        cache.store(notebook, "page.md", 1.0)
    assert not list(small_book.cache.glob("executed/*/base.ipynb"))


def test_what_a_kill_leaves_of_a_file_is_no_content(small_book: Book) -> None:
    before = fingerprint.computation(small_book)
    (small_book.root / "data" / ".0123456789abcdef.part").write_text("half", encoding="utf-8")
    assert fingerprint.computation(small_book) == before
    (small_book.root / "data" / "other.part").write_text("half", encoding="utf-8")
    assert fingerprint.computation(small_book) != before


def test_the_next_build_tidies_up_after_one_that_was_killed(small_book: Book) -> None:
    old, stage = small_book.html.with_name("html.old"), small_book.build / "stage"
    old.mkdir(parents=True)
    (old / WHOLE).write_text("as it was", encoding="utf-8")
    stage.mkdir()
    with alone(small_book):
        assert (small_book.html / WHOLE).read_text(encoding="utf-8") == "as it was"
        assert not old.exists()
        assert not stage.exists()
    old.mkdir()
    with alone(small_book):
        assert (small_book.html / WHOLE).is_file()
        assert not old.exists()


def test_reference_values_and_prose_drop_nothing(small_book: Book) -> None:
    notebook = read_notebook(small_book, "chapters/page")
    OutputCache(small_book).store(notebook, "page.md", 1.0)
    (small_book.reference / "page.json").write_text("{}", encoding="utf-8")
    chapter = small_book.source("chapters/page")
    text = chapter.read_text(encoding="utf-8").replace("Words between", "Other words between")
    chapter.write_text(text, encoding="utf-8")
    assert OutputCache(small_book).find(read_notebook(small_book, "chapters/page")) is not None


def test_a_page_that_is_not_there_is_named(small_book: Book) -> None:
    with pytest.raises(FileNotFoundError, match="chapters/absent"):
        read_notebook(small_book, "chapters/absent")


@pytest.mark.parametrize("command", ["build", "reference", "public"])
def test_a_book_without_its_extra_says_what_to_install(
    small_book: Book, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # where the reference is refused before that
    monkeypatch.setitem(sys.modules, "yaml", None)
    done = CliRunner().invoke(app, [command, "--root", str(small_book.root)])
    assert done.exit_code == 1
    assert done.output.startswith("The book needs yaml, which is not installed: pip install")
    assert len(done.output.splitlines()) == 1


def test_buttons_wait_for_the_public_address() -> None:
    options, base = theme_options("")
    assert base == ""
    assert not any(options.values())
    options, base = theme_options("https://github.com/Owner/book.git")
    assert base == "https://owner.github.io/book/"
    assert options["use_edit_page_button"]
    assert options["repository_url"] == "https://github.com/Owner/book"
    assert "binderhub_url" in options["launch_buttons"]
    with pytest.raises(ValueError, match="public_repository"):
        pages_address("book")


def test_the_small_book_lies_apart_from_the_book(small_book: Book) -> None:
    assert not small_book.root.is_relative_to(Path(__file__).parents[2])


def test_a_fault_of_the_pages_is_named_without_its_trace() -> None:
    said = (
        "Traceback (most recent call last):\n  File 'a.py', line 1, in <module>\n"
        "FileNotFoundError: [Errno 2] No such file: 'CITATION.cff'\nRuntimeError: \n=====\n"
    )
    done = subprocess.CompletedProcess([], 1, stdout="", stderr=said)
    assert building._faults(done) == "FileNotFoundError: [Errno 2] No such file: 'CITATION.cff'"
    silent = subprocess.CompletedProcess([], 1, stdout="", stderr="one\ntwo\n")
    assert building._faults(silent) == "one\ntwo"
