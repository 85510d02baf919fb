"""Measure the simulation: beside other simulators, over a billion queries, and its intervals.

All speeds come from one run on one core, in processor time, each the best of several rounds that
alternate between the contestants. Every contestant estimates the mean waiting time of the book's
workload at its best budgets; only ours reports more than that.
"""

from __future__ import annotations

import random
import resource
from bisect import bisect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ciw
import numpy as np
import simpy
from measuring import machine, record, significant, timed

import thinkqueue as tq
from thinkqueue.simulation.simulate import PROBABILITIES

WORKLOAD = tq.Workload.from_toml(Path(__file__).parents[2] / "data" / "workloads" / "qwen3-8b.toml")
TOKENS = tq.solve(WORKLOAD).tokens
SERVICE = [float(s) for s in tq.service_time(WORKLOAD, TOKENS)]
SHARE = [float(p) for p in WORKLOAD.share]
MEAN = float(tq.service_moments(WORKLOAD, TOKENS)[0])

SPEED_LOADS = (0.43, 0.9)
ROUNDS = 4
BILLION = 1_000_000_000
COVERAGE = {0.1: 20_000, 0.3: 20_000, 0.5: 20_000, 0.7: 30_000, 0.8: 50_000, 0.9: 100_000}
COVERAGE[0.95] = 200_000
SEEDS = 2000
QUANTILE_LOADS = (0.05, 0.3, 0.6, 0.9, 0.95, 0.99, 0.999)
QUANTILE_JOBS = (20_000, 1_000_000)
QUANTILE_SEEDS = 200


def ours(rate: float, jobs: int) -> float:
    """The compiled pass, with everything that it reports."""
    run = tq.simulate(WORKLOAD.replace(arrival_rate=rate), TOKENS, jobs=jobs, seed=1)
    return run.mean_waiting_time.value


def bare_loop(rate: float, jobs: int) -> float:
    """The shortest loop that one would write in plain Python, one query at a time."""
    uniform, gap = random.Random(1).random, random.Random(2).expovariate
    cumulative = np.cumsum(SHARE).tolist()[:-1]
    total = wait = 0.0
    for _ in range(jobs):
        total += wait
        wait = max(0.0, wait + SERVICE[bisect(cumulative, uniform())] - gap(rate))
    return total / jobs


def bulk_loop(rate: float, jobs: int) -> float:
    """The same with all types drawn beforehand: faster, but memory grows with the run."""
    rng = random.Random(1)
    gap = rng.expovariate
    total = wait = 0.0
    for service in rng.choices(SERVICE, SHARE, k=jobs):
        total += wait
        wait += service - gap(rate)
        if wait < 0.0:
            wait = 0.0
    return total / jobs


def with_simpy(rate: float, jobs: int) -> float:
    """A process a query and one resource, the way its documentation does it."""
    rng, environment = random.Random(1), simpy.Environment()
    server, waits = simpy.Resource(environment), []

    def query(service: float) -> Any:
        arrived = environment.now
        with server.request() as turn:
            yield turn
            waits.append(environment.now - arrived)
            yield environment.timeout(service)

    def arrivals() -> Any:
        for service in rng.choices(SERVICE, SHARE, k=jobs):
            environment.process(query(service))
            yield environment.timeout(rng.expovariate(rate))

    environment.process(arrivals())
    environment.run()
    return sum(waits) / len(waits)


