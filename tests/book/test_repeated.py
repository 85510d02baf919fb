"""What a chapter says does not depend on the surroundings of whoever has it executed."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_output

from repeated import STRANGE, differences, executed, notebook_sums
from thinkqueue.book.execution import execute, joined, read_notebook
from thinkqueue.book.layout import Book

CHEAP = ("chapters/01_the_server_as_a_queue", "chapters/04_prices_and_the_fixed_point")
TELLTALE = """\
import os, time

print(hash("order of sets"))
print(time.strftime("%H", time.gmtime(0)), time.tzname)
print("threads", os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"])
"""


def executed_strangely(book: Book, pages: tuple[str, ...]) -> dict[str, Any]:
    """Execute pages in an interpreter of its own, under the strange setting."""
    program = [sys.executable, __file__, str(book.root), *pages]
    environment = STRANGE.environment() | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(program, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return {page: nbformat.from_dict(content) for page, content in json.loads(done.stdout).items()}


@pytest.mark.slow
def test_two_chapters_come_out_alike_under_strange_settings(book: Book) -> None:
    usual = {page: notebook for page, notebook in executed(book) if page in CHEAP}
    strange = executed_strangely(book, CHEAP)
    assert len(usual) == len(strange) == len(CHEAP)
    sums = notebook_sums(usual)
    assert {kind: len(found) > 1 for kind, found in sums.items()} == dict.fromkeys(sums, True)
    assert differences(sums, notebook_sums(strange)) == []


@pytest.mark.slow
def test_what_depends_on_the_surroundings_is_noticed(small_book: Book) -> None:
    chapter = small_book.source("chapters/page")
    text = chapter.read_text(encoding="utf-8").replace("number + 1", TELLTALE)
    chapter.write_text(text, encoding="utf-8")
    notebook = read_notebook(small_book, "chapters/page")
    (usual,) = execute(small_book, {"chapters/page": notebook})
    (strange,) = executed_strangely(small_book, ("chapters/page",)).values()
    assert differences(*(notebook_sums({"page": n}) for n in (usual.notebook, strange)))
    lines = [n.cells[-1].outputs[0]["text"].splitlines() for n in (usual.notebook, strange)]
    assert [one == other for one, other in zip(*lines, strict=True)] == [False, False, True]
    assert lines[0][2] == "threads 1 1"


def test_a_changed_digit_is_a_difference_and_a_time_is_none(small_book: Book) -> None:
    notebook = read_notebook(small_book, "chapters/page")
    cell = notebook.cells[-1]

    def sums(text: str) -> dict[str, dict[str, str]]:
        one = copy.deepcopy(notebook)
        one.cells[-1].outputs = [new_output("stream", text=text)]
        return notebook_sums({"page": one})

    assert differences(sums("wait 1.5 s"), sums("wait 1.6 s")) == ["outputs: page"]
    cell.metadata["tags"] = ["measured"]
    assert differences(sums("wait 1.5 s"), sums("wait 1.6 s")) == []
    assert differences(sums("1.5 queries"), sums("1.6 queries")) == ["outputs: page"]


def test_what_was_printed_in_pieces_is_one_output() -> None:
    def out(name: str, text: str) -> Any:
        return new_output("stream", name=name, text=text)

    shown = new_output("display_data", {"text/plain": "figure"})
    given = [out("stdout", "a\n"), out("stdout", "b\n"), shown, out("stdout", "c\n"),
             out("stderr", "d\n")]  # fmt: skip
    assert [o.get("text", "figure") for o in joined(given)] == ["a\nb\n", "figure", "c\n", "d\n"]


if __name__ == "__main__":
    root, *names = sys.argv[1:]
    of = Book(Path(root))
    runs = execute(of, {name: read_notebook(of, name) for name in names}, workers=STRANGE.workers)
    sys.stdout.buffer.write(json.dumps({run.page: run.notebook for run in runs}).encode())
