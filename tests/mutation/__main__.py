"""Draw mutants of the core, try them, and record who survived and why.

python -m mutation              measure which tests reach which line, draw, try, record
python -m mutation --again ...  try the survivors once more, against whole files of tests
python -m mutation --record     only count what is known
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from .guards import Guards, Named
from .operators import Mutant, mutants
from .trial import trials

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "lib" / "thinkqueue"
WORK = ROOT / "_build" / "mutation"
ENDS = WORK / "ends.jsonl"
RECORD = ROOT / "data" / "results" / "mutation.json"
COVERAGE = RECORD.with_name("coverage.json")
REASONS = Path(__file__).with_name("reasons.toml")
CORE = (
    "delay", "objective", "bounds", "solvers", "whole_tokens", "proofs", "targets", "waiting_time",
)  # fmt: skip
SEED, SAMPLE = 14, 80
COUNTED = ("covered_lines", "num_statements", "covered_branches", "num_branches")
TESTS = (
    "tests/delay", "tests/test_objective.py", "tests/test_bounds.py", "tests/solvers",
    "tests/whole_tokens", "tests/proofs", "tests/targets", "tests/waiting_time", "tests/batching",
    "tests/test_solve.py", "tests/test_stress.py", "tests/test_grid.py", "tests/test_smoothness.py",
    "tests/test_sensitivity.py", "tests/test_refusals.py",
)  # fmt: skip


def write(path: Path, content: object) -> None:
    """Write a record as a whole or not at all; the library itself must not be imported here."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def files_of(part: str) -> list[Path]:
    """The files of a module of the core."""
    one = LIBRARY / f"{part}.py"
    return [one] if one.exists() else sorted((LIBRARY / part).glob("*.py"))


def drawn(part: str, size: int, seed: int) -> tuple[int, list[Mutant]]:
    """Return how many mutants a module has, and a random sample of them."""
    every = [mutant for path in files_of(part) for mutant in mutants(path)]
    generator = np.random.default_rng([seed, CORE.index(part)])
    chosen = generator.permutation(len(every))[:size]
    return len(every), [every[k] for k in sorted(chosen)]


def row_of(part: str, mutant: Mutant, end: str) -> dict[str, Any]:
    """What is written down of a mutant."""
    return {
        "part": part,
        "file": str(mutant.path.relative_to(LIBRARY)),
        "line": mutant.line,
        "column": mutant.column,
        "operator": mutant.operator,
        "code": mutant.code,
        "change": mutant.change,
        "end": end,
    }


def key_of(row: dict[str, Any]) -> tuple[str, str, int, str]:
    """What names a mutant as long as its line stays as it is."""
    return row["file"], row["code"], row["column"], row["change"]


def known() -> dict[tuple[str, str, int, str], dict[str, Any]]:
    """The latest end of each mutant that was tried."""
    if not ENDS.exists():
        return {}
    rows = map(json.loads, ENDS.read_text(encoding="utf-8").splitlines())
    return {key_of(row): row for row in rows}


def measure() -> None:
    """Run the tests of the core once, and note which lines each reaches and how long it takes."""
    setup = WORK / "coverage.ini"
    setup.write_text(f"[run]\nsource = thinkqueue\nbranch = True\ndata_file = {WORK / 'reach'}\n")
    command = [
        sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider",
        "-p", "mutation.seconds", "--cov", f"--cov-config={setup}", "--cov-context=test",
        "--cov-report=", "-o", "filterwarnings=", *TESTS,
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env=os.environ | {"SECONDS": str(WORK / "seconds.json")})


def covered() -> dict[str, dict[str, float]]:
    """Which part of the statements and branches of each module the tests of the core ran."""
    report = WORK / "coverage.json"
    command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(report)]
    command += [f"--rcfile={WORK / 'coverage.ini'}"]
    subprocess.run(command, cwd=ROOT, check=True)
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    parts = {}
    for part in CORE:
        names = {str(path.relative_to(ROOT)) for path in files_of(part)}
        found = [row["summary"] for name, row in files.items() if name in names]
        total = {key: sum(row[key] for row in found) for key in found[0] if key in COUNTED}
        parts[part] = {
            "lines": round(total["covered_lines"] / total["num_statements"], 4),
            "branches": round(total["covered_branches"] / max(total["num_branches"], 1), 4),
        }
    return parts


