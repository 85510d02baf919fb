"""vLLM from 0.19 on: ``thinking_token_budget`` at the top of the request.

One page of its documentation nests it in ``extra_body``; that is the OpenAI client's argument for
what goes to the top, and not a field of the request (vllm#20859, #46727).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.export.system import Body, Budget, Enforcement, System, within


def _write(budget: int, room: int) -> Body:
    return {"thinking_token_budget": budget, "max_tokens": room}


def _read(body: Mapping[str, Any]) -> tuple[Budget | None, int | None]:
    return within(body, "thinking_token_budget"), within(body, "max_tokens")


VLLM = System(
    "vllm",
    "vLLM 0.19 or later",
    Enforcement.HARD_CAP,
    _write,
    _read,
    source="docs/features/reasoning_outputs.md; vllm-project/vllm#20859, #46727",
    needs="vllm serve MODEL --reasoning-parser NAME",
)
