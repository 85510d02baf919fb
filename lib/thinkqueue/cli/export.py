"""``thinkqueue export``: the best budgets as a serving system wants to be told them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

import thinkqueue as tq
from thinkqueue.cli.program import (
    BAD_INPUT,
    AccuracyWeight,
    ArrivalRate,
    Json,
    WorkloadFile,
    app,
    examples,
    fail,
    numbers,
    pairs,
    read_workload,
)
from thinkqueue.files import write_atomically
from thinkqueue.printing import print_json, print_lines, print_table

MATTERS = 1e-3
"""Seconds of the objective below which a loss is not worth a line."""

KEYS = (
    "vllm", "sglang", "llama.cpp", "nim", "qwen", "anthropic", "anthropic-effort", "gemini",
    "gemini-level", "openrouter", "openrouter-effort", "openai", "openai-responses", "litellm",
    "litellm-effort",
)  # fmt: skip
"""The systems, listed here so that completion need not load them."""


def _complete(incomplete: str) -> list[str]:
    return [key for key in KEYS if key.startswith(incomplete)]


@app.command(
    short_help="Write request parameters for a serving system.",
    epilog=examples(
        "export workload.toml --system vllm",
        "export workload.toml --system vllm --output router.py",
        "export w.toml --system openai --level low=700 --level high=6000",
        "export workload.toml --system sglang --caps 1200,3000,9000",
    ),
)
def export(
    file: WorkloadFile,
    system: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="One of " + ", ".join(KEYS) + ".", autocompletion=_complete
        ),
    ],
    level: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LEVEL=TOKENS", help="Mean tokens that a level uses; repeat for more."
        ),
    ] = None,
    caps: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="Budgets to write instead, such as calibrate's caps.",
        ),
    ] = None,
    answer_room: Annotated[
        int, typer.Option(metavar="COUNT", help="Tokens left for the answer.", min=1)
    ] = 4096,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a router in Python here, or the parameters in JSON if it ends in .json.",
        ),
    ] = None,
    arrival_rate: ArrivalRate = None,
    accuracy_weight: AccuracyWeight = None,
    as_json: Json = False,
) -> None:
    """Write what a request of each type must say so that a serving system keeps the best budgets.

    Room for the answer is kept, and it is said whether the system holds to a budget (a hard cap),
    aims at it (a soft target) or knows levels only: then the best level of each type is found, all
    of them together.
    """
    workload = read_workload(file, arrival_rate, accuracy_weight)
    used = {name: numbers(value, "--level")[0] for name, value in pairs(level, "--level")}
    found = tq.request_parameters(
        workload,
        system,
        tokens=None if caps is None else _caps(workload, caps),
        levels=used or None,
        answer_room=answer_room,
    )
    if output is not None:
        text = (
            json.dumps(found.requests, indent=2) + "\n"
            if output.suffix == ".json"
            else found.router()
        )
        write_atomically(output, text)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)


def _caps(workload: tq.Workload, text: str) -> list[float]:
    given = numbers(text, "--caps")
    if len(given) != len(workload):
        fail(f"--caps has {len(given)} numbers for {len(workload)} types.", BAD_INPUT)
    return given


def _print(found: tq.RequestParameters) -> None:
    print_lines(f"{found.system.name}: a {found.system.enforcement}", "")
    rows: list[list[str]] = []
    for name, budget in found.budgets.items():
        shown = f"{budget:,}" if isinstance(budget, int) else budget
        rows.append([name, shown])
    print_table(["type", "level" if found.system.levels else "thinking tokens"], rows)
    first = next(iter(found.requests))
    print_lines("", f"In each request, here of {first}:", json.dumps(found.requests[first]), "")
    print_lines(*found.notes, *_certainty(found))


def _certainty(found: tq.RequestParameters) -> list[Any]:
    if math.isnan(found.objective):
        return []
    if not math.isfinite(found.gap):
        return ["No bound is known on what other budgets gain."]
    said = [f"No other budgets of this kind are better by more than {found.gap:.1e} s (certified)."]
    worse = found.objective - found.rounded
    if not math.isfinite(found.rounded):
        said.append("With every budget moved to the nearest such one the queue would grow.")
    elif worse > MATTERS:
        said.append(f"Moving every budget to the nearest such one would lose {worse:.3g} s.")
    return said
