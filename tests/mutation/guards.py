"""Which tests reach which line, and how long each takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .operators import Mutant

#: As long as the tests of one mutant may take together, as measured, in s: its folder's, others.
PATIENCE = 4.0, 2.0


@dataclass(frozen=True)
class Guards:
    """The tests of a line.

    Attributes
    ----------
    reach : dict
        For each file of the library its lines, each with the tests that run it.
    seconds : dict
        What each test takes.
    """

    reach: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]
    library: Path

    @classmethod
    def measured(cls, data: Path, seconds: Path, library: Path) -> Guards:
        """Read what coverage found with a context for each test."""
        from coverage import CoverageData

        found = CoverageData(basename=str(data))
        found.read()
        passed = json.loads(seconds.read_text(encoding="utf-8"))
        reach = {
            str(Path(name).relative_to(library)): {
                line: sorted({c.rsplit("|", 1)[0] for c in contexts} & passed.keys())
                for line, contexts in found.contexts_by_lineno(name).items()
            }
            for name in found.measured_files()
        }
        return cls(reach, passed, library)

    def of(self, mutant: Mutant) -> tuple[list[list[str]], float]:
        """Return the tests for a mutant, those of its own folder first, and what they take."""
        file = str(mutant.path.relative_to(self.library))
        part = Path(file).parts[0].removesuffix(".py")
        lines = self.reach.get(file, {})
        tests = lines.get(mutant.line, [])
        if not tests and mutant.line not in lines:  # in the midst of a statement
            near = [line for line in lines if line < mutant.line]
            tests = lines[max(near)] if near else []
        if not tests:  # it runs at import, for everybody
            tests = sorted({test for some in lines.values() for test in some})

        def own(test: str) -> bool:
            return f"tests/{part}/" in test or f"tests/test_{part}.py" in test

        found: list[list[str]] = [[], []]
        spent = [0.0, 0.0]
        for test in sorted(tests, key=lambda t: self.seconds[t]):
            far, took = int(not own(test)), self.seconds[test]
            if not found[far] or spent[far] + took <= PATIENCE[far]:
                found[far].append(test)
                spent[far] += took
        return [some for some in found if some], sum(spent)


@dataclass(frozen=True)
class Named:
    """The same files of tests for every mutant."""

    files: list[str]

    def of(self, mutant: Mutant) -> tuple[list[list[str]], float]:
        """Return the files, and what they may take."""
        return [[name] for name in self.files], 30.0
