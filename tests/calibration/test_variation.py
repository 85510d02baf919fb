"""How much lengths vary at one budget, and the wait that is predicted right only if that counts."""

import json

import numpy as np
import pytest

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


def test_the_estimate_is_a_ratio_of_unbiased_ones():
    g = np.random.default_rng(1)
    x = g.gamma(2.0, 100.0, (20_000, 4))
    budget = np.repeat(np.arange(1.0, 21.0), 4)
    found = measure_variation(budget, x[:20].ravel())
    square = x.var(axis=1, ddof=1) / (x.mean(axis=1) ** 2 - x.var(axis=1, ddof=1) / 4)
    assert found.value**2 == pytest.approx(square[:20].mean(), rel=1e-12)
    assert found.by_budget[3.0] == pytest.approx(np.sqrt(square[2]), rel=1e-12)
    assert found.queries == 80
    # what it is the ratio of is right in the mean: the variance and the squared mean
    assert (x.mean(axis=1) ** 2 - x.var(axis=1, ddof=1) / 4).mean() == pytest.approx(4e4, rel=0.02)


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
