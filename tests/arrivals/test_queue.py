"""Given arrivals through the queue: exact slopes, certified budgets, and the corrected formula."""

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrivals import (
    MarkovModulated,
    OnRecord,
    Records,
    Trace,
    corrected_waiting_time,
    fitted_variability,
    solve_corrected,
)
from workloads import QWEN, plain_workloads

WORKLOAD = tq.Workload.from_toml(QWEN)
BEST = tq.solve(WORKLOAD)
POISSON = MarkovModulated(high=(1.0,), low=(1.0,), up=(1.0,), down=(1.0,))
BURSTY = MarkovModulated(high=(4.8,), low=(0.05,), up=(0.02,), down=(0.08,))


@pytest.fixture(scope="module")
def bursty():
    return Records.draw(WORKLOAD, BURSTY, seed=3, replications=10, jobs=5000)


def test_poisson_arrivals_wait_as_the_formula_says():
    records = Records.draw(WORKLOAD, POISSON, seed=1, replications=100, jobs=5000)
    exact = float(tq.mean_waiting_time(WORKLOAD, BEST.tokens))
    assert records.mean_waiting_time(BEST.tokens, level=0.999).covers(exact)
    assert fitted_variability(records, BEST.tokens) == pytest.approx(1.0, abs=0.1)


def test_bursty_arrivals_do_not(bursty):
    exact = float(tq.mean_waiting_time(WORKLOAD, BEST.tokens))
    assert bursty.mean_waiting_time(BEST.tokens, level=0.999).low > 2 * exact


def test_waiting_times_are_lindleys(bursty):
    service = np.asarray(tq.service_time(WORKLOAD, BEST.tokens))
    waits, wait = [], 0.0
    for kind, gap in zip(bursty.kinds[0], bursty.gaps[0], strict=True):
        waits.append(wait)
        wait = max(0.0, wait + service[kind] - gap)
    assert bursty.waiting(BEST.tokens)[0][0] == pytest.approx(np.mean(waits), rel=1e-12)


def test_the_slope_is_the_finite_difference_and_lies_below_the_function(bursty):
    drawn = np.bincount(bursty.kinds.ravel(), minlength=5) / bursty.kinds.size
    _, slope = bursty.waiting(BEST.tokens)
    waiting_slope = slope - drawn * WORKLOAD.time_per_token
    for k in range(5):
        step = np.zeros(5)
        step[k] = 1e-4
        up, down = (bursty.waiting(BEST.tokens + sign * step)[0].mean() for sign in (1, -1))
        assert waiting_slope[k] == pytest.approx((up - down) / 2e-4, rel=1e-3)
    rng = np.random.default_rng(1)
    here = bursty.waiting(BEST.tokens)[0].mean()
    for _ in range(50):
        other = np.clip(BEST.tokens + rng.normal(0, 1000, 5), 0, None)
        tangent = here + waiting_slope @ (other - BEST.tokens)
        assert bursty.waiting(other)[0].mean() >= tangent - 1e-9


def test_the_budgets_found_on_a_record_are_certified_and_beat_all_others(bursty):
    best = bursty.solve()
    assert 0 <= best.gap < 1e-3
    assert best.objective == pytest.approx(bursty.objective(best.tokens), rel=1e-12)
    rng = np.random.default_rng(2)
    for _ in range(100):
        other = np.clip(best.tokens * rng.lognormal(0, 0.3, 5), 0, 32768)
        assert bursty.objective(other) <= best.objective + best.gap
    assert bursty.objective(BEST.tokens) < best.objective - 1


def test_on_poisson_arrivals_the_best_budgets_are_those_of_the_formula():
    records = Records.draw(WORKLOAD, POISSON, seed=5, replications=50, jobs=10_000)
    best = records.solve()
    lost = BEST.objective - float(tq.objective(WORKLOAD, best.tokens))
    assert 0 <= lost < 0.05


def test_without_correction_the_corrected_problem_is_the_poisson_one():
    for workload in [WORKLOAD, *plain_workloads(10, seed=4)]:
        best, plain = solve_corrected(workload, 1.0), tq.solve(workload)
        assert best.objective == pytest.approx(plain.objective, abs=1e-5)
        assert -1e-9 < best.gap < 1e-3
        assert corrected_waiting_time(workload, plain.tokens, 1.0) == pytest.approx(
            float(tq.mean_waiting_time(workload, plain.tokens))
        )


@pytest.mark.parametrize("variability", [0.0, 0.5, 4.0, 170.0])
def test_the_corrected_optimum_is_certified_for_every_variability(variability):
    best = solve_corrected(WORKLOAD, variability)
    assert -1e-9 < best.gap < 1e-6
    assert float(tq.utilization(WORKLOAD, best.tokens)) < 1


@pytest.mark.parametrize("variability", [0.0, 0.5, 4.0, 170.0])
def test_the_corrected_formula_and_its_optimum(variability):
    m, second = (float(moment) for moment in tq.service_moments(WORKLOAD, BEST.tokens))
    rate = WORKLOAD.arrival_rate
    exact = rate * (second + (variability - 1) * m**2) / (2 * (1 - rate * m))
    said = corrected_waiting_time(WORKLOAD, BEST.tokens, variability)
    assert said == pytest.approx(exact, rel=1e-12)

    def worth(tokens):
        wait = corrected_waiting_time(WORKLOAD, tokens, variability)
        time = float(tq.service_moments(WORKLOAD, tokens)[0]) + wait
        return WORKLOAD.accuracy_weight * float(tq.mean_accuracy(WORKLOAD, tokens)) - time

    best = solve_corrected(WORKLOAD, variability)
    assert best.objective == pytest.approx(worth(best.tokens), rel=1e-12)
    rng = np.random.default_rng(3)
    for _ in range(100):
        other = best.tokens * rng.lognormal(0, 0.02, 5)
        assert worth(other) <= best.objective + best.gap + 1e-9


def test_the_slope_that_plans_is_that_of_the_mean_time_also_where_types_are_not_the_shares():
    records = Records.draw(WORKLOAD, BURSTY, seed=11, replications=1, jobs=60)
    drawn = np.bincount(records.kinds.ravel(), minlength=5) / records.kinds.size
    assert abs(drawn - WORKLOAD.share).max() > 0.03
    state = OnRecord(records).at(WORKLOAD, BEST.tokens)
    assert state.time == pytest.approx(records.mean_system_time(BEST.tokens), rel=1e-12)
    for k, step in enumerate(1e-4 * np.eye(5)):
        up, down = (records.mean_system_time(BEST.tokens + sign * step) for sign in (1, -1))
        assert WORKLOAD.share[k] * state.price[k] == pytest.approx((up - down) / 2e-4, rel=1e-5)


def test_the_correction_recovers_most_of_what_burstiness_costs(bursty):
    best = bursty.solve()
    corrected = solve_corrected(WORKLOAD, fitted_variability(bursty, BEST.tokens))
    lost = best.objective - bursty.objective(BEST.tokens)
    still = best.objective - bursty.objective(corrected.tokens)
    assert still < 0.2 * lost


def test_a_trace_is_brought_to_the_rate_of_the_workload():
    trace = Trace.of(np.cumsum(BURSTY.sample(2000, 1)))
    records = Records.draw(WORKLOAD, trace, seed=1, replications=3)
    assert records.gaps.shape == (1, trace.times.size)
    assert 1 / records.gaps[0, :-1].mean() == pytest.approx(WORKLOAD.arrival_rate)
    np.testing.assert_array_equal(
        records.kinds, Records.draw(WORKLOAD, trace, seed=1, replications=3).kinds
    )
