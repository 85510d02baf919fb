"""Whole tokens and menus: what the proof takes, what SCIP takes, and what rounding loses.

Everything runs in one process on one thread; times are processor times. The rounding study draws
workloads as in the tests: five types, three decades of curves, loads from idle to busy.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, record, significant, timed
from rich.console import Console

import thinkqueue as tq

sys.path.append(str(Path(__file__).parents[1]))
from workloads import plain_workload

LEVELS = [0, 1024, 8192, 24576]
MENUS: dict[str, Any] = {
    "whole tokens": None,
    "multiples of 256": range(0, 32769, 256),
    "four levels": LEVELS,
}
SCIP_SECONDS = 10.0


def proofs(name: str, sizes: dict[int, int]) -> list[dict[str, Any]]:
    """Prove the optimum of many workloads: how often, how fast, with which gap."""
    rows = []
    for types, count in sizes.items():
        seconds, gaps, proven = [], [], 0
        for seed in range(count):
            workload = plain_workload(seed, types)
            found, spent = timed(lambda w=workload: tq.solve_integer(w, menu=MENUS[name]))
            seconds.append(spent.cpu)
            gaps.append(found.gap / abs(found.objective))
            proven += found.proven
        rows.append(
            {
                "menu": name,
                "types": types,
                "workloads": count,
                "proven": proven,
                "seconds": significant(statistics.median(seconds)),
                "seconds_most": significant(max(seconds)),
                "relative_gap_most": significant(max(gaps)),
            }
        )
    return rows


def rounding(count: int, name: str, types: int = 5) -> dict[str, Any]:
    """Round the continuous optimum of many workloads and compare with the best allowed."""
    losses, best_losses, bounds, missed, thinking = [], [], [], 0, 0
    for seed in range(count):
        workload = plain_workload(10_000 + seed, types)
        ideal = tq.solve(workload)
        if not ideal.tokens.any():
            continue  # no budget, nothing to round
        thinking += 1
        menu = MENUS[name]
        rounded = tq.round_tokens(workload, ideal.tokens, menu=menu)
        found = tq.solve_integer(workload, menu=menu)
        value = float(tq.objective(workload, rounded))
        scale = abs(ideal.objective)
        missed += found.objective - value > found.gap
        losses.append((ideal.objective - value) / scale)
        best_losses.append((ideal.objective - found.objective) / scale)
        if menu is None:
            bounds.append(
                (ideal.objective - value) / tq.rounding_loss_bound(workload, ideal.tokens)
            )
    quantiles = {
        f"{key}_{label}": significant(float(np.quantile(values, q)))
        for key, values in (
            ("loss", losses),
            ("best_loss", best_losses),
            ("avoidable", [a - b for a, b in zip(losses, best_losses)]),
            ("of_bound", bounds),
        )
        if values
        for label, q in (("median", 0.5), ("p95", 0.95), ("most", 1.0))
    }
    return {"menu": name, "types": types, "workloads": thinking, "missed": missed} | quantiles


def scip(types: int, seed: int) -> dict[str, Any]:
    """Give the same integer problem to SCIP, a general solver with spatial branching."""
    import pyscipopt

    w = plain_workload(seed, types)
    model = pyscipopt.Model()
    model.hideOutput()
    total = pyscipopt.quicksum
    ell = [model.addVar(vtype="I", lb=0, ub=float(top)) for top in w.max_tokens]
    s = [t0 + c * x for t0, c, x in zip(w.base_time, w.time_per_token, ell)]
    m = total(p * x for p, x in zip(w.share, s))
    second = total(p * x * x for p, x in zip(w.share, s))
    wait, worth = model.addVar(lb=0, ub=None), model.addVar(lb=None, ub=None)
    model.addCons(2 * (1 - w.arrival_rate * m) * wait >= w.arrival_rate * second)
    model.addCons(w.arrival_rate * m <= 0.999999)
    stake = w.accuracy_weight * w.weight * w.share
    right = (
        a * (d + g - g * pyscipopt.exp(-b * x))
        for a, d, g, b, x in zip(stake, w.baseline, w.gain, w.rate, ell)
    )
    model.addCons(worth <= total(right))
    model.setObjective(worth - m - wait, "maximize")
    model.setParam("limits/time", SCIP_SECONDS)
    model.setParam("limits/gap", 0.0)
    model.setParam("numerics/feastol", 1e-9)
    _, spent = timed(model.optimize)
    tokens = np.round([model.getVal(x) for x in ell]) if model.getNSols() else None
    found, ours = timed(lambda: tq.solve_integer(w))
    short = np.inf if tokens is None else found.objective - float(tq.objective(w, tokens))
    return {
        "types": types,
        "seed": seed,
        "seconds": significant(spent.wall),
        "status": str(model.getStatus()),
        "shortfall": significant(short) if np.isfinite(short) else None,
        "bound_above": significant(float(model.getDualbound()) - found.objective),
        "ours_seconds": significant(ours.wall),
        "ratio": significant(spent.wall / ours.wall),
    }


def main() -> None:
    """Measure everything, print it and write data/results/integer.json."""
    results = {
        "machine": machine("numpy", "scipy", "pyscipopt"),
        "proofs": [
            *proofs("whole tokens", {5: 40, 20: 40, 100: 20, 1000: 8, 10_000: 3}),
            *proofs("multiples of 256", {5: 40, 20: 40, 100: 20}),
            *proofs("four levels", {5: 40, 20: 40, 100: 20, 1000: 5}),
        ],
        "rounding": [rounding(1000, name) for name in MENUS],
        "scip": [scip(types, seed) for types in (3, 5) for seed in (0, 2, 3)],
        "scip_seconds": SCIP_SECONDS,
    }
    path = record("integer", results)
    console = Console()
    for key in ("proofs", "rounding", "scip"):
        for row in results[key]:
            console.print(f"{key}: " + ", ".join(f"{name} {value}" for name, value in row.items()))
    console.print(f"written to {path.name}")


if __name__ == "__main__":
    main()
