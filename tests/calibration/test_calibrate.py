import json
import sys

import numpy as np
import pytest

import thinkqueue as tq
from calibration.designs import rows
from thinkqueue.calibration import (
    CalibrationError,
    Verdict,
    calibrate,
    propagate,
)

CURVES = {"arithmetic": (0.6, 2.5e-3, 0.3), "olympiad": (0.6, 7e-4, 0.05)}


@pytest.fixture(scope="module")
def calibration():
    return calibrate(rows(CURVES, seed=2, questions=1000), simulations=99)


def test_measurements_become_the_workload_they_came_from(calibration):
    assert set(calibration.verdicts.values()) == {Verdict.ADEQUATE}
    workload = calibration.workload(arrival_rate=0.05, accuracy_weight=300)
    assert workload.names == tuple(CURVES)
    np.testing.assert_allclose(workload.gain, [0.6, 0.6], atol=0.08)
    np.testing.assert_allclose(workload.rate, [2.5e-3, 7e-4], rtol=0.3)
    np.testing.assert_allclose(workload.time_per_token, 0.012, rtol=0.05)
    np.testing.assert_allclose(workload.share, 0.5)
    np.testing.assert_array_equal(workload.max_tokens, 4000)
    assert tq.solve(workload).gap < 1e-6


def test_options_by_task_and_their_errors(calibration):
    workload = calibration.workload(
        arrival_rate=0.05,
        accuracy_weight=300,
        share={"olympiad": 0.2, "arithmetic": 0.8},
        base_time=[0.1, 0.2],
        time_per_token=0.02,
        max_tokens=32768,
    )
    np.testing.assert_array_equal(workload.share, [0.8, 0.2])
    np.testing.assert_array_equal(workload.base_time, [0.1, 0.2])
    with pytest.raises(CalibrationError, match="says nothing of olympiad"):
        calibration.workload(arrival_rate=1, accuracy_weight=1, share={"arithmetic": 1})
    with pytest.raises(CalibrationError, match="names chess"):
        calibration.workload(
            arrival_rate=1, accuracy_weight=1, share={"arithmetic": 1, "olympiad": 0, "chess": 0}
        )
    with pytest.raises(CalibrationError, match="3 values for 2 tasks"):
        calibration.workload(arrival_rate=1, accuracy_weight=1, share=[0.2, 0.3, 0.5])
    with pytest.raises(KeyError, match="chess"):
        calibration["chess"]
    assert repr(calibration) == "Calibration(arithmetic: adequate; olympiad: adequate)"


def test_toml_can_be_read_back_and_carries_its_evidence(calibration, tmp_path):
    path = tmp_path / "workload.toml"
    calibration.to_toml(path, arrival_rate=0.05, accuracy_weight=300)
    assert tq.Workload.from_toml(path) == calibration.workload(
        arrival_rate=0.05, accuracy_weight=300
    )
    assert "# arithmetic: adequate" in path.read_text(encoding="utf-8")


def test_draws_spread_about_the_estimate_and_feed_the_end(calibration):
    terms = {"arrival_rate": 0.05, "accuracy_weight": 300}
    draws = calibration.draws(300, seed=1, **terms)
    assert len(draws) == 300
    assert draws.workload == calibration.workload(**terms)
    for name in ("gain", "rate", "base_time", "time_per_token"):
        values = getattr(draws, name)
        low, high = np.quantile(values, [0.005, 0.995], axis=0)
        estimate = getattr(draws.workload, name)
        assert ((low <= estimate) & (estimate <= high)).all(), name
    again = calibration.draws(300, seed=1, **terms)
    np.testing.assert_array_equal(draws.rate, again.rate)
    found = propagate(draws)
    assert 0 < found.loss(found.robust.tokens).mean() <= found.loss(found.plug_in.tokens).mean()
    assert 0 < found.regret.mean() < 20


