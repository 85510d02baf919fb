"""``thinkqueue compare``: today's budgets beside the best ones, and what they would gain."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
import typer

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.cli.plots import print_bars
from thinkqueue.cli.program import (
    BAD_INPUT,
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
from thinkqueue.printing import number, print_json, print_lines, print_table


@app.command(
    short_help="Compare today's budgets with the best.",
    epilog=examples(
        "compare workload.toml --today 4096",
        "compare workload.toml --today 1024,2048,8192,8192,4096 --plot",
    ),
)
def compare(
    file: WorkloadFile,
    today: Annotated[
        str,
        typer.Option(
            metavar="NUMBERS",
            help="The tokens of each type today, separated by commas; one number for all.",
        ),
    ],
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    plot: Plot = False,
    as_json: Json = False,
) -> None:
    """Compare today's budgets with the best ones: accuracy, time, and what a change would gain.

    The gain counts in seconds of mean time, accuracy at its weight. Beside the best budgets stand
    the most accurate that keep today's mean time, where the server is one that they are known for.
    """
    workload = read_workload(file, arrival_rate, accuracy_weight)
    tokens = _today(workload, numbers(today, "--today"))
    best = tq.solve(workload, throw=False)
    choices = {"today": _row(workload, tokens), "best": _row(workload, best.tokens)}
    same = _at_todays_time(workload, tokens)
    if same is not None:
        choices["same time"] = _row(workload, same)
    gain = choices["best"]["objective"] - choices["today"]["objective"]
    facts = {
        "choices": choices,
        "gain": gain,
        "gain_at_most": gain + best.gap,
        "names": list(workload.names),
    }
    if as_json:
        print_json(facts)
        return
    _print(workload, choices, gain, best)
    if plot:
        for name, choice in choices.items():
            print_bars(workload.names, choice["tokens"], f"thinking tokens, {name}")


def _today(workload: tq.Workload, given: list[float]) -> Array:
    if len(given) not in (1, len(workload)):
        fail(
            f"--today has {len(given)} numbers for {len(workload)} types "
            f"({', '.join(workload.names)}); give one for each, or one for all.",
            BAD_INPUT,
        )
    tokens = np.broadcast_to(np.asarray(given, dtype=float), (len(workload),))
    # one number for all is a limit of the server: a type whose own is lower keeps its own
    return np.minimum(tokens, workload.max_tokens) if len(given) == 1 else tokens


def _row(workload: tq.Workload, tokens: Array) -> dict[str, Any]:
    """Return what budgets do; times are infinite where the queue grows without bound."""
    stable = bool(tq.utilization(workload, tokens) < 1)
    return {
        "tokens": [float(count) for count in tokens],
        "accuracy": [float(part) for part in tq.accuracy(workload, tokens)],
        "mean_accuracy": float(tq.mean_accuracy(workload, tokens)),
        "mean_system_time": float(tq.mean_system_time(workload, tokens)) if stable else math.inf,
        "utilization": float(tq.utilization(workload, tokens)),
        "objective": float(tq.objective(workload, tokens)) if stable else -math.inf,
    }


def _at_todays_time(workload: tq.Workload, tokens: Array) -> Array | None:
    if not tq.utilization(workload, tokens) < 1:
        return None
    limit = float(tq.mean_system_time(workload, tokens))
    with suppress(tq.ThinkQueueError):
        return tq.solve_target(workload, tq.MeanTarget(limit)).tokens
    return None


def _print(
    workload: tq.Workload, choices: dict[str, dict[str, Any]], gain: float, best: tq.Solution
) -> None:
    rows = [
        [name, *(f"{choice['tokens'][k]:,.0f}" for choice in choices.values())]
        for k, name in enumerate(workload.names)
    ]
    for text, key, form in (
        ("mean accuracy", "mean_accuracy", ".4f"),
        ("mean time, s", "mean_system_time", ",.2f"),
        ("load", "utilization", ".3f"),
        ("objective, s", "objective", ",.2f"),
    ):
        rows.append([text, *(number(choice[key], form) for choice in choices.values())])
    print_table(["tokens", *choices], rows)
    print_lines("")
    if not math.isfinite(gain):
        print_lines(
            "Today's budgets are more than the server can do: its queue grows without bound, and "
            "any others gain without bound."
        )
        return
    change = choices["best"]["mean_accuracy"] - choices["today"]["mean_accuracy"]
    time = choices["best"]["mean_system_time"] - choices["today"]["mean_system_time"]
    print_lines(
        f"The best budgets gain {gain:,.4g} s of the objective: accuracy {change:+.4f}, which is "
        f"worth {workload.accuracy_weight * change:+,.4g} s, and mean time {time:+,.4g} s.",
    )
    if math.isfinite(best.gap):
        print_lines(f"No budgets gain more than {gain + best.gap:,.4g} s (certified).")
    if "same time" in choices:
        more = choices["same time"]["mean_accuracy"] - choices["today"]["mean_accuracy"]
        print_lines(f"In today's mean time {more:+.4f} of accuracy can be had.")
