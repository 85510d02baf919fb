"""Every adapter says what it was told and reads it back, and levels are chosen together."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from tests.workloads import QWEN

import thinkqueue as tq
from thinkqueue.export import SYSTEMS, Enforcement, System
from thinkqueue.workload.accuracy import Hill

LEVELS = {"low": 700.0, "medium": 2500.0, "high": 9000.0}
BUDGETED = [key for key, system in SYSTEMS.items() if not system.levels]
LEVELLED = [key for key, system in SYSTEMS.items() if system.levels]
#: What SERVING_PARAMETERS states of each system, so that a slip of the pen in an adapter shows.
SPELLED = {
    "vllm": {"thinking_token_budget": 2048},
    "sglang": {"custom_params": {"thinking_budget": 2048}},
    "llama.cpp": {"thinking_budget_tokens": 2048},
    "nim": {"nvext": {"max_thinking_tokens": 2048}},
    "qwen": {"enable_thinking": True, "thinking_budget": 2048},
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2048}}},
    "openrouter": {"reasoning": {"max_tokens": 2048}},
    "litellm": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "anthropic-effort": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    "gemini-level": {"generationConfig": {"thinkingConfig": {"thinkingLevel": "high"}}},
    "openrouter-effort": {"reasoning": {"effort": "high"}},
    "openai": {"reasoning_effort": "high"},
    "openai-responses": {"reasoning": {"effort": "high"}},
    "litellm-effort": {"reasoning_effort": "high"},
}


@pytest.fixture(scope="module")
def server() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


def contains(body: dict, part: dict) -> bool:
    return all(
        contains(body[name], value) if isinstance(value, dict) else body[name] == value
        for name, value in part.items()
    )


@pytest.mark.parametrize("key", SYSTEMS)
def test_what_is_written_is_what_the_system_spells_and_is_read_back(key: str) -> None:
    system = SYSTEMS[key]
    assert system.key == key
    for budget in system.levels or (0, system.least or 1, 2048, 32768):
        body = json.loads(json.dumps(system.write(budget, 40_000)))
        assert system.read(body) == (budget, 40_000)
    assert contains(system.write("high" if system.levels else 2048, 1), SPELLED[key])
    assert system.read({}) == (None, None)


@pytest.mark.parametrize("key", BUDGETED)
def test_the_best_budgets_are_written_with_room_for_the_answer(
    key: str, server: tq.Workload
) -> None:
    found = tq.request_parameters(server, key, answer_room=500)
    best = tq.solve_integer(server)
    assert list(found.budgets.values()) == best.tokens.tolist()
    assert found.gap < 1e-9
    for name, body in found.requests.items():
        budget, room = SYSTEMS[key].read(body)
        assert budget == found.budgets[name]
        assert room >= budget * (1 + SYSTEMS[key].over) + 500
    assert str(SYSTEMS[key].enforcement) in found.notes[0].lower()


def test_nothing_lies_between_none_and_the_least_budget(server: tq.Workload) -> None:
    """Anthropic's budgets start at 1,024: each type below is decided with the others."""
    busy = server.replace(arrival_rate=0.055)
    free = tq.request_parameters(busy, "vllm")
    assert any(0 < budget < 1024 for budget in free.budgets.values())
    found = tq.request_parameters(busy, "anthropic")
    assert all(budget == 0 or budget >= 1024 for budget in found.budgets.values())
    assert found.rounded < found.objective < free.objective
    # every way of giving some types nothing and the others at least 1,024
    ideal = tq.solve(busy)
    for off in itertools.product((0, 1), repeat=len(busy)):
        tokens = np.where(off, 0, np.maximum(np.rint(ideal.tokens), 1024))
        if tq.utilization(busy, tokens) < 1:
            assert tq.objective(busy, tokens) <= found.objective + 1e-9


@pytest.mark.parametrize("key", LEVELLED)
def test_levels_are_the_best_of_all_choices_and_not_the_nearest(
    key: str, server: tq.Workload
) -> None:
    system = SYSTEMS[key]
    table = {name: LEVELS[name] for name in system.levels}
    found = tq.request_parameters(server, key, levels=table)
    every = []
    for choice in itertools.product(system.levels, repeat=len(server)):
        tokens = [table[level] for level in choice]
        if tq.utilization(server, tokens) < 1:
            every.append((float(tq.objective(server, tokens)), choice))
    value, choice = max(every)
    assert tuple(found.budgets.values()) == choice
    assert found.objective == pytest.approx(value)
    if len(system.levels) > 2:  # of two levels the nearest may be the best
        assert found.rounded < found.objective - 1
    for body in found.requests.values():
        level, room = system.read(body)
        assert level in system.levels
        assert room >= table[level] + 4096


