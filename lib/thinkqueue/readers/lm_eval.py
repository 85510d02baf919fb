"""lm-evaluation-harness's ``samples_TASK_DATE.jsonl``: what was right, and nothing else.

No tokens, no times, no budget: name the budget of each file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, left_out
from thinkqueue.readers.log import Request

METRICS = ("exact_match", "acc", "pass@1", "acc_norm")


def _recognises(document: Document) -> bool:
    return has(document, "lines json", "doc_id", "resps", "filtered_resps")


def _read(document: Document) -> Reading:
    rows = document.content if isinstance(document.content, list) else [document.content]
    every = list(document.objects(rows))
    metric = _metric(document, every[0][1])
    # one line a filter: a question must not count twice
    kept = {row["doc_id"]: (number, row) for number, row in every if metric in row}
    notes = [f"{document.path.name}: right is what {metric!r} says."]
    notes += left_out(len(every) - len(kept), len(every), "are further filters of a question")
    return _requests(document, list(kept.values()), metric), notes


def _metric(document: Document, row: dict[str, Any]) -> str:
    named = row.get("metrics") or METRICS
    for metric in (*METRICS, *named):
        if metric in row and metric in {*named, *METRICS}:
            return str(metric)
    raise document.error(f"no metric is there; looked for {', '.join(METRICS)}.")


def _requests(
    document: Document, rows: list[tuple[int, dict[str, Any]]], metric: str
) -> Iterator[Request]:
    match = re.fullmatch(r"samples_(.+?)(_\d{4}-\d\d-\d\dT.*)?", document.path.stem)
    task = match[1] if match else document.path.stem
    for number, row in rows:
        score = document.number(row[metric], row=number, field=metric)
        if not 0 <= score <= 1:
            raise document.error(f"{score:g} is no share of right.", row=number, field=metric)
        yield Request(task=task, correct=score)


LM_EVAL = Format(
    "lm-evaluation-harness",
    _recognises,
    _read,
    holds="accuracy alone",
)
