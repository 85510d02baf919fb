"""The branching of work: closed forms, moments, a plain integral equation, the engine, controls."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, WorkloadError, branching_time
from workloads import LINE, batching_workload

X = np.array([500.0, 1000.0, 4000.0, 3000.0, 2000.0])
HEAVY = TokenTime(6.5e-3, 9.7e-5, 1e-6)


def loaded(load, time=HEAVY, **changes):
    w = batching_workload(Batching(time), **changes)
    return w.replace(arrival_rate=load * w.arrival_rate / float(tq.utilization(w, X)))


def one_type(time, x, rate, prompt_time=0.0, prompt_tokens=0.0):
    return tq.Workload.from_arrays(
        share=[1.0], gain=0.5, rate=1e-3, baseline=0.0, answer_tokens=x, arrival_rate=rate,
        prompt_time=prompt_time, prompt_tokens=prompt_tokens, accuracy_weight=1.0,
        server=Batching(time),
    )  # fmt: skip


@pytest.mark.parametrize("load", [0.01, 0.5, 0.9, 0.99])
def test_without_prompts_and_context_it_is_the_closed_form(load):
    w = loaded(load, LINE, prompt_time=0.0)
    found, exact = branching_time(w, X), tq.mean_type_time(w, X)
    np.testing.assert_allclose(found.mean, exact, rtol=2e-6 if load < 0.95 else 1e-4)
    assert (np.abs(found.mean - exact) <= found.error + 1e-9 * exact).all()
    assert found.mean_system_time == pytest.approx(float(tq.mean_system_time(w, X)), rel=1e-4)


def test_prompts_alone_are_a_queue_that_nobody_is_first_in():
    # the rest of what is read, one's own, and whoever comes meanwhile
    p, lam = np.array([0.1, 2.0]), 0.5
    w = tq.Workload.from_arrays(
        share=[0.5, 0.5], gain=0.5, rate=1e-3, baseline=0.0, answer_tokens=1e-6, prompt_time=p,
        arrival_rate=lam, accuracy_weight=1.0, server=Batching(LINE),
    )  # fmt: skip
    rho = lam * p.mean()
    rest = lam * (p**2).mean() / 2
    np.testing.assert_allclose(
        branching_time(w, np.zeros(2)).mean, (p + rest / (1 - rho)) / (1 - rho), rtol=1e-6
    )
    nothing = w.replace(answer_tokens=0.0)
    np.testing.assert_allclose(
        branching_time(nothing, np.zeros(2)).mean, (p + rest / (1 - rho)) / (1 - rho), rtol=1e-12
    )


def test_it_is_what_iterating_the_generations_gives():
    """The same by plain sums over generations on a coarse grid, without any transform."""
    time, x, c, p, n = TokenTime(0.01, 1e-3, 2e-6), 1000.0, 300.0, 0.2, 500
    w = one_type(time, x, 0.25, p, c)
    lam, h = 0.25, x / n
    middle = h * (np.arange(n) + 0.5)
    own = np.concatenate([[p], h * (1e-3 + 2e-6 * (c + middle))])  # an atom, then cells

    def after(one, other, cells):
        """Convolve two lists of an atom and cells; a cell and a cell meet between two cells."""
        both = np.convolve(one[1:], other[1:])
        both = np.concatenate([both, [0.0]]) / 2 + np.concatenate([[0.0], both]) / 2
        out = np.zeros(cells + 1)
        out[0] = one[0] * other[0]
        for part in (both, one[0] * other[1:], other[0] * one[1:]):
            out[1 : 1 + min(part.size, cells)] += part[:cells]
        return out

    cells = 24 * n
    generation = lam * np.concatenate([own, np.zeros(cells - n)])
    births = np.zeros(cells + 1)
    births[0] = 1.0
    for _ in range(120):
        births = births + generation
        generation = after(generation, lam * own, cells)
    family = after(births, own, cells)
    assert births.sum() == pytest.approx(1 / (1 - lam * own.sum()), rel=1e-3)
    # who is met: R(s) = λ ∫ A(dU) ∫ B(du) F(s + U + u), on cells that are h apart
    reach = family[1:] / h
    met = np.zeros(n)
    line = after(births, own, cells)  # the age of an ancestor when the next one was born, summed
    for place in range(n):
        s = middle[place]
        ages = np.concatenate([[0.0], h * (np.arange(cells) + 0.5)])
        met[place] = lam * line @ np.interp(s + ages, h * (np.arange(cells) + 0.5), reach, right=0)
    atom = lam * p * p / (1 - lam * p) ** 2 / 2
    told = 0.01 * x / (1 - lam * own.sum()) + family[: n + 1].sum() + met.sum() * h + atom
    assert branching_time(w, np.zeros(1)).mean[0] == pytest.approx(told, rel=2e-3)
    # the simple form is further off than that
    simple = float(tq.mean_system_time(w, np.zeros(1)))
    assert abs(simple / told - 1) > 4e-3


@pytest.mark.parametrize(
    ("prompt_time", "prompt_tokens", "load", "scale"),
    [
        (0.5, 0.0, 0.8, 0.05),
        (0.0, 2000.0, 0.8, 1.0),
        (0.3, 1000.0, 0.6, 0.1),
        (1.0, 0.0, 0.5, 0.02),
    ],
)
def test_the_engine_agrees_where_the_simple_form_need_not(prompt_time, prompt_tokens, load, scale):
    prompts = prompt_time * np.array([0.2, 1.0, 2.0, 0.5, 1.0])
    w = batching_workload(
        Batching(HEAVY), prompt_time=prompts, prompt_tokens=prompt_tokens, answer_tokens=50.0
    )
    w = w.replace(arrival_rate=load * w.arrival_rate / float(tq.utilization(w, scale * X)))
    run = tq.simulate(w, scale * X, jobs=1_000_000, seed=6, level=0.999)
    told = branching_time(w, scale * X)
    assert told.error.max() < 1e-5 * told.mean.max()
    assert run.mean_system_time.covers(told.mean_system_time)
    assert run.mean_system_time.half_width < 0.04 * told.mean_system_time
    times = run.per_type.mean_system_time
    assert ((times.low <= told.mean) & (told.mean <= times.high)).all()
    if scale < 0.1:
        assert not run.mean_system_time.covers(float(tq.mean_system_time(w, scale * X)))


def test_lengths_of_any_kind_and_alike_types_change_nothing():
    w = loaded(0.6, prompt_time=0.1)
    told = branching_time(w, X)
    twice = tq.Workload.from_arrays(
        share=np.repeat(w.share / 2, 2), gain=0.5, rate=1e-3, baseline=0.0,
        answer_tokens=np.repeat(X + 200, 2), prompt_time=0.1, arrival_rate=w.arrival_rate,
        accuracy_weight=1.0, server=w.server,
    )  # fmt: skip
    np.testing.assert_allclose(
        branching_time(twice, np.zeros(10)).mean, np.repeat(told.mean, 2), rtol=1e-12
    )
    # in units of milliseconds and of kilotokens all is the same
    small = w.replace(
        server=Batching(TokenTime(6.5, 9.7e-2, 1e0)), answer_tokens=0.2, prompt_time=0.1,
        max_tokens=32.768,
    )  # fmt: skip
    np.testing.assert_allclose(branching_time(small, X / 1000).mean, told.mean, rtol=1e-9)


def test_what_it_does_not_hold_for_is_refused():
    w = batching_workload(Batching(LINE, 64), prompt_time=0.0)
    with pytest.raises(WorkloadError, match="without a cap"):
        branching_time(w, X)
    with pytest.raises(WorkloadError, match="holds for a Batching"):
        branching_time(tq.Workload.from_toml("data/workloads/qwen3-8b.toml"), X)
    with pytest.raises(tq.UnstableError):
        branching_time(loaded(0.5).replace(arrival_rate=100.0), X)
