"""The waiting-time distribution: closed form, invariants, simulation, stress, controls."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import thinkqueue as tq
from queues import MIXTURES, erlang_cdf, mixture, single, small
from thinkqueue.waiting_time.bounds import TailBound, bound_of, shrink
from thinkqueue.waiting_time.renewal import _Build, solve
from workloads import QWEN, hard_workload, plain_workload

LOADS = (0.01, 0.1, 0.3, 0.6, 0.9, 0.99, 0.999)

# closed form ---------------------------------------------------------------------------------


@pytest.mark.parametrize("load", LOADS)
def test_series_of_one_duration(load: float) -> None:
    """Both methods meet Erlang's exact series to 1e-8, as they must, and really to far less."""
    w, ell = single(load)
    t = np.linspace(0, 5, 101)
    exact = 1 - np.array([erlang_cdf(load, x) for x in t])
    assert np.abs(tq.waiting_time_tail(w, ell, t) - exact).max() < 1e-13
    inverted = tq.invert_waiting_time_tail(w, ell, t)
    assert np.abs(inverted.value - exact).max() < min(1e-8, inverted.error + 1e-13)


@pytest.mark.slow
def test_lindley_recursion_agrees() -> None:
    """A million waits, in independent runs; at every t the mean lies within 4.5 standard errors."""
    w = tq.Workload.from_toml(QWEN)
    ell = tq.solve(w).tokens
    service = tq.service_time(w, ell)
    generator = np.random.default_rng(9)
    runs, steps = 2000, 700
    wait = np.zeros(runs)
    t = np.array([0.0, 10.0, float(service.min()), 40.0, 80.0])
    seen = np.zeros((runs, len(t)))
    for step in range(steps):
        served = service[generator.choice(len(w), size=runs, p=w.share)]
        wait = np.maximum(wait + served - generator.exponential(1 / w.arrival_rate, runs), 0)
        if step >= 200:
            seen += wait[:, None] > t
    seen /= steps - 200
    deviation = seen.std(axis=0, ddof=1) / np.sqrt(runs)
    exact = tq.waiting_time_tail(w, ell, t)
    assert (np.abs(seen.mean(axis=0) - exact) < 4.5 * deviation).all()
    # a wrong law must fail the same test: exponential service of the same mean
    load = float(tq.utilization(w, ell))
    mean = load / w.arrival_rate
    wrong = load * np.exp(-(1 - load) / mean * t)
    assert (np.abs(seen.mean(axis=0) - wrong) > 4.5 * deviation).any()


# invariants -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("load", LOADS)
def test_tail_is_a_tail_between_its_bounds(name: str, load: float) -> None:
    queue = mixture(name, load)
    tilted = solve(queue)
    t = np.linspace(0, 3 * tilted.horizon, 4001)
    tail = tilted.tail(t)
    assert tail[0] == pytest.approx(load, rel=1e-12)
    assert tilted.tail(np.array(-1e-300)) == 1
    assert (np.diff(tail)[tail[1:] > 1e-29] < 0).all()
    assert (tail <= tilted.bound(t) * (1 + 1e-12)).all()
    assert (tail >= tilted.bound.lower(t) * (1 - 1e-12)).all()
    c = tilted.bound.asymptotic_constant
    assert tilted.low * (1 - 1e-11) <= c <= tilted.high * (1 + 1e-11)
    rate = queue.arrival_rate
    excess = rate * float(queue.share @ np.expm1(tilted.bound.decay_rate * queue.service))
    assert excess == pytest.approx(tilted.bound.decay_rate, rel=1e-9)


@pytest.mark.parametrize("load", [0.1, 0.6, 0.95])
def test_the_tail_integrates_to_the_mean(load: float) -> None:
    queue = mixture("three", load)
    tilted = solve(queue)
    edges = tilted.panels.edges
    x, weight = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    inside = float((tilted.tail(edges[:-1, None] + half * (x + 1)) * weight * half).sum())
    end = np.array(tilted.horizon)
    mean = inside + float(tilted.tail(end)) / tilted.bound.decay_rate
    assert mean == pytest.approx(queue.mean_waiting_time, rel=1e-12)


