"""Record how near times, prices and objectives are, from an idle server to a full one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from measuring import machine, record
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from fifty_digits import LOADS, at_load, error_of_the_best, errors
from thinkqueue import Workload
from workloads import QWEN, plain_workload


def worst(load: float) -> dict[str, float]:
    """The largest relative errors among three workloads at one load."""
    rows = []
    for workload in (Workload.from_toml(QWEN), plain_workload(1), plain_workload(2, 50)):
        tokens = np.random.default_rng(0).uniform(0, 2000, len(workload.share))
        row = errors(at_load(workload, tokens, load), tokens)
        idle = at_load(workload, np.zeros(len(workload.share)), load)
        rows.append({**row, "stated by solve": error_of_the_best(idle)})
    found = {name: max(row[name] for row in rows) for name in rows[0]}
    free = found.pop("slack")
    named = {name.replace(" ", "_"): float(f"{value:.2g}") for name, value in found.items()}
    return {"load": load, "free": float(f"{free:.3g}"), **named}


def main() -> None:
    rows = [worst(load) for load in LOADS]
    console = Console()
    for row in rows:
        console.print(row)
    results = {"machine": machine("numpy", "mpmath"), "digits": 50, "rows": rows}
    console.print(f"recorded in {record('stress', results)}")


if __name__ == "__main__":
    main()
