"""AIPerf's ``profile_export.jsonl``: an object a request, every metric with its unit.

``output_token_count`` is the answer without thoughts, ``output_sequence_length`` all tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, inside, left_out
from thinkqueue.readers.log import NAN, Request

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}


def _recognises(document: Document) -> bool:
    return has(document, "lines json", "metadata", "metrics") and "request_start_ns" in (
        document.first["metadata"] or {}
    )


def _read(document: Document) -> Reading:
    rows = document.content if isinstance(document.content, list) else [document.content]
    good = [(n, row) for n, row in document.objects(rows) if _counts(row)]
    notes = left_out(len(rows) - len(good), len(rows), "failed, were cancelled or only warmed up")
    return _requests(document, good), notes


def _counts(row: dict[str, Any]) -> bool:
    about = row.get("metadata") or {}
    warming = about.get("benchmark_phase") == "warmup"
    return not (row.get("error") or about.get("was_cancelled") or warming)


def _requests(document: Document, rows: list[tuple[int, dict[str, Any]]]) -> Iterator[Request]:
    for number, row in rows:
        metrics, about = row["metrics"], row["metadata"]
        answer = _metric(document, metrics, "output_token_count", number)
        thoughts = _metric(document, metrics, "reasoning_token_count", number)
        every = _metric(document, metrics, "output_sequence_length", number)
        sent = document.number(about.get("request_start_ns"), row=number) * 1e-9
        end = document.number(about.get("request_end_ns"), row=number) * 1e-9
        latency = _metric(document, metrics, "request_latency", number)
        yield Request(
            sent=sent,
            to_first=_metric(document, metrics, "time_to_first_token", number),
            latency=end - sent if latency != latency else latency,
            prompt_tokens=_metric(document, metrics, "input_sequence_length", number),
            output_tokens=answer + thoughts if every != every else every,
            thinking_tokens=thoughts,
        )


def _metric(document: Document, metrics: dict[str, Any], name: str, row: int) -> float:
    found = metrics.get(name)
    if found is None:
        return NAN
    value = document.number(inside(found, "value"), row=row, field=name)
    unit = inside(found, "unit")
    if unit in ("tokens", "token", None):
        return value
    if unit not in SECONDS:
        raise document.error(f"{unit!r} is no unit of time.", row=row, field=name)
    return value * SECONDS[unit]


AIPERF = Format(
    "AIPerf",
    _recognises,
    _read,
    holds="tokens, thoughts, times, arrivals",
    remedy="Serve with a reasoning parser and log again",
)
