"""The path of an operator, end to end, against a server whose laws are known."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.workloads import QWEN

import thinkqueue as tq
from thinkqueue.book.console import command
from thinkqueue.book.stand_in import START, Engine, stand_in

BUDGETS = (0, 1024, 4096, 12288)
TYPES = 2
FAR = 3.3
"""Standard errors; a true prediction is farther off once in a thousand times."""


def server(batching: bool) -> tq.Workload:
    shared = {
        "share": [0.7, 0.3], "gain": [0.6, 0.5], "rate": [2e-3, 3e-4], "baseline": [0.3, 0.1],
        "max_tokens": 16384, "accuracy_weight": 600.0, "names": ["chat", "code"],
    }  # fmt: skip
    if batching:
        token_time = tq.TokenTime(base=8e-3, per_query=2e-4)
        return tq.Workload.from_arrays(
            **shared, answer_tokens=[40, 120], arrival_rate=1.0, server=tq.Batching(token_time)
        )
    return tq.Workload.from_arrays(
        **shared, base_time=[0.5, 1.0], time_per_token=0.012, arrival_rate=0.02
    )


def asking(tokens: int) -> Any:
    return lambda request, task: request | {"thinking_token_budget": tokens, "max_tokens": 30_000}


def mean_and_error(values: np.ndarray, batches: int = 25) -> tuple[float, float]:
    means = [part.mean() for part in np.array_split(values[len(values) // 20 :], batches)]
    return float(np.mean(means)), float(np.std(means, ddof=1) / np.sqrt(batches))


@pytest.mark.parametrize("batching", [False, True])
def test_what_the_logs_predict_is_what_the_next_log_shows(batching: bool, tmp_path: Path) -> None:
    truth = server(batching)
    with stand_in(truth, 1) as running:
        running.traffic(asking(1500), queries=1500, seed=1, log=tmp_path / "spans.json")
    with stand_in(truth, 2, start=1.76e9) as running:
        for k, name in enumerate(truth.names):
            for budget in BUDGETS:
                log = tmp_path / f"eval-{k}-{budget}.json"
                running.evaluate(name, budget, questions=250, log=log)
    kind = "--server batching " if batching else ""
    options = '-w 600 --accept "not identified" -o w.toml'
    said = command(f"thinkqueue calibrate spans.json eval-*.json {kind}{options}", tmp_path)
    assert "status" not in said, said
    said = command("thinkqueue export w.toml --system vllm -o router.py", tmp_path)
    assert "hard cap" in said
    measured = tq.Workload.from_toml(tmp_path / "w.toml")
    scope: dict[str, Any] = {}
    exec((tmp_path / "router.py").read_text(), scope)
    with stand_in(truth, 3) as running:
        right = running.traffic(scope["route"], queries=1500, seed=3, log=tmp_path / "after.json")
    after = tq.read_log(tmp_path / "after.json")
    given = [scope["PARAMETERS"][name]["thinking_token_budget"] for name in measured.names]
    for k, name in enumerate(measured.names):  # the server kept to what it was told
        np.testing.assert_array_equal(after.thinking_tokens[after.of(name)], given[k])
    time, error = mean_and_error(after.latency)
    predicted = float(tq.mean_system_time(measured, given))
    # how the prediction moves if the arrival rate is a standard error off
    rate = measured.arrival_rate * (1 + 1 / np.sqrt(1500))
    moved = float(tq.mean_system_time(measured.replace(arrival_rate=rate), given)) - predicted
    assert abs(time - predicted) <= FAR * np.hypot(error, moved)
    assert abs(time - predicted) < 0.25 * predicted
    expected = tq.accuracy(measured, given)
    for k, name in enumerate(measured.names):
        asked = after.of(name)
        share = float(np.mean(np.array(right)[asked]))
        spread = np.sqrt(expected[k] * (1 - expected[k]) * (1 / asked.sum() + 1 / 250))
        assert abs(share - expected[k]) <= FAR * spread
    # better than before, by the true laws and not by the measured ones alone
    best = [given[measured.names.index(name)] for name in truth.names]
    assert tq.objective(truth, best) > tq.objective(truth, [1500, 1500])


def test_a_budget_that_is_not_enforced_would_show(tmp_path: Path) -> None:
    """The negative control: a server that thinks twice as long as it was told."""
    truth = server(batching=True)
    with stand_in(truth, 1) as running:
        running.traffic(asking(3000), queries=800, seed=1, log=tmp_path / "spans.json")
    log = tq.read_log(tmp_path / "spans.json")
    time, error = mean_and_error(log.latency)
    told = float(tq.mean_system_time(truth, [1500, 1500]))
    assert abs(time - told) > 10 * error
    kept = float(tq.mean_system_time(truth, [3000, 3000]))
    assert abs(time - kept) <= FAR * np.hypot(error, 0.04 * kept)


def test_an_answer_that_has_no_room_is_cut_and_wrong() -> None:
    engine = Engine(server(batching=True).replace(gain=0.0, baseline=1.0), 0)
    body = {"metadata": {"task": "code"}, "thinking_token_budget": 500}
    whole = engine.answer(body | {"max_tokens": 620}, 0.0)
    assert whole["choices"][0]["message"]["content"] == "right"
    cut = engine.answer(body | {"max_tokens": 619}, 1.0)
    assert cut["choices"][0]["message"]["content"] == "wrong"
    assert cut["usage"]["completion_tokens"] == 619


def test_streams_that_overlap_slow_each_other_down() -> None:
    """Two queries of 100 tokens, the second when the first has 50: worked out by hand."""
    step, both = 8e-3 + 2e-4, 8e-3 + 4e-4
    truth = server(batching=True).replace(answer_tokens=0)
    engine = Engine(truth, 0)
    for at in (0.0, 50 * step):
        engine.answer({"metadata": {"task": "chat"}, "thinking_token_budget": 100}, at)
    engine.finish()
    ends = [span["end_time"] - START for span in engine.spans]
    assert ends[0] == pytest.approx(50 * step + 50 * both, abs=1e-6)
    assert ends[1] == pytest.approx(50 * step + 50 * both + 50 * step, abs=1e-6)


def test_the_stand_in_says_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(tq.ThinkQueueError, match="one at a time, or many at once"):
        Engine(tq.Workload.from_toml(QWEN).replace(server=tq.ProcessorSharing()), 0)
    with (
        stand_in(server(batching=True)) as running,
        pytest.raises(tq.ThinkQueueError, match="answered 400"),
    ):
        running.ask({"metadata": {"task": "nobody"}}, 0.0)


def test_a_command_shows_what_a_terminal_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in the kernel of a notebook
    shown = command("thinkqueue solve nothing.toml", tmp_path)
    assert shown.startswith("$ thinkqueue solve nothing.toml\nthinkqueue: nothing.toml: No such")
    assert shown.endswith("[ended with status 2]")
    server(batching=False).to_toml(tmp_path / "w.toml")
    assert json.loads(command("thinkqueue solve *.toml --json", tmp_path).split("\n", 1)[1])
    assert "\x1b" not in command("thinkqueue solve w.toml", tmp_path)
    assert os.environ["FORCE_COLOR"] == "1"
    with pytest.raises(ValueError, match="only thinkqueue"):
        command("rm w.toml", tmp_path)
