"""``thinkqueue calibrate``: from the files of an operator to a workload."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

import thinkqueue as tq
from thinkqueue.cli.plots import print_curves
from thinkqueue.cli.program import (
    BAD_INPUT,
    ArrivalRate,
    Json,
    Plot,
    Scheduler,
    Workers,
    app,
    examples,
    executor_for,
    fail,
    numbers,
    pairs,
)
from thinkqueue.names import printable
from thinkqueue.printing import number, print_json, print_lines, print_table

if TYPE_CHECKING:
    from concurrent.futures import Executor

QUESTIONS = 100
"""How many more questions the advice on what to measure next is about."""

Kind = Literal["fifo", "batching"]


@app.command(
    short_help="Turn logs or measurements into a workload.",
    epilog=examples(
        "calibrate measurements.csv",
        "calibrate spans.json eval-*.json --task humaneval=code",
        "calibrate spans.json eval-*.json -w 600 -o workload.toml",
        "calibrate log.csv eval-*.json --server batching -w 600 -o w.toml",
        "calibrate bench.json samples_a.jsonl --budget samples_a=1024",
    ),
)
def calibrate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Tables of measurements, CSV or Parquet, and logs: of vLLM bench, SGLang, "
            "GuideLLM, AIPerf, inference-perf, LiteLLM, OpenTelemetry, BLIS, inspect_ai, lm-eval.",
        ),
    ],
    arrival_rate: ArrivalRate = None,
    accuracy_weight: Annotated[
        float | None,
        typer.Option(
            "--accuracy-weight",
            "-w",
            metavar="SECONDS",
            help="Seconds that one unit of accuracy is worth.",
        ),
    ] = None,
    server: Annotated[
        Kind, typer.Option(help="One query at a time, or many at once as engines do.")
    ] = "fifo",
    max_batch: Annotated[
        int | None, typer.Option(metavar="COUNT", help="How many at once, at most.", min=1)
    ] = None,
    base_time: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Service time without thinking, if not measured."),
    ] = None,
    time_per_token: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Of one token, if not measured.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the workload here, in TOML."),
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK=SHARE", help="Of the traffic; repeat for more, or 'log' for the file's."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TASK", help="What a task of a log, or a file without one, is called here."
        ),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE=TOKENS", help="The budget of a file that does not say it."),
    ] = None,
    answer_tokens: Annotated[
        float | None,
        typer.Option(metavar="COUNT", help="Of an answer, where thoughts were not counted."),
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
    workers: Workers = None,
    scheduler: Scheduler = None,
    plot: Plot = False,
    as_json: Json = False,
) -> None:
    """Turn logs or measurements into accuracy curves and service times, with verdicts, and a
    workload.

    Logs are recognised by what they hold and joined by task: arrivals and times from that of a
    server, right and wrong from an evaluation. What no file says is named.
    """
    wanted = "--output" if output is not None else "--draws" if draws else None
    own = _own_table(files, task, budget, answer_tokens)
    options = {
        "--arrival-rate": arrival_rate,
        "--accuracy-weight": accuracy_weight,
        "--base-time": base_time,
        "--time-per-token": time_per_token,
        "--share": share,
        "--accept": accept,
        "--max-batch": max_batch,
    }
    for option, value in options.items():
        if wanted is None and value is not None:
            fail(f"{option} has a meaning with --output or --draws only.", BAD_INPUT)
        needed = ("--accuracy-weight", "--arrival-rate") if own else ("--accuracy-weight",)
        if wanted and value is None and option in needed:
            fail(f"{wanted} needs {option}: no measurement tells it.", BAD_INPUT)
    _check_server(server, max_batch, draws, own)
    with executor_for(workers, scheduler) as executor:
        evidence: tq.Evidence | None = None
        source: Any = files[0]
        columns = dict(pairs(column, "--column"))
        with _telling("reading") as tell:
            if not own:
                evidence = _evidence(files, task, budget, answer_tokens, columns)
                source, columns = evidence.measurements, {}
            calibration = tq.calibrate(source, columns=columns, pool=pool, seed=seed, report=tell)
        facts = calibration.to_dict()
        if evidence is not None:
            facts |= _traffic(evidence, server)
        if not as_json:
            print_lines(*calibration.summary().splitlines())
            if evidence is not None:
                _print_traffic(evidence, facts)
            if plot:
                _plot(calibration)
        if wanted:
            terms: dict[str, Any] = {
                "arrival_rate": arrival_rate,
                "accuracy_weight": accuracy_weight,
                "base_time": base_time,
                "time_per_token": time_per_token,
                "share": _shares(share),
                "accept": ["adequate", *(accept or [])],
            }
            if evidence is not None:
                terms = _from_logs(evidence, terms)
            workload, comment = _workload(calibration, evidence, terms, server, max_batch)
            if output is not None:
                if comment is None:
                    calibration.to_toml(output, **terms)
                else:
                    workload.to_toml(output, comment=comment)
            facts |= {"caps": _caps(calibration, workload)}
            if not as_json:
                guessed = share is None and evidence is None
                _print_caps(facts["caps"], guessed=guessed)
            if draws:
                uncertainty = _uncertainty(calibration, draws, seed, terms, executor)
                facts |= {"budgets": uncertainty}
                if not as_json:
                    _print_uncertainty(uncertainty)
    if as_json:
        print_json(facts)


def _own_table(files: list[Path], *options: object) -> bool:
    """Whether there is one file, and it is no log: then errors are those of a table."""
    if len(files) > 1 or any(option is not None for option in options):
        return False
    from thinkqueue.readers.reading import is_log

    return not is_log(files[0])


def _evidence(
    files: list[Path],
    task: list[str] | None,
    budget: list[str] | None,
    answer_tokens: float | None,
    columns: dict[str, str],
) -> tq.Evidence:
    budgets = {name: numbers(value, "--budget")[0] for name, value in pairs(budget, "--budget")}
    return tq.read_logs(
        files, tasks=dict(pairs(task, "--task")), budgets=budgets, answer_tokens=answer_tokens,
        columns=columns or None,
    )  # fmt: skip


def _check_server(server: Kind, max_batch: int | None, draws: int, own: bool) -> None:
    if server == "fifo":
        if max_batch is not None:
            fail("--max-batch is for --server batching.", BAD_INPUT)
        return
    if draws:
        fail(
            "--draws is for servers that serve one at a time: how sure the time of a token is, "
            "is printed with --server batching.",
            BAD_INPUT,
        )
    if own:
        fail(
            "--server batching needs a log with the times of every request; a table of "
            "measurements has none.",
            BAD_INPUT,
        )


def _from_logs(evidence: tq.Evidence, terms: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the logs say and no option does."""
    told = dict(terms)
    if told["arrival_rate"] is None:
        told["arrival_rate"] = evidence.arrival_rate.value
    if told["share"] is None or told["share"] == "log":
        told["share"] = evidence.share
    return told


