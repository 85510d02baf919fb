"""Chapters as notebooks, and their execution by papermill in parallel processes."""

from __future__ import annotations

import multiprocessing
import os
import re
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkqueue.book.layout import Book, BookError


@dataclass(frozen=True)
class Executed:
    """A chapter that ran through.

    Parameters
    ----------
    page
        The chapter.
    notebook
        The notebook as it was read, with outputs and execution counts.
    seconds
        How long it took.
    """

    page: str
    notebook: Any
    seconds: float


class CellError(RuntimeError):
    """A cell that failed, by chapter, number and line.

    Parameters
    ----------
    source
        The chapter's file.
    cell
        The number of the code cell, from 1; None if no cell can be blamed.
    line
        The line of the chapter where that cell starts.
    reason
        What was raised, in one line.
    details
        The traceback.
    """

    def __init__(
        self, source: Path, cell: int | None, line: int | None, reason: str, details: str
    ) -> None:
        self.source, self.cell, self.line = source, cell, line
        self.reason, self.details = reason, details
        where = "outside any cell" if cell is None else f"code cell {cell} (line {line})"
        super().__init__(f"{source.name}: {where} failed: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes."""
        return CellError, (self.source, self.cell, self.line, self.reason, self.details)


def read_notebook(book: Book, page: str) -> Any | None:
    """Read a page as the page builder will, or return None where it is no notebook.

    Parameters
    ----------
    book
        The book.
    page
        One of its pages.

    Raises
    ------
    FileNotFoundError
        If the table of contents names a page that is not there.
    """
    from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
    from myst_parser.config.main import MdParserConfig

    source = book.source(page)
    if not source.is_file():
        message = f"_toc.yml names {page}, but there is no {source.name} in {source.parent.name}/"
        raise FileNotFoundError(message)
    text = source.read_text(encoding="utf-8")
    if not is_myst_markdown_notebook(text):
        return None
    extensions = book.config.get("parse", {}).get("myst_enable_extensions", [])
    return read_myst_markdown_notebook(
        text,
        config=MdParserConfig(enable_extensions=set(extensions)),
        add_source_map=True,
        path=source,
    )


def has_code(notebook: Any) -> bool:
    """Return whether there is anything to execute.

    Parameters
    ----------
    notebook
        A page as :func:`read_notebook` returns it.
    """
    return any(cell.cell_type == "code" for cell in notebook.cells)


def execute(
    book: Book,
    notebooks: Mapping[str, Any],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Generator[Executed, None, None]:
    """Execute chapters in parallel processes and yield each as it is done.

    Parameters
    ----------
    book
        The book.
    notebooks
        What to execute: pages and their notebooks, the longest best first.
    workers
        How many at a time; by default one for each core.
    executor
        Where, instead of processes of this machine: the workers of a cluster, which must see this
        folder under the same path and have the same environment.

    Raises
    ------
    CellError
        At the first cell that fails.
    BookError
        If one of the processes is killed.

    Notes
    -----
    However this ends before its time (a failed cell, an interrupt, a caller who closes it or is
    killed), the chapters that are running end with it, kernels and all.
    """
    count = min(len(notebooks), workers or os.cpu_count() or 1)
    if not count:
        return
    timeout = book.config.get("execute", {}).get("timeout", 120)
    if executor is not None:
        yield from _execute_elsewhere(book, notebooks, timeout, executor)
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker) as pool:
        try:
            running = [
                pool.submit(_execute_one, book.source(page), page, notebook, timeout)
                for page, notebook in notebooks.items()
            ]
            for future in as_completed(running):
                yield future.result()
        except BaseException as error:
            for worker in set(multiprocessing.active_children()) - others:
                kill_children(worker.pid)
                worker.kill()
            if isinstance(error, BrokenExecutor):
                message = "a process that executes chapters was killed, as where memory runs out"
                raise BookError(message) from error
            raise


def _execute_elsewhere(
    book: Book, notebooks: Mapping[str, Any], timeout: float, executor: Executor
) -> Generator[Executed, None, None]:
    running = [
        executor.submit(_execute_one, book.source(page), page, notebook, timeout)
        for page, notebook in notebooks.items()
    ]
    try:
        for future in as_completed(running):
            yield future.result()
    finally:
        for future in running:
            future.cancel()


def _begin_worker() -> None:
    """Give each kernel one thread, by the environment it inherits, and silence the machinery.

    Sums are then added in one order, whatever the user's own setting is. What a cell itself writes
    goes through its kernel and is kept. Ctrl-C is the parent's to hear, and whoever loses the
    parent stops.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    kill_children(os.getpid())
    os._exit(1)


def kill_children(pid: int | None) -> None:
    """Kill the kernels of a process: they have sessions of their own, and may be deep in a sum.

    Parameters
    ----------
    pid
        The process; it may be gone already.
    """
    import psutil

    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()


def _execute_one(source: Path, page: str, notebook: Any, timeout: float) -> Executed:
    import nbformat
    import papermill

    with tempfile.TemporaryDirectory() as folder:
        given, filled = Path(folder, "given.ipynb"), Path(folder, "filled.ipynb")
        nbformat.write(notebook, given)
        start = time.perf_counter()
        try:
            papermill.execute_notebook(
                given,
                filled,
                cwd=source.parent,
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=timeout,
            )
        except Exception as error:
            raise _cell_error(source, notebook, filled, error) from None
        seconds = time.perf_counter() - start
        done = nbformat.read(filled, as_version=4)
    # papermill leaves marks in the metadata that would change the notebook's key in the cache
    for cell, result in zip(notebook.cells, done.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs = joined(result.outputs)
            cell.execution_count = result.execution_count
    return Executed(page, notebook, seconds)


def joined(outputs: list[Any]) -> list[Any]:
    """Join what was printed in one go: a kernel sends it in pieces, which the clock cuts.

    Parameters
    ----------
    outputs
        The outputs of a cell.
    """
    whole: list[Any] = []
    for output in outputs:
        goes_on = (
            whole
            and output["output_type"] == whole[-1]["output_type"] == "stream"
            and output["name"] == whole[-1]["name"]
        )
        if goes_on:
            whole[-1]["text"] += output["text"]
        else:
            whole.append(output)
    return whole


def _cell_error(source: Path, notebook: Any, filled: Path, error: Exception) -> CellError:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        index: int | None = error.cell_index
        reason = f"{error.ename}: {error.evalue}"
        details = "\n".join(error.traceback)
    else:  # a cell that ran out of time, or took its kernel with it
        index = _unfinished_cell(filled)
        lines = str(error).strip().splitlines() or [""]
        reason, details = f"{type(error).__name__}: {lines[0]}", str(error)
    details = re.sub(r"\x1b\[[0-9;]*m", "", details)
    if index is None:
        return CellError(source, None, None, reason, details)
    number = sum(cell.cell_type == "code" for cell in notebook.cells[: index + 1])
    return CellError(source, number, notebook.metadata["source_map"][index] + 1, reason, details)


def _unfinished_cell(filled: Path) -> int | None:
    import nbformat

    if filled.is_file():
        for index, cell in enumerate(nbformat.read(filled, as_version=4).cells):
            if cell.metadata.get("papermill", {}).get("status") in ("running", "failed"):
                return index
    return None
