"""inspect_ai's evaluation log as JSON: the one file with accuracy, tokens and time.

One file is one task under one setting, so a curve takes a file for each budget. The budget is
``eval.model_generate_config.reasoning_tokens``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, inside, left_out
from thinkqueue.readers.log import NAN, Request

PACKAGED = re.compile(r"^[\w-]+/(?=[\w.-]+$)")
"""The package that a task comes from, as in inspect_evals/gsm8k."""

RIGHT = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""The letters of inspect_ai: correct, incorrect, partly, no answer."""


def _recognises(document: Document) -> bool:
    return has(document, "json", "eval", "samples") and "task" in (document.first["eval"] or {})


def _read(document: Document) -> Reading:
    rows = list(document.objects(document.content["samples"], "samples"))
    good = [(n, row) for n, row in rows if not row.get("error") and row.get("scores")]
    notes = left_out(len(rows) - len(good), len(rows), "failed or were not scored")
    return _requests(document, good), notes


def _requests(document: Document, rows: list[tuple[int, dict[str, Any]]]) -> Iterator[Request]:
    about = document.content["eval"]
    budget = document.number(
        inside(about, "model_generate_config", "reasoning_tokens"), field="reasoning_tokens"
    )
    task = PACKAGED.sub("", str(about["task"]))
    for number, row in rows:
        usage = inside(row, "model_usage", str(about.get("model"))) or {}
        if not usage and len(row.get("model_usage") or {}) == 1:
            (usage,) = row["model_usage"].values()
        working, whole = row.get("working_time"), row.get("total_time")
        thoughts = document.number(
            usage.get("reasoning_tokens"), row=number, field="reasoning_tokens"
        )
        yield Request(
            task=task,
            sent=_sent(document, row, number),
            latency=document.number(whole if working is None else working, row=number),
            prompt_tokens=document.number(usage.get("input_tokens"), row=number),
            output_tokens=document.number(usage.get("output_tokens"), row=number),
            thinking_tokens=thoughts,
            budget=budget,
            correct=_score(document, row["scores"], number),
            thought=_thought(row),
        )


def _sent(document: Document, row: dict[str, Any], number: int) -> float:
    started = row.get("started_at")
    return NAN if started is None else document.moment(started, row=number, field="started_at")


def _score(document: Document, scores: dict[str, Any], row: int) -> float:
    value = inside(next(iter(scores.values())), "value")
    if isinstance(value, str) and value in RIGHT:
        return RIGHT[value]
    if isinstance(value, bool):
        return float(value)
    found = document.number(value, row=row, field="score")
    if not 0 <= found <= 1:
        raise document.error(f"a score of {value!r} is no share of right.", row=row, field="score")
    return found


def _thought(row: dict[str, Any]) -> bool:
    for choice in inside(row, "output", "choices") or []:
        content = inside(choice, "message", "content")
        if isinstance(content, list) and any(
            part.get("type") == "reasoning" and part.get("reasoning") for part in content
        ):
            return True
    return False


INSPECT = Format(
    "inspect_ai",
    _recognises,
    _read,
    holds="accuracy, tokens, thoughts, times, budget",
    remedy="Serve with a reasoning parser and evaluate again (vLLM's chat counts since #45802)",
)
