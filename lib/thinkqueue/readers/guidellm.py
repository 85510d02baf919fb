"""GuideLLM's report: ``benchmarks[].requests.successful[]`` of one JSON file.

``first_token_iteration`` is the first token of any kind since #760, and ``first_output_token_
iteration`` the first of the answer: thinking is what lies between. Before, the first token of the
answer was taken for the first of all, and a wait for thoughts looked like a slow prompt. A file
like that holds thoughts and no second time; its time to the first token is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, inside, left_out
from thinkqueue.readers.log import NAN, Request


def _recognises(document: Document) -> bool:
    first = document.first.get("benchmarks") if has(document, "json", "benchmarks") else None
    return isinstance(first, list) and bool(first) and "requests" in first[0]


def _read(document: Document) -> Reading:
    rows = list(_answered(document))
    of = len(rows) + sum(
        len(inside(run, "requests", kind) or [])
        for _, run in document.objects(document.content["benchmarks"], "benchmarks")
        for kind in ("errored", "incomplete")
    )
    notes = left_out(of - len(rows), of, "failed or were not finished")
    old = sum(_first_is_of_the_answer(row) for row in rows)
    if old:
        notes.append(
            f"{document.path.name}: {old:,} requests thought, and their first token is the first "
            "of the answer, as GuideLLM wrote it before #760; it is not used."
        )
    return (_request(document, row, number) for number, row in enumerate(rows)), notes


def _answered(document: Document) -> Iterator[dict[str, Any]]:
    for _, run in document.objects(document.content["benchmarks"], "benchmarks"):
        for _, row in document.objects(inside(run, "requests", "successful"), "successful"):
            yield row


def _first_is_of_the_answer(row: dict[str, Any]) -> bool:
    times = inside(row, "info", "timings") or {}
    return bool(row.get("reasoning_output")) and times.get("first_output_token_iteration") is None


def _request(document: Document, row: dict[str, Any], number: int) -> Request:
    times = inside(row, "info", "timings") or {}

    def at(name: str) -> float:
        return document.moment(times.get(name), row=number, field=name)

    sent = at("request_start")
    counts = row.get("output_metrics") or {}
    count = counts.get("reasoning_tokens")
    if count is None:
        count = inside(counts, "completion_tokens_details", "reasoning_tokens")
    return Request(
        sent=sent,
        to_first=NAN if _first_is_of_the_answer(row) else at("first_token_iteration") - sent,
        latency=at("request_end") - sent,
        prompt_tokens=document.number(inside(row, "input_metrics", "text_tokens"), row=number),
        output_tokens=document.number(counts.get("text_tokens"), row=number, field="text_tokens"),
        thinking_tokens=_thoughts(document, row, count, number),
        thought=bool(row.get("reasoning_output")),
    )


def _thoughts(document: Document, row: dict[str, Any], count: Any, number: int) -> float:
    """Return how many tokens were thoughts: as counted, or from the share of the decoding time."""
    if count is not None:
        return document.number(count, row=number, field="reasoning_tokens")
    times = inside(row, "info", "timings") or {}
    if times.get("first_output_token_iteration") is None:
        return NAN
    first, answer, end = (
        document.moment(times.get(name), row=number, field=name)
        for name in ("first_token_iteration", "first_output_token_iteration", "request_end")
    )
    total = document.number(inside(row, "output_metrics", "text_tokens"), row=number)
    # n tokens end at n − 1 gaps after the first; the first of the answer follows so many thoughts
    if not end > first:
        return NAN
    return float(np.rint((total - 1) * (answer - first) / (end - first)))


GUIDELLM = Format(
    "GuideLLM",
    _recognises,
    _read,
    holds="tokens, times, arrivals, thoughts by their time",
    remedy="Serve with a reasoning parser and log again",
)
