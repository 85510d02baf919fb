"""LiteLLM: ``thinking.budget_tokens`` or ``reasoning_effort``, translated for each provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.anthropic import read_thinking, write_thinking
from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write_effort(level: str, room: int) -> Body:
    return {"reasoning_effort": level, "max_tokens": room}


def _read_effort(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "reasoning_effort"), within(body, "max_tokens")


LITELLM = System(
    "litellm",
    "LiteLLM, providers with budgets",
    Enforcement.SOFT_TARGET,
    write_thinking,
    read_thinking,
    source="reasoning_content.md",
    needs="a provider that takes budgets; for Anthropic at least 1024",
)
LITELLM_EFFORT = System(
    "litellm-effort",
    "LiteLLM, effort",
    Enforcement.LEVEL,
    _write_effort,
    _read_effort,
    source="reasoning_content.md",
    levels=("low", "medium", "high"),
    level_tokens={"low": 1024, "medium": 2048, "high": 4096},
)
