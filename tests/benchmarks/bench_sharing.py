"""What it costs to solve for a batching server, beside the same task types one at a time.

Everything is measured in one process on one thread; each ratio is one of processor times taken
within seconds of each other, the least of several calls, and the median over workloads is reported.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measuring import fastest, machine, record, significant
from rich.console import Console

import thinkqueue as tq

sys.path.append(str(Path(__file__).parents[1]))
from workloads import LINE, MEASURED, plain_workload

SERVERS = {
    "line": tq.Batching(LINE),
    "line, 64 at most": tq.Batching(LINE, 64),
    "table": tq.Batching(MEASURED),
}
SEEDS = range(5)


def rows(types: int, repeats: int = 5) -> list[dict[str, Any]]:
    """Solve one workload, and a grid of 400, on both kinds of server."""
    found = []
    for name, server in SERVERS.items():
        solving, gridding, seconds, gaps = [], [], [], []
        for seed in SEEDS:
            queue = plain_workload(seed, types)
            answers = np.maximum(queue.base_time / queue.time_per_token, 1)
            batch = queue.replace(answer_tokens=answers, server=server, arrival_rate=1.0)
            part = np.geomspace(0.1, 1, 400)
            times = [fastest(lambda w=w: tq.solve(w), repeats=repeats) for w in (queue, batch)]
            solving.append(times[1].cpu / times[0].cpu)
            seconds.append(times[1].cpu)
            gaps.append(tq.solve(batch).gap)
            if types <= 100:
                grids = [
                    fastest(
                        lambda w=w, p=part: tq.solve_grid(w, arrival_rate=w.arrival_rate * p),
                        repeats=repeats,
                    )
                    for w in (queue, batch)
                ]
                gridding.append(grids[1].cpu / grids[0].cpu)
        found.append(
            {
                "server": name,
                "types": types,
                "workloads": len(SEEDS),
                "solve_ratio": significant(statistics.median(solving), 3),
                "grid_ratio": significant(statistics.median(gridding), 3) if gridding else None,
                "seconds": significant(statistics.median(seconds), 3),
                "gap": significant(max(gaps), 3),
            }
        )
    return found


def main() -> None:
    console = Console()
    results = {"machine": machine("numpy", "scipy"), "rows": [*rows(5), *rows(100_000, 3)]}
    for row in results["rows"]:
        console.print(row)
    console.print(f"recorded in {record('sharing', results)}")


if __name__ == "__main__":
    main()
