"""The computable step: the bounds hold on the whole superlevel set, and a smaller one would not."""

from collections.abc import Iterator

import numpy as np
import pytest
from tests.workloads import plain_workload, stable_tokens

import thinkqueue as tq
from thinkqueue.smoothness import crowding

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


def relative_spectrum(workload: tq.Workload, tokens: np.ndarray) -> np.ndarray:
    """Eigenvalues of the Hessian of E[T], measured against diag(π c²)."""
    hessian = tq.negative_hessian(workload.replace(accuracy_weight=0.0), tokens).dense()
    unit = np.sqrt(workload.share) * workload.time_per_token
    return np.asarray(np.linalg.eigvalsh(hessian / np.outer(unit, unit)))


@pytest.mark.parametrize("seed", SEEDS)
def test_spectrum_of_the_mean_time_is_known_exactly(seed: int) -> None:
    """Two eigenvalues depend on the load and on the mean number of waiting queries alone."""
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, int(rng.integers(2, 9)))
    point = stable_tokens(workload, rng, 0.99 * rng.uniform())
    rate, y = workload.arrival_rate, 1 - float(tq.utilization(workload, point))
    chi = float(crowding(rate * tq.mean_waiting_time(workload, point)))
    expected = [rate / y] * (len(workload) - 2) + [rate / y**2 / chi, rate / y**2 * chi]
    seen = relative_spectrum(workload, point)
    assert seen == pytest.approx(np.sort(expected), rel=1e-8)
    assert float(tq.relative_modulus(workload, point)) == pytest.approx(seen[0], rel=1e-8)


def test_no_larger_modulus_would_do() -> None:
    """The negative control: λ/y, which the first term of the Hessian suggests, is too much."""
    rng = np.random.default_rng(0)
    workload = plain_workload(rng, 4)
    point = stable_tokens(workload, rng, 0.9)
    y = 1 - float(tq.utilization(workload, point))
    seen = relative_spectrum(workload, point)[0]
    assert seen < workload.arrival_rate / y * 0.99
    assert seen < tq.relative_modulus(workload, point) * 1.0001


@pytest.mark.parametrize("seed", range(20))
def test_new_modulus_is_never_below_the_old_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, 5)
    point = stable_tokens(workload, rng)
    least = (workload.share * workload.time_per_token**2).min()
    exact = float(tq.relative_modulus(workload, point)) * least
    assert exact >= tq.strong_concavity_modulus(workload, point) * (1 - 1e-12)


@pytest.mark.parametrize(
    ("seed", "caps"), [(s, None) for s in SEEDS] + [(s, 1.2) for s in range(9)]
)
def test_bounds_hold_wherever_a_climb_can_lead(seed: int, caps: float | None) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, int(rng.integers(1, 9)))
    if caps:
        workload = workload.replace(max_tokens=caps * tq.solve(workload).tokens)
    start = tq.solve(workload).tokens * rng.choice([0.0, 0.5, 1.0])
    bound = tq.curvature_bound(workload, start)
    for point in superlevel_points(workload, start, rng):
        assert 1 - tq.utilization(workload, point) >= bound.margin * (1 - 1e-9)
        hessian = tq.negative_hessian(workload, point).dense()
        assert np.linalg.eigvalsh(hessian)[-1] <= bound.lipschitz * (1 + 1e-9)
        diagonal = workload.share * bound.per_share
        scaled = hessian / np.sqrt(np.outer(diagonal, diagonal))
        assert np.linalg.eigvalsh(scaled)[-1] <= 1 + 1e-9
        spectrum = relative_spectrum(workload, point)
        assert spectrum[0] >= bound.floor * (1 - 1e-9)
        assert spectrum[-1] <= bound.ceiling * (1 + 1e-9)


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


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_the_linear_rate_is_kept(seed: int, scaled: bool) -> None:
    """J* − J shrinks by the promised part in each guaranteed step."""
    workload = plain_workload(np.random.default_rng(seed), 3)
    bound = tq.curvature_bound(workload, np.zeros(3))
    part = bound.scaled_rate if scaled else bound.plain_rate
    assert 0 < part < 1
    best = tq.solve(workload, gap=1e-13, throw=False)
    climb = tq.ProjectedGradient(scaled=scaled, backtracking=False)
    run = tq.solve(workload, climb, max_steps=100, throw=False)
    short = best.objective - np.array([step.objective for step in run.history])
    short = short[short > 1e-8 * (1 + abs(best.objective))]
    assert (short[1:] <= short[:-1] * (1 - part) * (1 + 1e-9)).all()


def test_a_rate_from_the_start_would_promise_too_much() -> None:
    """The negative control: with the curvature at the start for μ, the promise breaks."""
    workload = plain_workload(0, 1).replace(arrival_rate=1e-6, accuracy_weight=2000.0)
    bound = tq.curvature_bound(workload, np.zeros(1))
    part = float(tq.negative_hessian(workload, np.zeros(1)).dense()[0, 0]) / bound.lipschitz
    best = tq.solve(workload, gap=1e-13, throw=False)
    climb = tq.ProjectedGradient(scaled=False, backtracking=False)
    run = tq.solve(workload, climb, max_steps=100, throw=False)
    short = best.objective - np.array([step.objective for step in run.history])
    assert (short[1:] > short[:-1] * (1 - part)).any()


GUESS = tq.Workload.from_arrays(
    share=[0.998, 0.002],
    gain=[0.05, 0.8],
    rate=[0.0014, 0.005],
    baseline=0.0,
    base_time=[0.01, 0.54],
    time_per_token=[0.02, 0.05],
    arrival_rate=3.0,
    accuracy_weight=80_000.0,
)


def test_the_larger_curvature_of_start_and_end_is_too_small() -> None:
    """Chapter 5's guess: on this workload a step of its length leads downhill."""
    start, best = np.zeros(2), tq.solve(GUESS)
    guess = max(
        np.linalg.eigvalsh(tq.negative_hessian(GUESS, x).dense())[-1] for x in (start, best.tokens)
    )
    tokens, heights = start, [float(tq.objective(GUESS, start))]
    for _ in range(40):
        tokens = np.clip(tokens + tq.gradient(GUESS, tokens) / guess, 0, GUESS.max_tokens)
        heights.append(float(tq.objective(GUESS, tokens)))
    assert np.diff(heights).min() < -0.5
    assert guess < tq.curvature_bound(GUESS, start).lipschitz
