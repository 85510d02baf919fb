"""Two clean builds of the book under different settings, compared checksum by checksum.

Run it to build both (``make check-builds``) and to record what was compared in
``data/results/builds.json``; it fails where anything differs.

What depends on the machine or on the moment is left out, and only that: values that a chapter glues
as measured, times in the outputs of cells tagged so, and the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup

from thinkqueue.book.cache import OutputCache
from thinkqueue.book.execution import has_code, read_notebook
from thinkqueue.book.fingerprint import computation
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[1]
#: The tag of a cell that prints how long something took.
TIMED = "measured"
TIME = re.compile(r"\d[\d.,]* (?:µs|ms|s)\b")
GLUED, PASTED = re.compile(r"\{glue:text\}`([^`:]+)[^`]*`"), '<span class="pasted-text">'
CODE = re.compile(r"^```\{code-cell\}.*?^```$", re.DOTALL | re.MULTILINE)
#: What says where and when the book was computed, and the list that holds the checksums of these.
OF_THE_MACHINE = ("manifest.json", "chapters/how_it_was_computed.html", "SHA256SUMS")

Sums = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Setting:
    """What of a user's surroundings must not show in the book."""

    hash_seed: int
    locale: str
    time_zone: str
    threads: int
    workers: int

    def environment(self) -> dict[str, str]:
        """The environment of a build under this setting."""
        names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")
        return {
            **os.environ,
            **{f"{name}_NUM_THREADS": str(self.threads) for name in names},
            "PYTHONHASHSEED": str(self.hash_seed),
            "LC_ALL": self.locale,
            "TZ": self.time_zone,
            # what is written without saying how must not depend on the locale either
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


USUAL = Setting(hash_seed=0, locale="C.UTF-8", time_zone="UTC", threads=1, workers=2)
#: Four hours and three quarters east, in no daylight saving, for systems without a table of zones.
STRANGE = Setting(hash_seed=4242, locale="C", time_zone="XYZ-5:45", threads=2, workers=1)


def checksums(book: Book) -> Sums:
    """Return the checksums of all that a built book consists of, by kind and name."""
    notebooks = dict(executed(book))
    sums = notebook_sums(notebooks)
    sums["pages"] = {}
    for path in sorted(book.html.rglob("*")):
        name = path.relative_to(book.html).as_posix()
        if path.is_file() and name not in OF_THE_MACHINE:
            sums["pages"][name] = _sum(_page(book, path, notebooks))
    return sums


def notebook_sums(notebooks: Mapping[str, Any]) -> Sums:
    """Return the checksums of what executed chapters print, draw and state."""
    sums: Sums = {"outputs": {}, "figures": {}, "values": {}}
    for page, notebook in notebooks.items():
        sums["outputs"][page] = _sum([_timeless(cell) for cell in notebook.cells])
        sums["values"] |= {f"{page}: {name}": _sum(text) for name, text in _values(notebook)}
        sums["figures"] |= {
            f"{page}: {number}": _sum(figure) for number, figure in enumerate(_figures(notebook))
        }
    return sums


def executed(book: Book) -> Iterator[tuple[str, Any]]:
    """Yield the chapters with their outputs."""
    cache = OutputCache(book)
    for page in book.pages:
        notebook = read_notebook(book, page)
        if notebook is not None and has_code(notebook):
            found = cache.find(notebook)
            assert found is not None, f"{page} was not executed"
            yield page, found


def differences(one: Sums, other: Sums) -> list[str]:
    """Name everything that two books do not have alike."""
    return [
        f"{kind}: {name}"
        for kind in one
        for name in sorted(one[kind].keys() | other[kind].keys())
        if one[kind].get(name) != other[kind].get(name)
    ]


def _timeless(cell: Any) -> Any:
    """The outputs of a cell without what was measured."""
    kept = [o for o in cell.get("outputs", []) if not _measured(o)]
    text = json.dumps(kept, sort_keys=True)
    return TIME.sub("TIME", text) if TIMED in cell.metadata.get("tags", []) else text


def _measured(output: Any) -> bool:
    return bool(output.get("metadata", {}).get("thinkqueue", {}).get("measured"))


def _glued(notebook: Any) -> Iterator[tuple[str, Any]]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "thinkqueue" in output.get("metadata", {}):
                yield output["metadata"]["scrapbook"]["name"], output


def _values(notebook: Any) -> Iterator[tuple[str, str]]:
    """Yield what the chapter states, to the last digit."""
    for name, output in _glued(notebook):
        if not _measured(output):
            yield name, json.dumps(output["data"])


def _figures(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, content in output.get("data", {}).items():
                if kind.startswith("image/"):
                    yield content


def _page(book: Book, path: Path, notebooks: dict[str, Any]) -> Any:
    """The content of a file of the built book, without what was measured."""
    page = path.relative_to(book.html).with_suffix("").as_posix()
    if path.name == "searchindex.js":  # lists the numbers of each page, measured ones and others
        return re.sub(r'"\d+": (\d+|\[[\d, ]*\]),? ?', "", path.read_text(encoding="utf-8"))
    notebook = notebooks.get(page.removeprefix("_sources/"))
    if notebook is None or path.suffix not in (".html", ".ipynb"):
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        content = json.loads(text)
        outputs = [_timeless(_Cell(cell)) for cell in content["cells"]]
        for cell in content["cells"]:
            cell.pop("outputs", None)
        return [content, outputs]
    return _markup(text, book.source(page).read_text(encoding="utf-8"), notebook)


class _Cell(dict[str, Any]):
    @property
    def metadata(self) -> Any:
        return self["metadata"]


def _markup(text: str, source: str, notebook: Any) -> str:
    """A page's markup: pasted values stand there in the order in which the source pastes them."""
    measured = {name for name, output in _glued(notebook) if _measured(output)}
    names = GLUED.findall(CODE.sub("", source))
    before, *pasted = text.split(PASTED)
    assert len(pasted) == len(names), "the pasted values of a page are not those of its source"
    parts = [
        f"TIME{part[part.index('</span>') :]}" if name in measured else part
        for name, part in zip(names, pasted, strict=True)
    ]
    text = PASTED.join([before, *parts])
    if f"tag_{TIMED}" not in text:
        return text
    soup = BeautifulSoup(text, "html.parser")
    for output in soup.select(f".tag_{TIMED} .cell_output"):
        output.replace_with(TIME.sub("TIME", str(output)))
    return str(soup)


def _sum(content: Any) -> str:
    if not isinstance(content, bytes):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def copied(root: Path) -> Book:
    """Copy the sources of the book into an empty folder."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
    for folder in ("lib", "data", "chapters"):
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    for name in ("_config.yml", "_toc.yml", "requirements.lock", "pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, root / name)
    return Book(root)


def built(root: Path, setting: Setting) -> tuple[Book, float]:
    """Build a copy of the book under a setting; return it and how long that took."""
    book = copied(root)
    command = [
        sys.executable, "-m", "thinkqueue.book", "build",
        "--root", str(root), "--workers", str(setting.workers),
    ]  # fmt: skip
    environment = setting.environment() | {"PYTHONPATH": str(root / "lib")}
    began = time.perf_counter()
    subprocess.run(command, env=environment, cwd=root, check=True)
    return book, time.perf_counter() - began


def main() -> None:
    """Build twice, compare, record, and fail where anything differs."""
    from benchmarks.measuring import machine, record, significant

    sums, runs = [], []
    for setting in (USUAL, STRANGE):
        with tempfile.TemporaryDirectory() as folder:
            book, seconds = built(Path(folder), setting)
            sums.append(checksums(book))
        runs.append({**asdict(setting), "seconds": significant(seconds, 3)})
        print(f"built in {seconds:.0f} s under {setting}", flush=True)
    compared = [
        {
            "what": kind,
            "count": len(sums[0][kind]),
            "equal": sum(sums[0][kind].get(name) == sums[1][kind].get(name) for name in names),
            "sha256": [_sum(one[kind]) for one in sums],
        }
        for kind, names in sums[0].items()
    ]
    found = differences(*sums)
    for row in compared:
        print(f"{row['what']:8s} {row['equal']:4d} of {row['count']:4d} equal")
    about = machine("numpy", "scipy", "numba", "matplotlib", "jupyter-book")
    record(
        "builds",
        {"machine": about, "of": computation(Book(ROOT)), "builds": runs, "compared": compared,
         "different": found},
    )  # fmt: skip
    assert not found, "\n".join(["two builds differ:", *found])


if __name__ == "__main__":
    main()
