"""OpenTelemetry spans of GenAI calls: OTLP as JSON, or spans as the console exporter writes them.

Attributes are those of the semantic conventions, ``gen_ai.usage.output_tokens`` and
``gen_ai.usage.reasoning.output_tokens``, and vLLM's own ``gen_ai.latency.*``. A span without tokens
is a step of something larger and no request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from thinkqueue.readers.document import Document
from thinkqueue.readers.formats import Format, Reading, has, left_out
from thinkqueue.readers.log import NAN, Request

OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
PROMPT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
THOUGHTS = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
TASK = ("task", "gen_ai.agent.name", "gen_ai.request.model", "gen_ai.response.model")


def _recognises(document: Document) -> bool:
    if has(document, "json lines", "resourceSpans"):
        return True
    attributes = document.first.get("attributes")
    return isinstance(attributes, dict) and any(name.startswith("gen_ai.") for name in attributes)


def _read(document: Document) -> Reading:
    content = document.content if isinstance(document.content, list) else [document.content]
    spans = [span for _, part in document.objects(content) for span in _spans(document, part)]
    calls = [span for span in spans if _first(span[1], OUTPUT) is not None]
    notes = left_out(len(spans) - len(calls), len(spans), "are spans without tokens")
    return _requests(document, calls), [note.replace("requests", "spans", 1) for note in notes]


def _spans(document: Document, part: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    if "resourceSpans" not in part:
        yield part, part.get("attributes") or {}
        return
    for _, resource in document.objects(part["resourceSpans"], "resourceSpans"):
        for _, scope in document.objects(resource.get("scopeSpans"), "scopeSpans"):
            for _, span in document.objects(scope.get("spans"), "spans"):
                pairs = span.get("attributes") or []
                yield span, {pair.get("key"): _plain(pair.get("value")) for pair in pairs}


def _plain(value: Any) -> Any:
    """Return the value in an OTLP wrapper such as {"intValue": "12"}."""
    return next(iter(value.values()), None) if isinstance(value, dict) else value


def _requests(document: Document, spans: list[tuple[dict[str, Any], Any]]) -> Iterator[Request]:
    for row, (span, attributes) in enumerate(spans):

        def value(*names: str, attributes: dict[str, Any] = attributes, row: int = row) -> float:
            return document.number(_first(attributes, names), row=row, field=names[0])

        sent, end = _times(document, span, row)
        whole = value("gen_ai.latency.e2e")
        yield Request(
            task=str(_first(attributes, TASK) or ""),
            sent=sent,
            to_first=value("gen_ai.latency.time_to_first_token"),
            latency=end - sent if whole != whole else whole,
            waited=value("gen_ai.latency.time_in_queue"),
            prompt_tokens=value(*PROMPT),
            output_tokens=value(*OUTPUT),
            thinking_tokens=value(*THOUGHTS),
            budget=value("gen_ai.request.thinking_budget"),
            thought=_thought(attributes),
        )


def _first(attributes: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)


def _times(document: Document, span: dict[str, Any], row: int) -> tuple[float, float]:
    if "startTimeUnixNano" in span:
        start, end = span["startTimeUnixNano"], span.get("endTimeUnixNano")
        return document.number(start, row=row) * 1e-9, document.number(end, row=row) * 1e-9
    if "start_time" in span:
        return document.moment(span["start_time"], row=row), document.moment(
            span.get("end_time"), row=row
        )
    return NAN, NAN


def _thought(attributes: dict[str, Any]) -> bool:
    messages = attributes.get("gen_ai.output.messages")
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except ValueError:
            return False
    parts = [
        part
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict)
        for part in message.get("parts") or []
    ]
    return any(part.get("type") == "reasoning" and part.get("content") for part in parts)


OPENTELEMETRY = Format(
    "OpenTelemetry GenAI spans",
    _recognises,
    _read,
    holds="tokens, thoughts, times, arrivals; vLLM's spans the wait in its queue too",
    remedy="Set gen_ai.usage.reasoning.output_tokens (semantic-conventions#3383)",
)
