"""The command line: ``thinkqueue solve``, ``calibrate`` and ``simulate``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import thinkqueue as tq

BAD_INPUT, INFEASIBLE, NOT_CONVERGED = 2, 3, 1
MOST_ROWS = 20

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WorkloadFile = Annotated[Path, typer.Argument(metavar="FILE", help="The workload, in TOML.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
ArrivalRate = Annotated[
    float | None, typer.Option(help="Queries per second, instead of the file's.", metavar="RATE")
]
AccuracyWeight = Annotated[
    float | None,
    typer.Option(help="Seconds that one unit of accuracy is worth, instead.", metavar="SECONDS"),
]


@app.callback()
def main() -> None:
    """How many thinking tokens should each type of query get?

    Exit status: 0 well, 1 not converged, 2 bad input, 3 no stable allocation.
    """


@app.command()
def solve(
    file: WorkloadFile,
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    as_json: Json = False,
) -> None:
    """Find the best budgets of a workload, with the latency to expect and the certified gap."""
    with kind_exit():
        workload = read_workload(file, arrival_rate, accuracy_weight)
        solution = tq.solve(workload)
        if as_json:
            print_json(_facts(workload, solution))
        else:
            _print_solution(workload, solution)


@app.command()
def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Measurements, CSV or Parquet.")],
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    base_time: Annotated[
        float | None, typer.Option(help="Service time without thinking, if not measured.")
    ] = None,
    time_per_token: Annotated[
        float | None, typer.Option(help="Seconds a token, if not measured.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the workload here, in TOML.")] = None,
    accept: Annotated[
        list[str] | None, typer.Option(help="A verdict that is good enough; repeat for more.")
    ] = None,
    pool: Annotated[bool, typer.Option(help="Shrink the rates towards each other.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulated p-values.")] = 0,
    as_json: Json = False,
) -> None:
    """Turn measurements into accuracy curves and service times, with verdicts, and a workload."""
    with kind_exit():
        if output is not None:
            demand = _demanded(arrival_rate, "--arrival-rate")
            worth = _demanded(accuracy_weight, "--accuracy-weight")
        calibration = tq.calibrate(file, pool=pool, seed=seed)
        if as_json:
            print_json(calibration.to_dict())
        else:
            typer.echo(calibration.summary())
        if output is not None:
            calibration.to_toml(
                output,
                arrival_rate=demand,
                accuracy_weight=worth,
                base_time=base_time,
                time_per_token=time_per_token,
                accept=accept or ["adequate"],
            )


@app.command()
def simulate(
    file: WorkloadFile,
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    tokens: Annotated[
        str | None, typer.Option(help="Budgets, separated by commas; the best ones by default.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Queries in each replication.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 0,
    replications: Annotated[int, typer.Option(help="Independent runs.")] = 1,
    servers: Annotated[int, typer.Option(help="Servers that share the stream.")] = 1,
    half_width: Annotated[
        float | None, typer.Option(help="Stop when the mean time is known to so many seconds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate a workload, first come first served, and print estimates with 95 % intervals."""
    with kind_exit():
        workload = read_workload(file, arrival_rate, accuracy_weight)
        budgets = tq.solve(workload).tokens if tokens is None else _numbers(tokens, "--tokens")
        run = tq.simulate(
            workload,
            budgets,
            jobs=jobs,
            seed=seed,
            replications=replications,
            servers=servers,
            half_width=half_width,
            progress=not as_json and Console(stderr=True).is_terminal,
        )
        if as_json:
            print_json(_simulation_facts(workload, run))
        else:
            _print_simulation(workload, run)


@contextmanager
def kind_exit() -> Iterator[None]:
    """Turn the errors that a user can mend into one sentence and an exit status."""
    try:
        yield
    except tq.UnstableError as error:
        _fail(str(error), INFEASIBLE)
    except tq.NotConvergedError as error:
        _fail(str(error), NOT_CONVERGED)
    except tq.ThinkQueueError as error:
        _fail(str(error), BAD_INPUT)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}.", BAD_INPUT)


def read_workload(
    file: Path, arrival_rate: float | None = None, accuracy_weight: float | None = None
) -> tq.Workload:
    """Read a workload and replace what the options say.

    Parameters
    ----------
    file : Path
        The workload.
    arrival_rate, accuracy_weight : float, optional
        Values to use in place of the file's.
    """
    options = {"arrival_rate": arrival_rate, "accuracy_weight": accuracy_weight}
    given = {name: value for name, value in options.items() if value is not None}
    return tq.Workload.from_toml(file).replace(**given)