def test_kinks_are_not_smeared() -> None:
    """The slope of the tail jumps at every service time by λπ(1-ρ), within a billionth of it."""
    w = tq.Workload.from_toml(QWEN)
    ell = tq.solve(w).tokens
    wait = tq.waiting_time_distribution(w, ell)
    service = tq.service_time(w, ell)
    jump = wait.density(service * (1 + 1e-10)) - wait.density(service * (1 - 1e-10))
    expected = -w.arrival_rate * w.share * (1 - tq.utilization(w, ell))
    np.testing.assert_allclose(jump, expected, rtol=1e-6)
    # the distribution itself has slopes that agree with the density on either side
    for s in service:
        for side in (-1, 1):
            t = s * (1 + side * np.array([1e-5, 3e-5]))
            slope = (wait.tail(t[0]) - wait.tail(t[1])) / (t[1] - t[0])
            assert slope == pytest.approx(wait.density(t.mean()), rel=1e-6)


def test_queries_without_service_change_nothing() -> None:
    w = tq.Workload.from_arrays(
        share=[0.5, 0.25, 0.25],
        gain=0.3,
        rate=1e-3,
        baseline=0.1,
        base_time=[0.0, 1.0, 1.0],
        time_per_token=0.01,
        arrival_rate=1.2,
        accuracy_weight=10.0,
    )
    one, ell = single(0.6)
    t = np.linspace(0, 10, 33)
    np.testing.assert_allclose(
        tq.waiting_time_tail(w, [0, 0, 0], t), tq.waiting_time_tail(one, ell, t), rtol=1e-13
    )
    idle = w.replace(base_time=[0.0, 0.0, 0.0])
    assert (tq.waiting_time_tail(idle, [0, 0, 0], t) == 0).all()
    assert tq.system_time_quantile(idle, [0, 0, 0], 0.99) == 0
    bound = tq.tail_bound(idle, [0, 0, 0])
    assert bound(1.0) == 0
    assert bound == TailBound(np.inf, 0.0, 0.0, 0.0)


# quantiles --------------------------------------------------------------------------------------


def test_quantiles_invert_the_tails() -> None:
    w, ell = small()
    p = np.array([0.0, 0.2, 0.5, 0.9, 0.95, 0.99, 0.9999, 1 - 1e-9])
    together = tq.system_time_quantile(w, ell, p)
    assert together.shape == p.shape
    assert (np.diff(together) >= 0).all()
    assert (tq.system_time_tail(w, ell, together) <= (1 - p) * (1 + 1e-9)).all()
    before = tq.system_time_tail(w, ell, together[1:] * (1 - 1e-12))
    assert (before >= (1 - p[1:]) * (1 - 1e-9)).all()
    each = tq.system_time_quantile(w, ell, p, per_type=True)
    assert each.shape == (len(p), len(w))
    service = tq.service_time(w, ell)
    np.testing.assert_allclose(each[:2], np.broadcast_to(service, (2, len(w))))
    at = tq.system_time_tail(w, ell, each[4], per_type=True)
    np.testing.assert_allclose(np.diag(at), 0.05, rtol=1e-9)
    # where the distribution jumps, at a service time, the quantile sits on the jump
    jump = tq.system_time_quantile(w, ell, 0.2)
    assert np.abs(service - jump).min() < 1e-12


