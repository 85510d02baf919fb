import numpy as np
import pytest
from scipy.optimize import minimize

import thinkqueue as tq
from thinkqueue.calibration.design import measurement_value
from thinkqueue.calibration.fit import fisher_information
from thinkqueue.calibration.uncertainty import (
    Draws,
    best_on_average,
    propagate,
)

WORKLOAD = tq.Workload.from_arrays(
    share=[0.5, 0.3, 0.2],
    gain=[0.6, 0.3, 0.7],
    rate=[2.5e-3, 6e-4, 2e-4],
    baseline=[0.3, 0.4, 0.0],
    base_time=[0.1, 0.1, 0.2],
    time_per_token=0.012,
    arrival_rate=0.02,
    accuracy_weight=900.0,
)


def drawn(count=200, spread=0.3, seed=0, times=0.0):
    rng = np.random.default_rng(seed)
    shape = (count, len(WORKLOAD))
    return Draws(
        WORKLOAD,
        gain=np.clip(WORKLOAD.gain * np.exp(0.3 * spread * rng.normal(size=shape)), 0, 0.65),
        rate=WORKLOAD.rate * np.exp(spread * rng.normal(size=shape)),
        baseline=np.clip(WORKLOAD.baseline + 0.05 * spread * rng.normal(size=shape), 0, 0.35),
        base_time=np.broadcast_to(WORKLOAD.base_time, shape),
        time_per_token=WORKLOAD.time_per_token * np.exp(times * rng.normal(size=shape)),
    )


def mean_objective(draws, tokens):
    """The mean by the library's own objective, one workload at a time."""
    names = ("gain", "rate", "baseline", "base_time", "time_per_token")
    return np.mean(
        [
            tq.objective(WORKLOAD.replace(**{n: getattr(draws, n)[i] for n in names}), tokens)
            for i in range(len(draws))
        ]
    )


def test_objective_of_the_draws_is_the_library_s_own():
    draws = drawn(20, times=0.1)
    tokens = np.array([500.0, 800.0, 1500.0])
    assert draws.objective(tokens).mean() == pytest.approx(mean_objective(draws, tokens), rel=1e-12)


def test_equal_draws_give_the_plain_optimum():
    draws = drawn(5, spread=0.0)
    draws = Draws(WORKLOAD, *(np.tile(getattr(WORKLOAD, n), (5, 1)) for n in (
        "gain", "rate", "baseline", "base_time", "time_per_token")))  # fmt: skip
    robust, plain = best_on_average(draws), tq.solve(WORKLOAD)
    np.testing.assert_allclose(robust.tokens, plain.tokens, rtol=1e-4)
    assert robust.objective == pytest.approx(plain.objective, abs=1e-8)
    found = propagate(draws)
    np.testing.assert_allclose(found.loss(plain.tokens), 0, atol=1e-8)
    np.testing.assert_allclose(found.regret, 0, atol=1e-8)


@pytest.mark.parametrize("times", [0.0, 0.15])
def test_best_on_average_agrees_with_scipy_and_certifies_itself(times):
    draws = drawn(60, times=times)
    robust = best_on_average(draws)
    other = minimize(
        lambda z: -draws.objective(np.clip(z, 0, None) * 1000).mean(),
        robust.tokens * 0.8 / 1000,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000},
    )
    assert -other.fun <= robust.upper_bound + 1e-9
    assert robust.objective == pytest.approx(-other.fun, abs=1e-6)
    assert robust.gap <= 1e-6


def test_best_on_average_beats_the_plug_in_on_average_and_no_budgets_beat_the_best():
    found = propagate(drawn(400, spread=0.5))
    plug_in, robust = (found.loss(s.tokens) for s in (found.plug_in, found.robust))
    assert min(plug_in.min(), robust.min(), found.regret.min()) >= -1e-9
    assert robust.mean() < plug_in.mean()
    low, high = found.interval(found.each.tokens)
    assert (low < high).all()
    assert low.shape == (3,)
    # negative control: budgets that ignore the draws altogether do far worse
    assert found.loss(0.2 * found.plug_in.tokens).mean() > 3 * plug_in.mean()


