"""llama.cpp's server: ``thinking_budget_tokens`` of a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write(budget: int, room: int) -> Body:
    return {"thinking_budget_tokens": budget, "max_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "thinking_budget_tokens"), within(body, "max_tokens")


LLAMA_CPP = System(
    "llama.cpp",
    "llama.cpp server",
    Enforcement.HARD_CAP,
    _write,
    _read,
    source="tools/server/README.md, server-common.cpp",
    needs="llama-server without --reasoning-budget, which would set one for all",
)
