"""Several files together: what they say, what they do not, and what would supply it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thinkqueue as tq

TASKS = {"chat": (0.5, 2e-3, 0.3, 40), "code": (0.6, 8e-4, 0.1, 120)}
BUDGETS = (0, 256, 512, 1024, 2048, 4096)
BASE, TOKEN = 0.2, 0.015


def spans(
    path: Path,
    *,
    queries: int = 400,
    rate: float = 0.02,
    seed: int = 0,
    thoughts: bool = True,
) -> Path:
    """Traffic at a server that serves one at a time, first come, first served."""
    rng = np.random.default_rng(seed)
    names = rng.choice(list(TASKS), queries, p=[0.7, 0.3])
    sent = np.cumsum(rng.exponential(1 / rate, queries)) + 1.7e9
    found, free = [], 0.0
    for name, at in zip(names, sent, strict=True):
        answer = TASKS[name][3]
        output = answer + int(rng.integers(200, 1500))
        start = max(at, free)
        free = start + BASE + TOKEN * output
        attributes: dict[str, Any] = {
            "task": name,
            "gen_ai.usage.output_tokens": output,
            "gen_ai.latency.time_in_queue": start - at,
            "gen_ai.latency.time_to_first_token": start - at + BASE + TOKEN,
        }
        if thoughts:
            attributes["gen_ai.usage.reasoning.output_tokens"] = output - answer
        found.append({"start_time": at, "end_time": free, "attributes": attributes})
    path.write_text(json.dumps(found))
    return path


def evaluation(folder: Path, name: str, task: str, budget: int, seed: int) -> Path:
    gain, rate, baseline, answer = TASKS[task]
    rng = np.random.default_rng([seed, budget])
    chance = baseline + gain * -np.expm1(-rate * budget)
    samples = [
        {
            "id": n,
            "scores": {"match": {"value": "C" if rng.random() < chance else "I"}},
            "model_usage": {"m": {"output_tokens": budget + answer, "reasoning_tokens": budget}},
            "working_time": 99.0,
        }
        for n in range(300)
    ]
    about = {"task": name, "model": "m", "model_generate_config": {"reasoning_tokens": budget}}
    path = folder / f"{name}-{budget}.json"
    path.write_text(json.dumps({"eval": about, "samples": samples}))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("logs")
    names = {"chat": "chat", "code": "humaneval"}
    every = [
        evaluation(folder, names[task], task, budget, seed)
        for seed, task in enumerate(TASKS)
        for budget in BUDGETS
    ]
    return [spans(folder / "spans.json"), *every]


def test_two_logs_are_joined_by_task_and_make_the_workload(files: list[Path]) -> None:
    evidence = tq.read_logs(files, tasks={"humaneval": "code"})
    assert evidence.names == ("chat", "code")
    assert evidence.missing == ()
    assert evidence.arrival_rate.low < 0.02 < evidence.arrival_rate.high
    assert evidence.share["chat"] == pytest.approx(0.7, abs=0.08)
    assert evidence.answer_tokens == {"chat": 40, "code": 120}
    calibration = tq.calibrate(evidence.measurements, simulations=99)
    workload = evidence.workload(calibration, accuracy_weight=300.0)
    np.testing.assert_allclose(workload.time_per_token, TOKEN, rtol=1e-6)
    answers = [TASKS[name][3] for name in workload.names]
    np.testing.assert_allclose(workload.base_time, BASE + TOKEN * np.array(answers), rtol=1e-6)
    for task in calibration.tasks:
        assert task.accuracy is not None
        gain, rate, baseline, _ = TASKS[task.name]
        for name, true in (("gain", gain), ("rate", rate), ("baseline", baseline)):
            interval = task.accuracy.intervals[name]
            assert interval.low * 0.9 <= true <= interval.high * 1.1
    assert workload.arrival_rate == evidence.arrival_rate.value


def test_names_that_do_not_meet_are_told_with_the_option_that_joins_them(
    files: list[Path],
) -> None:
    lacks = [str(lack) for lack in tq.read_logs(files).missing]
    assert any("of code" in lack and "--task humaneval=code" in lack for lack in lacks)
    with pytest.raises(tq.MeasurementError, match="'coed' is neither a task nor a file"):
        tq.read_logs(files, tasks={"coed": "code"})


def test_an_evaluation_alone_lacks_traffic_and_its_times_count(files: list[Path]) -> None:
    evidence = tq.read_logs(files[1:])
    lacking = {lack.what for lack in evidence.missing}
    assert lacking == {"the arrival rate", "the mix of the traffic"}
    assert np.nanmax(evidence.measurements.latency) == 99
    assert any("taken for those of a query alone" in note for note in evidence.notes)


def test_times_of_an_evaluation_do_not_count_beside_traffic(files: list[Path]) -> None:
    assert np.nanmax(tq.read_logs(files).measurements.latency) < 99


def test_times_of_an_evaluation_count_where_a_cap_makes_all_thoughts_of_one_length(
    tmp_path: Path, files: list[Path]
) -> None:
    """A line needs two lengths; an evaluation that says when it asked has them."""
    capped = json.loads(files[0].read_text())
    for span in capped:
        span["attributes"]["gen_ai.usage.reasoning.output_tokens"] = 200
    (tmp_path / "capped.json").write_text(json.dumps(capped))
    evaluations = []
    for path in files[1:]:
        log = json.loads(path.read_text())
        for number, sample in enumerate(log["samples"]):
            sample["started_at"] = 1e6 * (len(evaluations) + 1) + 200.0 * number
        evaluations.append(tmp_path / path.name)
        evaluations[-1].write_text(json.dumps(log))
    for names, most in (({"humaneval": "code"}, 99.0), ({}, 99.0)):
        rows = tq.read_logs([tmp_path / "capped.json", *evaluations], tasks=names).measurements
        assert np.nanmax(rows.latency) == most
    assert np.nanmax(tq.read_logs([files[0], *evaluations]).measurements.latency) < 99


def test_traffic_alone_lacks_accuracy(files: list[Path]) -> None:
    lacks = tq.read_logs(files[:1]).missing
    assert [lack.what for lack in lacks] == ["how often answers are right"]
    assert "inspect_ai" in lacks[0].supply


def test_few_budgets_are_told(files: list[Path]) -> None:
    evidence = tq.read_logs(files[:4])
    assert any(
        lack.what == "how accuracy rises with the budget" and lack.tasks == ("chat",)
        for lack in evidence.missing
    )


def test_thoughts_that_nobody_counted_are_missing_until_an_answer_is_given(
    tmp_path: Path, files: list[Path]
) -> None:
    untold = spans(tmp_path / "untold.json", thoughts=False)
    evidence = tq.read_logs([untold])
    assert any("--answer-tokens" in lack.supply for lack in evidence.missing)
    with pytest.raises(tq.MissingError) as error:
        _ = evidence.measurements
    assert error.value.missing.what == "how many tokens were thoughts"
    told = tq.read_logs([untold, *files[1:]], answer_tokens=64).measurements
    same = tq.read_logs(files).measurements
    rows = told.rows("chat") & np.isfinite(told.latency)
    other = same.rows("chat") & np.isfinite(same.latency)
    np.testing.assert_allclose(told.tokens[rows], same.tokens[other] + 40 - 64)


def test_a_table_of_ones_own_joins_a_log(tmp_path: Path, files: list[Path]) -> None:
    lines = ["task,budget,tokens,correct,total"]
    lines += [f"code,{b},{b},{int(40 + 30 * b / 4096)},100" for b in BUDGETS]
    table = tmp_path / "code.csv"
    table.write_text("\n".join(lines))
    evidence = tq.read_logs([files[0], *files[1 : 1 + len(BUDGETS)], table])
    assert evidence.missing == ()
    assert evidence.names == ("chat", "code")


def test_a_batching_server_is_measured_by_who_was_there(tmp_path: Path) -> None:
    """Streams decode together; the log alone gives back the time of a step and its slope."""
    step, slope = 8e-3, 2e-4
    rng = np.random.default_rng(1)
    sent = np.cumsum(rng.exponential(0.8, 300))
    need = rng.integers(100, 1500, 300).astype(float)
    end, left, now, coming = np.zeros(300), {}, 0.0, 0
    while coming < 300 or left:
        speed = 1 / (step + slope * len(left)) if left else 0.0
        soonest = min(left, key=left.__getitem__) if left else -1
        finish = now + left[soonest] / speed if left else np.inf
        arrive = sent[coming] if coming < 300 else np.inf
        until = min(finish, arrive)
        for query in left:
            left[query] -= speed * (until - now)
        now = until
        if finish <= arrive:
            end[soonest] = now
            del left[soonest]
        else:
            left[coming] = need[coming] - 1
            coming += 1
    rows = [
        {
            "startTime": float(s), "completionStartTime": float(s), "endTime": float(e),
            "completion_tokens": int(n), "model_group": "chat",
        }
        for s, e, n in zip(sent, end, need, strict=True)
    ]  # fmt: skip
    for row in rows:
        row["completionStartTime"] = row["startTime"] + 1e-9
    path = tmp_path / "spend.json"
    path.write_text(json.dumps(rows))
    fit = tq.read_logs([path]).token_time()
    assert fit.token_time.base == pytest.approx(step, rel=0.02)
    assert fit.token_time.per_query == pytest.approx(slope, rel=0.05)
    alone = tq.read_logs([evaluation(tmp_path, "chat", "chat", 256, 0)])
    with pytest.raises(tq.MissingError, match="many are served together"):
        alone.token_time()
