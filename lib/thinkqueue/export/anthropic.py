"""Anthropic: a budget up to Claude 4.6, an effort from 4.7 on, where a budget is an error 400.

A budget is a target, at least 1,024 and below ``max_tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within

LEAST = 1024


def write_thinking(budget: int, room: int) -> Body:
    """Write ``thinking`` with its budget, or switch it off."""
    if budget == 0:
        return {"thinking": {"type": "disabled"}, "max_tokens": room}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}, "max_tokens": room}


def read_thinking(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    """Read what :func:`write_thinking` wrote."""
    off = within(body, "thinking", "type") == "disabled"
    return 0 if off else within(body, "thinking", "budget_tokens"), within(body, "max_tokens")


def _write_effort(level: str, room: int) -> Body:
    return {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": level},
        "max_tokens": room,
    }


def _read_effort(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "output_config", "effort"), within(body, "max_tokens")


ANTHROPIC = System(
    "anthropic",
    "Anthropic, up to Claude 4.6",
    Enforcement.SOFT_TARGET,
    write_thinking,
    read_thinking,
    source="the vendor's page on extended thinking",
    least=LEAST,
)
ANTHROPIC_EFFORT = System(
    "anthropic-effort",
    "Anthropic, from Claude 4.7 on",
    Enforcement.LEVEL,
    _write_effort,
    _read_effort,
    source="the vendor's page on effort",
    levels=("low", "medium", "high"),
)
