"""Record what budgets that read the queue earn: on bursts, over days that change, in a batch.

The sections can be renewed alone: ``python tests/benchmarks/bench_control.py bursts drift``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from measuring import RESULTS, machine, record, significant

from thinkqueue import Batching, TokenTime, Workload, batch_stopping_rule, solve
from thinkqueue.arrivals import read_records
from thinkqueue.control import Record
from thinkqueue.control.bursts import burst_outcomes
from thinkqueue.control.drift import drift_outcomes, rush_hour
from thinkqueue.control.phases import phase_aware_optimum

DATA = Path(__file__).parents[2] / "data"
WORKLOAD = Workload.from_toml(DATA / "workloads" / "qwen3-8b.toml")
BURSTS = [
    ("conversation", 0.02),
    ("conversation", 0.1),
    ("code", 0.005),
    ("code", 0.02),
    ("code", 0.05),
    ("code", 0.1),
]
JOBS, SEED = 4_000_000, 2026
STEPS = (0.25, 0.125)
DAYS = 400
# seconds of a step, seconds more of it for each query, queries a second
COMPANY = [(0.00735, 0.0000359, 1.0), (0.00735, 0.0000359, 3.0), (0.0049, 0.00245, 0.1)]
COMPANY += [(0.0049, 0.00245, 0.25)]
BATCH_JOBS = 100_000


def plain(row: Any) -> dict[str, Any]:
    """A row as JSON has it: digits that mean something, and no NaN."""
    return {
        key: (None if isnan(value) else significant(value, 7))
        if isinstance(value, float)
        else value
        for key, value in asdict(row).items()
    }


def bursts() -> list[dict[str, Any]]:
    """Six streams of bursty arrivals, and the ceiling of who knows their phase."""
    models = {name: one.model for name, one in read_records(DATA / "arrivals").items()}
    rows = []
    for trace, rate in BURSTS:
        workload = WORKLOAD.replace(arrival_rate=rate)
        coarse, fine = (
            phase_aware_optimum(workload, models[trace], step=step).objective for step in STEPS
        )
        # the error of steps is of first order
        ceiling = 2 * fine - coarse
        for one in burst_outcomes(workload, models[trace], trace, jobs=JOBS, seed=SEED):
            row = plain(one) | {"jobs": JOBS, "seed": SEED}
            rows.append(row | {"ceiling": significant(ceiling, 6), "fine": significant(fine, 7)})
            print(trace, rate, one.budgets, f"{one.objective:.2f}", f"{ceiling:.2f}", flush=True)
    return rows


def drift() -> list[dict[str, Any]]:
    """Days with a rush hour."""
    day = rush_hour(WORKLOAD, quiet=0.005, busy=0.02, rush=0.1)
    rows = []
    for one in drift_outcomes(WORKLOAD, day, days=DAYS, seed=SEED):
        rows.append(plain(one) | {"days": DAYS, "seed": SEED})
        print(one, flush=True)
    return rows


def batch() -> list[dict[str, Any]]:
    """The rule by the number in the batch, at a server with cheap company and at one with dear."""
    file = DATA / "workloads" / "qwen3-8b-batching.toml"
    code = read_records(DATA / "arrivals")["code"].model
    rows = []
    for base, per_query, rate in COMPANY:
        workload = Workload.from_toml(file).replace(
            server=Batching(TokenTime(base, per_query)), arrival_rate=rate
        )
        best, rule = solve(workload), batch_stopping_rule(workload)
        for name, arrivals in (("Poisson", None), ("code", code)):
            drawn = Record.draw(workload, jobs=BATCH_JOBS, seed=SEED, arrivals=arrivals)
            fixed, ruled = drawn.serve_in_batch(best.tokens), drawn.serve_in_batch(rule)
            value, over = fixed.objective, ruled.difference(fixed.worth)
            rows.append(
                {
                    "base": base,
                    "per_query": per_query,
                    "arrival_rate": rate,
                    "arrivals": name,
                    "utilization": significant(rule.load),
                    "fixed": significant(value.value, 7),
                    "fixed_low": significant(value.low, 7),
                    "fixed_high": significant(value.high, 7),
                    "gain": significant(over.value, 6),
                    "gain_low": significant(over.low, 6),
                    "gain_high": significant(over.high, 6),
                    "jobs": BATCH_JOBS,
                    "seed": SEED,
                }
            )
            print(rows[-1], flush=True)
    return rows


SECTIONS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "bursts": bursts,
    "drift": drift,
    "batch": batch,
}


def main(names: list[str]) -> None:
    """Renew some sections of data/results/control.json, or all of them."""
    path = RESULTS / "control.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in names or list(SECTIONS):
        kept[name] = SECTIONS[name]()
        kept["machine"] = machine("numpy", "scipy", "numba")
        record("control", kept)


if __name__ == "__main__":
    main(sys.argv[1:])
