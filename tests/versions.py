"""The library's tests with the oldest and the newest versions that it allows.

This is what ``make check-versions`` runs.

Each Python that is installed gets two environments: the wheel with the lowest versions that
pyproject.toml names, and the wheel with the newest there are. A third one holds nothing but the
wheel and what it asks for, and imports, solves and answers on the command line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = "thinkqueue[certify,simulate,calibrate]"
#: What the tests ask besides; it may not change the version of anything that is there.
TOOLS = ("ciw", "clarabel", "cvxpy", "distributed", "hypothesis", "matplotlib", "mpmath",
         "playwright", "psutil", "pytest", "pytest-xdist", "pyyaml", "simpy",
         "statsmodels", "sympy")  # fmt: skip
#: What looks at the book, the repository and the benchmarks needs the locked environment.
OTHERS = ("book", "benchmarks", "test_house.py", "test_repository.py", "test_hosts.py",
          "test_interruption.py")  # fmt: skip
FIRST_STEPS = (
    "import sys, thinkqueue as tq; "
    "heavy = {'numba', 'matplotlib', 'IPython', 'nbformat', 'pandas'} & set(sys.modules); "
    "assert not heavy, heavy; "
    "workload = tq.Workload.from_toml(sys.argv[1]); "
    "print(f'{tq.solve(workload).objective:.6f}')"
)


def run(*command: str | Path, cwd: Path = ROOT) -> int:
    """Run a command in sight and return its exit status."""
    return subprocess.run([str(word) for word in command], cwd=cwd, check=False).returncode


def made(uv: Path, python: str, place: Path, wheel: Path, resolution: str | None) -> Path | None:
    """Make an environment with the wheel, bare or with extras and tools; None where it fails."""
    there = place / "bin" / "python"
    install = (uv, "pip", "install", "--quiet", "--python", there)
    if run(uv, "venv", "--quiet", "--python", python, place):
        return None
    if resolution is None:
        return None if run(*install, wheel) else there
    if run(*install, "--resolution", resolution, f"{EXTRAS} @ {wheel.as_uri()}"):
        return None
    listed = subprocess.run(
        [uv, "pip", "freeze", "--exclude", "thinkqueue", "--python", there],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    fixed = place / "fixed.txt"
    fixed.write_text(listed.stdout, encoding="utf-8")
    return None if run(*install, "--constraint", fixed, *TOOLS) else there


def main(uv: Path) -> int:
    """Make the environments, run the tests in each, say which of them pass."""
    pythons = [found for name in PYTHONS if (found := shutil.which(f"python{name}"))]
    verdicts: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if run(uv, "build", "--quiet", "--wheel", "--out-dir", place, ROOT):
            return 1
        (wheel,) = place.glob("*.whl")
        for number, python in enumerate(pythons):
            bare = made(uv, python, place / f"{number}-bare", wheel, None)
            workload = ROOT / "data" / "workloads" / "qwen3-8b.toml"
            verdicts[f"{python}, the wheel alone"] = bare is not None and not (
                run(bare, "-W", "error", "-c", FIRST_STEPS, workload, cwd=place)
                or run(bare.parent / "thinkqueue", "solve", workload, cwd=place)
            )
            for resolution in ("lowest-direct", "highest"):
                there = made(uv, python, place / f"{number}-{resolution}", wheel, resolution)
                left_out = [f"--ignore=tests/{name}" for name in OTHERS]
                tests = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "2", *left_out)
                verdicts[f"{python}, {resolution}"] = there is not None and not run(there, *tests)
    for name, passed in verdicts.items():
        print(f"{'passed' if passed else 'FAILED'}  {name}")
    return 0 if verdicts and all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