def print_json(facts: dict[str, Any]) -> None:
    """Print one JSON object to standard output.

    Parameters
    ----------
    facts : dict
        What to print.
    """
    typer.echo(json.dumps(facts, indent=2, allow_nan=False))


def _demanded(value: float | None, option: str) -> float:
    if value is None:
        message = f"--output needs {option}: no measurement tells it."
        raise tq.CalibrationError(message)
    return value


def _fail(message: str, status: int) -> None:
    typer.echo(f"thinkqueue: {message}", err=True)
    raise typer.Exit(status)


def _facts(workload: tq.Workload, solution: tq.Solution) -> dict[str, Any]:
    waiting = float(tq.mean_waiting_time(workload, solution.tokens))
    service = tq.service_time(workload, solution.tokens)
    correct = tq.accuracy(workload, solution.tokens)
    return {
        "arrival_rate": workload.arrival_rate,
        "accuracy_weight": workload.accuracy_weight,
        "tasks": [
            {
                "name": name,
                "share": float(workload.share[k]),
                "tokens": float(solution.tokens[k]),
                "accuracy": float(correct[k]),
                "service_time": float(service[k]),
                "mean_system_time": float(service[k]) + waiting,
            }
            for k, name in enumerate(workload.names)
        ],
        "mean_accuracy": solution.mean_accuracy,
        "mean_waiting_time": waiting,
        "mean_system_time": solution.mean_system_time,
        "utilization": solution.utilization,
        "objective": solution.objective,
        "upper_bound": solution.upper_bound,
        "gap": solution.gap,
        "steps": solution.steps,
        "status": solution.status.name.lower(),
    }


def _print_solution(workload: tq.Workload, solution: tq.Solution) -> None:
    facts = _facts(workload, solution)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("type")
    for heading in ("share", "tokens", "accuracy", "service, s", "mean time, s"):
        table.add_column(heading, justify="right")
    for task in facts["tasks"]:
        table.add_row(
            task["name"],
            f"{task['share']:.3g}",
            f"{task['tokens']:,.1f}",
            f"{task['accuracy']:.3f}",
            f"{task['service_time']:,.2f}",
            f"{task['mean_system_time']:,.2f}",
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"\nmean accuracy {facts['mean_accuracy']:.4f}, "
        f"mean system time {facts['mean_system_time']:,.2f} s "
        f"(waiting {facts['mean_waiting_time']:,.2f} s), load {facts['utilization']:.3f}"
    )
    console.print(
        f"objective {facts['objective']:,.6g} s; no allocation is better by more than "
        f"{facts['gap']:.1e} s (certified, {facts['steps']} Newton steps)"
    )


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        message = f"{option} takes numbers separated by commas; it is {text!r}."
        raise tq.WorkloadError(message, parameter="tokens", value=text) from None


def _interval(estimate: tq.Estimate) -> dict[str, float | None]:
    ends = {"low": estimate.low, "high": estimate.high}
    return {
        "value": estimate.value,
        **{name: end if math.isfinite(end) else None for name, end in ends.items()},
    }


def _simulation_facts(workload: tq.Workload, run: tq.Simulation) -> dict[str, Any]:
    return {
        "mean_system_time": _interval(run.mean_system_time),
        "mean_waiting_time": _interval(run.mean_waiting_time),
        "utilization": _interval(run.utilization),
        "quantiles": {f"{p:g}": _interval(value) for p, value in run.quantiles.items()},
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
        "interrupted": run.interrupted,
    }


def _print_simulation(workload: tq.Workload, run: tq.Simulation) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("estimate", "from", "to"):
        table.add_column(heading, justify="right")
    rows = [
        ("mean system time, s", run.mean_system_time),
        ("mean waiting time, s", run.mean_waiting_time),
        ("load", run.utilization),
        *((f"{p:.0%} answered within, s", value) for p, value in run.quantiles.items()),
        *(
            (f"mean time of {name}, s", run.per_type.mean_system_time[k])
            for k, name in enumerate(workload.names[:MOST_ROWS])
        ),
    ]
    for name, estimate in rows:
        ends = (estimate.value, estimate.low, estimate.high)
        table.add_row(name, *(f"{end:,.4g}" for end in ends))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"\n{run.queries:,} queries in {run.seconds:.2f} s, {run.cycles:,} busy cycles; "
        f"{run.mean_system_time.level:.0%} intervals by {run.method}"
        + ("; interrupted" if run.interrupted else "")
    )
