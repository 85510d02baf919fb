"""How much lengths vary at one budget, and the wait that is predicted right only if that counts."""

import json
import time

import numpy as np
import pytest
from scipy import stats

import thinkqueue as tq
from thinkqueue.calibration import VariationVerdict, calibrate, measure_variation, propagate
from thinkqueue.workload import Affine, Varying

BUDGETS = np.array([0.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0])
CURVES = {"arithmetic": (0.6, 2.5e-3, 0.3), "olympiad": (0.6, 7e-4, 0.05)}
SPREAD = {"arithmetic": 0.5, "olympiad": 0.7}


def log(questions, seed=0, spread=SPREAD):
    """Single queries of a server: a budget, what was used of it, right or wrong, and seconds."""
    g = np.random.default_rng(seed)
    out = {name: [] for name in ("task", "budget", "tokens", "correct", "latency")}
    for name, (gain, rate, baseline) in CURVES.items():
        v = spread[name]
        for budget in BUDGETS:
            luck = g.gamma(1 / v**2, v**2, questions) if v else np.ones(questions)
            used = budget * luck
            chance = baseline + gain * -np.expm1(-rate * budget)
            out["task"] += [name] * questions
            out["budget"] += [budget] * questions
            out["tokens"] += used.tolist()
            out["correct"] += g.binomial(1, chance, questions).tolist()
            out["latency"] += (0.3 + 0.012 * used + g.normal(0, 0.02, questions)).clip(0).tolist()
    return out


@pytest.fixture(scope="module")
def calibration():
    return calibrate(log(400, seed=2), simulations=39)


def test_the_estimate_is_the_ratio_that_it_is_said_to_be():
    g = np.random.default_rng(1)
    x = g.gamma(2.0, 100.0, (20, 4))
    found = measure_variation(np.repeat(np.arange(1.0, 21.0), 4), x.ravel())
    a = (x / x.mean(axis=1, keepdims=True)).var(axis=1, ddof=1)
    assert found.value**2 == pytest.approx((3 * a).sum() / (3 * (1 - a / 4)).sum(), rel=1e-12)
    assert found.queries == 80
    assert not found.by_budget  # four queries each
    y = x[:10].ravel()
    wide = measure_variation(np.ones(40), y)
    assert wide.by_budget == {1.0: wide.value}
    assert wide.value**2 == pytest.approx(y.var(ddof=1) / (y.mean() ** 2 - y.var(ddof=1) / 40))
    # the jackknife, one length after the other
    each = np.log([measure_variation(np.ones(39), np.delete(y, i)).value for i in range(40)])
    error = np.sqrt(39 / 40 * np.sum((each - np.log(wide.value)) ** 2))
    high = wide.value * np.exp(stats.t(39).ppf(0.975) * error)
    assert wide.interval.high == pytest.approx(high, rel=1e-9)


@pytest.mark.parametrize("v", [0.2, 0.7, 1.4])
def test_pairs_of_gamma_lengths_tell_their_variation_without_bias(v):
    g = np.random.default_rng(6)
    budget = np.repeat(np.arange(100.0, 100_100.0), 2)
    found = measure_variation(budget, budget * g.gamma(1 / v**2, v**2, budget.size), 0.999)
    assert found.value == pytest.approx(v, rel=0.02)
    assert found.interval.low < v < found.interval.high
    # negative control: the plain ratio of variance and squared mean, group by group
    x = (budget * g.gamma(1 / v**2, v**2, budget.size)).reshape(-1, 2)
    plain = np.sqrt(np.mean(x.var(axis=1, ddof=1) / x.mean(axis=1) ** 2))
    assert not found.interval.low < plain < found.interval.high


@pytest.mark.parametrize(("v", "count"), [(0.3, 10), (0.8, 50), (1.5, 50)])
def test_intervals_hold_the_truth_as_often_as_they_say(v, count):
    g = np.random.default_rng(2)
    budget = np.repeat(BUDGETS[1:4], count)
    held = wrong = 0
    for _ in range(300):
        found = measure_variation(budget, budget * g.gamma(1 / v**2, v**2, budget.size))
        held += found.interval.low <= v <= found.interval.high
        wrong += found.interval.low <= 1.6 * v <= found.interval.high
    assert held >= 0.9 * 300
    assert wrong < 0.6 * held  # negative control


def test_the_wait_is_predicted_with_the_variation_and_missed_without(calibration):
    """The operators' wish: measured 21.5 s, predicted 19.9."""
    terms = {"arrival_rate": 0.028, "accuracy_weight": 600.0, "share": [0.5, 0.5]}
    fitted = calibration.workload(**terms)
    tokens = tq.solve(fitted).tokens
    truth = tq.Workload.from_arrays(
        share=[0.5, 0.5], gain=[0.6, 0.6], rate=[2.5e-3, 7e-4], baseline=[0.3, 0.05], base_time=0.3,
        time_per_token=0.012, variation=list(SPREAD.values()), arrival_rate=0.028,
        accuracy_weight=600.0, max_tokens=6400,
    )  # fmt: skip
    measured = tq.simulate(truth, tokens, jobs=400_000, seed=3).mean_waiting_time
    with_it = float(tq.mean_waiting_time(fitted, tokens))
    without = float(tq.mean_waiting_time(calibration.workload(**terms, variation=0.0), tokens))
    assert measured.covers(with_it)
    assert not measured.covers(without)
    assert without < 0.9 * measured.value