def test_bad_input_is_refused_kindly() -> None:
    w, ell = single(0.5)
    with pytest.raises(tq.UnstableError):
        tq.waiting_time_tail(w, [400.0], 1.0)
    with pytest.raises(tq.ThinkQueueError, match="not a number"):
        tq.waiting_time_tail(w, ell, np.nan)
    with pytest.raises(tq.ThinkQueueError, match=r"\[0, 1\)"):
        tq.system_time_quantile(w, ell, 1.0)
    with pytest.raises(tq.WorkloadError):
        tq.tail_bound(w, [1.0, 2.0])
    with pytest.raises(tq.WorkloadError, match="one allocation"):
        tq.waiting_time_tail(w, [[1.0], [2.0]], 1.0)
    for no_time in ("soon", None, 1j):
        with pytest.raises(tq.WorkloadError, match=r"t is .*number"):
            tq.waiting_time_tail(w, ell, no_time)  # type: ignore[arg-type]
    with pytest.raises(tq.WorkloadError, match=r"p is 'most'"):
        tq.system_time_quantile(w, ell, "most")  # type: ignore[arg-type]
    for no_error in (0.0, -1.0, np.nan, "small"):
        with pytest.raises(tq.WorkloadError, match="error is"):
            tq.invert_waiting_time_tail(w, ell, 1.0, error=no_error)  # type: ignore[arg-type]
    with pytest.raises(tq.WorkloadError, match="width is -1"):
        tq.enclose_waiting_time_tail(w, ell, 1.0, width=-1.0)
    with pytest.raises(tq.ThinkQueueError, match="one time at a call"):
        tq.enclose_waiting_time_tail(w, ell, [1.0, 2.0])  # type: ignore[arg-type]
    many = plain_workload(1, types=20)
    with pytest.raises(tq.ThinkQueueError, match="terms"):
        tq.enclose_waiting_time_tail(many, tq.solve(many).tokens, 1e4)
    assert tq.waiting_time_tail(w, ell, np.inf) == 0
    late = tq.invert_waiting_time_tail(w, ell, [1.0, 1e9, np.inf])
    assert late.error < 1e-9
    assert (late.value[1:] == 0).all()


# stress and controls ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9))
def test_hard_workloads(seed: int) -> None:
    w = hard_workload(seed, types=int(np.random.default_rng(seed).choice([1, 2, 5, 20])))
    ell = tq.solve(w, throw=False).tokens
    mean = float(tq.mean_waiting_time(w, ell))
    t = np.linspace(0, 5, 11) * mean
    wait = tq.waiting_time_distribution(w, ell)
    tail = wait.tail(t)
    inverted = tq.invert_waiting_time_tail(w, ell, t)
    assert np.isfinite(tail).all()
    assert np.abs(inverted.value - tail).max() <= inverted.error + wait.error
    assert np.isfinite(tq.system_time_quantile(w, ell, [0.5, 0.99])).all()


@pytest.mark.slow
def test_many_types() -> None:
    w = plain_workload(3, types=300)
    ell = tq.solve(w).tokens
    wait = tq.waiting_time_distribution(w, ell)
    assert wait.error < 1e-5
    t = np.array([0.0, 1.0, 3.0]) * float(tq.mean_waiting_time(w, ell))
    inverted = tq.invert_waiting_time_tail(w, ell, t, error=1e-6)
    assert np.abs(inverted.value - wait.tail(t)).max() < 1e-6


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_textbook_approximations_fail(load: float) -> None:
    """Negative control: laws with the right mean, or the right limit, are off by percents."""
    w, ell = single(load)
    wait = tq.waiting_time_distribution(w, ell)
    t = wait.quantile(0.99)
    mean = float(tq.mean_waiting_time(w, ell))
    exact = float(wait.tail(t))
    for wrong in (
        load * np.exp(-load * t / mean),
        np.exp(-t / mean),
        load * np.exp(-(1 - load) * t),
    ):
        assert abs(wrong / exact - 1) > 0.005
    assert tq.tail_bound(w, ell).asymptote(t) == pytest.approx(exact, rel=0.06)


