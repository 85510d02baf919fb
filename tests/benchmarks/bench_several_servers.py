"""How wrong the approximations for several servers are: their wait beside a simulated one.

Two types of a mean of one second, a tenth of the queries the longer ones, which makes any
variability up to 9. Seeds are fixed, so the record can be derived again, number by number.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from measuring import machine, record

import thinkqueue as tq
from thinkqueue.delay.several import RULES, SeveralServers

SERVERS = (1, 2, 4, 8, 16, 64)
LOADS = (0.3, 0.5, 0.7, 0.9)
VARIABILITY = (0.0, 0.25, 1.0, 2.0, 4.0)
LONG = 0.1
JOBS = 6_000_000
LEAST = 1e-4
"""Cells in which a query waits less than this part of its service are left out."""


def cell(servers: int, load: float, variability: float) -> tq.Workload:
    """Return a workload with the given load of each server and c² of its services."""
    share = np.array([1 - LONG, LONG])
    spread = np.sqrt(variability)
    times = 1 + spread * np.array([-np.sqrt(LONG / (1 - LONG)), np.sqrt((1 - LONG) / LONG)])
    return tq.Workload.from_arrays(
        share=share,
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=times,
        time_per_token=0.01,
        arrival_rate=load * servers,
        accuracy_weight=1.0,
        server=tq.Fifo(servers=servers),
    )


def told(workload: tq.Workload, rule: Any) -> float:
    """Return the mean wait by one of the rules."""
    server = SeveralServers(workload.server.servers, rule)
    time = tq.mean_system_time(workload.replace(server=server), np.zeros(2))
    return float(time - workload.share @ workload.base_time)


def seen(workload: tq.Workload, seed: int) -> tq.Estimate:
    """Return the simulated mean wait."""
    return tq.simulate(workload, np.zeros(2), jobs=JOBS, seed=seed).mean_waiting_time


def main() -> None:
    """Simulate all cells and write the record."""
    cells = []
    for seed, (k, load, variability) in enumerate(itertools.product(SERVERS, LOADS, VARIABILITY)):
        w = cell(k, load, variability)
        if told(w, RULES[0]) < LEAST:
            continue
        wait = seen(w, seed)
        errors = {rule: round(told(w, rule) / wait.value - 1, 5) for rule in RULES}
        cells.append(
            {
                "servers": k,
                "load": load,
                "variability": variability,
                "seed": seed,
                "wait": wait.value,
                "half_width": wait.half_width,
                "errors": errors,
            }
        )
    record("several_servers", {"machine": machine("numpy", "numba"), "jobs": JOBS, "cells": cells})


if __name__ == "__main__":
    main()
