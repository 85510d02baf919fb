"""Every chapter on five servers that are not the book's, since readers may run it on theirs.

Kernels are slow to start, so the code cells are executed in this process; cells that do not see the
workload, not even through a name, run once for all five.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from symtable import symtable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from tests.workloads import QWEN

import thinkqueue as tq
from thinkqueue.book import read_subject, table
from thinkqueue.book.execution import read_notebook
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[2]
#: Parameters of chapters that cost time and prove nothing here.
QUICK = {
    "jobs": 20_000,
    "queries": 2_000,
    "points": 40,
    "servers": 3,
    "boxes": 300,
    "questions": 40,
}


def book_server() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


def some_types(chosen: list[int], names: list[str]) -> tq.Workload:
    own = book_server()
    columns = {
        name: getattr(own, name)[chosen]
        for name in ("gain", "rate", "baseline", "base_time", "time_per_token", "max_tokens")
    }
    columns["rate"] = columns["rate"] * np.linspace(0.6, 1.4, len(chosen))
    return tq.Workload.from_arrays(
        share=own.share[chosen] / own.share[chosen].sum(),
        names=names,
        arrival_rate=own.arrival_rate,
        accuracy_weight=own.accuracy_weight,
        **columns,
    )


def servers() -> dict[str, tq.Workload]:
    own = book_server()
    twelve = [f"customer support in language {n}, with an answer at length" for n in range(12)]
    idle = float(own.share @ own.base_time)
    hostile = ["$x_{$", "<b>&amp;</b>", "[/red]\x1b[31m\x07", "_hidden|`a`\\", "a\nb\u202e $$y$$"]
    hostile[2] += "w" * 80  # calibrate takes a hundred letters
    return {
        "one type": some_types([0], ["all"]),
        "twelve long names": some_types([n % 5 for n in range(12)], twelve),
        "idle": own.replace(arrival_rate=1e-6),
        "nearly full": own.replace(arrival_rate=0.99 / idle),
        # five that meet in one server, since each is of another type or of other cells
        "hostile names, no caps, nothing to gain, no weight": own.replace(
            names=hostile, max_tokens=1e30, gain=[0, *own.gain[1:]], weight=[1, 1, 0, 1, 1]
        ),
    }


@dataclass
class Chapter:
    """The code of a chapter, cell by cell, and which names carry something of the workload."""

    page: str
    cells: list[tuple[int, str]]
    parameters: int
    about: list[bool] = field(default_factory=list)
    kept: dict[int, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, book: Book, page: str) -> Chapter | None:
        notebook = read_notebook(book, page)
        if notebook is None:
            return None
        lines = notebook.metadata["source_map"]
        code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        tagged = [n for n, (_, c) in enumerate(code) if "parameters" in c.metadata.get("tags", [])]
        if not tagged or "workload_file" not in code[tagged[0]][1].source:
            return None
        return cls(page, [(lines[i] + 1, cell.source) for i, cell in code], tagged[0])

    def __post_init__(self) -> None:
        stained = {"workload_file"}
        for _, source in self.cells:
            read, written = _names(source)
            self.about.append(bool(read & stained))
            stained = stained | written if self.about[-1] else stained - written | {"workload_file"}

    def run(self, file: Path) -> None:
        """Execute the cells on a workload; what a cell without it has set is kept for the next."""
        scope: dict[str, Any] = {"__name__": "__main__", "display": lambda *_: None}
        for number, (line, source) in enumerate(self.cells):
            if not self.about[number] and number in self.kept:
                scope.update(self.kept[number])
                continue
            before = dict(scope)
            code = compile("\n" * line + source, str(ROOT / f"{self.page}.md"), "exec")
            exec(code, scope)
            if number == self.parameters:
                scope["workload_file"] = str(file)
                scope |= {name: value for name, value in QUICK.items() if name in scope}
            elif not self.about[number]:
                self.kept[number] = {
                    name: value
                    for name, value in scope.items()
                    if name not in before or before[name] is not value
                }
            for figure in map(plt.figure, plt.get_fignums()):
                figure.canvas.draw()
            plt.close("all")


def _names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell reads from before it, and names that it sets or may change."""
    tree = ast.parse(source)
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Subscript | ast.Attribute))
    bases = {
        name.id
        for node in stored
        if isinstance(node.ctx, ast.Store)
        for name in ast.walk(node.value)
        if isinstance(name, ast.Name)
    }
    return _read(tree.body, set()), bases | _symbols(tree)[1]


