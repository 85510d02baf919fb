"""Gemini: a budget up to 2.5, a level from 3 on; both together are an error 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _body(thinking: Mapping[str, Any], room: int) -> Body:
    return {"generationConfig": {"thinkingConfig": dict(thinking), "maxOutputTokens": room}}


def _write(budget: int, room: int) -> Body:
    return _body({"thinkingBudget": budget}, room)


def _write_level(level: str, room: int) -> Body:
    return _body({"thinkingLevel": level}, room)


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    inner = within(body, "generationConfig") or {}
    budget = within(inner, "thinkingConfig", "thinkingBudget")
    level = within(inner, "thinkingConfig", "thinkingLevel")
    return budget if level is None else level, within(inner, "maxOutputTokens")


GEMINI = System(
    "gemini",
    "Gemini 2.5",
    Enforcement.SOFT_TARGET,
    _write,
    _read,
    source="googleapis/java-genai, ThinkingConfig",
)
GEMINI_LEVEL = System(
    "gemini-level",
    "Gemini 3",
    Enforcement.LEVEL,
    _write_level,
    _read,
    source="secondary sources on thinkingLevel",
    levels=("low", "high"),
)