def survivors() -> Iterator[tuple[str, Mutant]]:
    """Yield the mutants that no test has killed yet."""
    alive = {key: row["part"] for key, row in known().items() if row["end"] == "survived"}
    for part in CORE:
        for path in files_of(part):
            for mutant in mutants(path):
                key = (str(path.relative_to(LIBRARY)), *mutant.key[1:])
                if alive.pop(key, None):
                    yield part, mutant


def files_under(names: Sequence[str]) -> list[str]:
    """Replace each folder by its files of tests, since a test is known by its file."""
    found = ((Path(name), sorted(Path(name).rglob("test_*.py"))) for name in names)
    return [str(file) for name, files in found for file in files or [name]]


def try_them(found: Sequence[tuple[str, Mutant]], guards: Guards | Named, workers: int) -> None:
    """Try mutants and write each end down as it comes."""
    parts = {id(mutant): part for part, mutant in found}
    with ENDS.open("a", encoding="utf-8") as file:
        for mutant, end in trials([mutant for _, mutant in found], guards, workers):
            row = row_of(parts[id(mutant)], mutant, end)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            if not end.startswith("killed"):
                print(end, row["file"], mutant.line, mutant.change, flush=True)


def recorded(seed: int) -> dict[str, Any]:
    """Count: what was drawn, who was killed, who survived and why.

    A module of which nothing is known here keeps what is recorded of it.
    """
    before = json.loads(RECORD.read_text(encoding="utf-8"))
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    alike, open_ends = (
        {(r["file"], r["code"], r["change"]): r["reason"] for r in reasons[kind]}
        for kind in ("equivalent", "survivor")
    )
    parts, equivalent, alive = [], [], []
    for part in CORE:
        rows = [row for row in known().values() if row["part"] == part]
        if not rows:
            parts += [row for row in before["modules"] if row["module"] == part]
            files = {str(path.relative_to(LIBRARY)) for path in files_of(part)}
            equivalent += [row for row in before["equivalent"] if row["file"] in files]
            alive += [row for row in before["survivors"] if row["file"] in files]
            continue
        count = sum(1 for path in files_of(part) for _ in mutants(path))
        killed = sum(row["end"].startswith("killed") for row in rows)
        same = 0
        for row in rows:
            if row["end"].startswith("killed"):
                continue
            place = {name: row[name] for name in ("file", "line", "code", "change")}
            name = row["file"], row["code"], row["change"]
            same += name in alike
            if name in alike:
                equivalent.append(place | {"reason": alike[name]})
            else:
                alive.append(place | {"reason": open_ends.get(name, "not explained")})
        judged = len(rows) - same
        low, high = binomtest(killed, judged).proportion_ci() if judged else (0.0, 1.0)
        parts.append(
            {"module": part, "seed": seed, "mutants": count, "drawn": len(rows), "killed": killed,
             "equivalent": same, "survived": judged - killed, "score": round(killed / judged, 4),
             "low": round(float(low), 4), "high": round(float(high), 4)}
        )  # fmt: skip
    killed, judged = (
        sum(p["killed"] for p in parts),
        sum(p["drawn"] - p["equivalent"] for p in parts),
    )
    low, high = binomtest(killed, judged).proportion_ci()
    return {
        "tool": "tests/mutation: one forked process a mutant, the tests that reach its line",
        "operators": "comparison, arithmetic, boolean, constant, name, condition, return, remove",
        "level": 0.95,
        "score": round(killed / judged, 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "modules": parts,
        "survivors": alive,
        "equivalent": equivalent,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"modules: {', '.join(CORE)}")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", nargs="+", help="tests to try the survivors against")
    parser.add_argument("--record", action="store_true", help="only count what is known")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    parts = chosen.parts or CORE
    if chosen.again:
        found = [(part, mutant) for part, mutant in survivors() if part in parts]
        try_them(found, Named(files_under(chosen.again)), chosen.workers)
    elif not chosen.record:
        if not (WORK / "reach").exists():
            measure()
            write(COVERAGE, {"modules": [{"module": k} | v for k, v in covered().items()]})
        guards = Guards.measured(WORK / "reach", WORK / "seconds.json", LIBRARY)
        done = known()
        for part in parts:
            count, sample = drawn(part, chosen.sample, chosen.seed)
            new = [m for m in sample if (str(m.path.relative_to(LIBRARY)), *m.key[1:]) not in done]
            print(f"{part}: {count} mutants, {len(new)} to try", flush=True)
            try_them([(part, mutant) for mutant in new], guards, chosen.workers)
    write(RECORD, recorded(chosen.seed))


if __name__ == "__main__":
    main()
