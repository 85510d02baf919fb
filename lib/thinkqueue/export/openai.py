"""OpenAI: ``reasoning_effort`` of a chat, ``reasoning.effort`` of a response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within

LEVELS = ("low", "medium", "high")


def _write(level: str, room: int) -> Body:
    return {"reasoning_effort": level, "max_completion_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "reasoning_effort"), within(body, "max_completion_tokens")


def _write_response(level: str, room: int) -> Body:
    return {"reasoning": {"effort": level}, "max_output_tokens": room}


def _read_response(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "reasoning", "effort"), within(body, "max_output_tokens")


OPENAI = System(
    "openai",
    "OpenAI chat completions",
    Enforcement.LEVEL,
    _write,
    _read,
    source="secondary sources on reasoning_effort",
    levels=LEVELS,
)
OPENAI_RESPONSES = System(
    "openai-responses",
    "OpenAI responses",
    Enforcement.LEVEL,
    _write_response,
    _read_response,
    source="secondary sources on reasoning.effort",
    levels=LEVELS,
)
