"""``thinkqueue simulate``: what the theory says, without the theory."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import ArrayLike

import thinkqueue as tq
from thinkqueue.cli.plots import print_bars
from thinkqueue.cli.program import (
    INTERRUPTED,
    NOT_REACHED,
    AccuracyWeight,
    ArrivalRate,
    Json,
    Plot,
    Scheduler,
    Workers,
    WorkloadFile,
    app,
    examples,
    executor_for,
    fail,
    numbers,
    read_workload,
)
from thinkqueue.printing import number, print_json, print_lines, print_table

MOST_ROWS = 20


@app.command(
    short_help="Simulate a workload.",
    epilog=examples(
        "simulate workload.toml",
        "simulate workload.toml --tokens 1024,2048,4096,4096,2048",
        "simulate workload.toml --half-width 0.1 --replications 8",
        "simulate workload.toml --replications 8 --workers 4",
        "simulate workload.toml --replications 64 --scheduler head:8786",
    ),
)
def simulate(
    file: WorkloadFile,
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS", help="Budgets, separated by commas; the best ones by default."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(metavar="COUNT", help="Queries in each replication.")
    ] = 1_000_000,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of the random numbers.")] = 0,
    replications: Annotated[int, typer.Option(metavar="COUNT", help="Independent runs.")] = 1,
    servers: Annotated[
        int | None,
        typer.Option(metavar="COUNT", help="Servers that share the stream, instead of the file's."),
    ] = None,
    half_width: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop when the mean time is known to so much."),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    plot: Plot = False,
    as_json: Json = False,
) -> None:
    """Simulate a workload and print estimates with 95% intervals.

    A run that is too short for an interval says so, and where theory knows the exact value it
    stands beside the estimate.
    """
    workload = read_workload(file, arrival_rate, accuracy_weight)
    best = tq.solve(workload, throw=False) if tokens is None else None
    budgets = numbers(tokens or "", "--tokens") if best is None else best.tokens
    with executor_for(workers, scheduler) as executor:
        run = tq.simulate(
            workload,
            budgets,
            jobs=jobs,
            seed=seed,
            replications=replications,
            executor=executor,
            servers=servers,
            half_width=half_width,
            progress=not as_json and sys.stderr.isatty(),
        )
    exact = _exact_times(workload, budgets, run)
    if as_json:
        print_json(_simulation_facts(workload, run, exact) | _budget_facts(best))
    else:
        _print_simulation(workload, run, exact)
        if plot:
            means = [run.per_type.mean_system_time[k].value for k in range(len(workload))]
            print_bars(workload.names, np.nan_to_num(means), "mean time, s", ",.4g")
        _print_unproven(best)
    if run.interrupted:
        fail("interrupted: the estimates are of the queries until then.", INTERRUPTED)
    if half_width is not None and not run.reached:
        fail(
            f"--half-width asks for {half_width:g} s, and after {run.queries:,} queries it is "
            f"{run.mean_system_time.half_width:.3g} s"
            + (", and not to be trusted" if run.mean_system_time.too_short else "")
            + ": allow more --jobs.",
            NOT_REACHED,
        )


def _budget_facts(best: tq.Solution | None) -> dict[str, Any]:
    """Return how sure it is that the budgets simulated are the best; nothing if they were given."""
    if best is None:
        return {}
    return {"budgets": {"status": best.status.name.lower(), "gap": best.gap}}


def _print_unproven(best: tq.Solution | None) -> None:
    if best is None or best.converged:
        return
    known = (
        f"they are proven best to {best.gap:.1e} s only"
        if math.isfinite(best.gap)
        else "no bound is known on what others gain"
    )
    print_lines(f"The budgets simulated are not proven best: {known}. {best.status.value}")


def _interval(estimate: tq.Estimate, exact: float | None = None) -> dict[str, Any]:
    ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    known = {} if exact is None else {"exact": exact}
    return ends | {"too_short": estimate.too_short} | known


def _exact_times(
    workload: tq.Workload, tokens: ArrayLike, run: tq.Simulation
) -> dict[float | None, float]:
    """Return the exact mean (None) and quantiles (by probability), where theory knows them."""
    if run.server != tq.Fifo():
        return {}
    alone = workload.replace(server=run.server)
    exact: dict[float | None, float] = {None: float(tq.mean_system_time(alone, tokens))}
    for p in run.quantiles:
        with suppress(tq.ThinkQueueError):
            exact[p] = float(tq.system_time_quantile(alone, tokens, p))
    return exact


def _simulation_facts(
    workload: tq.Workload, run: tq.Simulation, exact: dict[float | None, float]
) -> dict[str, Any]:
    return {
        "mean_system_time": _interval(run.mean_system_time, exact.get(None)),
        "mean_waiting_time": _interval(run.mean_waiting_time),
        "utilization": _interval(run.utilization),
        "quantiles": {f"{p:g}": _interval(one, exact.get(p)) for p, one in run.quantiles.items()},
        "tasks": [
            {"name": name, "mean_system_time": _interval(run.per_type.mean_system_time[k])}
            for k, name in enumerate(workload.names)
        ],
        "level": run.mean_system_time.level,
        "method": run.method,
        "queries": run.queries,
        "cycles": run.cycles,
        "seed": run.seed,
        "seconds": run.seconds,
        "half_width_reached": run.reached,
        "interrupted": run.interrupted,
    }


def _print_simulation(
    workload: tq.Workload, run: tq.Simulation, exact: dict[float | None, float]
) -> None:
    rows: list[tuple[str, tq.Estimate, float | None]] = [
        ("mean system time, s", run.mean_system_time, exact.get(None)),
        ("mean waiting time, s", run.mean_waiting_time, None),
        ("load", run.utilization, None),
        *((f"{p:.0%} answered within, s", one, exact.get(p)) for p, one in run.quantiles.items()),
        *(
            (f"mean time of {name}, s", run.per_type.mean_system_time[k], None)
            for k, name in enumerate(workload.names[:MOST_ROWS])
        ),
    ]
    short = any(one.too_short for _, one, _ in rows)
    headings = ["", "estimate", "from", "to"]
    headings += ["exact"] * bool(exact) + ["run too short"] * short
    cells = []
    for name, one, known in rows:
        ends = [number(end, ",.4g") for end in (one.value, one.low, one.high)]
        ends += ["" if known is None else number(known, ",.4g")] * bool(exact)
        cells.append([name, *ends, *(["yes" if one.too_short else ""] * short)])
    print_table(headings, cells)
    print_lines(
        "",
        f"{run.queries:,} queries in {run.seconds:.2f} s, {run.cycles:,} busy cycles; "
        f"{run.mean_system_time.level:.0%} intervals by {run.method}"
        + ("; interrupted" if run.interrupted else ""),
    )