def _workload(
    calibration: tq.Calibration,
    evidence: tq.Evidence | None,
    terms: dict[str, Any],
    server: Kind,
    max_batch: int | None,
) -> tuple[tq.Workload, str | None]:
    """Return the workload, and a comment for its file where the calibration has none of its own."""
    if evidence is None or server == "fifo":
        return calibration.workload(**terms), None
    workload = evidence.workload(calibration, batching=True, max_batch=max_batch, **terms)
    return workload, "\n".join([calibration.summary(), *evidence.notes])


def _traffic(evidence: tq.Evidence, server: Kind) -> dict[str, Any]:
    """Return what the logs say of arrivals, mix and times, and what they do not."""
    found: dict[str, Any] = {"files": [], "traffic": {}, "notes_on_files": list(evidence.notes)}
    for log in evidence.logs:
        found["files"].append({"file": log.source, "format": log.format, "requests": len(log)})
    lacking = []
    for lack in evidence.missing:
        # a batching server has no query alone, and needs none
        if not (server == "batching" and "server to itself" in lack.what):
            lacking.append({"what": lack.what, "tasks": list(lack.tasks), "supply": lack.supply})
    try:
        rate = evidence.arrival_rate
        found["traffic"]["arrival_rate"] = dataclasses.asdict(rate)
        found["traffic"]["share"] = evidence.share
    except tq.MissingError:
        pass
    found["traffic"]["answer_tokens"] = evidence.answer_tokens
    if server == "batching":
        fit = evidence.token_time()
        found["token_time"] = {
            "base": fit.token_time.base,
            "base_error": fit.base_error,
            "per_query": fit.token_time.per_query,
            "per_query_error": fit.per_query_error,
            "largest_batch": float(fit.queries[-1]),
            "objection": fit.objection,
        }
    return found | {"missing": lacking}