def test_service_times_that_were_given_do_not_vary_even_where_they_equal_the_measured(calibration):
    measured = calibration.workload(arrival_rate=0.05, accuracy_weight=300)
    terms = {"arrival_rate": 0.05, "accuracy_weight": 300}
    draws = calibration.draws(50, time_per_token=measured.time_per_token, **terms)
    np.testing.assert_array_equal(draws.time_per_token, np.tile(measured.time_per_token, (50, 1)))
    assert (draws.base_time.std(axis=0) > 0).all()
    # and measured ones vary however the workload came to them
    assert (calibration.draws(50, **terms).time_per_token.std(axis=0) > 0).all()


def test_two_latencies_give_a_line_and_no_draws():
    table = [
        row | {"latency": row["latency"] if row["budget"] in (0, 4000) else None}
        for row in rows({"arithmetic": CURVES["arithmetic"]}, questions=1000)
    ]
    found = calibrate(table, simulations=59)
    interval = found["arithmetic"].latency.intervals()["time_per_token"]
    assert (interval.low, interval.high, interval.high_open) == (0.0, np.inf, True)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))
    with pytest.raises(CalibrationError, match="two latencies"):
        found.draws(10, arrival_rate=0.05, accuracy_weight=300)


def test_a_curve_that_was_rejected_is_refused_by_name_unless_accepted():
    table = rows(CURVES, questions=400)
    table += [
        {"task": "puzzle", "budget": x, "correct": k, "total": 400, "latency": 0.2 + 0.012 * x}
        for x, k in [(100, 2), (400, 20), (800, 270), (1600, 380), (3000, 390)]
    ]
    found = calibrate(table, simulations=59)
    with pytest.raises(CalibrationError, match=r"puzzle: S-shaped") as caught:
        found.workload(arrival_rate=0.01, accuracy_weight=100)
    assert caught.value.tasks == ("puzzle",)
    accepted = found.workload(
        arrival_rate=0.01, accuracy_weight=100, accept=("adequate", "S-shaped")
    )
    assert len(accepted) == 3


def test_what_was_not_measured_is_asked_for():
    without_times = calibrate(
        [{k: v for k, v in row.items() if k != "latency"} for row in rows(CURVES)], simulations=59
    )
    with pytest.raises(CalibrationError, match=r"give base_time="):
        without_times.workload(arrival_rate=0.1, accuracy_weight=10)
    assert len(
        without_times.workload(
            arrival_rate=0.01, accuracy_weight=10, base_time=0.1, time_per_token=0.01
        )
    )
    without_answers = calibrate(
        [{k: v for k, v in row.items() if k not in ("correct", "total")} for row in rows(CURVES)]
    )
    with pytest.raises(CalibrationError, match="No answers were scored"):
        without_answers.workload(arrival_rate=0.1, accuracy_weight=10)


def test_a_task_with_one_latency_takes_the_common_line():
    table = rows({"arithmetic": CURVES["arithmetic"]}, questions=1000)
    table += [
        row | {"latency": None if row["budget"] else 0.2}
        for row in rows({"olympiad": CURVES["olympiad"]}, questions=1000)
    ]
    found = calibrate(table, simulations=59)
    assert found["olympiad"].latency.time_per_token == pytest.approx(0.012, rel=0.05)
    assert any("all tasks together" in note for note in found.notes)


def test_the_same_seed_gives_the_same_calibration_and_it_can_be_written_as_json():
    one, two = (calibrate(rows(CURVES), simulations=59, seed=5) for _ in range(2))
    assert one.to_dict() == two.to_dict()
    assert json.loads(json.dumps(one.to_dict(), allow_nan=False))["tasks"][0]["name"]
    assert "arithmetic" in one.summary()


@pytest.mark.parametrize("options", [{"level": 1.5}, {"simulations": 5}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(CalibrationError, match=next(iter(options))):
        calibrate(rows(CURVES), **options)


def test_a_negative_seed_is_refused():
    with pytest.raises(tq.ThinkQueueError, match=r"seed must be .* at least 0; it is -1"):
        calibrate(rows(CURVES), seed=-1)


def test_a_picture_without_matplotlib_says_what_to_install(calibration, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"thinkqueue\[book\]"):
        calibration.plot()


def test_the_picture_has_a_panel_for_each_task(calibration):
    figure = calibration.plot()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert sum("adequate" in title for title in titles) == 2
