"""What holds for the repository as a whole: style, types, spelling, words, licences."""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import thinkqueue
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[1]


def run(*command: str, **options: Any) -> None:
    """Run a tool and show what it says when it is not content."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def repository_files() -> list[Path]:
    """Every file that belongs to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_style() -> None:
    run("ruff", "check", "lib", "tests")


def test_types() -> None:
    run("mypy")


def test_spelling() -> None:
    names = [str(path.relative_to(ROOT)) for path in repository_files()]
    run("codespell", *names)


def code_of_chapter(text: str) -> str:
    """Blank out all but the code cells, so that line numbers stay those of the chapter."""
    kept, inside, options = [], False, False
    for line in text.splitlines():
        if not inside and line.startswith("```{code-cell}"):
            inside, options = True, True
            kept.append("")
            continue
        if inside and line.strip() == "```":
            inside = False
        elif inside and options and (line.startswith(":") or not line.strip()):
            pass
        elif inside and options and line.strip() == "---":
            options = None  # type: ignore[assignment]
        elif inside and options is None:
            options = line.strip() != "---" and None  # type: ignore[assignment]
        elif inside:
            options = False
            kept.append(line)
            continue
        kept.append("")
    return "\n".join(kept) + "\n"


def test_code_of_a_chapter_keeps_its_lines() -> None:
    text = "# T\n```{code-cell} ipython3\n:tags: [x]\n\na = 1\n```\nb\n"
    assert code_of_chapter(text) == "\n\n\n\na = 1\n\n\n"
    text = "```{code-cell}\n---\ntags: [x]\n---\na = 1\n\nb = 2\n```\n"
    assert code_of_chapter(text) == "\n\n\n\na = 1\n\nb = 2\n\n"


def test_style_of_the_chapters(tmp_path: Path) -> None:
    for page in Book(ROOT).pages:
        text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
        target = tmp_path / f"{Path(page).name}.py"
        target.write_text(code_of_chapter(text), encoding="utf-8")
    config, relaxed = str(ROOT / "pyproject.toml"), "D,E402,E501,B018,I001,W391,RUF100"
    run(
        "ruff", "check", "--no-cache", "--config", config, "--extend-ignore", relaxed, str(tmp_path)
    )


def test_chapters_that_are_listed_are_there() -> None:
    missing = [page for page in Book(ROOT).pages if not (ROOT / f"{page}.md").is_file()]
    assert missing == []


