"""Kills at random moments, full disks and read-only folders, and what must hold after each of them.

Run it for the long form (``make check-interruption``), which records what happened in
``data/results/interruption.json`` and fails at the first thing amiss.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from thinkqueue.book import checksums
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[1]
TARGETS = ("the build", "the build and all that it started", "one that it started")

PAGE = """\
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

# {title}

State {state}.

```{{code-cell}} ipython3
from pathlib import Path
from time import sleep

sleep(0.3)
print("{title}: code {code}, data", Path("../data/number.txt").read_text(encoding="utf-8"))
```
"""


@dataclass
class SmallBook:
    """A book of three pages, of which each tells the state of its text, its code and its data."""

    root: Path
    state: int = 0
    data: int = 0
    codes: list[int] = field(default_factory=lambda: [0, 0, 0])

    def __post_init__(self) -> None:
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / "lib", self.root / "lib", ignore=ignore)
        static = self.root / "chapters" / "_static"
        shutil.copytree(ROOT / "chapters" / "_static", static)
        shutil.copy(ROOT / "chapters" / "references.bib", self.root / "chapters")
        for name in ("_config.yml", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "data").mkdir()
        (self.root / "_toc.yml").write_text(
            "format: jb-book\nroot: chapters/p0\nchapters:\n- file: chapters/p1\n"
            "- file: chapters/p2\n"
        )
        self.write()

    @property
    def build(self) -> Path:
        """Where everything lies that can be made again."""
        return self.root / "_build"

    def change(self, choose: random.Random) -> str:
        """Change the text of all pages, and perhaps the code of one of them, or the data."""
        what = choose.choice(("text", "code", "data"))
        self.state += 1
        if what == "code":
            self.codes[choose.randrange(3)] = self.state
        elif what == "data":
            self.data = self.state
        self.write()
        return what

    def write(self) -> None:
        """Write all files of this state."""
        (self.root / "data" / "number.txt").write_text(f"{self.data}\n")
        for number, code in enumerate(self.codes):
            text = PAGE.format(title=f"Page {number}", state=self.state, code=code)
            (self.root / "chapters" / f"p{number}.md").write_text(text)
        checksums.accept(Book(self.root))

    def told(self) -> list[str]:
        """What the pages of this state say."""
        return [
            f"State {self.state}. Page {number}: code {code}, data {self.data}"
            for number, code in enumerate(self.codes)
        ]

    def shown(self) -> list[str] | None:
        """What the published pages say; None where there are none."""
        html = self.build / "html"
        return (
            [_said(html / "chapters" / f"p{k}.html") for k in range(3)] if html.exists() else None
        )


def _said(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"<p>(State \d+\.)</p>|(Page \d: code \d+, data \d+)\n", text)
    assert len(found) == 2, f"{page} is not whole"
    return " ".join(one or other for one, other in found)


def start(root: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Begin to build the book in a folder."""
    command = [sys.executable, "-m", "thinkqueue.book", *arguments, "--root", str(root)]
    environment = os.environ | {"PYTHONPATH": str(root / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command, env=environment, cwd=root, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def finish(root: Path, **options: Any) -> tuple[int, str]:
    """Build the book in a folder; return the exit status and what was said."""
    build = start(root, "build", **options)
    said = build.communicate()[1]
    return build.returncode, said


def kept(build: Path) -> dict[str, tuple[str, int]]:
    """The chapters that count as executed, with the moment when each was stored, and for what."""
    cache = build / ".jupyter_cache"
    found = {}
    for seal in cache.glob("executed/*/base.sha256"):
        notebook = seal.with_name("base.ipynb")
        with contextlib.suppress(FileNotFoundError):
            if hashlib.sha256(notebook.read_bytes()).hexdigest() == seal.read_text():
                stamp = (cache / "computation.json").read_text()
                found[seal.parent.name] = (stamp, notebook.stat().st_mtime_ns)
    return found


def repeated(before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]]) -> list[str]:
    """The chapters that were executed again although nothing that they depend on changed."""
    stamps = {stamp for stamp, _ in after.values()}
    return [key for key, entry in before.items() if entry[0] in stamps and after[key] != entry]


