"""The command line: ``thinkqueue solve``, ``calibrate`` and ``simulate``."""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from numpy.typing import ArrayLike
from typer.core import TyperGroup

import thinkqueue as tq
from thinkqueue.errors import sentence
from thinkqueue.names import brief, printable
from thinkqueue.printing import number, print_anywhere, print_json, print_lines, print_table

NOT_REACHED, BAD_INPUT, INFEASIBLE, INTERRUPTED = 1, 2, 3, 130
MOST_ROWS, LONGEST_LINE = 20, 500
QUESTIONS = 100
"""How many more questions the advice on what to measure next is about."""


class Program(TyperGroup):
    """The program as a whole: however it ends, it says why in a sentence."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run it.

        Parameters
        ----------
        *args, **options
            As :class:`typer.core.TyperGroup` has them.
        """
        print_anywhere()
        with kind_exit():
            return super().main(*args, **options)


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
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


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"thinkqueue {version('thinkqueue')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """How many thinking tokens should each type of query get?

    Exit status: 0 well, 1 not as near as asked for, 2 bad input or a file that
    cannot be read or written, 3 no stable allocation or none that meets the
    target, 130 interrupted.
    """


@app.command(short_help="Find the best budgets of a workload.")
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
    as_json: Json = False,
) -> None:
    """Find the best budgets of a workload, with the latency to expect and the certified gap."""
    workload = read_workload(file, arrival_rate, accuracy_weight)
    target = _target(deadline, quantile, each_type, mean_time)
    if target is None:
        solution = tq.solve(workload, gap=1e-9 if gap is None else gap, throw=False)
        if as_json:
            print_json(_facts(workload, solution) | {"status": solution.status.name.lower()})
        else:
            _print_solution(workload, solution)
        if not solution.converged:
            _fail(_shortfall(solution), NOT_REACHED)
        return
    if gap is not None:
        _fail("--gap is for budgets without a target, which are as near as they get.", BAD_INPUT)
    found = tq.solve_target(workload, target)
    if as_json:
        print_json(_facts(workload, found) | _target_facts(target, found))
    else:
        _print_target_solution(workload, target, found)


@app.command(short_help="Turn measurements into a workload.")
def calibrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Measurements, CSV or Parquet.")],
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    base_time: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Service time without thinking, if not measured."),
    ] = None,
    time_per_token: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Of one token, if not measured.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the workload here, in TOML.")
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK=SHARE", help="Of the traffic; repeat for more, or 'log' for the file's."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=NAME", help="What a column is called in the file."),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            help="Solve so many workloads that may be true: how sure are the budgets, and what "
            "should be measured next?",
        ),
    ] = 0,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="VERDICT", help="Good enough too, besides adequate; repeat for more."),
    ] = None,
    pool: Annotated[bool, typer.Option("--pool", help="Shrink the rates to each other.")] = False,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of what is simulated.")] = 0,
    as_json: Json = False,
) -> None:
    """Turn measurements into accuracy curves and service times, with verdicts, and a workload."""
    wanted = "--output" if output is not None else "--draws" if draws else None
    options = {
        "--arrival-rate": arrival_rate,
        "--accuracy-weight": accuracy_weight,
        "--base-time": base_time,
        "--time-per-token": time_per_token,
        "--share": share,
        "--accept": accept,
    }
    for option, value in options.items():
        if wanted is None and value is not None:
            _fail(f"{option} has a meaning with --output or --draws only.", BAD_INPUT)
        if wanted and value is None and option in ("--arrival-rate", "--accuracy-weight"):
            _fail(f"{wanted} needs {option}: no measurement tells it.", BAD_INPUT)
    with _telling("reading") as tell:
        calibration = tq.calibrate(
            file, columns=dict(_pairs(column or [], "--column")), pool=pool, seed=seed, report=tell
        )
    facts = calibration.to_dict()
    if not as_json:
        print_lines(*calibration.summary().splitlines())
    if wanted:
        terms: dict[str, Any] = {
            "arrival_rate": arrival_rate,
            "accuracy_weight": accuracy_weight,
            "base_time": base_time,
            "time_per_token": time_per_token,
            "share": _shares(share),
            "accept": ["adequate", *(accept or [])],
        }
        workload = calibration.workload(**terms)
        if output is not None:
            calibration.to_toml(output, **terms)
        facts |= {"caps": _caps(calibration, workload)}
        if not as_json:
            _print_caps(facts["caps"], guessed=share is None)
        if draws:
            uncertainty = _uncertainty(calibration, draws, seed, terms)
            facts |= {"budgets": uncertainty}
            if not as_json:
                _print_uncertainty(uncertainty)
    if as_json:
        print_json(facts)


@app.command(short_help="Simulate a workload.")
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
    as_json: Json = False,
) -> None:
    """Simulate a workload and print estimates with 95 % intervals.

    A run that is too short for an interval says so, and where theory knows the exact value it
    stands beside the estimate.
    """
    workload = read_workload(file, arrival_rate, accuracy_weight)
    budgets = (
        tq.solve(workload, throw=False).tokens if tokens is None else _numbers(tokens, "--tokens")
    )
    run = tq.simulate(
        workload,
        budgets,
        jobs=jobs,
        seed=seed,
        replications=replications,
        servers=servers,
        half_width=half_width,
        progress=not as_json and sys.stderr.isatty(),
    )
    exact = _exact_times(workload, budgets, run)
    if as_json:
        print_json(_simulation_facts(workload, run, exact))
    else:
        _print_simulation(workload, run, exact)
    if run.interrupted:
        _fail("interrupted: the estimates are of the queries until then.", INTERRUPTED)
    if half_width is not None and not run.reached:
        _fail(
            f"--half-width asks for {half_width:g} s, and after {run.queries:,} queries it is "
            f"{run.mean_system_time.half_width:.3g} s"
            + (", and not to be trusted" if run.mean_system_time.too_short else "")
            + ": allow more --jobs.",
            NOT_REACHED,
        )


@contextmanager
def kind_exit() -> Iterator[None]:
    """Turn whatever a user can mend into one sentence and an exit status."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # a full disk says so now or never
    except tq.ThinkQueueError as error:
        _fail(str(error), _status(error))
    except KeyboardInterrupt:
        _fail("interrupted.", INTERRUPTED)
    except OSError as error:
        if error.filename is None:
            _close_output()
        if error.errno == errno.EPIPE:  # nobody reads on, as with `| head`
            raise SystemExit(NOT_REACHED) from None
        _fail(("standard output: " if error.filename is None else "") + sentence(error), BAD_INPUT)


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


