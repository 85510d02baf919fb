"""Plain iteration does one of three things, and the map of regimes says which."""

import numpy as np
import pytest
from tests.workloads import plain_workload

import thinkqueue as tq
from thinkqueue.solution import Status


def qwen(arrival_rate: float, accuracy_weight: float = 600.0) -> tq.Workload:
    return tq.Workload.from_toml("data/workloads/qwen3-8b.toml").replace(
        arrival_rate=arrival_rate, accuracy_weight=accuracy_weight
    )


CASES = [
    (0.001, tq.Regime.CONTRACTS, Status.CONVERGED),
    (0.005, tq.Regime.CONVERGES, Status.CONVERGED),
    (0.01, tq.Regime.OSCILLATES, Status.OSCILLATES),
    (0.02, tq.Regime.LEAVES, Status.LEFT_STABLE_REGION),
]


@pytest.mark.parametrize(("rate", "regime", "status"), CASES)
def test_the_four_servers_of_the_book(rate: float, regime: tq.Regime, status: Status) -> None:
    workload = qwen(rate)
    assert tq.solve(workload, tq.FixedPoint(), throw=False).status is status
    found = tq.fixed_point_regimes(workload, arrival_rate=rate, accuracy_weight=600.0)
    assert found == regime


@pytest.mark.parametrize(("rate", "status"), [(rate, status) for rate, _, status in CASES[2:]])
def test_failure_is_an_error_with_the_best_allocation(rate: float, status: Status) -> None:
    with pytest.raises(tq.NotConvergedError, match="ConditionalGradient") as caught:
        tq.solve(qwen(rate), tq.FixedPoint())
    solution = caught.value.solution
    assert isinstance(solution, tq.Solution)
    assert solution.utilization < 1
    assert solution.upper_bound >= tq.solve(qwen(rate)).objective - 1e-9
    assert solution.status is status
    assert solution.objective == max(entry.objective for entry in solution.history)
    assert solution.objective == pytest.approx(tq.objective(qwen(rate), solution.tokens), rel=1e-12)


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.01])
def test_iterates_enclose_the_optimum(rate: float) -> None:
    workload = qwen(rate)
    best, low = tq.solve(workload, gap=1e-16, throw=False).tokens, np.zeros(5)
    high = tq.fixed_point_map(workload, low)
    for _ in range(10):
        next_low = tq.fixed_point_map(workload, high)
        next_high = tq.fixed_point_map(workload, next_low)
        assert (low <= next_low + 1e-9).all()
        assert (next_high <= high + 1e-9).all()
        assert (next_low <= best + 1e-3).all()
        assert (best <= next_high + 1e-3).all()
        low, high = next_low, next_high


@pytest.mark.parametrize("seed", range(30))
def test_map_agrees_with_iteration_on_random_servers(seed: int) -> None:
    workload = plain_workload(np.random.default_rng(seed), 5)
    regime = tq.fixed_point_regimes(
        workload,
        arrival_rate=workload.arrival_rate,
        accuracy_weight=workload.accuracy_weight,
        steps=20_000,
    )
    run = tq.solve(workload, tq.FixedPoint(), throw=False, max_steps=40_000)
    expected = {
        Status.LEFT_STABLE_REGION: {tq.Regime.LEAVES},
        Status.OSCILLATES: {tq.Regime.OSCILLATES},
        Status.CONVERGED: {tq.Regime.CONVERGES, tq.Regime.CONTRACTS},
    }
    assert int(regime) in expected[run.status]


@pytest.mark.parametrize("seed", range(30))
def test_contraction_shrinks_distances_by_its_modulus(seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, 5)
    high = tq.solve(workload).tokens + 1
    low = high * rng.uniform(0, 0.5)
    kappa = tq.contraction_modulus(workload, low, high)
    x, z = (low + rng.uniform(size=5) * (high - low) for _ in range(2))
    moved = np.abs(tq.fixed_point_map(workload, x) - tq.fixed_point_map(workload, z)).max()
    assert moved <= kappa * np.abs(x - z).max() * (1 + 1e-9)


def test_kappa_below_one_converges_at_its_rate() -> None:
    workload = qwen(0.001)
    best = tq.solve(workload, gap=1e-14, throw=False).tokens
    low, high = np.zeros(5), tq.fixed_point_map(workload, np.zeros(5))
    kappa, tokens = tq.contraction_modulus(workload, low, high), low
    assert kappa < 1
    for _ in range(6):
        following = tq.fixed_point_map(workload, tokens)
        assert np.abs(following - best).max() <= kappa * np.abs(tokens - best).max() + 1e-6
        tokens = following


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.01, 0.02, 0.2, 2.0, 6.0])
def test_line_search_rescues_every_load(rate: float) -> None:
    workload = qwen(rate)
    run = tq.solve(workload, tq.ConditionalGradient())
    assert run.converged
    assert run.objective == pytest.approx(tq.solve(workload).objective, abs=2e-9)
    heights = [step.objective for step in run.history]
    assert (np.diff(heights) >= -1e-12 * abs(heights[-1])).all()


def test_no_steps_at_all_are_refused() -> None:
    with pytest.raises(tq.WorkloadError, match=r"steps must be .* at least 1"):
        tq.fixed_point_regimes(qwen(0.02), arrival_rate=[0.02], accuracy_weight=1.0, steps=0)