def gone(family: list[psutil.Process], seconds: float = 15.0) -> list[psutil.Process]:
    """Wait for processes to end, and return those that do not."""
    end = time.monotonic() + seconds
    while (left := [p for p in family if _works(p)]) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _works(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def kill_once(
    root: Path, delay: float, target: str, choose: random.Random
) -> dict[str, Any] | None:
    """Begin a build and kill it; return the circumstances, or None where it was done before."""
    build = start(root, "build")
    try:
        said = build.communicate(timeout=delay)[1]
    except subprocess.TimeoutExpired:
        said = None
    if said is not None:
        assert build.returncode == 0, said
        return None
    family = _family(build.pid)
    phase = "pages" if (root / "_build" / "stage").exists() else (
        "chapters" if any((root / "_build" / ".jupyter_cache").glob("executed")) else "start"
    )  # fmt: skip
    if not family:
        target = TARGETS[0]
    victims = [choose.choice(family)] if target == TARGETS[2] else [psutil.Process(build.pid)]
    for process in victims + (family if target == TARGETS[1] else []):
        _kill(process)
    said = build.communicate(timeout=120)[1]
    # Python's own tracker of semaphores may be the one that is killed, and says so
    assert "Traceback (most recent call last)" not in said or "resource_tracker" in said, said
    orphans = gone(family)
    assert not orphans, f"killed {target} in {phase}, and these work on: {orphans}"
    return {"phase": phase, "target": target, "status": build.returncode, "said": said.strip()}


Seen = Mapping[str, int]


def kill_small_book(
    kills: int, seed: int, tell: Callable[[Seen], None] = lambda seen: None
) -> dict[str, int]:
    """Kill the builds of a small book at random moments; check after each, and often finish one."""
    choose = random.Random(seed)
    seen: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        book = SmallBook(Path(folder))
        lengths: dict[str, float] = {}
        what, done = "data", False
        allowed = [book.told()]
        before: dict[str, tuple[str, int]] = {}
        while seen["kills"] < kills or not done:
            finishing = seen["kills"] == kills or what not in lengths or choose.random() < 0.3
            began = time.monotonic()
            if finishing:
                status, said = finish(book.root)
                assert status == 0, said
                told = None
            else:
                target = choose.choice(TARGETS)
                told = kill_once(book.root, choose.uniform(0, lengths[what]), target, choose)
            after = kept(book.build)
            again = repeated(before, after)
            assert not again, f"executed again for nothing: {again}"
            before, done = after, told is None
            shown = book.shown()
            if told is not None:
                seen["kills"] += 1
                seen[f"killed: {told['target']}"] += 1
                seen[f"killed in: {told['phase']}"] += 1
                seen["chapters kept over a kill"] += len(after)
                print(f"{seen['kills']:3d} {told}", flush=True)
                tell(seen)
            if shown is None:
                assert not done
                assert len(allowed) == 1 or (book.build / "html.old").is_dir(), "the book is lost"
                seen["no pages until the next run"] += 1
            else:
                assert shown in allowed, f"mixed or stale pages: {shown}, not one of {allowed}"
            if done:
                assert shown == book.told(), "the run after a kill published a stale book"
                left = {path.name for path in book.build.iterdir()}
                assert left == {"html", ".jupyter_cache", ".lock"}, left
                lengths.setdefault(what, time.monotonic() - began)
                seen["finished"] += 1
                allowed = [book.told()]
            if done or choose.random() < 0.3:
                what = book.change(choose)
                allowed = [allowed[0] if shown is None else shown, book.told()]
    return dict(sorted(seen.items()))


SEED = 2026

#: Simulates at several loads and keeps a record of all so far, written over the one before.
SWEEP = """
import json, sys
from pathlib import Path
import thinkqueue as tq
from thinkqueue.files import write_atomically
workload = tq.Workload.from_toml(sys.argv[1])
means = []
for step in range(1, 25):
    rate = step / 250
    at = workload.replace(arrival_rate=rate)
    run = tq.simulate(at, tq.solve(at).tokens, jobs=1_000_000, seed=1)
    means.append(run.mean_system_time.value)
    write_atomically(Path(sys.argv[2]), json.dumps(means) + "\\n")
"""


def kill_sweep(kills: int, seed: int) -> dict[str, int]:
    """Kill a sweep of simulations that keeps a record, from its first compilation on."""
    choose = random.Random(seed)
    seen: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        record, fresh = Path(folder, "record.json"), Path(folder, "compiled")
        workload = ROOT / "data" / "workloads" / "qwen3-8b.toml"
        command = [sys.executable, "-c", SWEEP, str(workload), str(record)]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(fresh), "PYTHONPATH": str(ROOT / "lib")}

        def seconds() -> float:
            began = time.monotonic()
            subprocess.run(command, env=environment, check=True)
            return time.monotonic() - began

        cold, length = seconds(), seconds()
        whole = json.loads(record.read_text())
        for number in range(kills):
            record.unlink(missing_ok=True)
            most = length
            if number % 5 == 0:  # what was compiled is lost, and compiled again under the kills
                shutil.rmtree(fresh, ignore_errors=True)
                most = cold
            with contextlib.suppress(subprocess.TimeoutExpired):
                # a time-out kills
                subprocess.run(
                    command, env=environment, check=True, timeout=choose.uniform(0, most)
                )
                seen["done before the kill"] += 1
            means = json.loads(record.read_text()) if record.exists() else []
            assert means == whole[: len(means)], "the record is of no run"
            seen["kills"] += 1
            state = "no" if not means else "part of the" if means != whole else "whole"
            seen[f"left: {state} record"] += 1
        subprocess.run(command, env=environment, check=True)
        assert json.loads(record.read_text()) == whole, "the run after the kills says otherwise"
    return dict(sorted(seen.items()))


