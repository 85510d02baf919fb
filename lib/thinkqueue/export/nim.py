"""NVIDIA NIM: ``nvext.max_thinking_tokens``, up to a tenth more to the end of a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write(budget: int, room: int) -> Body:
    return {"nvext": {"max_thinking_tokens": budget}, "max_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "nvext", "max_thinking_tokens"), within(body, "max_tokens")


NIM = System(
    "nim",
    "NVIDIA NIM",
    Enforcement.HARD_CAP,
    _write,
    _read,
    source="NIM documentation, thinking budget control",
    needs="NIM_ENABLE_BUDGET_CONTROL=1",
    over=0.1,
)