def test_levels_may_differ_by_type(server: tq.Workload) -> None:
    each = {name: {"low": 100 * k, "high": 5000} for k, name in enumerate(server.names, 1)}
    found = tq.request_parameters(server, "gemini-level", levels=each)
    for k, (name, level) in enumerate(found.budgets.items()):
        assert found.tokens[k] == each[name][level]


def test_what_a_level_stands_for_must_be_measured(server: tq.Workload) -> None:
    with pytest.raises(tq.ThinkQueueError, match="run an evaluation at each of low, medium, high"):
        tq.request_parameters(server, "openai")
    assert set(tq.request_parameters(server, "litellm-effort").tokens) <= {1024, 2048, 4096}
    with pytest.raises(tq.ThinkQueueError, match="'extreme' is no level"):
        tq.request_parameters(server, "openai", levels={"extreme": 9})
    with pytest.raises(tq.ThinkQueueError, match="levels and no budgets"):
        tq.request_parameters(server, "openai", levels=LEVELS, tokens=1)
    with pytest.raises(tq.ThinkQueueError, match="budgets and no levels"):
        tq.request_parameters(server, "vllm", levels=LEVELS)
    with pytest.raises(tq.ThinkQueueError, match="no system; there are vllm"):
        tq.request_parameters(server, "gpt")
    with pytest.raises(tq.UnstableError):
        tq.request_parameters(server, "openai", levels={"low": 1e4, "high": 2e4})


def test_caps_of_a_calibration_are_written_as_they_are(server: tq.Workload) -> None:
    found = tq.request_parameters(server, "vllm", tokens=[10.4, 20.6, 30, 40, 0])
    assert list(found.budgets.values()) == [10, 21, 30, 40, 0]
    assert math.isnan(found.objective)
    with pytest.raises(tq.ThinkQueueError, match="at least 0"):
        tq.request_parameters(server, "vllm", tokens=-1)
    assert set(tq.request_parameters(server, "anthropic", tokens=3).budgets.values()) == {1024}


def test_a_workload_that_nothing_bounds_is_rounded_and_said_to_be(server: tq.Workload) -> None:
    hill = [Hill(0.5, 1500.0, 2.5, 0.1)] * len(server)
    found = tq.request_parameters(server.replace(accuracy=hill), "vllm")
    assert found.upper_bound == math.inf


@pytest.mark.parametrize("key", SYSTEMS)
def test_the_router_is_python_and_routes(key: str, server: tq.Workload) -> None:
    hostile = ['a"b', "tab\tline\n", "{x}", "日本 \u202e", "true"]
    named = server.replace(names=hostile)
    levels = {name: LEVELS[name] for name in SYSTEMS[key].levels} or None
    found = tq.request_parameters(named, key, levels=levels)
    scope: dict = {}
    exec(found.router(), scope)
    assert scope["PARAMETERS"] == found.requests
    request = {"model": "m", "max_tokens": 5, "generationConfig": {"temperature": 0.5}}
    for name in hostile:
        sent = scope["route"](request, name)
        assert SYSTEMS[key].read(sent)[0] == found.budgets[name]
        assert sent["model"] == "m"
        assert sent["generationConfig"]["temperature"] == 0.5
    assert scope["route"](request, "unheard of") == request
    assert request == {"model": "m", "max_tokens": 5, "generationConfig": {"temperature": 0.5}}
    json.dumps(found.to_dict())


def test_a_system_of_ones_own(server: tq.Workload) -> None:
    own = System(
        "ours", "our router", Enforcement.HARD_CAP,
        lambda budget, room: {"think": budget, "all": room},
        lambda body: (body.get("think"), body.get("all")),
        source="our wiki",
    )  # fmt: skip
    found = tq.request_parameters(server, own)
    assert own.read(found.requests[server.names[0]])[0] == found.budgets[server.names[0]]
