"""What is recorded of batching: forty settings, some of them again, and the reasoning traffic."""

from __future__ import annotations

import csv
import json
import sys
import tomllib

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrivals import MarkovModulated
from workloads import DATA, QWEN

sys.path.append(str(DATA.parent / "tests" / "benchmarks"))
from bench_batching import EQUAL, LINE, WIDE, Setting, measure, settings

RECORD = json.loads((DATA / "results" / "batching.json").read_text(encoding="utf-8"))
ROWS = RECORD["settings"]
ALL = list(settings())
EXACT = {
    "no cap",
    "a cap that is shared",
    "a measured table",
    "random lengths",
    "prompts and context",
}


def test_what_is_recorded_is_what_the_formulas_say():
    assert len(ROWS) == len(ALL) == 40
    for row, setting in zip(ROWS, ALL, strict=True):
        assert (row["regime"], row["case"], row["load"]) == (
            setting.regime,
            setting.case,
            setting.load,
        )
        assert row["formula"] == pytest.approx(setting.formula(), rel=1e-4)
        other = setting.other()
        assert (row["other"] is None) == (other is None)
        assert other is None or row["other"] == pytest.approx(other, rel=1e-4)
        assert row["error"] == pytest.approx(row["formula"] / row["simulated"] - 1, abs=2e-4)
        near = abs(row["formula"] - row["simulated"]) <= row["half_width"] * 1.01
        assert row["covered"] <= near


def test_exact_formulas_lie_in_the_intervals_and_the_usual_one_does_not():
    exact = [row["covered"] for row in ROWS if row["regime"] in EXACT]
    # 18 intervals of 95 %: fewer than 15 have a probability of 1 %
    assert sum(exact) >= 15
    lines = [row for row in ROWS if row["regime"].startswith("a line")]
    assert max(abs(row["error"]) for row in lines) < 0.025
    births = [row["other_error"] for row in lines]
    assert max(births) > 0.6
    assert min(births) < -0.45


@pytest.mark.parametrize("place", [0, 6, 10, 16, 22, 35, 37])
def test_some_settings_come_out_again(place):
    row = measure(ALL[place], 200_000)
    both = np.hypot(row["half_width"], ROWS[place]["half_width"])
    assert abs(row["simulated"] - ROWS[place]["simulated"]) < 2 * both


def test_the_engine_was_fast_and_whole_steps_cost_about_one():
    assert min(RECORD["speed"].values()) > 1e6
    steps = RECORD["steps"]
    assert 0.3 * steps["step"] < steps["later"] < 1.5 * steps["step"]


@pytest.mark.parametrize("name", ["equal", "wide"])
def test_the_rule_for_bursts_knows_the_variability_of_the_lengths(name):
    mix = EQUAL if name == "equal" else WIDE
    w = Setting("", "", 0.6, tq.Batching(LINE), mix).workload
    none = np.zeros(len(w))
    bursts = MarkovModulated.renewal(np.sqrt(10))
    run = tq.simulate(w, none, jobs=400_000, seed=2, arrivals=bursts).mean_system_time
    lengths, share = mix
    square = share @ lengths**2 / (share @ lengths) ** 2
    calm, rest = float(tq.mean_system_time(w, none)), 1 + LINE.base / LINE.per_query
    rule = calm * (1 + 9 / square / rest)
    assert abs(run.value - rule) < max(run.half_width, 0.01 * rule)
    # with 2 in place of 1 + c², as for exponential lengths, equal ones are far off
    if name == "equal":
        assert not run.covers(calm * (1 + 9 / 2 / rest))


def test_the_reasoning_traffic_is_that_of_its_clients():
    path = DATA / "workloads" / "servegen-deepseek-r1.toml"
    w, document = tq.Workload.from_toml(path), tomllib.loads(path.read_text(encoding="utf-8"))
    with (DATA / "batching" / "servegen-deepseek-r1-clients.csv").open(encoding="utf-8") as file:
        clients = [
            {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
        ]
    assert w.arrival_rate == pytest.approx(sum(c["mean_rate_per_s"] for c in clients), rel=2e-3)

    def group(client):
        length = client["mean_output_tokens"]
        return 0 if client["client"] == 35 else 1 + int(np.searchsorted([500, 1000, 4000], length))

    groups = np.array([group(c) for c in clients])
    share, out, part, prompt = (
        np.array([c[name] for c in clients])
        for name in ("share", "mean_output_tokens", "mean_reason_ratio", "mean_input_tokens")
    )
    for k, task in enumerate(document["task"]):
        mine = share * (groups == k)
        np.testing.assert_allclose(task["share"], mine.sum(), atol=1e-4)
        answer, thinking = (mine @ x / mine.sum() for x in (out * (1 - part), out * part))
        np.testing.assert_allclose(task["answer_tokens"], answer, atol=0.51)
        np.testing.assert_allclose(task["prompt_tokens"], mine @ prompt / mine.sum(), atol=0.51)
        np.testing.assert_allclose(np.log(10) / task["rate"], thinking, rtol=4e-3)
    book = tq.Workload.from_toml(QWEN)
    np.testing.assert_allclose(w.curves.gain, book.share @ book.curves.gain, atol=1e-3)
    np.testing.assert_allclose(w.curves.baseline, book.share @ book.curves.baseline, atol=1e-3)
