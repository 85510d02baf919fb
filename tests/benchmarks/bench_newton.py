"""What Newton costs: a million types in evaluations of J and ∇J, and a grid beside a loop.

Everything is measured in one process on one thread; each ratio is one of processor times taken
within seconds of each other, and the median of several is reported with its range.
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
from workloads import QWEN, plain_workload

SEEDS = (0, 1, 2, 4, 6)
EVALUATIONS_ALLOWED = 12
SPEED_UP_WANTED = 100


def million(types: int = 10**6, repeats: int = 3) -> dict[str, Any]:
    """Solve a million types: how many evaluations of J and its gradient is that worth?"""
    worth, solving, evaluating, gaps, steps = [], [], [], [], []
    for seed in SEEDS:
        workload = plain_workload(seed, types)
        for _ in range(repeats):
            solution = tq.solve(workload)
            solve = fastest(lambda w=workload: tq.solve(w), repeats=3, budget=10)

            def evaluate(w: tq.Workload = workload, x: tq.Solution = solution) -> None:
                tq.objective(w, x.tokens)
                tq.gradient(w, x.tokens)

            evaluation = fastest(evaluate, repeats=3, budget=10)
            worth.append(solve.cpu / evaluation.cpu)
            solving.append(solve.cpu)
            evaluating.append(evaluation.cpu)
        gaps.append(solution.gap)
        steps.append(solution.steps)
    return {
        "types": types,
        "workloads": len(SEEDS),
        "repeats": repeats,
        "evaluations": significant(statistics.median(worth)),
        "evaluations_least": significant(min(worth)),
        "evaluations_most": significant(max(worth)),
        "evaluations_allowed": EVALUATIONS_ALLOWED,
        "seconds": significant(statistics.median(solving)),
        "evaluation_seconds": significant(statistics.median(evaluating)),
        "gap": significant(max(gaps)),
        "steps": max(steps),
    }


def grid(side: int = 128, looped: int = 200, repeats: int = 5) -> dict[str, Any]:
    """Solve a table of arrival rates and accuracy weights at once, and some of it one by one."""
    workload = tq.Workload.from_toml(QWEN)
    arrival_rates = np.geomspace(1e-3, 0.5, side)[:, None]
    accuracy_weights = np.geomspace(10, 5000, side)
    rates, weights = np.broadcast_arrays(arrival_rates, accuracy_weights)
    chosen = np.random.default_rng(0).choice(rates.size, looped, replace=False)
    cells = [
        workload.replace(arrival_rate=rates.flat[k], accuracy_weight=weights.flat[k])
        for k in chosen
    ]

    def at_once() -> tq.GridSolution:
        return tq.solve_grid(workload, arrival_rate=arrival_rates, accuracy_weight=accuracy_weights)

    solution = at_once()
    ratios, each, alone = [], [], []
    for _ in range(repeats):
        whole = fastest(at_once, repeats=3, budget=2).cpu / rates.size
        loop = fastest(lambda: [tq.solve(cell) for cell in cells], repeats=2, budget=2).cpu
        ratios.append(loop / looped / whole)
        each.append(whole)
        alone.append(loop / looped)
    return {
        "types": len(workload),
        "workloads": rates.size,
        "looped": looped,
        "ratio": significant(statistics.median(ratios)),
        "ratio_least": significant(min(ratios)),
        "ratio_most": significant(max(ratios)),
        "ratio_wanted": SPEED_UP_WANTED,
        "seconds_each": significant(statistics.median(each)),
        "loop_seconds_each": significant(statistics.median(alone)),
        "gap": significant(float(solution.gap.max())),
    }


def main() -> None:
    console = Console()
    results = {
        "machine": machine("numpy", "scipy"),
        "million": million(),
        "grid": grid(),
    }
    one, many = results["million"], results["grid"]
    console.print(
        f"{one['types']:,} types cost {one['evaluations']:.3g} evaluations of J and its gradient "
        f"({one['evaluations_least']:.3g} to {one['evaluations_most']:.3g}; "
        f"allowed {EVALUATIONS_ALLOWED}), {one['seconds']:.2f} s, gap {one['gap']:.1e} s"
    )
    console.print(
        f"A grid of {many['workloads']:,} workloads is {many['ratio']:.3g} times as fast as a loop "
        f"({many['ratio_least']:.3g} to {many['ratio_most']:.3g}; wanted {SPEED_UP_WANTED}), "
        f"{many['seconds_each'] * 1e6:.2g} µs each"
    )
    console.print(f"recorded in {record('newton', results)}")


if __name__ == "__main__":
    main()
