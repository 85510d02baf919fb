"""One mutant, one forked process: the tests that reach the changed line, the quickest first."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from .guards import Guards, Named
from .operators import Mutant

MEMORY = 6 * 2**30
#: Imported once, before the processes fork; nothing of thinkqueue is among them.
HEAVY = (
    "pytest", "hypothesis", "numpy", "scipy.optimize", "scipy.special", "scipy.stats",
    "scipy.integrate", "scipy.linalg", "scipy.sparse", "flint", "mpmath", "sympy", "pandas",
    "numba",
)  # fmt: skip


#: What the exit of the process means; a mutant that cannot be imported ends the collection.
ENDS = {
    0: "survived",
    1: "killed",
    2: "killed",
    -signal.SIGXCPU: "killed by the clock",
    -signal.SIGKILL: "killed by the clock",
    -signal.SIGSEGV: "killed",
}


class Chosen:
    """The pytest plugin that keeps the chosen tests, in the chosen order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {name: k for k, name in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list) -> None:  # type: ignore[type-arg]
        items[:] = sorted(
            (i for i in items if {i.nodeid, i.nodeid.split("::")[0]} & self.place.keys()),
            key=lambda item: self.place.get(item.nodeid, 0),
        )


@dataclass
class Running:
    """A process and until when it may take."""

    mutant: Mutant
    until: float


def trials(
    mutants: Sequence[Mutant], guards: Guards | Named, workers: int
) -> Iterator[tuple[Mutant, str]]:
    """Yield each mutant with its end: the exit of its tests, or that nothing reaches it."""
    if "thinkqueue" in sys.modules:
        raise RuntimeError("thinkqueue is imported already, so that no mutant of it would be")
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    waiting, running = list(reversed(mutants)), dict[int, Running]()
    while waiting or running:
        while waiting and len(running) < workers:
            mutant = waiting.pop()
            batches, seconds = guards.of(mutant)
            if not batches:
                yield mutant, "not reached"
                continue
            limit = 12 + 3 * round(seconds)
            until = time.monotonic() + 20 * limit
            running[_start(mutant, batches, limit)] = Running(mutant, until)
        time.sleep(0.02)
        for pid, run in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and time.monotonic() < run.until:
                continue
            del running[pid]
            if not done:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                yield run.mutant, "killed by the clock"
            else:
                yield run.mutant, ENDS.get(os.waitstatus_to_exitcode(status), "error")


def _start(mutant: Mutant, batches: Sequence[Sequence[str]], limit: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        resource.setrlimit(
            resource.RLIMIT_CPU, (limit, limit)
        )  # not by a wall clock: others work too
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(quiet, stream)
        code = _judge(mutant.path, mutant.tree, batches)
    finally:
        os._exit(code)


def _judge(path: Path, tree: ast.Module, batches: Sequence[Sequence[str]]) -> int:
    import pytest
    from hypothesis import HealthCheck, settings

    own = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        if Path(loader.path) == path:
            return compile(tree, str(path), "exec", dont_inherit=True)
        return own(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]
    # the same examples for every mutant, and none of them judged by how long it took
    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, print_blob=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    settings.load_profile("mutation")
    early = "ignore::pytest.PytestAssertRewriteWarning"  # Hypothesis was imported before the fork
    for tests in batches:
        files = list(dict.fromkeys(name.split("::")[0] for name in tests))
        options = ["-x", "-q", "-W", early, "-p", "no:cacheprovider", "-p", "no:xdist", *files]
        code = int(pytest.main(options, plugins=[Chosen(tests)]))
        if code:
            return code
    return 0