def test_calibrations_tell_the_variation_and_put_it_into_the_workload(calibration, tmp_path):
    for name, v in SPREAD.items():
        found = calibration[name].variation
        assert found.verdict is VariationVerdict.MEASURED
        assert found.interval.low < v < found.interval.high
        assert f"vary by {found.value:.3g} times" in calibration.summary()
    terms = {"arrival_rate": 0.02, "accuracy_weight": 300.0}
    w = calibration.workload(**terms)
    assert isinstance(w.service, Varying)
    np.testing.assert_allclose(w.variation, list(SPREAD.values()), rtol=0.1)
    calibration.to_toml(tmp_path / "w.toml", **terms)
    assert tq.Workload.from_toml(tmp_path / "w.toml") == w
    plain = json.loads(json.dumps(calibration.to_dict()))["tasks"][0]["variation"]
    assert plain["value"] == calibration["arithmetic"].variation.value
    given = calibration.workload(**terms, variation={"arithmetic": 0.1, "olympiad": 0.2})
    np.testing.assert_array_equal(given.variation, [0.1, 0.2])
    spread = propagate(calibration.draws(20, **terms))
    assert spread.plug_in.objective == pytest.approx(tq.solve(w).objective)
    assert np.all(spread.each.gap < 1e-6)


def test_lengths_that_do_not_vary_leave_the_plain_service():
    found = calibrate(log(30, spread=dict.fromkeys(CURVES, 0.0)), simulations=39)
    assert found["olympiad"].variation.value == 0.0
    w = found.workload(
        arrival_rate=0.02, accuracy_weight=300.0, accept=["adequate", "not identified"]
    )
    assert isinstance(w.service, Affine)


def test_too_few_queries_tell_nothing():
    g = np.random.default_rng(3)
    few = measure_variation(np.repeat([1.0, 2.0], 11), g.exponential(size=22))
    assert few.known
    few = measure_variation(np.repeat([1.0, 2.0], 10), g.exponential(size=20))
    assert few.verdict is VariationVerdict.TOO_FEW
    assert (few.value, few.interval.open) == (0.0, True)
    assert "cannot be told" in few.words
    # no two queries under one budget
    alone = measure_variation(np.arange(1.0, 200.0), g.exponential(size=199))
    assert not alone.known


def test_a_million_rows_take_no_time_to_speak_of():
    g = np.random.default_rng(5)
    budget = g.integers(0, 500_000, 1_000_000).astype(float)
    began = time.perf_counter()
    found = measure_variation(budget, budget * g.gamma(4.0, 0.25, budget.size))
    assert time.perf_counter() - began < 5
    assert found.value == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "tokens", [np.zeros(60), np.full(60, 1e12), np.eye(60)[0], np.full(60, 7.3)]
)
def test_lengths_of_every_kind_give_a_number(tokens):
    for budget in (np.ones(60), np.repeat(np.arange(30.0), 2), np.repeat([0.0, 5.0], 30)):
        found = measure_variation(budget, tokens)
        assert np.isfinite(found.value)
        assert found.interval.low <= found.value <= found.interval.high


def test_a_budget_that_cuts_lengths_is_seen():
    g = np.random.default_rng(4)
    budget = np.repeat([100.0, 1000.0, 10_000.0], 100)
    cut = measure_variation(budget, np.minimum(g.exponential(800.0, 300), budget))
    assert cut.verdict is VariationVerdict.BY_BUDGET
    assert "cuts them off" in cut.words
    assert cut.by_budget[100.0] < 0.5 < cut.by_budget[10_000.0]


def test_rows_with_counts_tell_no_variation():
    rows = [
        {"task": "a", "budget": b, "tokens": 0.8 * b, "correct": 30, "total": 60, "latency": b}
        for b in (100, 200, 400)
    ]
    assert calibrate(rows, simulations=39)["a"].variation is None


def test_the_command_line_carries_the_variation_from_the_log_to_the_wait(tmp_path):
    import csv

    from typer.testing import CliRunner

    from thinkqueue.cli import app

    def run(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    file, target, rows = tmp_path / "log.csv", tmp_path / "w.toml", log(400, seed=2)
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
    terms = ("--arrival-rate", 0.028, "--accuracy-weight", 600)
    told = run("calibrate", file, *terms, "--share", "log", "--output", target, "--draws", 20)
    v = [task["variation"]["value"] for task in told["tasks"]]
    w = tq.Workload.from_toml(target)
    np.testing.assert_array_equal(w.variation, v)
    solved = run("solve", target)
    assert solved["mean_system_time"] == pytest.approx(tq.solve(w).mean_system_time)
    seen = run("simulate", target, "--jobs", 100_000)["mean_system_time"]
    assert seen["low"] < solved["mean_system_time"] < seen["high"]