def with_ciw(rate: float, jobs: int) -> float:
    """One node with one server."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate)],
        service_distributions=[ciw.dists.Pmf(SERVICE, SHARE)],
        number_of_servers=[1],
    )
    ciw.seed(1)
    queue = ciw.Simulation(network)
    queue.simulate_until_max_customers(jobs, method="Finish")
    waits = [one.waiting_time for one in queue.get_all_records()]
    return sum(waits) / len(waits)


CONTESTANTS: dict[str, tuple[Callable[[float, int], float], int]] = {
    "thinkqueue": (ours, 10_000_000),
    "plain Python loop": (bare_loop, 300_000),
    "plain Python loop, types in bulk": (bulk_loop, 300_000),
    "SimPy": (with_simpy, 30_000),
    "Ciw": (with_ciw, 10_000),
}


def speeds(load: float) -> list[dict[str, Any]]:
    """Queries per second of each contestant, best of the rounds, and how much slower than ours."""
    rate, best = load / MEAN, dict.fromkeys(CONTESTANTS, np.inf)
    said = {}
    for _ in range(ROUNDS):
        for name, (simulator, jobs) in CONTESTANTS.items():
            said[name], spent = timed(lambda s=simulator, n=jobs: s(rate, n))
            best[name] = min(best[name], spent.cpu / jobs)
    return [
        {
            "load": load,
            "simulator": name,
            "queries_per_second": significant(1 / best[name], 3),
            "slower_by": significant(best[name] / best["thinkqueue"], 3),
            "mean_waiting_time": significant(said[name]),
        }
        for name in CONTESTANTS
    ]


def peak_memory() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def billion() -> dict[str, Any]:
    """One run of a billion queries, and what it adds to the memory held after a million."""
    ours(WORKLOAD.arrival_rate, 1_000_000)
    before = peak_memory()
    run, spent = timed(lambda: tq.simulate(WORKLOAD, TOKENS, jobs=BILLION, seed=1))
    exact = float(tq.mean_system_time(WORKLOAD, TOKENS))
    return {
        "queries": run.queries,
        "cpu_seconds": significant(spent.cpu, 3),
        "memory_added_mib": significant(max(peak_memory() - before, 0.0), 3),
        "mean_system_time": run.mean_system_time.value,
        "half_width": run.mean_system_time.half_width,
        "exact": exact,
        "covered": run.mean_system_time.covers(exact),
    }


def coverage(load: float, jobs: int) -> dict[str, Any]:
    """How often the intervals hold the exact mean, and a wrong one that is 5 % away."""
    workload = WORKLOAD.replace(arrival_rate=load / MEAN)
    exact = float(tq.mean_system_time(workload, TOKENS))
    waiting = float(tq.mean_waiting_time(workload, TOKENS))
    wrong = MEAN + load * MEAN / (2 * (1 - load))
    hits = np.zeros(4)
    width = 0.0
    for seed in range(SEEDS):
        run = tq.simulate(workload, TOKENS, jobs=jobs, seed=seed)
        time = run.mean_system_time
        waits = run.mean_waiting_time.covers(waiting)
        assert run.cross_check is not None
        hits += [time.covers(exact), waits, run.cross_check.covers(exact), time.covers(wrong)]
        width += time.half_width / exact
    share = [significant(hit / SEEDS) for hit in hits]
    return {
        "load": load,
        "jobs": jobs,
        "seeds": SEEDS,
        "mean_system_time": share[0],
        "mean_waiting_time": share[1],
        "batch_means": share[2],
        "wrong_formula": share[3],
        "relative_half_width": significant(width / SEEDS, 3),
    }


def quantile_coverage(load: float, jobs: int) -> list[dict[str, Any]]:
    """How often intervals hold exact quantiles, and how often the run says that it is too short.

    ``untrue`` is how often an interval that does not say so misses.
    """
    workload = WORKLOAD.replace(arrival_rate=load / MEAN)
    exact = {p: float(tq.system_time_quantile(workload, TOKENS, p)) for p in PROBABILITIES}
    held, short = np.zeros((2, QUANTILE_SEEDS, len(exact)), bool)
    for seed in range(QUANTILE_SEEDS):
        found = tq.simulate(workload, TOKENS, jobs=jobs, seed=seed).quantiles
        held[seed] = [found[p].covers(t) for p, t in exact.items()]
        short[seed] = [found[p].too_short for p in exact]
    return [
        {
            "load": load,
            "jobs": jobs,
            "seeds": QUANTILE_SEEDS,
            "probability": p,
            "covered": float(held[:, place].mean()),
            "too_short": float(short[:, place].mean()),
            "untrue": float((~held & ~short)[:, place].mean()),
        }
        for place, p in enumerate(exact)
    ]


def main() -> None:
    """Measure and record."""
    results = {
        "machine": machine("numba", "numpy", "simpy", "ciw"),
        "speeds": [row for load in SPEED_LOADS for row in speeds(load)],
        "billion": billion(),
        "coverage": [coverage(load, jobs) for load, jobs in COVERAGE.items()],
        "quantiles": [
            row
            for jobs in QUANTILE_JOBS
            for load in QUANTILE_LOADS
            for row in quantile_coverage(load, jobs)
        ],
    }
    record("simulation", results)
    for row in results["speeds"]:
        print(
            f"load {row['load']}: {row['simulator']}: {row['queries_per_second']:.3g}/s, "
            f"{row['slower_by']:.3g} times slower"
        )
    print(results["billion"])
    for row in results["coverage"] + results["quantiles"]:
        print(row)


if __name__ == "__main__":
    main()