#: Asks the real engine a few questions, in nine steps that are each kept when they are whole.
LIVE = """
import sys
from pathlib import Path
from thinkqueue.live.experiment import Experiment, Run, Scale
runs = (Run(0.5, "best", 5), Run(0.5, "twice", 5), Run(0.5, "best", 5, places=2))
scale = Scale(runs=runs, repeats=2, questions=1, thoughts=1, tokens=40, rounds=1)
Experiment(Path(sys.argv[1], "live"), scale, quiet=True).run()
"""


def kill_live(kills: int, seed: int) -> dict[str, int]:
    """Kill an experiment with a real engine; what was measured whole is never measured again."""
    choose = random.Random(seed)
    seen: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "live")
        command = [sys.executable, "-c", LIVE, folder]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "lib")}

        def tables() -> dict[str, bytes]:
            return {path.name: path.read_bytes() for path in place.glob("*.csv")}

        began = time.monotonic()
        subprocess.run(command, env=environment, check=True)
        length, names = time.monotonic() - began, set(tables())
        shutil.rmtree(place)
        while seen["kills"] < kills:
            before = tables()
            run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
            try:
                said = run.communicate(timeout=choose.uniform(0, length / 2))[1]
                assert run.returncode == 0, said
                assert set(tables()) == names
                seen["finished"] += 1
                shutil.rmtree(place)
                continue
            except subprocess.TimeoutExpired:
                family = _family(run.pid)
            _kill(psutil.Process(run.pid))
            run.communicate()
            orphans = gone(family)
            assert not orphans, f"these work on: {orphans}"
            after = tables()
            assert {name: after.get(name) for name in before} == before, "a whole table changed"
            seen["kills"] += 1
            seen["the engine was at work"] += bool(family)
            seen["tables kept over a kill"] += len(after)
            print(f"{seen['kills']:3d} {len(after)} of {len(names)} tables", flush=True)
        subprocess.run(command, env=environment, check=True)
        assert set(tables()) == names
    return dict(sorted(seen.items()))


FILE_SIZES = (0, 300, 20_000, 60_000, 400_000, 1_500_000)
DISKS = ("16k", "200k", "1m", "4m")


def without_room(sizes: tuple[int, ...], disks: tuple[str, ...]) -> list[dict[str, Any]]:
    """Build a small book where no file may be larger, or the disk is full, or nothing is written.

    Each time one sentence says so, the pages stay as they were, and with room the book is built.
    Disks are mounted, which takes the rights of an administrator.
    """
    told = []

    def check(book: SmallBook, limit: str, before: list[str] | None, **options: Any) -> None:
        status, said = finish(book.root, **options)
        assert status == 1, (limit, status, said)
        (line,) = said.splitlines()
        assert book.shown() == before, limit
        told.append({"limit": limit, "said": line.replace(str(book.root), "BOOK")})

    with tempfile.TemporaryDirectory() as folder:
        book = SmallBook(Path(folder))
        for size in sizes:
            check(book, f"files of {size} bytes", None, preexec_fn=lambda n=size: _at_most(n))
        status, said = finish(book.root)
        assert status == 0, said
        before = book.shown()
        book.change(random.Random(0))
        check(book, "files of 60000 bytes", before, preexec_fn=lambda: _at_most(60_000))
        for disk in disks:
            hidden = book.build.rename(book.root / "hidden")
            book.build.mkdir()
            with mounted(book.build, "-t", "tmpfs", "-o", f"size={disk}", "none"):
                check(book, f"a disk of {disk}", None)
            book.build.rmdir()
            hidden.rename(book.build)
        if disks:
            with mounted(book.build, "--bind", str(book.build)):
                subprocess.run(["mount", "-o", "remount,ro,bind", str(book.build)], check=True)
                check(book, "a read-only folder", before)
        status, said = finish(book.root)
        assert status == 0, said
        assert book.shown() == book.told()
    return told


def _at_most(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextlib.contextmanager
def mounted(place: Path, *what: str) -> Iterator[None]:
    """Mount something on a folder for a while."""
    subprocess.run(["mount", *what, str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def main(*parts: str) -> None:
    """Kill and fill as often as the record says, and record what was seen."""
    from benchmarks.measuring import RESULTS, machine, record

    known = RESULTS / "interruption.json"
    found = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}

    def keep(part: str, rows: list[dict[str, Any]]) -> None:
        others = [row for row in found.get("kills", []) if row["of"] != part]
        if part == "full":
            found[part] = rows
        else:
            found["kills"] = others + [{"of": part} | row for row in rows]
        record("interruption", found | {"machine": machine("numba", "jupyter-book"), "seed": SEED})

    if "full" in parts:
        keep("full", without_room(FILE_SIZES, DISKS if os.geteuid() == 0 else ()))
    if "sweep" in parts:
        keep("sweep", _rows(kill_sweep(30, SEED)))
    if "live" in parts:
        keep("live", _rows(kill_live(20, SEED)))
    if "book" in parts:
        keep("book", _rows(kill_small_book(100, SEED, lambda seen: keep("book", _rows(seen)))))


def _rows(seen: Seen) -> list[dict[str, Any]]:
    return [{"what": what, "times": times} for what, times in sorted(seen.items())]


if __name__ == "__main__":
    main(*(sys.argv[1:] or ("full", "sweep", "live", "book")))
