"""The computable step: the bounds hold on the whole superlevel set, and a smaller one would not."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.workloads import plain_workload

import thinkqueue as tq

SEEDS = range(60)


def farthest(workload: tq.Workload, height: float, top: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Follow a direction from the optimum to the edge of the superlevel set or of the box."""
    inside, outside = 0.0, 2 * float(np.linalg.norm(workload.max_tokens))
    for _ in range(50):
        middle = (inside + outside) / 2
        trial = np.clip(top + middle * d, 0, workload.max_tokens)
        stable = tq.utilization(workload, trial) < 1
        if stable and tq.objective(workload, trial) >= height:
            inside = middle
        else:
            outside = middle
    return np.clip(top + inside * d, 0, workload.max_tokens)


def superlevel_points(
    workload: tq.Workload, start: np.ndarray, rng: np.random.Generator, rays: int = 8
) -> Iterator[np.ndarray]:
    """Points of {J ≥ J(start)}, most of them on its edge, where load and curvature are largest."""
    yield start
    top, height = tq.solve(workload).tokens, float(tq.objective(workload, start))
    yield top
    crowd = 1 / (workload.share * workload.time_per_token)
    for d in [crowd, *rng.normal(size=(rays, len(workload)))]:
        edge = farthest(workload, height, top, d / np.linalg.norm(d))
        yield edge
        yield top + rng.uniform() * (edge - top)


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_hold_wherever_a_climb_can_lead(seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, int(rng.integers(1, 9)))
    start = tq.solve(workload).tokens * rng.choice([0.0, 0.5, 1.0])
    bound = tq.curvature_bound(workload, start)
    for point in superlevel_points(workload, start, rng):
        assert 1 - tq.utilization(workload, point) >= bound.margin * (1 - 1e-9)
        hessian = tq.negative_hessian(workload, point).dense()
        assert np.linalg.eigvalsh(hessian)[-1] <= bound.lipschitz * (1 + 1e-9)
        diagonal = workload.share * bound.per_share
        scaled = hessian / np.sqrt(np.outer(diagonal, diagonal))
        assert np.linalg.eigvalsh(scaled)[-1] <= 1 + 1e-9


def test_a_bound_from_the_start_alone_would_fail() -> None:
    """The curvature at the start is what a careless reader would take for L."""
    broken = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        workload = plain_workload(rng, int(rng.integers(1, 9)))
        start = np.zeros(len(workload))
        careless = np.linalg.eigvalsh(tq.negative_hessian(workload, start).dense())[-1]
        broken += any(
            np.linalg.eigvalsh(tq.negative_hessian(workload, point).dense())[-1]
            > careless * (1 + 1e-6)
            for point in superlevel_points(workload, start, rng, rays=2)
        )
    assert broken > len(SEEDS) / 4


def test_bound_is_tight_for_one_type_on_an_idle_server() -> None:
    workload = plain_workload(np.random.default_rng(1), 1).replace(arrival_rate=1e-9)
    start = np.zeros(1)
    seen = float(tq.negative_hessian(workload, start).dense()[0, 0])
    assert tq.curvature_bound(workload, start).lipschitz == pytest.approx(seen, rel=1e-3)


def test_margin_when_service_takes_no_time_without_thinking() -> None:
    workload = plain_workload(np.random.default_rng(2), 5).replace(base_time=0.0, arrival_rate=0.2)
    bound = tq.curvature_bound(workload, np.zeros(5))
    assert 0 < bound.margin < 1
    assert 1 - tq.solve(workload).utilization >= bound.margin


VARIANTS = [
    tq.ProjectedGradient(scaled=scaled, backtracking=backtracking, accelerated=accelerated)
    for scaled in (False, True)
    for backtracking in (False, True)
    for accelerated in (False, True)
]


@pytest.mark.parametrize("solver", VARIANTS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_every_variant_rises_in_every_step(solver: tq.ProjectedGradient, seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, 5)
    run = tq.solve(workload, solver, max_steps=200, throw=False)
    heights = np.array([step.objective for step in run.history])
    blur = 1e-12 * np.abs(heights).max()
    assert (np.diff(heights) >= -blur).all()
    assert max(step.utilization for step in run.history) < 1
    assert min(step.gap for step in run.history) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_the_plain_step_keeps_its_promises(seed: int) -> None:
    """Each step gains L/2 |d|², and the distance to J* falls like L |ℓ* − ℓ⁰|² / 2n."""
    workload = plain_workload(np.random.default_rng(seed), 5)
    start = np.zeros(5)
    bound, best = tq.curvature_bound(workload, start), tq.solve(workload)
    steps = tq.ProjectedGradient(scaled=False, backtracking=False).iterates(workload, start)
    last = None
    for n, look in zip(range(300), steps, strict=False):
        if last is not None:
            gain = float(look.objective - last.objective)
            moved = float(np.sum((look.tokens - last.tokens) ** 2))
            assert gain >= bound.lipschitz / 2 * moved - 1e-11 * abs(best.objective)
            promise = bound.lipschitz / (2 * n) * float(np.sum((best.tokens - start) ** 2))
            assert best.objective - float(look.objective) <= promise + 1e-9
        last = look
