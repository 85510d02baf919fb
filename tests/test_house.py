"""The house stays tidy: arrows of imports, the public names, nothing that obeys what it reads."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

import thinkqueue
from public_api import SNAPSHOT, public_api

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "lib" / "thinkqueue"

#: From the ground up; what is not named here uses solutions and stands above the solvers.
FLOORS = (
    {"errors", "arrays", "names", "files", "checks", "printing", "executors"},
    {"workload"},
    {"delay"},
    {"objective"},
    {"replies", "bounds", "smoothness", "rows", "solution"},
    {"solvers"},
    {"solve", "grid"},
)
USERS, TOP = len(FLOORS), {"cli", "book", "__init__", "__main__"}


def module_of(path: Path) -> str:
    parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(LIBRARY.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(node: ast.AST, *, deep: bool) -> Iterator[str]:
    """Yield the modules that a file imports when it runs; deep, also what its functions import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom):
            for alias in child.names:
                full = f"{child.module}.{alias.name}"
                yield full if full in MODULES else str(child.module)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif deep or not isinstance(child, ast.FunctionDef):
            yield from imports(child, deep=deep)


def edges(*, deep: bool) -> dict[str, set[str]]:
    return {
        name: {found for found in imports(tree, deep=deep) if found in MODULES} - {name}
        for name, tree in TREES.items()
    }


def part(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def floor(module: str) -> int:
    if part(module) in TOP:
        return USERS + 1
    return next((k for k, names in enumerate(FLOORS) if part(module) in names), USERS)


def wrong_ways(arrows: dict[str, set[str]]) -> list[str]:
    return [
        f"{here} imports {there}"
        for here, found in arrows.items()
        for there in sorted(found)
        if floor(there) > floor(here) or (part(there) in {"book", "cli"} and part(here) not in TOP)
        or (part(there) == "book" and part(here) != "book")
    ]  # fmt: skip


def test_imports_go_down() -> None:
    assert wrong_ways(edges(deep=True)) == []
    assert wrong_ways({"thinkqueue.delay.fifo": {"thinkqueue.solve"}})
    assert wrong_ways({"thinkqueue.cli.solve": {"thinkqueue.book.figures"}})


def test_imports_do_not_go_in_circles() -> None:
    arrows = edges(deep=False)
    list(TopologicalSorter(arrows).static_order())
    arrows["thinkqueue.errors"] = {"thinkqueue.solve"}
    with pytest.raises(CycleError):
        list(TopologicalSorter(arrows).static_order())


def test_the_public_names_are_those_of_the_snapshot() -> None:
    known = SNAPSHOT.read_text(encoding="utf-8")
    message = f"{SNAPSHOT.name} is renewed by: python tests/public_api.py"
    assert public_api().splitlines() == known.splitlines(), message


#: Public names that no chapter shows, and why they are public all the same.
UNSEEN = {
    **dict.fromkeys(
        ("CalibrationError", "InfeasibleTargetError", "MeasurementError", "MissingError",
         "NotConvergedError"),
        "errors: who meets them wants to catch them, and no chapter fails",
    ),
    **dict.fromkeys(
        ("Interpolated", "NonPreemptivePriority", "PowerLaw", "PreemptivePriority",
         "ProcessorSharing", "TaskType"),
        "parts of a workload that a file names; the chapters read theirs from files",
    ),
    **dict.fromkeys(("Estimate", "Estimates", "PerType"), "fields of a Simulation"),
    **dict.fromkeys(("Solver", "Target"), "kinds of argument, for annotations"),
    "WaitingTarget": "the target on the mean wait, beside its relatives in chapter 9",
    "mean_type_time": "type_time without its distribution, for programs that ask often",
    "queries_present": "what the times of chapter 10 are computed from",
    "waiting_time_tail_price": "the gradient that solve_target climbs in chapter 9",
}  # fmt: skip


def returned() -> set[str]:
    """The names in what public functions return, directly or as a field or a property."""
    text = " ".join(re.findall(r"-> (.*)", SNAPSHOT.read_text(encoding="utf-8")))
    return set(re.findall(r"\w+", text))


def test_every_public_name_is_used_in_a_chapter() -> None:
    """A class that a function returns is seen with it; what else is not seen has a reason."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "chapters").glob("*.md"))
    classes = {n for n in thinkqueue.__all__ if inspect.isclass(getattr(thinkqueue, n))}
    seen = set(re.findall(r"\w+", text)) | (returned() & classes)
    assert set(thinkqueue.__all__) - seen <= set(UNSEEN) <= set(thinkqueue.__all__)


#: What turns text into code or into objects of its own choosing.
OBEYING = re.compile(
    r"eval|exec|compile|__import__|builtins\.\w+|[\w.]*read_pickle|"
    r"yaml\.(load|load_all|full_load\w*|unsafe_load\w*)"
)
OBJECTS = re.compile(r"(pickle|cPickle|marshal|shelve|dill|cloudpickle|joblib)\b")


def obeying(tree: ast.AST) -> list[str]:
    """What in a file would obey the text that it reads."""
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [call for call in calls if OBEYING.fullmatch(call.split("(")[0])]
    found += [call for call in calls if "allow_pickle=True" in call or "shell=True" in call]
    return found + [name for name in imports(tree, deep=True) if OBJECTS.match(name)]


@pytest.mark.parametrize(
    "text",
    [
        "eval(text)",
        "exec(text)",
        "yaml.load(text)",
        "import pickle",
        "from marshal import loads",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "subprocess.run(text, shell=True)",
        "def f():\n    import dill",
    ],
)
def test_a_file_that_obeys_is_noticed(text: str) -> None:
    assert obeying(ast.parse(text))
    assert not obeying(ast.parse("yaml.safe_load(text); ast.literal_eval(text); re.compile(text)"))


def test_nothing_obeys_what_it_reads() -> None:
    assert {name: found for name, tree in TREES.items() if (found := obeying(tree))} == {}


#: Permissions that a job of the workflow may ask for, beyond reading the repository.
GRANTED = {"build": None, "audit": None, "publish": {"pages": "write", "id-token": "write"}}


def test_the_workflow_may_do_little() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == GRANTED
    assert "pull_request_target" not in workflow[True]  # YAML reads `on` as a truth value
    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert used
    assert [
        action for action in used if not re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action)
    ] == []


def test_every_change_that_slipped_through_is_explained() -> None:
    record = json.loads((ROOT / "data/results/mutation.json").read_text(encoding="utf-8"))
    assert record["survivors"]
    for row in (*record["survivors"], *record["equivalent"]):
        assert len(row["reason"].split()) > 3, row
