"""inference-perf's ``per_request_lifecycle_metrics.json``: a list of requests.

Its own time per output token is about half the true one, because a token comes as two chunks and
chunks are counted. Here tokens are those of the server's usage and times those of the first and the
last chunk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, inside, left_out
from thinkqueue.readers.log import NAN, Request


def _recognises(document: Document) -> bool:
    return has(document, "json lines", "start_time", "end_time", "info")


def _read(document: Document) -> Reading:
    rows = document.content if isinstance(document.content, list) else [document.content]
    good = [(n, row) for n, row in document.objects(rows) if not row.get("error")]
    return _requests(document, good), left_out(len(rows) - len(good), len(rows), "failed")


def _requests(document: Document, rows: list[tuple[int, dict[str, Any]]]) -> Iterator[Request]:
    for number, row in rows:
        info = row.get("info") or {}
        metrics = info.get("response_metrics") or info
        usage = metrics.get("server_usage") or {}
        sent = document.moment(row["start_time"], row=number, field="start_time")
        chunks = metrics.get("output_token_times") or metrics.get("chunk_times") or []
        first = document.moment(chunks[0], row=number) if chunks else NAN
        tokens = usage.get("completion_tokens", metrics.get("output_tokens"))
        yield Request(
            task=_task(row),
            sent=sent,
            to_first=first - sent,
            latency=document.moment(row["end_time"], row=number, field="end_time") - sent,
            prompt_tokens=document.number(
                usage.get("prompt_tokens", info.get("input_tokens")), row=number
            ),
            output_tokens=document.number(tokens, row=number, field="output_tokens"),
            thinking_tokens=document.number(
                inside(usage, "completion_tokens_details", "reasoning_tokens"), row=number
            ),
        )


def _task(row: dict[str, Any]) -> str:
    """Return the type that the request's own metadata names, if any."""
    try:
        body = json.loads(row.get("request") or "{}")
    except (TypeError, ValueError):
        return ""
    return str(inside(body, "metadata", "task") or "")


INFERENCE_PERF = Format(
    "inference-perf",
    _recognises,
    _read,
    holds="tokens generated, times, arrivals",
    remedy="Serve with a reasoning parser, so that the usage counts thoughts",
)
