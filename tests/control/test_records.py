"""What is recorded of bursts, days and batches, derived again in part."""

import json

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrivals import read_records
from thinkqueue.control import Record
from thinkqueue.control.bursts import burst_outcomes
from thinkqueue.control.drift import drift_outcomes, rush_hour
from thinkqueue.control.phases import phase_aware_optimum
from workloads import DATA, QWEN

WORKLOAD = tq.Workload.from_toml(QWEN)
KEPT = json.loads((DATA / "results" / "control.json").read_text(encoding="utf-8"))
MODELS = {name: one.model for name, one in read_records(DATA / "arrivals").items()}
# what was known before, from other programs: best fixed, rule, tuned, ceiling
BEFORE = {
    ("conversation", 0.02): (328.5, 338.4, 338.3, 338.6),
    ("conversation", 0.1): (296.6, 305.9, 306.4, 306.3),
    ("code", 0.005): (309.7, 332.4, 333.8, 334.2),
    ("code", 0.02): (275.5, 300.2, 302.7, 303.5),
    ("code", 0.05): (245.8, 262.2, 266.3, 268.1),
    ("code", 0.1): (212.1, 219.9, 226.1, 229.6),
}


def kept(**wanted):
    return {
        row["budgets"]: row
        for row in KEPT["bursts"]
        if all(row[key] == value for key, value in wanted.items())
    }


@pytest.mark.parametrize(("trace", "rate"), BEFORE)
def test_the_record_says_what_was_known_before(trace, rate):
    rows = kept(trace=trace, arrival_rate=rate)
    for name, known in zip(("best fixed", "rule", "tuned rule"), BEFORE[trace, rate]):
        row = rows[name]
        # both are simulations, of about the same length
        assert abs(row["objective"] - known) < 1.6 * (row["high"] - row["objective"]) + 0.05
    assert rows["rule"]["ceiling"] == pytest.approx(BEFORE[trace, rate][3], abs=0.1)
    assert rows["rule"]["over_fixed_low"] > 0
    assert rows["rule"]["low"] < rows["rule"]["ceiling"]


@pytest.mark.slow
def test_ceiling_again():
    for trace, rate in (("conversation", 0.1), ("code", 0.05)):
        workload = WORKLOAD.replace(arrival_rate=rate)
        row = kept(trace=trace, arrival_rate=rate)["rule"]
        coarse = phase_aware_optimum(workload, MODELS[trace], step=1.0).objective
        # the error is of first order, so eight times the step has eight times the error
        assert coarse < row["fine"] < row["ceiling"]
        apart = (row["ceiling"] - coarse) / (row["ceiling"] - row["fine"])
        assert apart == pytest.approx(8, rel=0.15)


def test_a_shorter_run_of_bursts_is_compatible():
    workload = WORKLOAD.replace(arrival_rate=0.02)
    long = kept(trace="code", arrival_rate=0.02)
    for one in burst_outcomes(workload, MODELS["code"], "code", jobs=200_000, seed=5):
        if one.budgets in ("rule", "rule at the start", "table"):
            row = long[one.budgets]
            assert abs(one.objective - row["objective"]) < 2 * (one.high - one.low)
    assert long["fixed"]["high"] < 0 < long["best fixed"]["objective"] < long["rule"]["objective"]


@pytest.mark.slow
def test_fewer_days_are_compatible():
    day = rush_hour(WORKLOAD, quiet=0.005, busy=0.02, rush=0.1)
    long = {row["budgets"]: row for row in KEPT["drift"]}
    for one in drift_outcomes(WORKLOAD, day, days=25, seed=9):
        row = long[one.budgets]
        assert abs(one.regret - row["regret"]) <= 1.5 * (one.regret_high - one.regret_low) + 0.1
    assert long["rule"]["regret"] < 0.01 * long["re-solved"]["regret"]


def test_a_batch_again():
    (row,) = (r for r in KEPT["batch"] if r["arrival_rate"] == 0.1 and r["arrivals"] == "Poisson")
    workload = tq.Workload.from_toml(DATA / "workloads" / "qwen3-8b-batching.toml").replace(
        server=tq.Batching(tq.TokenTime(row["base"], row["per_query"])), arrival_rate=0.1
    )
    record = Record.draw(workload, jobs=20_000, seed=3)
    fixed = record.serve_in_batch(tq.solve(workload).tokens)
    gain = record.serve_in_batch(tq.batch_stopping_rule(workload)).difference(fixed.worth)
    assert abs(gain.value - row["gain"]) < gain.high - gain.low
    assert np.isfinite([r["gain"] for r in KEPT["batch"]]).all()
