"""OpenRouter: ``reasoning.max_tokens`` or ``reasoning.effort``, not both, passed on if possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write(budget: int, room: int) -> Body:
    reasoning: Body = {"enabled": False} if budget == 0 else {"max_tokens": budget}
    return {"reasoning": reasoning, "max_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    off = within(body, "reasoning", "enabled") is False
    return 0 if off else within(body, "reasoning", "max_tokens"), within(body, "max_tokens")


def _write_effort(level: str, room: int) -> Body:
    return {"reasoning": {"effort": level}, "max_tokens": room}


def _read_effort(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "reasoning", "effort"), within(body, "max_tokens")


OPENROUTER = System(
    "openrouter",
    "OpenRouter, models with budgets",
    Enforcement.SOFT_TARGET,
    _write,
    _read,
    source="the vendor's page on reasoning tokens",
    needs="a provider that takes budgets; others turn them into an effort",
)
OPENROUTER_EFFORT = System(
    "openrouter-effort",
    "OpenRouter, models with levels",
    Enforcement.LEVEL,
    _write_effort,
    _read_effort,
    source="the vendor's page on reasoning tokens",
    levels=("low", "medium", "high"),
)