def _print_traffic(evidence: tq.Evidence, facts: dict[str, Any]) -> None:
    print_lines("")
    for form in dict.fromkeys(file["format"] for file in facts["files"]):
        own = [file for file in facts["files"] if file["format"] == form]
        where = own[0]["file"] if len(own) == 1 else f"{len(own):,} files"
        print_lines(f"{sum(file['requests'] for file in own):,} requests by {form}: {where}")
    rate = facts["traffic"].get("arrival_rate")
    if rate:
        print_lines(
            f"arrivals {rate['value']:.4g}/s [{rate['low']:.3g}, {rate['high']:.3g}], squared "
            f"variation of the gaps {rate['variation']:.2f}"
        )
    share, answer = facts["traffic"].get("share", {}), facts["traffic"]["answer_tokens"]
    if share:
        print_table(
            ["type", "share", "tokens of an answer"],
            [
                [name, f"{part:.3f}", f"{answer[name]:,.0f}" if name in answer else "–"]
                for name, part in share.items()
            ],
        )
    if "token_time" in facts:
        time = facts["token_time"]
        print_lines(
            f"a token takes {1e3 * time['base']:.4g} ± {1e3 * time['base_error']:.1g} ms, and "
            f"{1e3 * time['per_query']:.4g} ± {1e3 * time['per_query_error']:.1g} ms more for each "
            f"query in the batch; seen up to {time['largest_batch']:.0f} queries"
        )
        if time["objection"]:
            print_lines(f"A line hides something: {time['objection']}.")
    print_lines(*evidence.notes)
    for lack in facts["missing"]:
        whose = f" of {', '.join(lack['tasks'])}" if lack["tasks"] else ""
        print_lines(f"Not known: {lack['what']}{whose}. {lack['supply']}")


def _plot(calibration: tq.Calibration) -> None:
    for task in calibration.tasks:
        curve = task.accuracy
        if curve is None:
            continue
        series = curve.series
        at = np.linspace(0, float(series.tokens[-1]) or 1.0, 100)
        fitted = curve.law.value(at)
        measured = (series.tokens, series.correct / series.total)
        title = f"{task.name}: share of right answers over thinking tokens"
        print_curves(at, [fitted], title, [measured])


def _shares(texts: list[str] | None) -> dict[str, float] | str | None:
    if texts is None:
        return None
    if texts == ["log"]:
        return "log"
    return {name: numbers(value, "--share")[0] for name, value in pairs(texts, "--share")}


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
    if any(abs(row["cap"] - row["tokens"]) > 1 for row in caps):
        every = ",".join(f"{row['cap']:.0f}" for row in caps)
        print_lines(f"Thoughts end by themselves too: export these caps, --caps {every}")


@contextmanager
def _telling(first: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done, and yield how to say the next thing."""
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True, force_jupyter=False).status(first) as status:
        yield lambda text: status.update(escape(printable(text)))


def _uncertainty(
    calibration: tq.Calibration,
    draws: int,
    seed: int,
    terms: dict[str, Any],
    executor: Executor | None,
) -> dict[str, Any]:
    from thinkqueue.calibration import measurement_value

    drawn = calibration.draws(draws, seed=seed, executor=executor, **terms)
    workload, found = drawn.workload, tq.propagate(drawn, executor=executor)
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
        f"95% intervals of the best budgets over {facts['draws']:,} simulated experiments. "
        f"Planning by one of them loses {number(facts['regret'], '.3g')} s of the objective in the "
        "mean. If each may be true, the budgets above lose "
        f"{number(facts['loss'], '.3g')} s, and those that are best on average "
        f"{number(facts['loss_best_on_average'], '.3g')} s.",
        f"Measure next: {after['questions']} questions of {after['name']} at "
        f"{after['tokens']:,.0f} tokens save {after['saved']:.3g} s of that, to first order.",
    )