def _symbols(node: ast.AST) -> tuple[set[str], set[str]]:
    """Names of the notebook that code looks up, in its functions too, and names that it sets."""
    table = symtable(ast.unparse(node), "cell", "exec")
    asked = {one.get_name() for one in table.get_symbols() if one.is_referenced()}
    told = {one.get_name() for one in table.get_symbols() if one.is_assigned()}
    functions = table.get_children()
    while functions:
        inner = functions.pop()
        functions += inner.get_children()
        asked |= {one.get_name() for one in inner.get_symbols() if one.is_global()}
    return asked, told


def _read(block: list[ast.stmt], known: set[str]) -> set[str]:
    """Names that statements look up before the block has set them for certain."""
    found, known = set[str](), set(known)
    for node in block:
        parts: list[list[ast.stmt]] = []
        if isinstance(node, ast.For | ast.While | ast.If | ast.With):
            parts = [node.body, getattr(node, "orelse", [])]
            node = copy.copy(node)
            node.body, node.orelse = [ast.Pass()], []
        asked, told = _symbols(node)
        if isinstance(node, ast.AugAssign):
            asked |= told
        found |= asked - known
        for part in parts:
            found |= _read(part, known | told)
        if not isinstance(node, ast.For | ast.While | ast.If | ast.Try):
            known |= told
    return found


@pytest.fixture(scope="module")
def chapters() -> Iterator[list[Chapter]]:
    """All chapters that a reader may run on another workload, each line of them shown in Agg."""
    book, here = Book(ROOT), Path.cwd()
    found = [chapter for page in book.pages if (chapter := Chapter.read(book, page))]
    os.chdir(ROOT / "chapters")
    with mpl.rc_context(), pytest.MonkeyPatch.context() as patch:
        plt.switch_backend("Agg")
        patch.setattr(plt, "show", lambda: None)
        yield found
    os.chdir(here)


@pytest.mark.slow
@pytest.mark.parametrize("name", servers())
def test_every_chapter_runs_on(name: str, chapters: list[Chapter], tmp_path: Path) -> None:
    file = tmp_path / f"{name}.toml"
    servers()[name].to_toml(file)
    assert len(chapters) >= 8
    for chapter in chapters:
        chapter.run(file)


def test_names_and_owner_follow_the_workload(tmp_path: Path) -> None:
    assert read_subject(QWEN).own
    assert read_subject(QWEN.with_name("qwen3-8b-batching.toml")).own
    file = tmp_path / "mine.toml"
    hostile = next(name for name in servers() if name.startswith("hostile"))
    servers()[hostile].to_toml(file)
    subject = read_subject(file)
    assert (subject.title, subject.whose, subject.own) == ("mine", "your server", False)
    assert all(label.isprintable() for label in (*subject.labels, *subject.names))
    shown = table([{"task": name} for name in subject.workload.names]).data
    assert "<b>" not in shown
    assert "\x1b" not in shown
    assert "mathjax_ignore" in shown


@pytest.mark.slow
def test_the_recipe_works_as_printed(copied_book: Book) -> None:
    text = copied_book.source(copied_book.pages[0]).read_text(encoding="utf-8")
    (recipe,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    mine = copied_book.root / "mine.toml"
    servers()["one type"].to_toml(mine)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(copied_book.root / "lib"),
    }
    done = subprocess.run(
        recipe.replace("/path/to/mine.toml", shlex.quote(str(mine))),
        shell=True,
        cwd=copied_book.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    executed = (copied_book.root / "mine-executed.ipynb").read_text(encoding="utf-8")
    assert "are of your server, <code>mine</code>" in executed


def test_a_cell_that_sees_the_workload_is_run_on_each() -> None:
    """The negative control of what is run once for all."""
    cells = [
        (1, 'workload_file = ""'),
        (2, "calls = []\nimport thinkqueue as tq"),
        (3, "workload = tq.Workload.from_toml(workload_file)\ncalls.append(1)"),
        (4, "def types():\n    return len(workload)"),
        (5, "found = types()"),
    ]
    assert Chapter("chapters/none", cells, 0).about == [False, False, True, True, True]
