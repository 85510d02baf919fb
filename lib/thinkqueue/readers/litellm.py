"""LiteLLM's table ``LiteLLM_SpendLogs``, as CSV or JSON: the log of a proxy, with types as tags."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, inside, left_out
from thinkqueue.readers.log import NAN, Request


def _recognises(document: Document) -> bool:
    return has(document, "table json lines", "startTime", "endTime", "completion_tokens")


def _read(document: Document) -> Reading:
    rows = document.content if isinstance(document.content, list) else [document.content]
    good = [(n, row) for n, row in document.objects(rows) if _answered(row)]
    return _requests(document, good), left_out(len(rows) - len(good), len(rows), "failed")


def _answered(row: dict[str, Any]) -> bool:
    return str(row.get("status") or "success").casefold() == "success"


def _requests(document: Document, rows: list[tuple[int, dict[str, Any]]]) -> Iterator[Request]:
    for number, row in rows:

        def at(name: str, row: dict[str, Any] = row, number: int = number) -> float:
            return document.moment(row.get(name), row=number, field=name)

        sent = at("startTime")
        latency = document.number(row.get("request_duration_ms"), row=number) / 1e3
        # a request that was not streamed has no first token: the proxy writes its end there
        streamed = row.get("completionStartTime") != row.get("endTime")
        about = _object(row.get("metadata"))
        usage = inside(about, "usage_object") or inside(about, "usage") or {}
        body = _object(row.get("proxy_server_request"))
        yield Request(
            task=_task(row),
            sent=sent,
            to_first=at("completionStartTime") - sent if streamed else NAN,
            latency=at("endTime") - sent if latency != latency else latency,
            prompt_tokens=document.number(row.get("prompt_tokens"), row=number),
            output_tokens=document.number(
                row.get("completion_tokens"), row=number, field="completion_tokens"
            ),
            thinking_tokens=document.number(
                inside(usage, "completion_tokens_details", "reasoning_tokens"),
                row=number,
                field="reasoning_tokens",
            ),
            budget=document.number(_budget(body), row=number, field="proxy_server_request"),
            thought=bool(_thought(_object(row.get("response")))),
        )


def _object(cell: Any) -> dict[str, Any]:
    """Return the object in a cell, which a table holds as text."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell or "{}")
        except ValueError:
            return {}
    return cell if isinstance(cell, dict) else {}


def _task(row: dict[str, Any]) -> str:
    tags = row.get("request_tags")
    if isinstance(tags, str):
        try:
            tags = json.loads(tags or "[]")
        except ValueError:
            tags = [tags]
    if isinstance(tags, list) and tags:
        return str(tags[0])
    return str(row.get("model_group") or row.get("model") or "")


def _budget(body: dict[str, Any]) -> Any:
    """Return the budget that the client sent, where the proxy stores requests."""
    for path in (
        ("thinking_token_budget",),
        ("thinking", "budget_tokens"),
        ("custom_params", "thinking_budget"),
        ("thinking_budget_tokens",),
        ("thinking_budget",),
    ):
        value = inside(body, *path)
        if value is not None:
            return value
    return None


def _thought(response: dict[str, Any]) -> Any:
    choices = response.get("choices")
    message = inside(choices[0], "message") if isinstance(choices, list) and choices else None
    return inside(message, "reasoning_content") or inside(message, "reasoning")


LITELLM = Format(
    "LiteLLM_SpendLogs",
    _recognises,
    _read,
    holds="type, tokens, times, arrivals; thoughts where the provider counts them",
    remedy="For hosted_vllm see litellm#41849; vLLM's chat counts thoughts since #45802",
)
