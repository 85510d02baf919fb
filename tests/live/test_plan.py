"""Plans over measured budgets: the best of all of them, at the load that was asked for."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.live import plan
from thinkqueue.live.calibration import GRID
from thinkqueue.live.questions import SHARES

BASE, SLOPE = (0.05, 0.06, 0.075), 0.009
GAINS = (0.8, 0.5, 0.2)


@pytest.fixture(scope="module")
def measured() -> plan.MeasuredEngine:
    """What a calibration without noise would come to."""
    service = [
        {"type": t, "budget": str(b), "prompt_kept": "1", "seconds": str(base + SLOPE * b)}
        for t, base in zip(SHARES, BASE)
        for b in GRID
        for _ in range(3)
    ]
    accuracy = [
        {"type": t, "budget": str(b), "right": str(int(q < 60 * gain * (1 - np.exp(-b / 6))))}
        for t, gain in zip(SHARES, GAINS)
        for b in GRID
        for q in range(60)
    ]
    return plan.MeasuredEngine.of(service, accuracy)


def test_lines_and_shares_are_found_again(measured: plan.MeasuredEngine) -> None:
    w = measured.workload(1.0)
    np.testing.assert_allclose(w.base_time, BASE, rtol=1e-9)
    np.testing.assert_allclose(w.time_per_token, SLOPE, rtol=1e-9)
    expected = np.outer(GAINS, 1 - np.exp(-np.array(GRID) / 6))
    np.testing.assert_allclose(measured.accuracy, expected, atol=1 / 60)


def test_no_allocation_of_measured_budgets_is_better(measured: plan.MeasuredEngine) -> None:
    w = measured.workload(4.0)
    tried = {
        tokens: float(tq.objective(w, tokens))
        for tokens in product(GRID, repeat=len(SHARES))
        if tq.utilization(w, tokens) < 1
    }
    np.testing.assert_array_equal(plan.best(w), max(tried, key=tried.__getitem__))
    equal = {tokens: value for tokens, value in tried.items() if len(set(tokens)) == 1}
    np.testing.assert_array_equal(plan.best_for_all(w), max(equal, key=equal.__getitem__))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_load_is_where_the_best_allocation_jumps_over_it(
    measured: plan.MeasuredEngine, load: float
) -> None:
    rate = plan.rate_at(measured, load)
    below, above = (measured.workload(rate * (1 + side)) for side in (-1e-6, 1e-6))
    assert tq.utilization(below, plan.best(below)) <= load + 1e-5
    jumped = np.any(plan.best(above) != plan.best(below))
    assert jumped or tq.utilization(above, plan.best(above)) >= load - 1e-5


def test_the_rule_thinks_less_the_more_wait(measured: plan.MeasuredEngine) -> None:
    w = measured.workload(plan.rate_at(measured, 0.8))
    table = np.array(plan.rule(w))
    assert (np.diff(table, axis=0) <= 0).all()
    assert table[0].max() > 0
    assert not table[-1].any()


def test_the_rule_is_the_best_reply_to_its_price(measured: plan.MeasuredEngine) -> None:
    """By quadrature of the price over the service, and not by its closed form."""
    w = measured.workload(plan.rate_at(measured, 0.8))
    y = 1 - float(tq.utilization(w, plan.best(w)))
    for waiting, row in enumerate(plan.rule(w)[:5]):
        for k, chosen in enumerate(row):
            earned = []
            for budget in GRID:
                seconds = float(w.base_time[k]) + float(w.time_per_token[k]) * budget
                moments = np.linspace(0, seconds, 2001)
                price = 1 + (waiting + w.arrival_rate * moments) / y
                alone = np.where(np.arange(len(SHARES)) == k, float(budget), 0.0)
                worth = w.accuracy_weight * float(tq.accuracy(w, alone)[k])
                earned.append(worth - float(np.trapezoid(price, moments)))
            assert earned[GRID.index(chosen)] == pytest.approx(max(earned), abs=1e-6)


def test_the_step_table_is_seconds_over_steps() -> None:
    rows = [
        {"busy": "1", "steps": "10", "seconds": "0.1"},
        {"busy": "2", "steps": "10", "seconds": "0.21"},
        {"busy": "2", "steps": "20", "seconds": "0.39"},
    ]
    table = plan.step_table(rows)
    np.testing.assert_allclose(table.seconds_at([1.0, 2.0]), [0.01, 0.02])


def test_a_batch_of_one_is_the_server_alone(measured: plan.MeasuredEngine) -> None:
    steps = tq.TokenTime.table([1, 8], [SLOPE, 0.05], allow=True)
    tokens = np.array([0.0, 4.0, 8.0])
    one = measured.workload(3.0)
    alike = measured.batched(3.0, steps, 1)
    assert tq.mean_system_time(alike, tokens) == pytest.approx(
        float(tq.mean_system_time(one, tokens)), rel=1e-3
    )