def test_services_of_very_different_lengths_end_in_time() -> None:
    """Panels of .05 s over many times 400 s would take minutes: the transform is inverted."""
    w = tq.Workload.from_arrays(
        share=[1 - 1e-6, 1e-6],
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=[0.05, 400.0],
        time_per_token=0.01,
        arrival_rate=0.9 / (0.05 * (1 - 1e-6) + 4e-4),
        accuracy_weight=100.0,
    )
    wait = tq.waiting_time_distribution(w, [0, 0])
    assert wait._tilted is None
    assert 0 < wait.error < 1e-4
    mean, t = float(tq.mean_waiting_time(w, [0, 0])), np.array([0.0, 1.0, 400.0])
    tail = wait.tail(t)
    assert tail[0] == pytest.approx(0.9, abs=2 * wait.error)
    assert (tail <= wait.bound(t) + wait.error).all()
    assert mean > 0


@pytest.mark.parametrize("slack", [1e-3, 1e-8, 1e-12, 1e-15])
def test_the_decay_rate_of_a_server_that_is_all_but_full(slack: float) -> None:
    """θ → 2(1-ρ)/(λM) (1 - …): exact to the error that is stated, which near 1 is large."""
    w = tq.Workload.from_arrays(
        share=[0.5, 0.5],
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=[1.0, 2.0],
        time_per_token=0.01,
        arrival_rate=(1 - slack) / 1.5,
        accuracy_weight=100.0,
    )
    left = float(1 - Fraction(w.arrival_rate) * Fraction(3, 2))
    bound = tq.tail_bound(w, [0, 0])
    heavy = 2 * left / (w.arrival_rate * 2.5)
    # the next term of the expansion: θ = h (1 - h m₃ / 3M)
    expected = heavy * (1 - heavy * 4.5 / 7.5)
    assert abs(bound.decay_rate / expected - 1) <= bound.error + slack**2
    assert bound.asymptotic_constant == pytest.approx(1, abs=slack + bound.error)
    assert bound.error < 1e-12 or slack < 1e-3
    assert bound.error > 0.1 or slack > 1e-15


def test_a_server_that_is_full_by_one_order_of_rounding_is_refused() -> None:
    """A rate of 1/m less a few units in the last place: an answer, or the error that says why."""
    rng = np.random.default_rng(1)
    answered = refused = 0
    for _ in range(200):
        count = rng.integers(2, 6)
        share, service = rng.dirichlet(np.ones(count)), rng.uniform(0.05, 1, count)
        rate = 1 / float(share @ service)
        for _ in range(rng.integers(4)):
            rate = np.nextafter(rate, 0)
        w = tq.Workload.from_arrays(
            share=share,
            gain=0.5,
            rate=0.01,
            baseline=0.0,
            base_time=service,
            time_per_token=0.01,
            arrival_rate=rate,
            accuracy_weight=1.0,
        )
        try:
            found = tq.tail_bound(w, np.zeros(count)).decay_rate
        except tq.UnstableError:
            refused += 1
        else:
            answered += 1
            assert 0 < found < 1e-12
    assert answered > 20
    assert refused > 20


def test_what_shrinks_begins_at_one() -> None:
    """g(x) = x/(eˣ − 1) has no digits of its own at 0, where it is 1."""
    assert shrink(0.0) == 1.0
    assert shrink(1e-12) == pytest.approx(1 - 0.5e-12, abs=1e-15)
    assert shrink(2.0) == pytest.approx(2 / np.expm1(2.0), rel=1e-14)


@pytest.mark.parametrize("load", [0.3, 0.999])
def test_the_error_of_a_build_is_its_defects_and_how_well_the_load_is_known(load: float) -> None:
    queue = mixture("three", load)
    build = _Build(queue, bound_of(queue))
    rounding = 2e-16 * (1 + 1 / (1 - load))
    assert build.error == pytest.approx(rounding, rel=1e-9, abs=0)
    build.edges.append(5.0)
    build.defect = 1e-9
    # renewals come as often as the tilted services are short
    tilted = queue.arrival_rate * queue.share * np.exp(build.theta * queue.service)
    mean = (float(tilted @ queue.service) - 1) / build.theta
    assert build.error == pytest.approx(1e-9 * (1 + 5.0 / mean) + rounding, rel=1e-9, abs=0)
