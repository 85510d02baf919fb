"""``thinkqueue solve``: the best budgets of a workload."""

from __future__ import annotations

import math
from typing import Annotated

import typer

import thinkqueue as tq
from thinkqueue.cli.plots import print_bars
from thinkqueue.cli.program import (
    BAD_INPUT,
    NOT_REACHED,
    AccuracyWeight,
    ArrivalRate,
    Json,
    Plot,
    WorkloadFile,
    app,
    examples,
    fail,
    read_workload,
)
from thinkqueue.cli.report import (
    facts,
    print_solution,
    print_target_solution,
    target_facts,
)
from thinkqueue.printing import print_json


@app.command(
    short_help="Find the best budgets of a workload.",
    epilog=examples(
        "solve workload.toml",
        "solve workload.toml --arrival-rate 0.05 --plot",
        "solve workload.toml --deadline 60 --quantile 0.9 --each-type",
        "solve workload.toml --json | jq .tasks",
    ),
)
def solve(
    file: WorkloadFile,
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Find the most accurate budgets that answer within this."
        ),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option(help="The share that must be in time.  [default: 0.95]", metavar="SHARE"),
    ] = None,
    each_type: Annotated[
        bool, typer.Option("--each-type", help="That share of each type, not of all together.")
    ] = False,
    mean_time: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Find the most accurate budgets that answer within this in the mean.",
        ),
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How near to the best will do.  [default: 1e-9]"),
    ] = None,
    plot: Plot = False,
    as_json: Json = False,
) -> None:
    """Find the best budgets of a workload, with the latency to expect and the certified gap."""
    workload = read_workload(file, arrival_rate, accuracy_weight)
    target = target_of(deadline, quantile, each_type, mean_time)
    if target is None:
        solution = tq.solve(workload, gap=1e-9 if gap is None else gap, throw=False)
        if as_json:
            print_json(facts(workload, solution) | {"status": solution.status.name.lower()})
        else:
            print_solution(workload, solution)
            if plot:
                print_bars(workload.names, solution.tokens, "thinking tokens")
        if not solution.converged:
            fail(_shortfall(solution), NOT_REACHED)
        return
    if gap is not None:
        fail("--gap is for budgets without a target, which are as near as they get.", BAD_INPUT)
    found = tq.solve_target(workload, target)
    if as_json:
        print_json(facts(workload, found) | target_facts(target, found))
    else:
        print_target_solution(workload, target, found)
        if plot:
            print_bars(workload.names, found.tokens, "thinking tokens")


def _shortfall(solution: tq.Solution) -> str:
    if not math.isfinite(solution.gap) or solution.status is tq.Status.NO_BOUND:
        return solution.status.value
    cause = "a local optimum, " if solution.status is tq.Status.LOCAL else ""
    return (
        f"the budgets are {cause}proven best to {solution.gap:.1e} s and no nearer; "
        f"--gap {_above(solution.gap)} accepts that."
    )


def _above(gap: float) -> str:
    """Write a gap in two digits, rounded up."""
    return next(text for step in (1.0, 1.05, 1.1) if float(text := f"{gap * step:.1e}") >= gap)


def target_of(
    deadline: float | None, quantile: float | None, each_type: bool, mean_time: float | None
) -> tq.MeanTarget | tq.TailTarget | tq.TypeTailTarget | None:
    """Return the target that the options ask for, or None.

    Parameters
    ----------
    deadline, quantile, each_type, mean_time
        The options.
    """
    if deadline is None and (quantile is not None or each_type):
        fail("--quantile and --each-type need --deadline: in time for what?", BAD_INPUT)
    if mean_time is not None:
        if deadline is not None:
            fail("--deadline and --mean-time are two targets; choose one.", BAD_INPUT)
        return tq.MeanTarget(mean_time)
    if deadline is None:
        return None
    share = 0.95 if quantile is None else quantile
    if not 0 < share < 1:
        fail(f"--quantile is {share:g}; it must lie between 0 and 1.", BAD_INPUT)
    return (tq.TypeTailTarget if each_type else tq.TailTarget)(deadline, 1 - share)