def _fail(message: str, status: int) -> NoReturn:
    lines = (brief(printable(line), LONGEST_LINE) for line in message.splitlines())
    with suppress(OSError):
        print("thinkqueue: " + "\n".join(lines), file=sys.stderr)
    raise SystemExit(status)


def _status(error: tq.ThinkQueueError) -> int:
    if isinstance(error, tq.UnstableError | tq.InfeasibleTargetError):
        return INFEASIBLE
    return NOT_REACHED if isinstance(error, tq.NotConvergedError) else BAD_INPUT


def _pairs(texts: list[str], option: str) -> list[tuple[str, str]]:
    pairs = [text.rpartition("=") for text in texts]
    for name, equals, _ in pairs:
        if not (name and equals):
            message = f"{option} takes NAME=VALUE; it is {texts[0][:40]!r}."
            raise tq.CalibrationError(message)
    return [(name, value) for name, _, value in pairs]


def _shares(texts: list[str] | None) -> dict[str, float] | str | None:
    if texts is None:
        return None
    if texts == ["log"]:
        return "log"
    return {name: _numbers(value, "--share")[0] for name, value in _pairs(texts, "--share")}


def _close_output() -> None:
    """Drop what could not be printed, so that Python does not try once more at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        _fail(f"{option} takes numbers separated by commas; it is {text!r}.", BAD_INPUT)


def _target(
    deadline: float | None, quantile: float | None, each_type: bool, mean_time: float | None
) -> tq.MeanTarget | tq.TailTarget | tq.TypeTailTarget | None:
    if deadline is None and (quantile is not None or each_type):
        _fail("--quantile and --each-type need --deadline: in time for what?", BAD_INPUT)
    if mean_time is not None:
        if deadline is not None:
            _fail("--deadline and --mean-time are two targets; choose one.", BAD_INPUT)
        return tq.MeanTarget(mean_time)
    if deadline is None:
        return None
    share = 0.95 if quantile is None else quantile
    if not 0 < share < 1:
        _fail(f"--quantile is {share:g}; it must lie between 0 and 1.", BAD_INPUT)
    return (tq.TypeTailTarget if each_type else tq.TailTarget)(deadline, 1 - share)


def _facts(workload: tq.Workload, solution: tq.Solution | tq.TargetSolution) -> dict[str, Any]:
    correct = tq.accuracy(workload, solution.tokens)
    if isinstance(workload.server, tq.Batching):
        kind, times = "mean_system_time", tq.mean_type_time(workload, solution.tokens)
    else:
        kind, times = "service_time", tq.service_time(workload, solution.tokens)
    tasks: list[dict[str, Any]] = [
        {
            "name": name,
            "share": float(workload.share[k]),
            "tokens": float(solution.tokens[k]),
            "accuracy": float(correct[k]),
            kind: float(times[k]),
        }
        for k, name in enumerate(workload.names)
    ]
    facts: dict[str, Any] = {
        "arrival_rate": workload.arrival_rate,
        "accuracy_weight": workload.accuracy_weight,
        "tasks": tasks,
        "mean_accuracy": solution.mean_accuracy,
        "mean_system_time": solution.mean_system_time,
        "utilization": solution.utilization,
        "objective": solution.objective,
        "upper_bound": solution.upper_bound,
        "gap": solution.gap,
    }
    if workload.server == tq.Fifo():  # who comes first is served first, so that all wait alike
        waiting = float(tq.mean_waiting_time(workload, solution.tokens))
        facts["mean_waiting_time"] = waiting
        for task in tasks:
            task["mean_system_time"] = task["service_time"] + waiting
    return facts | ({"steps": solution.steps} if isinstance(solution, tq.Solution) else {})


def _target_facts(target: tq.Target, found: tq.TargetSolution) -> dict[str, Any]:
    """Say what was asked and reached; upper_bound and gap are those of the mean accuracy."""
    if isinstance(target, tq.MeanTarget):
        return {"target": {"mean_system_time": target.limit}, "proven": found.convex}
    assert isinstance(target, tq.TailTarget | tq.TypeTailTarget)
    probability = np.asarray(target.probability, dtype=float)
    return {
        "target": {
            "deadline": target.deadline,
            "quantile": float(1 - probability),
            "each_type": isinstance(target, tq.TypeTailTarget),
        },
        "late": (found.ratio * probability).tolist(),
        "proven": found.convex,
    }


def _print_types(facts: dict[str, Any], late: Sequence[float] = ()) -> None:
    columns = {
        "share": ("share", ".3g"),
        "tokens": ("tokens", ",.1f"),
        "accuracy": ("accuracy", ".3f"),
        "service_time": ("service, s", ",.2f"),
        "mean_system_time": ("mean time, s", ",.2f"),
        "late": ("late", ".2%"),
    }
    tasks = facts["tasks"]
    if len(late) == len(tasks):
        tasks = [task | {"late": part} for task, part in zip(tasks, late, strict=True)]
    shown = [key for key in columns if key in tasks[0]]
    print_table(
        ["type", *(columns[key][0] for key in shown)],
        [[task["name"], *(f"{task[key]:{columns[key][1]}}" for key in shown)] for task in tasks],
    )
    waiting = facts.get("mean_waiting_time")
    print_lines(
        "",
        f"mean accuracy {facts['mean_accuracy']:.4f}, "
        f"mean system time {facts['mean_system_time']:,.2f} s"
        + (f" (waiting {waiting:,.2f} s)" if waiting is not None else "")
        + f", load {facts['utilization']:.3f}",
    )


def _print_solution(workload: tq.Workload, solution: tq.Solution) -> None:
    facts = _facts(workload, solution)
    _print_types(facts)
    proof = (
        f"no allocation is better by more than {facts['gap']:.1e} s (certified, "
        if math.isfinite(facts["gap"])
        else "no bound is known (a local optimum, "
    )
    print_lines(f"objective {facts['objective']:,.6g} s; {proof}{facts['steps']} Newton steps)")


def _print_target_solution(
    workload: tq.Workload, target: tq.Target, found: tq.TargetSolution
) -> None:
    facts = _target_facts(target, found)
    late = facts.get("late")
    _print_types(_facts(workload, found), late or ())
    asked = facts["target"]
    if late is None:
        met = f"target: a mean time of at most {asked['mean_system_time']:,.6g} s"
    else:
        whom = "each type" if asked["each_type"] else "all queries"
        met = (
            f"target: {100 * asked['quantile']:.6g} % of {whom} answered within "
            f"{asked['deadline']:,.6g} s; {100 * (1 - max(late)):.5g} % are"
        )
    print_lines(
        met,
        f"no budgets that meet it are more accurate by more than {found.gap:.1e}"
        + ("" if found.convex else " (branch and bound)"),
    )


def _caps(calibration: tq.Calibration, workload: tq.Workload) -> list[dict[str, Any]]:
    """Return the best budgets as tokens used in the mean, and the caps under which they are."""
    best = tq.solve(workload).tokens
    rows = zip(workload.names, workload.share, best, calibration.caps(best), strict=True)
    return [
        {"name": name, "share": float(share), "tokens": float(used), "cap": float(cap)}
        for name, share, used, cap in rows
    ]


def _print_caps(caps: list[dict[str, Any]], *, guessed: bool) -> None:
    print_lines("", "Best budgets" + (", for equal shares (give --share):" if guessed else ":"))
    print_table(
        ["type", "tokens used, in the mean", "cap to set"],
        [[row["name"], number(row["tokens"], ",.0f"), number(row["cap"], ",.0f")] for row in caps],
    )


@contextmanager
def _telling(first: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done, and yield how to say the next thing."""
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(first) as status:
        yield lambda text: status.update(escape(printable(text)))


