"""From chapters to pages: execute what changed, hold the values, build, and only then replace."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from thinkqueue.book import checksums, execution, fingerprint, reference
from thinkqueue.book.cache import OutputCache
from thinkqueue.book.layout import Book, BookError
from thinkqueue.book.values import Stated
from thinkqueue.files import write_atomically

#: Left in the folder of a whole book, with the hash of all that it was built from.
WHOLE = ".whole"

#: How an error of the system is printed where nothing more can be written.
_NO_ROOM = re.compile(
    rf"(?:\[Errno |Error\()({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG}|{errno.EROFS})\b"
)


def build(
    book: Book,
    console: Console,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Path:
    """Bring the pages up to date and return the first of them.

    Parameters
    ----------
    book
        The book.
    console
        Where progress is shown.
    workers
        How many chapters are executed at a time; by default one for each core.
    executor
        Where chapters are executed, if not in processes of this machine.

    Raises
    ------
    CellError
        If a cell fails.
    BookError
        If data or lock are not as they were reviewed, a process that executes chapters is killed, a
        chapter states a value that the reference does not accept, or a page has a fault. The book
        that was there stays as it was.
    """
    with alone(book):
        current = fingerprint.pages(book)
        if not _is_whole(book, current):
            checksums.hold(book)
            with _progress(console) as progress:
                task = progress.add_task("chapters", total=None)
                stated = _stated_values(book, progress, task, workers, executor)
                _hold_to_reference(book, stated)
                progress.update(task, description="pages")
                _build_pages(book, current)
                progress.advance(task)
        return book.html / "index.html"


def renew_reference(book: Book, console: Console, show: Callable[[str], None]) -> tuple[int, int]:
    """Execute what changed, show what differs, accept it, return how many values and files it is.

    Parameters
    ----------
    book
        The book.
    console
        Where progress is shown.
    show
        Is given each difference before anything is written.

    Raises
    ------
    CellError
        If a cell fails.
    BookError
        In continuous integration, where nobody looks at what is accepted.
    """
    if "CI" in os.environ:
        message = (
            "The reference is not renewed where CI is set: what it accepts must be looked at. Run "
            "`make reference` at your desk and commit what it writes."
        )
        raise BookError(message)
    with alone(book):
        with _progress(console) as progress:
            stated = _stated_values(book, progress, progress.add_task("chapters", total=None))
        differences = reference.compare(book, stated)
        files = checksums.unreviewed(book)
        for line in [*map(str, differences), *files]:
            show(line)
        reference.renew(book, stated)
        checksums.accept(book)
        return len(differences), len(files)


def renew_picture(book: Book) -> Path:
    """Copy the first figure of the first page out of the built book, on a white ground.

    Parameters
    ----------
    book
        The book, built.

    Raises
    ------
    BookError
        If the first page has no figure.
    """
    notebook = execution.read_notebook(book, book.pages[0])
    stored = OutputCache(book).find(notebook)
    for cell in [] if stored is None else stored.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).get("image/svg+xml")
            if figure:
                path = book.root / "chapters" / "_static" / "picture.svg"
                # it is seen outside the book, where nothing turns its colours in the dark
                white = figure.replace("<svg ", '<svg style="background: #fff" ', 1)
                write_atomically(path, white)
                return path
    message = f"{book.pages[0]} has no figure"
    raise BookError(message)


def _stated_values(
    book: Book,
    progress: Progress,
    task: TaskID,
    workers: int | None = None,
    executor: Executor | None = None,
) -> dict[str, dict[str, Stated]]:
    cache = OutputCache(book)
    read = {page: execution.read_notebook(book, page) for page in book.pages}
    notebooks = {page: nb for page, nb in read.items() if nb is not None and execution.has_code(nb)}
    found = {page: cache.find(notebook) for page, notebook in notebooks.items()}
    missing = {page: notebooks[page] for page, stored in found.items() if stored is None}
    progress.update(task, total=len(missing) + 1)
    with contextlib.closing(
        execution.execute(book, missing, workers=workers, executor=executor)
    ) as chapters:
        for done in chapters:
            cache.store(done.notebook, str(book.source(done.page)), done.seconds)
            found[done.page] = done.notebook
            progress.advance(task)
    return reference.collect(found)


def _hold_to_reference(book: Book, stated: Mapping[str, Mapping[str, Stated]]) -> None:
    differences = reference.compare(book, stated)
    if differences:
        lines = "\n".join(f"  {difference}" for difference in differences)
        message = (
            f"{len(differences)} stated values are not what data/reference/ says:\n{lines}\n"
            "If the new values are right, `make reference` accepts them."
        )
        raise BookError(message)


def _is_whole(book: Book, current: str) -> bool:
    """Whether these pages were built from what is there now, and no byte of them changed since."""
    mark = book.html / WHOLE
    if not (mark.is_file() and mark.read_text(encoding="utf-8") == current):
        return False
    pages = (path for path in book.html.rglob("*") if path != mark)
    return not checksums.altered(book.html / checksums.SUMS, checksums.taken(book.html, pages))


def _build_pages(book: Book, current: str) -> None:
    with built_aside(book, "html") as built:
        if fingerprint.pages(book) != current:
            message = "the book's files changed while it was built, so it was left as it was"
            raise BookError(message)
        sums = checksums.taken(built, built.rglob("*"))
        (built / checksums.SUMS).write_text(checksums.listed(sums), encoding="utf-8")
        (built / WHOLE).write_text(current, encoding="utf-8")
        _replace(book.html, built)


@contextlib.contextmanager
def built_aside(book: Book, builder: str) -> Iterator[Path]:
    """Build pages without faults in a place that is gone afterwards."""
    stage = _stage(book)
    # fmt: off
    command = [
        sys.executable, "-c", "from thinkqueue.book.building import page_builder; page_builder()",
        "build", str(book.root), "--path-output", str(stage), "--builder", builder,
        "--all", "-W", "-n", "--keep-going", "-q",
    ]
    # fmt: on
    listening, ours = os.pipe()
    try:
        # the lock of `alone` goes with the builder: whoever comes next waits until it is gone
        done = subprocess.run(
            command, stdin=listening, capture_output=True, text=True, check=False, close_fds=False
        )
        built = stage / "_build" / builder
        if done.returncode < 0:
            name = signal.Signals(-done.returncode).name
            message = f"{name} stopped what builds the pages, and the book was left as it was"
            raise BookError(message)
        if done.returncode != 0:
            if no_room := _NO_ROOM.search(done.stderr):
                raise OSError(int(no_room[1]), os.strerror(int(no_room[1])), str(stage))
            message = "the pages have faults, and the book was left as it was:\n" + _faults(done)
            raise BookError(message)
        yield built
    finally:
        os.close(listening)
        os.close(ours)
        shutil.rmtree(stage, ignore_errors=True)


def page_builder() -> None:
    """Be jupyter-book, and end with the process that asked for it.

    The standard input is a pipe that nobody writes to: it ends when its other end is closed, which
    the system does for a process that is killed.
    """
    from jupyter_book.cli.main import main

    threading.Thread(target=_end_with_input, daemon=True).start()
    main()


def _end_with_input() -> None:
    os.read(0, 1)
    execution.kill_children(os.getpid())
    os._exit(1)


def _faults(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.splitlines()
    chosen = [line for line in lines if re.search(r"(WARNING|ERROR|[a-z]Error): \S", line)]
    return "\n".join(chosen or lines[-30:])


def _replace(old: Path, new: Path) -> None:
    aside = _aside(old)
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(html: Path) -> Path:
    return html.with_name("html.old")


def _stage(book: Book) -> Path:
    return book.build / "stage"


def _tidy(book: Book) -> None:
    """Take away what a build left that was killed, and put the book back that it was replacing."""
    aside = _aside(book.html)
    if aside.exists() and not book.html.exists():
        aside.rename(book.html)
    for left in (aside, _stage(book)):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def alone(book: Book) -> Iterator[None]:
    """Let two builds of one book follow each other, also where the first of them is killed."""
    book.build.mkdir(exist_ok=True)
    with open(book.build / ".lock", "w", encoding="utf-8") as lock:
        os.set_inheritable(lock.fileno(), True)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _tidy(book)
        yield


def _progress(console: Console) -> Any:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal or "CI" in os.environ,
    )
