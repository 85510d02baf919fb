"""How long a small program takes to start, in units of what NumPy alone takes.

Each round starts every program once, one after another, so that whatever else the machine does
falls on all alike; the least processor time over the rounds is what a program itself takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WORKLOAD = Path(__file__).parents[2] / "data" / "workloads" / "qwen3-8b.toml"
SOLVE = f"from thinkqueue.cli import app; app(['solve', {str(WORKLOAD)!r}])"
LIMITS = {"import numpy": 1.0, "import thinkqueue": 2.2, SOLVE: 4.5}
ROUNDS = 15


def seconds(program: str) -> float:
    """Return the processor time of a Python that runs a program, and of nothing else."""
    before = os.times()
    subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return (
        after.children_user + after.children_system
        - before.children_user - before.children_system
    )  # fmt: skip


def main() -> None:
    """Measure, print and hold to the limits."""
    rounds = [{program: seconds(program) for program in LIMITS} for _ in range(ROUNDS)]
    least = {program: min(round[program] for round in rounds) for program in LIMITS}
    unit = least["import numpy"]
    for program, limit in LIMITS.items():
        name = "thinkqueue solve" if program == SOLVE else program
        ratio = least[program] / unit
        print(f"{name:18s} {1000 * least[program]:4.0f} ms, {ratio:.2f} × numpy (≤ {limit})")
        assert ratio <= limit, f"{name} takes {ratio:.2f} times as long as NumPy"


if __name__ == "__main__":
    main()
