"""The queue against closed forms that it does not use itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import thinkqueue as tq
from thinkqueue import UnstableError, Workload, WorkloadError
from workloads import hard_workloads, plain_workload, stable_tokens


def queue_of(service_times, share, arrival_rate: float) -> Workload:
    """A queue with these service times; nobody thinks."""
    return Workload.from_arrays(
        share=share,
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=service_times,
        time_per_token=0.01,
        arrival_rate=arrival_rate,
        accuracy_weight=1.0,
    )


def as_one_stream(mean_waiting_time, w: Workload) -> float:
    return float(mean_waiting_time(w, np.zeros(len(w))))


# closed forms


@pytest.mark.parametrize("load", [1e-6, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9])
def test_constant_service_waits_as_in_m_d_1(load):
    w = queue_of([2.0], [1.0], load / 2)
    expected = 2.0 * load / (2 * (1 - load))
    np.testing.assert_allclose(tq.mean_waiting_time(w, [0.0]), expected, rtol=1e-7)
    np.testing.assert_allclose(tq.mean_system_time(w, [0.0]), 2 + expected, rtol=1e-7)


def m_d_1_by_its_law(load: float) -> float:
    """E[W] for a service of 1 s, from the stationary law of the number in system.

    The law is that of the chain embedded at departures, whose transition matrix is made of Poisson
    probabilities; Little's law turns its mean into a time.
    """
    size = 400
    arrivals = stats.poisson.pmf(np.arange(size), load)
    p = np.zeros(size)
    p[0] = 1 - load
    for n in range(size - 1):
        known = p[0] * arrivals[n] + p[1 : n + 1] @ arrivals[n:0:-1]
        p[n + 1] = (p[n] - known) / arrivals[0]
    return float(np.arange(size) @ p) / load - 1


def test_constant_service_agrees_with_the_law_of_the_queue_length():
    w = queue_of([1.0], [1.0], 0.4)
    np.testing.assert_allclose(tq.mean_waiting_time(w, [0.0]), m_d_1_by_its_law(0.4), rtol=1e-9)


def exponential_queue(load: float, types: int = 400) -> Workload:
    """Service times whose first moments are those of an exponential law of mean 1 s.

    Gauss–Laguerre nodes match 2 N moments; the weights of the far ones underflow to nothing.
    """
    nodes, weights = special.roots_laguerre(min(types, 150))
    return queue_of(nodes, weights / weights.sum(), load)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9, 0.99])
def test_exponential_service_waits_as_in_m_m_1(load):
    w = exponential_queue(load)
    got = tq.mean_waiting_time(w, np.zeros(len(w)))
    np.testing.assert_allclose(got, load / (1 - load), rtol=1e-10)


def m_m_1_error(mean_waiting_time) -> float:
    return abs(as_one_stream(mean_waiting_time, exponential_queue(0.5)) / 1.0 - 1)


def test_a_formula_that_forgets_the_variance_fails_that_check():
    def constant_service(w, tokens):
        m = tq.service_moments(w, tokens)[0]
        return w.arrival_rate * m**2 / (2 * (1 - w.arrival_rate * m))

    assert m_m_1_error(tq.mean_waiting_time) < 1e-10
    assert m_m_1_error(constant_service) > 0.4


def test_two_point_service_has_the_moments_of_its_law():
    w = queue_of([1.0, 5.0], [0.75, 0.25], 0.1)
    law = stats.rv_discrete(values=([1, 5], [0.75, 0.25]))
    m, second = tq.service_moments(w, [0, 0])
    np.testing.assert_allclose([m, second], [law.mean(), law.mean() ** 2 + law.var()], rtol=1e-14)


# invariants


def test_splitting_a_type_in_two_changes_nothing():
    w = plain_workload(3, 4)
    tokens = np.array([100.0, 50.0, 0.0, 500.0])
    halves = {f: np.repeat(getattr(w, f), 2) for f in tq.workload.FIELDS}
    halves["share"] = halves["share"] / 2
    twice = w.replace(**halves, names=None)
    pair = np.repeat(tokens, 2)
    for of in (tq.mean_system_time, tq.utilization, tq.objective, tq.upper_bound):
        np.testing.assert_allclose(of(twice, pair), of(w, tokens), rtol=1e-12)


def test_a_change_of_the_unit_of_time_changes_the_unit_of_the_answer():
    w = plain_workload(4, 5)
    tokens = np.linspace(0, 300, 5)
    minutes = w.replace(
        base_time=w.base_time / 60,
        time_per_token=w.time_per_token / 60,
        arrival_rate=w.arrival_rate * 60,
        accuracy_weight=w.accuracy_weight / 60,
    )
    for of in (tq.mean_system_time, tq.mean_waiting_time, tq.objective, tq.upper_bound):
        np.testing.assert_allclose(60 * of(minutes, tokens), of(w, tokens), rtol=1e-12)
    np.testing.assert_allclose(tq.utilization(minutes, tokens), tq.utilization(w, tokens))


def test_more_tokens_never_shorten_a_wait():
    g = np.random.default_rng(0)
    for w in hard_workloads(60, seed=1):
        low = stable_tokens(w, g)
        high = stable_tokens(w, g)
        top = np.maximum(low, high)
        if tq.utilization(w, top) < 1:
            assert tq.mean_system_time(w, top) >= tq.mean_system_time(w, low)


# shapes


def test_leading_axes_of_tokens_are_kept():
    w = plain_workload(5, 3)
    tokens = np.random.default_rng(1).uniform(0, 20, (4, 2, 3))
    assert tq.service_time(w, tokens).shape == (4, 2, 3)
    assert tq.fixed_point_map(w, tokens).shape == (4, 2, 3)
    for of in (
        tq.utilization,
        tq.mean_waiting_time,
        tq.mean_system_time,
        tq.mean_accuracy,
        tq.objective,
        tq.upper_bound,
        tq.strong_concavity_modulus,
        lambda w, x: tq.service_moments(w, x)[1],
    ):
        got = of(w, tokens)
        assert got.shape == (4, 2)
        np.testing.assert_allclose(got[3, 1], of(w, tokens[3, 1]), rtol=1e-14)
    assert np.ndim(tq.mean_system_time(w, tokens[0, 0])) == 0


# stability


def test_the_error_says_how_unstable_and_what_would_be_stable():
    w = queue_of([1.0, 3.0], [0.5, 0.5], 0.6)
    with pytest.raises(UnstableError, match=r"load is 1\.2 .*0\.5/s") as caught:
        tq.mean_waiting_time(w, [0, 0])
    np.testing.assert_allclose(caught.value.utilization, 1.2)
    np.testing.assert_allclose(caught.value.max_arrival_rate, 0.5)
    limit = caught.value.max_arrival_rate
    assert np.isfinite(tq.mean_waiting_time(w.replace(arrival_rate=limit * (1 - 1e-12)), [0, 0]))


def test_a_load_of_exactly_one_is_unstable():
    w = queue_of([1.0], [1.0], 1.0)
    np.testing.assert_array_equal(tq.utilization(w, [0]), 1)
    for of in (tq.mean_waiting_time, tq.mean_system_time, tq.objective, tq.gradient):
        with pytest.raises(UnstableError, match="must be below 1"):
            of(w, [0])


def test_one_unstable_allocation_among_many_is_found():
    w = queue_of([0.5], [1.0], 1.0)
    np.testing.assert_array_equal(tq.utilization(w, [[0], [500]]), [0.5, 5.5])
    with pytest.raises(UnstableError, match=r"5\.5"):
        tq.mean_waiting_time(w, [[0], [500]])


def test_wrong_shapes_are_refused_by_every_function():
    w = plain_workload(6, 3)
    for of in (
        tq.service_time,
        tq.service_moments,
        tq.mean_system_time,
        tq.utilization,
        tq.negative_hessian,
    ):
        with pytest.raises(WorkloadError, match=r"shape \(2,\)"):
            of(w, [1, 2])


def test_no_service_time_at_all_is_no_wait():
    w = queue_of([0.0], [1.0], 10.0)
    assert tq.mean_system_time(w, [0]) == 0
    assert tq.utilization(w, [0]) == 0
