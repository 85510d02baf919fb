"""BLIS TraceV2: a CSV of requests, times in microseconds, a zero where none was taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, left_out
from thinkqueue.readers.log import NAN, Request


def _recognises(document: Document) -> bool:
    return has(document, "table", "arrival_time_us", "last_chunk_time_us", "output_tokens")


def _read(document: Document) -> Reading:
    rows = list(document.objects(document.content))
    good = [(n, row) for n, row in rows if (row.get("status") or "ok") == "ok"]
    return _requests(document, good), left_out(len(rows) - len(good), len(rows), "failed")


def _requests(document: Document, rows: list[tuple[int, dict[str, Any]]]) -> Iterator[Request]:
    for number, row in rows:

        def at(name: str, row: dict[str, Any] = row, number: int = number) -> float:
            return document.number(row.get(name), row=number, field=name) * 1e-6

        sent = at("arrival_time_us")
        first, last = at("first_chunk_time_us"), at("last_chunk_time_us")
        output = document.number(row["output_tokens"], row=number, field="output_tokens")
        ratio = document.number(row.get("reason_ratio"), row=number, field="reason_ratio")
        yield Request(
            task=str(row.get("slo_class") or ""),
            sent=sent,
            to_first=first - sent if first else NAN,
            latency=last - sent if last else NAN,
            prompt_tokens=document.number(row.get("input_tokens"), row=number),
            output_tokens=output,
            # the generator writes 0 where nobody told it a ratio
            thinking_tokens=float(np.rint(output * ratio)) if ratio > 0 else NAN,
        )


BLIS = Format(
    "BLIS TraceV2",
    _recognises,
    _read,
    holds="type, tokens, share of thoughts, times, arrivals",
)