def test_what_is_new_names_tests_that_are_there() -> None:
    text = (ROOT / "chapters" / "what_is_new.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def public_things() -> Iterator[tuple[str, Any]]:
    """Yield what packages export, and the functions of the modules at the top."""
    seen = set()
    for module in modules():
        exported = getattr(module, "__all__", ())
        at_the_top = module.__name__.count(".") == 1
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", "") == module.__name__
            wanted = name in exported or (
                at_the_top and own and inspect.isfunction(thing) and not name.startswith("_")
            )
            if wanted and callable(thing) and id(thing) not in seen:
                seen.add(id(thing))
                yield f"{thing.__module__}.{thing.__qualname__}", thing
                if inspect.isclass(thing):
                    yield from public_methods(thing)


def public_methods(owner: type) -> Iterator[tuple[str, Any]]:
    for name, thing in vars(owner).items():
        method = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
        inherited = any(name in vars(base) for base in owner.__mro__[1:])
        if inspect.isfunction(method) and not name.startswith("_") and not inherited:
            yield f"{owner.__module__}.{owner.__qualname__}.{name}", method


def modules() -> Iterator[ModuleType]:
    yield thinkqueue
    for info in pkgutil.walk_packages(thinkqueue.__path__, "thinkqueue."):
        # arguments of the command line are described where the command line reads them
        if not info.name.startswith("thinkqueue.cli") and info.name != "thinkqueue.book.__main__":
            yield importlib.import_module(info.name)


def documented_arguments(text: str) -> set[str]:
    """Return the names that a docstring's Parameters or Attributes describe."""
    names: set[str] = set()
    pattern = r"^(?:Other )?(?:Parameters|Attributes)\n-+\n(.*?)(?=^[A-Z][\w ]*\n-{3,}|\Z)"
    for section in re.findall(pattern, text, re.DOTALL | re.MULTILINE):
        for line in section.splitlines():
            if line and not line[0].isspace():
                head = line.partition(" :")[0].partition(":")[0]
                names |= {name.strip().strip("`*") for name in head.split(",")}
    return names


def arguments(thing: Any) -> list[str]:
    plain = inspect.isclass(thing) and issubclass(thing, Enum | Exception)
    if plain or getattr(thing, "_is_protocol", False):
        return []
    names = inspect.signature(thing).parameters
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def texts(thing: object) -> str:
    """The text of a thing, and of what it inherits from, where inherited fields stand."""
    family = inspect.getmro(thing) if inspect.isclass(thing) else [thing]
    ours = [one for one in family if getattr(one, "__module__", "").startswith("thinkqueue")]
    return "\n\n".join(inspect.getdoc(one) or "" for one in ours or [thing])


def test_everything_public_is_documented() -> None:
    things = dict(public_things())
    assert len(things) > 20
    undocumented = [name for name, thing in things.items() if not inspect.getdoc(thing)]
    silent = [
        f"{name}({argument})"
        for name, thing in things.items()
        for argument in arguments(thing)
        if argument not in documented_arguments(texts(thing))
    ]
    assert undocumented == []
    assert silent == []


def test_the_docstring_reader_notices_what_is_missing() -> None:
    text = (
        "Do.\n\nParameters\n----------\na, b : float\n    Two.\nc\n    One.\n\nRaises\n------\nd\n"
    )
    assert documented_arguments(text) == {"a", "b", "c"}


def fields_of(path: Path) -> set[str]:
    """Return the fields of a data file; the keys of a table of tables count once."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return set(next(csv.reader(file)))
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    return set(keys_of(readers[path.suffix](path.read_text(encoding="utf-8"))))


def keys_of(content: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(content, list):
        for item in content:
            yield from keys_of(item, prefix)
    elif isinstance(content, dict):
        for key, value in content.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) or (
                value and isinstance(value, list) and isinstance(value[0], dict)
            ):
                yield from keys_of(value, f"{name}.")
            else:
                yield name


def data_files() -> list[Path]:
    found = (path for path in repository_files() if path.is_relative_to(ROOT / "data"))
    return [
        path
        for path in found
        if path.suffix in (".csv", ".toml", ".json")
        and path.name != "dictionary.csv"
        and not path.is_relative_to(ROOT / "data" / "reference")
    ]


def test_the_data_dictionary_is_complete() -> None:
    with (ROOT / "data" / "dictionary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {"file", "field", "meaning", "unit", "source", "licence"}
    assert all(set(row) == columns for row in rows)
    holes = [row for row in rows if not all((value or "").strip() for value in row.values())]
    assert holes == []
    described = [(row["file"], row["field"]) for row in rows]
    assert len(set(described)) == len(described)

    data = ROOT / "data"
    missing = [
        (path.relative_to(data).as_posix(), field)
        for path in data_files()
        for field in sorted(fields_of(path))
        if not any(
            path.relative_to(data).match(file) and field == known for file, known in described
        )
    ]
    assert missing == []
    stale = [
        (file, field)
        for file, field in described
        if not any(field in fields_of(path) for path in data.glob(file))
    ]
    assert stale == []


def test_keys_of_nested_tables() -> None:
    assert set(keys_of({"a": 1, "task": [{"x": 1}, {"y": {"z": 2}}]})) == {
        "a",
        "task.x",
        "task.y.z",
    }


def test_locks_name_no_place() -> None:
    for name in ("requirements.lock", "tests/citation.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^--|^-[if] ", text, re.MULTILINE)
        pinned = re.findall(r"^[\w.\[\]-]+==", text, re.MULTILINE)
        assert len(pinned) > 10
        assert text.count("--hash=sha256:") >= len(pinned)
    for name in ("Makefile", ".ci/run", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "index-url" not in text.replace("--no-emit-index-url", "")


def test_make_test_is_all_that_must_be_run() -> None:
    """Whatever a bare machine lacks is brought by make and not by those who call it."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line and not line.startswith("#")]
    assert code == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "export CI=true", "make test"]


def test_citation_file() -> None:
    tool = ROOT / ".tools" / "citation" / "bin" / "cffconvert"
    assert tool.is_file(), "cffconvert has an environment of its own, which `make test` makes"
    run(str(tool), "--validate", "--infile", str(ROOT / "CITATION.cff"))


def test_readme_code_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    assert sum(len(block.splitlines()) for block in blocks) <= 12
    run(sys.executable, "-W", "error", "-c", "\n".join(blocks))


@pytest.mark.parametrize("program", ["pass", "app(['solve', 'data/workloads/qwen3-8b.toml'])"])
def test_the_library_loads_only_what_it_needs(program: str) -> None:
    """Importing and solving load nothing that only extras bring, and not SciPy, the heaviest."""
    others = "scipy flint numba tqdm pandas pyarrow dask distributed matplotlib seaborn sympy cvxpy"
    code = (
        "import sys; from contextlib import suppress\n"
        "import thinkqueue; from thinkqueue.cli import app\n"
        f"with suppress(SystemExit): {program}\n"
        f"loaded = [name for name in {others.split()} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    run(sys.executable, "-c", code)


def test_what_is_imported_later_is_what_is_exported() -> None:
    """Type checkers read one list and Python another: they say the same, and all is there."""
    tree = ast.parse(Path(thinkqueue.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    named = {
        alias.name: imported.module
        for imported in checked.body
        if isinstance(imported, ast.ImportFrom)
        for alias in imported.names
    }
    assert named == thinkqueue._LATER
    assert set(named) < set(thinkqueue.__all__) <= set(dir(thinkqueue))
    for name in thinkqueue.__all__:
        assert getattr(thinkqueue, name).__name__ == name
    assert thinkqueue.calibration.Draws.__name__ == "Draws"
    assert not any(hasattr(thinkqueue, name) for name in ("nonsense", "calib", ""))
