"""Intervals of quantiles: they cover at their level, or the run says that it was too short."""

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.simulation.sketch import BINS, COARSE_BINS, bin_of, edge
from thinkqueue.simulation.tails import quantile_estimates
from workloads import QWEN

WORKLOAD = tq.Workload.from_toml(QWEN)
TOKENS = tq.solve(WORKLOAD).tokens
MEAN = float(tq.service_moments(WORKLOAD, TOKENS)[0])
LEVELS = (0.5, 0.9, 0.95, 0.99)


def estimated(rows, levels=(0.5, 0.9), skewed=True):
    """Quantiles of samples, one a row."""
    places = np.array([[bin_of(value) for value in row] for row in rows])
    counts = np.bincount(places.ravel(), minlength=BINS)
    coarse = np.array([np.bincount(row >> 6, minlength=COARSE_BINS) for row in places])
    return quantile_estimates(
        np.array(levels), counts, coarse.astype(np.int32), 0.95, skewed=skewed
    )


def test_independent_times_get_the_interval_of_the_binomial_law():
    values = np.random.default_rng(1).exponential(10.0, (200, 50))
    for p, found in zip((0.5, 0.9), estimated(values)):
        around = p + np.array([-1.96, 1.96]) * np.sqrt(p * (1 - p) / values.size)
        ends = np.quantile(values, around)
        np.testing.assert_allclose([found.low, found.high], ends, rtol=0.015)
        assert found.observations == pytest.approx(values.size * min(p, 1 - p), rel=0.35)


def test_times_that_come_in_clusters_get_a_wider_one():
    rng = np.random.default_rng(2)
    alike = np.repeat(rng.exponential(10.0, (200, 1)), 50, axis=1)
    (found, _), (plain, _) = estimated(alike), estimated(rng.exponential(10.0, (200, 50)))
    assert found.half_width == pytest.approx(np.sqrt(50) * plain.half_width, rel=0.25)
    assert found.observations == pytest.approx(100, rel=0.2)


def test_an_atom_lies_in_its_interval_with_the_whole_of_its_bin():
    for atom in (137.644, 1.0, 3e-3):
        (found,) = estimated(np.full((100, 20), atom), levels=(0.9,))
        assert found.low <= atom < found.high
        assert found.high <= atom * (1 + 2**-7)
        assert found.low in edge(np.array([bin_of(atom)]))


def test_an_end_that_nothing_refuses_is_infinite():
    (found,) = estimated(np.random.default_rng(3).exponential(10.0, (5, 20)), levels=(0.99,))
    assert found.high == np.inf
    assert found.too_short
    (alone,) = estimated(np.ones((1, 100)), levels=(0.5,))
    assert (alone.low, alone.high) == (0.0, np.inf)
    row = np.random.default_rng(4).exponential(10.0, 500)
    for found in estimated(np.stack([row, row])):  # twice the same says nothing about chance
        assert (found.low, found.high, found.observations) == (0.0, np.inf, 0.0)


def coverage(load, jobs, seeds):
    """How often intervals hold the exact quantiles, and how often the run says too short."""
    workload = WORKLOAD.replace(arrival_rate=load / MEAN)
    exact = [float(tq.system_time_quantile(workload, TOKENS, p)) for p in LEVELS]
    held, short = np.zeros((2, seeds, len(LEVELS)), bool)
    for seed in range(seeds):
        run = tq.simulate(workload, TOKENS, jobs=jobs, seed=seed, probabilities=LEVELS)
        for place, found in enumerate(run.quantiles.values()):
            held[seed, place], short[seed, place] = found.covers(exact[place]), found.too_short
    return held, short


# with 120 seeds a count below 88 % of 95 % has a probability of 1e-3
@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "jobs"), [(0.05, 20_000), (0.3, 20_000), (0.6, 20_000), (0.9, 300_000)]
)
def test_intervals_of_quantiles_cover_at_light_and_at_heavy_load(load, jobs):
    held, short = coverage(load, jobs, 120)
    assert (held.mean(0) > 0.88).all()
    assert not short[:, :3].any()


@pytest.mark.slow
@pytest.mark.parametrize(("load", "jobs"), [(0.95, 20_000), (0.99, 100_000), (0.999, 100_000)])
def test_runs_too_short_for_a_tail_say_so(load, jobs):
    held, short = coverage(load, jobs, 40)
    assert short[:, 1:].all()
    # the claims that are made are true nineteen times of twenty: at most 7 of 40 fail
    assert (~held & ~short).sum(0).max() <= 7
    run = tq.simulate(WORKLOAD.replace(arrival_rate=load / MEAN), TOKENS, jobs=jobs, seed=0)
    assert run.mean_system_time.too_short
