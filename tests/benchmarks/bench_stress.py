"""Record how near the public functions are, from an idle server to a full one and to extremes."""

from __future__ import annotations

import sys
from collections import defaultdict
from itertools import chain
from pathlib import Path
from typing import cast

import numpy as np
from measuring import machine, record
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from fifty_digits import LOADS, at_load, error_of_the_best, errors
from many_digits import EPS, WITHOUT, measured, million
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


def functions() -> list[dict[str, object]]:
    """The worst error of each public function over all extreme workloads.

    Calm: where half the server or more is free. In last bits: as a multiple of ε/(1 − ρ), by which
    a last bit of the load changes what is free.
    """
    found: dict[str, dict[str, object]] = {}
    calm, bits = defaultdict[str, float](float), defaultdict[str, float](float)
    for name, case, number in chain(measured(), million()):
        row = found.setdefault(name, {"function": name, "numbers": 0, "workload": case.name})
        row["numbers"] = cast(int, row["numbers"]) + 1
        if case.free >= 0.5:
            calm[name] = max(calm[name], number.error)
        if number.error * case.free / EPS > bits[name]:
            bits[name] = number.error * case.free / EPS
            row |= {"workload": case.name, "free": float(f"{case.free:.2g}")}
    return [
        row | {"calm": float(f"{calm[name]:.2g}"), "last_bits": float(f"{bits[name]:.2g}")}
        for name, row in found.items()
    ]


def main() -> None:
    rows = [worst(load) for load in LOADS]
    called = functions()
    console = Console()
    for row in [*rows, *called]:
        console.print(row)
    results = {"machine": machine("numpy", "mpmath"), "digits": 50, "rows": rows}
    results["functions"] = called
    results["without"] = [{"function": name, "reason": why} for name, why in WITHOUT.items()]
    console.print(f"recorded in {record('stress', results)}")


if __name__ == "__main__":
    main()
