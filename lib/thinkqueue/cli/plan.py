"""``thinkqueue plan``: how much traffic a server can take, and how many servers are needed."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import typer

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.cli.plots import print_curves
from thinkqueue.cli.program import (
    BAD_INPUT,
    INFEASIBLE,
    AccuracyWeight,
    ArrivalRate,
    Json,
    Plot,
    WorkloadFile,
    app,
    examples,
    fail,
    numbers,
    read_workload,
)
from thinkqueue.cli.solve import target_of
from thinkqueue.printing import print_json, print_lines, print_table

POINTS = 40


@app.command(
    short_help="Find the largest traffic, and the servers needed.",
    epilog=examples(
        "plan workload.toml --mean-time 30",
        "plan workload.toml --mean-time 30 --arrival-rate 0.2",
        "plan workload.toml --mean-time 30 --accuracy 0.55",
        "plan workload.toml --deadline 60 --quantile 0.9 --tokens 1024",
    ),
)
def plan(
    file: WorkloadFile,
    mean_time: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="What the mean time must stay within."),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="What a share of the answers must stay within."),
    ] = None,
    quantile: Annotated[
        float | None, typer.Option(help="That share.  [default: 0.95]", metavar="SHARE")
    ] = None,
    each_type: Annotated[
        bool, typer.Option("--each-type", help="That share of each type, not of all together.")
    ] = False,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS", help="Budgets that stay as they are; the file's best by default."
        ),
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Let the budgets adapt, down to this mean accuracy.",
        ),
    ] = None,
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    plot: Plot = False,
    as_json: Json = False,
) -> None:
    """Find the largest arrival rate that a server can take within a latency target, and how many
    such servers the traffic needs, each with an equal random part of it.

    Budgets stay those that are given, or the best ones of the file, or adapt to the traffic of each
    server so that a given accuracy is reached.
    """
    workload = read_workload(file, arrival_rate, accuracy_weight)
    target = target_of(deadline, quantile, each_type, mean_time)
    if target is None:
        fail("Give --mean-time or --deadline: how much traffic within which time?", BAD_INPUT)
    if tokens is not None and accuracy is not None:
        fail("--tokens stay as they are and --accuracy lets them adapt; choose one.", BAD_INPUT)
    fixed = None if accuracy is not None else _budgets(workload, tokens)
    rate = tq.largest_arrival_rate(workload, target, tokens=fixed, accuracy=accuracy)
    servers = max(1, math.ceil(workload.arrival_rate / rate))
    each = workload.replace(arrival_rate=workload.arrival_rate / servers)
    budgets = fixed if fixed is not None else tq.solve_target(each, target).tokens
    facts = {
        "largest_arrival_rate": rate,
        "arrival_rate": workload.arrival_rate,
        "servers": servers,
        "each": {
            "arrival_rate": each.arrival_rate,
            "tokens": {
                name: float(count) for name, count in zip(workload.names, budgets, strict=True)
            },
            "mean_system_time": float(tq.mean_system_time(each, budgets)),
            "mean_accuracy": float(tq.mean_accuracy(each, budgets)),
            "utilization": float(tq.utilization(each, budgets)),
            # Little: who is there is the rate times the time
            "mean_present": each.arrival_rate * float(tq.mean_system_time(each, budgets)),
        },
    }
    if as_json:
        print_json(facts)
        return
    _print(workload, facts)
    if plot:
        _plot(workload, budgets, rate, adapted=fixed is None)


def _budgets(workload: tq.Workload, tokens: str | None) -> Array:
    """Return the budgets that stay: given ones, or the best ones at the traffic of the file."""
    if tokens is None:
        try:
            return tq.solve(workload, throw=False).tokens
        except tq.UnstableError as error:
            fail(
                "One server cannot take this traffic at all, so that there are no best budgets "
                f"for it: give --tokens, or --accuracy. ({error})",
                INFEASIBLE,
            )
    given = numbers(tokens, "--tokens")
    if len(given) not in (1, len(workload)):
        fail(
            f"--tokens has {len(given)} numbers for {len(workload)} types; give one for each, or "
            "one for all.",
            BAD_INPUT,
        )
    every = np.broadcast_to(np.asarray(given, dtype=float), (len(workload),))
    return np.minimum(every, workload.max_tokens) if len(given) == 1 else every


def _print(workload: tq.Workload, facts: dict[str, Any]) -> None:
    each = facts["each"]
    print_lines(
        f"One server takes {facts['largest_arrival_rate']:.5g} queries a second within the target.",
        f"The traffic is {facts['arrival_rate']:.5g} a second: {facts['servers']:,} "
        + ("server is" if facts["servers"] == 1 else "servers are")
        + " needed, each with "
        f"{each['arrival_rate']:.5g} a second, drawn at random:",
        "",
    )
    rows = [[name, f"{count:,.0f}"] for name, count in each["tokens"].items()]
    print_table(["type", "tokens"], rows)
    print_lines(
        "",
        f"mean accuracy {each['mean_accuracy']:.4f}, mean time {each['mean_system_time']:,.2f} s, "
        f"load {each['utilization']:.3f}, {each['mean_present']:,.2f} queries present in the mean",
    )
    if isinstance(workload.server, tq.Batching) and workload.server.max_batch:
        print_lines(f"(at most {workload.server.max_batch:,} are served at once)")


def _plot(workload: tq.Workload, budgets: Array, rate: float, *, adapted: bool) -> None:
    rates = np.linspace(rate / POINTS, rate, POINTS)
    times = [float(tq.mean_system_time(workload.replace(arrival_rate=r), budgets)) for r in rates]
    what = "of the budgets above" if adapted else "of these budgets"
    print_curves(rates, [times], f"mean time {what}, s, over queries a second")
