"""The line is first come, first served, and its waits are those of the services."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thinkqueue.live.client import Client, EngineError
from thinkqueue.live.gateway import Query, serve
from thinkqueue.live.questions import ANSWER_TOKENS, FORCE, draw

TYPES = ("two", "three", "four")
BUDGETS = {"two": 0, "three": 3, "four": 6}


def queries(count: int, gap: float) -> list[Query]:
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.exponential(gap, count))
    return [Query(float(at), TYPES[k % 3], draw(TYPES[k % 3], rng)) for k, at in enumerate(times)]


def test_budgets_are_kept_and_the_answer_follows_the_thought(talking: Any) -> None:
    server = talking()
    asked = queries(6, 0.01)
    log = serve(asked, [Client(server.url)], lambda type, _: BUDGETS[type])
    assert [row.query for row in log] == list(range(6))
    assert [row.type for row in log] == [query.type for query in asked]
    assert [row.thought for row in log] == [row.budget for row in log] == [0, 3, 6] * 2
    assert {row.answered for row in log} == {ANSWER_TOKENS}
    prompts = iter(server.asked)
    for query, row in zip(asked, log, strict=True):
        if row.budget:
            assert next(prompts)["prompt"] == query.question.prompt
        forced = next(prompts)["prompt"]
        assert forced == query.question.prompt + "1" * row.budget + FORCE


def test_one_place_waits_as_lindley_says(talking: Any) -> None:
    log = serve(queries(40, 0.02), [Client(talking(pace=0.003).url)], lambda *_: 3)
    arrived, started, ended = np.array([(r.arrived, r.started, r.ended) for r in log]).T
    free = np.concatenate([[-np.inf], ended[:-1]])
    assert (started >= np.maximum(arrived, free)).all()
    # to within what a loaded machine takes to wake a thread
    assert np.median(started - np.maximum(arrived, free)) < 0.02
    assert (arrived >= [query.at - 1e-9 for query in queries(40, 0.02)]).all()
    behind = [
        sum(1 for other in log[row.query + 1 :] if other.arrived < row.started) for row in log
    ]
    assert max(behind) > 1, "nobody waited: the test is too easy"
    assert np.mean([row.waiting == n for row, n in zip(log, behind, strict=True)]) > 0.9


def test_an_engine_never_sees_more_than_its_places(talking: Any) -> None:
    server = talking(pace=0.003)
    places = [Client(server.url, place=k) for k in range(3)]
    log = serve(queries(30, 0.002), places, lambda *_: 5)
    assert server.most == 3
    assert {row.place for row in log} == {0, 1, 2}
    assert [row.started for row in log] == sorted(row.started for row in log)


def test_budgets_may_depend_on_how_many_wait(talking: Any) -> None:
    place = Client(talking(pace=0.005).url)
    log = serve(queries(20, 0.004), [place], lambda _, waiting: 4 if waiting < 3 else 0)
    assert {row.thought for row in log} == {0, 4}
    assert all(row.thought == (4 if row.waiting < 3 else 0) for row in log)


def test_a_fault_ends_the_run_and_is_told(talking: Any) -> None:
    places = [Client(talking(last=7).url)]
    with pytest.raises(EngineError, match="not served: The engine answered 503"):
        serve(queries(50, 0.002), places, lambda *_: 0)
