"""SGLang: ``custom_params.thinking_budget``.

``chat_template_kwargs.thinking_budget`` looks like a budget and is ignored by most templates
(sglang#36750 counts what that wasted in a day), so it is not written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write(budget: int, room: int) -> Body:
    return {"custom_params": {"thinking_budget": budget}, "max_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "custom_params", "thinking_budget"), within(body, "max_tokens")


SGLANG = System(
    "sglang",
    "SGLang",
    Enforcement.HARD_CAP,
    _write,
    _read,
    source="sgl-project/sglang#11416, #23953, #24517, #36750",
    needs="sglang serve --reasoning-parser NAME --enable-strict-thinking",
)
