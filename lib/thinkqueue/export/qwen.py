"""The Qwen API: ``enable_thinking`` and ``thinking_budget``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write(budget: int, room: int) -> Body:
    if budget == 0:
        return {"enable_thinking": False, "max_tokens": room}
    return {"enable_thinking": True, "thinking_budget": budget, "max_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    off = within(body, "enable_thinking") is False
    return 0 if off else within(body, "thinking_budget"), within(body, "max_tokens")


QWEN = System(
    "qwen",
    "Qwen API",
    Enforcement.HARD_CAP,
    _write,
    _read,
    source="sgl-project/sglang#6089, quoting the vendor's page",
)
