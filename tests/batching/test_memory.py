"""A limit of memory: shelves, limits that are known, the engine, and formulas that must fail."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, WorkloadError, memory_limit
from workloads import LINE, batching_workload

X = np.array([500.0, 1000.0, 4000.0, 3000.0, 2000.0])


def workload(server=None, **changes):
    return batching_workload(server or Batching(LINE), **{"prompt_time": 0.0} | changes)


def test_what_the_first_of_the_line_leaves_empty_is_the_age_of_a_renewal():
    prompt = np.array([301.0, 517.0, 233.0, 411.0, 379.0])
    w = workload(prompt_tokens=prompt)
    size, shelf = X + 200 + prompt, 1e6
    g = np.random.default_rng(0)
    left = []
    for _ in range(3000):
        filled = np.cumsum(g.choice(size, 1500, p=w.share))
        left.append(shelf - filled[np.searchsorted(filled, shelf, "right") - 1])
    told = (w.share @ size**2) / (2 * (w.share @ size))
    # a piece that just fits leaves nothing: half a token less than in the continuum
    assert abs(np.mean(left) - told) < 4 * np.std(left) / np.sqrt(len(left))
    limit = memory_limit(w, X, shelf)
    area = w.share @ ((X + 200) * size)
    assert limit.places == pytest.approx((shelf - told) * (w.share @ (X + 200)) / area, rel=1e-12)
    # at the limit of the rate, all the memory but that is held, for τ(B) a token
    at_limit = limit.max_arrival_rate * area * float(LINE.seconds_at(limit.places))
    assert at_limit == pytest.approx(shelf - told, rel=1e-12)


def test_equal_lengths_without_waste_are_a_cap_and_much_memory_is_none():
    w = tq.Workload.from_arrays(
        share=[1.0], gain=0.5, rate=1e-3, baseline=0.0, answer_tokens=1000.0, arrival_rate=2.0,
        accuracy_weight=1.0, server=Batching(LINE),
    )  # fmt: skip
    none = np.zeros(1)
    capped = w.replace(server=Batching(LINE, 40, "wait"))
    # a shelf of 40.5 pieces holds 40, of which the formula knows
    limit = memory_limit(w, none, 40_500)
    assert limit.places == pytest.approx(40)
    assert limit.mean_system_time == pytest.approx(float(tq.mean_system_time(capped, none)))
    one, other = (
        tq.simulate(v, none, jobs=20_000, seed=3, memory=m)
        for v, m in ((capped, None), (w, 40_500.0))
    )
    assert one.mean_system_time == other.mean_system_time
    much = memory_limit(w, none, 1e12)
    assert much.mean_system_time == pytest.approx(float(tq.mean_system_time(w, none)), rel=1e-9)
    assert much.max_arrival_rate == pytest.approx(1 / (1000 * LINE.per_query), rel=1e-5)
    assert 40 < memory_limit(capped, none, 1e12).places + 1 < 42
    growing = memory_limit(w, none, 40_500).max_arrival_rate_growing
    assert limit.max_arrival_rate < growing < 2.1 * limit.max_arrival_rate


@pytest.mark.parametrize(("memory", "prompt", "load", "allowed"), [
    (20_000.0, 1000.0, 0.8, 0.05), (60_000.0, 0.0, 0.9, 0.06), (200_000.0, 1000.0, 0.9, 0.02),
])  # fmt: skip
def test_the_engine_agrees_and_the_same_without_a_limit_fails(memory, prompt, load, allowed):
    w = workload(prompt_tokens=prompt)
    w = w.replace(arrival_rate=load * memory_limit(w, X, memory).max_arrival_rate)
    run = tq.simulate(w, X, jobs=500_000, seed=1, memory=memory)
    limit = memory_limit(w, X, memory)
    assert abs(limit.mean_system_time / run.mean_system_time.value - 1) < allowed
    assert not run.mean_system_time.covers(float(tq.mean_system_time(w, X)))


def test_beyond_the_limit_the_line_grows_and_a_little_below_it_does_not():
    w = workload()
    limit = memory_limit(w, X, 20_000.0).max_arrival_rate
    with pytest.raises(tq.UnstableError):
        tq.simulate(w.replace(arrival_rate=1.01 * limit), X, jobs=10, seed=0, memory=20_000)
    assert memory_limit(w.replace(arrival_rate=1.01 * limit), X, 2e4).mean_system_time == np.inf
    # all come at once: what the server then does in a second is the limit
    from thinkqueue.simulation.batching import Batch, Prompts
    from thinkqueue.simulation.tally import empty_tally

    kinds = np.random.default_rng(2).choice(5, 200_000, p=w.share)
    zero = np.zeros(5)
    engine = Batch(Prompts(zero, zero), Batching(LINE), 20_000.0)
    tally = empty_tally(np.full(5, np.inf), 1, True)
    engine.advance(kinds, np.zeros(kinds.size), (X + 200)[kinds], tally)
    before = tally.sums[:, :2].sum(0)
    engine.drain(tally)
    waits, busy = tally.sums[:, 1].sum(), tally.sums[:, 2].sum()
    assert before[0] < 1000
    # they leave evenly, so the mean stay is half of the time that all take
    rate = kinds.size / (2 * (waits + busy) / kinds.size)
    assert rate == pytest.approx(limit, rel=0.02)


def test_what_makes_no_sense_is_refused():
    w = workload(prompt_tokens=100.0)
    with pytest.raises(WorkloadError, match="'AIME 25' comes to 4300: it would wait for ever"):
        memory_limit(w, X, 4200)
    with pytest.raises(WorkloadError, match="memory"):
        memory_limit(w, X, -1)
    with pytest.raises(WorkloadError, match="The limit of memory holds for a Batching"):
        memory_limit(tq.Workload.from_toml("data/workloads/qwen3-8b.toml"), X, 1e5)
    assert np.isnan(memory_limit(workload(prompt_time=0.1), X, 1e5).mean_system_time)