def _uncertainty(
    calibration: tq.Calibration, draws: int, seed: int, terms: dict[str, Any]
) -> dict[str, Any]:
    from thinkqueue.calibration import measurement_value

    drawn = calibration.draws(draws, seed=seed, **terms)
    workload, found = drawn.workload, tq.propagate(drawn)
    low, high = found.interval(found.each.tokens)
    curves = [task.accuracy for task in calibration.tasks if task.accuracy]
    measured = np.unique(np.concatenate([curve.series.tokens for curve in curves]))
    value = measurement_value(
        workload, [curve.covariance for curve in curves], measured, questions=QUESTIONS
    )
    name, place, saved = value.best
    return {
        "tasks": [
            {
                "name": task,
                "tokens": float(found.plug_in.tokens[k]),
                "low": float(low[k]),
                "high": float(high[k]),
                "best_on_average": float(found.robust.tokens[k]),
            }
            for k, task in enumerate(workload.names)
        ],
        "draws": draws,
        "regret": float(found.regret.mean()),
        "loss": float(found.loss(found.plug_in.tokens).mean()),
        "loss_best_on_average": float(found.loss(found.robust.tokens).mean()),
        "measure_next": {
            "name": name, "tokens": place, "questions": QUESTIONS, "saved": saved,
        },
    }  # fmt: skip


def _print_uncertainty(facts: dict[str, Any]) -> None:
    print_lines("")
    print_table(
        ["type", "tokens", "from", "to", "best on average"],
        [
            [
                task["name"],
                *(
                    number(task[end], ",.1f")
                    for end in ("tokens", "low", "high", "best_on_average")
                ),
            ]
            for task in facts["tasks"]
        ],
    )
    after = facts["measure_next"]
    print_lines(
        "",
        f"95 % intervals of the best budgets over {facts['draws']:,} simulated experiments. "
        f"Planning by one of them loses {number(facts['regret'], '.3g')} s of the objective in the "
        "mean. If each may be true, the budgets above lose "
        f"{number(facts['loss'], '.3g')} s, and those that are best on average "
        f"{number(facts['loss_best_on_average'], '.3g')} s.",
        f"Measure next: {after['questions']} questions of {after['name']} at "
        f"{after['tokens']:,.0f} tokens save {after['saved']:.3g} s of that, to first order.",
    )


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
