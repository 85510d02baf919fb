"""Paired runs: they resolve what independent runs cannot, down to the loss from rounding."""

import numpy as np
import pytest

import thinkqueue as tq
from workloads import QWEN

WORKLOAD = tq.Workload.from_toml(QWEN)
BEST = tq.solve(WORKLOAD).tokens


def mean_time(tokens):
    return float(tq.mean_system_time(WORKLOAD, tokens))


@pytest.mark.parametrize("step", [0.5, 40.0])
def test_difference_slope_and_remainder_agree_with_theory(step):
    other = BEST + step * np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    found = tq.simulate_difference(WORKLOAD, BEST, other, jobs=2_000_000, seed=1, level=0.999)
    worth = WORKLOAD.accuracy_weight * WORKLOAD.weight * WORKLOAD.gain * WORKLOAD.rate
    marginal = WORKLOAD.share * worth * np.exp(-WORKLOAD.rate * BEST)
    slope = float((marginal - tq.gradient(WORKLOAD, BEST)) @ (other - BEST))
    exact = mean_time(other) - mean_time(BEST)
    assert found.system_time.covers(exact)
    assert found.slope.covers(slope)
    assert found.remainder.covers(exact - slope)
    assert found.objective.covers(
        float(tq.objective(WORKLOAD, other) - tq.objective(WORKLOAD, BEST))
    )


def test_pairing_resolves_the_rounding_loss_and_independent_runs_do_not():
    rounded = np.rint(BEST)
    found = tq.simulate_difference(WORKLOAD, BEST, rounded, jobs=20_000_000, seed=4, level=0.999)
    exact = mean_time(rounded) - mean_time(BEST)
    assert found.system_time.half_width < abs(exact) / 100
    assert found.independent_half_width > 5 * abs(exact)
    # at the optimum the slope of J is zero, so the loss is the curvature of the accuracies, which
    # is known, and the remainder, which is simulated
    worth = WORKLOAD.accuracy_weight * WORKLOAD.weight * WORKLOAD.share * WORKLOAD.gain
    z = WORKLOAD.rate * (rounded - BEST)
    curved = float(worth * np.exp(-WORKLOAD.rate * BEST) @ (np.expm1(-z) + z))
    loss = float(tq.objective(WORKLOAD, BEST) - tq.objective(WORKLOAD, rounded))
    assert curved + found.remainder.low < loss < curved + found.remainder.high
    assert found.objective.half_width > loss > found.remainder.half_width
    assert found.remainder.half_width < 0.5 * found.remainder.value


def test_equal_allocations_do_not_differ():
    found = tq.simulate_difference(WORKLOAD, BEST, BEST, jobs=1000, seed=1)
    assert found.system_time.value == found.slope.value == found.remainder.value == 0.0


def test_the_remainder_is_positive_on_every_path():
    rng = np.random.default_rng(3)
    for seed in range(20):
        other = np.clip(BEST + rng.normal(0, 500, BEST.size), 0, None)
        found = tq.simulate_difference(WORKLOAD, BEST, other, jobs=500, seed=seed)
        assert found.remainder.value >= -1e-9