def test_regret_is_that_of_each_draw_s_budgets_where_the_estimate_is_true():
    draws = drawn(12, spread=0.6, times=0.1)
    best = tq.solve(WORKLOAD).objective
    names = ("gain", "rate", "baseline", "base_time", "time_per_token")
    planned = [
        tq.solve(WORKLOAD.replace(**{n: getattr(draws, n)[i] for n in names})).tokens
        for i in range(len(draws))
    ]
    expected = [best - float(tq.objective(WORKLOAD, tokens)) for tokens in planned]
    found = propagate(draws)
    np.testing.assert_allclose(found.regret, expected, rtol=1e-4)
    # negative control: the estimate's budgets where each draw is true are another thing
    assert not np.allclose(found.loss(found.plug_in.tokens), expected, rtol=0.2)


def test_budgets_of_a_draw_that_the_estimate_cannot_carry_cost_without_bound():
    count = (3, len(WORKLOAD))
    fast = Draws(
        WORKLOAD, *(np.broadcast_to(getattr(WORKLOAD, n), count) for n in ("gain", "rate")),
        *(np.broadcast_to(getattr(WORKLOAD, n), count) for n in ("baseline", "base_time")),
        time_per_token=np.tile(WORKLOAD.time_per_token / 100, (3, 1)),
    )  # fmt: skip
    assert np.isposinf(propagate(fast).regret).all()


def test_an_allocation_that_some_draws_cannot_carry_has_infinite_regret_there():
    draws = drawn(50, times=0.6, seed=2)
    tokens = np.array([3000.0, 4000.0, 6000.0])
    value = draws.objective(tokens)
    assert np.isneginf(value).any()
    assert np.isinf(draws.mean_system_time(tokens)).any()
    assert np.isinf(propagate(draws).loss(tokens)).any()


def test_draws_that_no_budget_can_stabilise_are_an_error_in_words():
    draws = drawn(5)
    slow = Draws(
        WORKLOAD, draws.gain, draws.rate, draws.baseline, draws.base_time + 80, draws.time_per_token
    )
    with pytest.raises(tq.UnstableError):
        propagate(slow)


def spread_of_design(questions):
    """Fisher covariances of six budgets with so many questions each."""
    tokens = np.array([0.0, 250, 500, 1000, 2000, 4000])
    return np.array(
        [
            np.linalg.inv(fisher_information(tokens, np.full(6, questions), a, b, d))
            for a, b, d in zip(WORKLOAD.gain, WORKLOAD.rate, WORKLOAD.baseline, strict=True)
        ]
    )


def test_expected_regret_is_what_simulation_says_where_errors_are_small():
    spread = spread_of_design(60000.0)
    value = measurement_value(WORKLOAD, spread, [1000.0])
    rng = np.random.default_rng(1)
    centre = np.stack([WORKLOAD.gain, WORKLOAD.rate, WORKLOAD.baseline], axis=1)
    theta = np.stack(
        [rng.multivariate_normal(c, s, size=3000) for c, s in zip(centre, spread, strict=True)], 1
    )
    draws = Draws(
        WORKLOAD,
        theta[..., 0],
        theta[..., 1],
        np.maximum(theta[..., 2], 0),
        np.broadcast_to(WORKLOAD.base_time, (3000, 3)),
        np.broadcast_to(WORKLOAD.time_per_token, (3000, 3)),
    )
    assert value.regret.sum() == pytest.approx(propagate(draws).regret.mean(), rel=0.1)


def test_saved_regret_is_that_of_the_updated_covariance():
    tokens = np.array([0.0, 300.0, 1500.0, 6000.0])
    spread = spread_of_design(300.0)
    value = measurement_value(WORKLOAD, spread, tokens, questions=250)
    for k in range(3):
        for x, at in enumerate(tokens):
            more = fisher_information(
                np.array([at]),
                np.array([250.0]),
                WORKLOAD.gain[k],
                WORKLOAD.rate[k],
                WORKLOAD.baseline[k],
            )
            updated = spread.copy()
            unit = np.diag([1.0, WORKLOAD.rate[k], 1.0])
            inner = np.linalg.inv(unit @ np.linalg.inv(spread[k]) @ unit + unit @ more @ unit)
            updated[k] = unit @ inner @ unit
            left = measurement_value(WORKLOAD, updated, tokens).regret[k]
            # at 0 tokens the accuracy of the third task is 0, which the formula keeps off 0
            if WORKLOAD.baseline[k] > 0 or at > 0:
                assert value.regret[k] - left == pytest.approx(value.saved[k, x], rel=1e-5)
    name, at, saved = value.best
    assert saved == value.saved.max()
    assert name in WORKLOAD.names
    assert at in tokens
