"""The law of the number present at a batching server, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
from scipy.stats import nbinom, poisson

import thinkqueue as tq
from thinkqueue import Batching, Status, TokenTime, WorkloadError
from thinkqueue.delay import Formula, MeanOnly, delay_of
from thinkqueue.delay.number_present import law_of
from workloads import LINE, MEASURED, SERVERS, batching_workload

TIMES = [LINE, TokenTime(0, 1e-3), TokenTime(1e-3, 0), TokenTime(1e-2, 1e-6), MEASURED]


def balance(time, cap, theta):
    """Mean, variance, κ₃ − κ₂ and E[(N−B)⁺] in fifty digits, from births and deaths."""
    mpmath.mp.dps = 50
    rates = [mpmath.mpf(float(r)) for r in time.rate_at(np.arange(1.0, 4000.0))]
    if isinstance(time, TokenTime):
        a, b = mpmath.mpf(time.base), mpmath.mpf(time.per_query)
        rates = [n / (a + b * n) for n in range(1, 4000)]
    weights = [mpmath.mpf(1)]
    for n in range(1, 4000):
        weights.append(weights[-1] * mpmath.mpf(theta) / rates[min(n, cap or n) - 1])
        if weights[-1] < mpmath.mpf(10) ** -60 * max(weights[0], weights[-2]) and n > 80:
            break
    whole = mpmath.fsum(weights)
    mean = mpmath.fsum(n * w for n, w in enumerate(weights)) / whole
    two, three = (
        mpmath.fsum((n - mean) ** j * w for n, w in enumerate(weights)) / whole for j in (2, 3)
    )
    over = mpmath.fsum((n - cap) * w for n, w in enumerate(weights) if cap and n > cap) / whole
    return mean, two, three - two, over


@pytest.mark.parametrize("time", TIMES, ids=repr)
@pytest.mark.parametrize("cap", [None, 1, 2, 16, 300])
def test_the_law_is_the_balance_of_births_and_deaths(time, cap):
    law = law_of(time, cap)
    for load in (1e-9, 1e-3, 0.08, 0.3, 0.9):
        theta = load / law.pace if law.pace else 1e4 * load
        theta = min(theta, 1e5)  # some thousand present, and no millions
        mean, variance, excess, over = balance(time, cap, theta)
        found = law.present(theta)
        # rounding of the load counts 1/(1 − load) times
        np.testing.assert_allclose(float(found.mean * theta / mean), 1, rtol=1e-11)
        np.testing.assert_allclose(float(found.variance * theta / variance), 1, rtol=1e-11)
        if excess > 1e-30 * variance:
            np.testing.assert_allclose(float(found.excess * theta**2 / excess), 1, rtol=1e-10)
        if cap and over > 1e-250:
            np.testing.assert_allclose(float(found.waiting * theta / over), 1, rtol=1e-10)
        many = np.arange(0.0, 30.0)
        chance = np.exp(law.log_probability(many, theta))
        assert abs(chance.sum() - 1) < 1e-11 or mean > 3


@pytest.mark.parametrize("slack", [0.1, 1e-3, 1e-9])
@pytest.mark.parametrize(("ratio", "cap"), [(1e-3, 30), (67, 1000), (1e4, 10_000)])
def test_a_full_server_is_exact_to_what_its_load_is(ratio, cap, slack):
    mpmath.mp.dps = 40
    time = TokenTime(ratio * 1e-4, 1e-4)
    law = law_of(time, cap)
    theta = (1 - slack) / law.pace
    a, b, t = mpmath.mpf(time.base), mpmath.mpf(time.per_query), mpmath.mpf(theta)
    sigma = t * (a + b * cap) / cap
    weight, sums, n = mpmath.mpf(1), [mpmath.mpf(0)] * 4, cap
    while n >= 0 and weight > 0:
        sums = [s + weight * (n - cap) ** j for j, s in enumerate(sums)]
        weight, n = weight * n / ((a + b * n) * t), n - 1
    g, s = 1 / (1 - sigma), sigma / (1 - sigma)
    v, w = s * g, s * g * (1 + 2 * s)
    tail = [1, g, v + g * g, w + 3 * v * g + g**3]
    sums = [x + s * y for x, y in zip(sums, tail)]
    m1, m2, m3 = (x / sums[0] for x in sums[1:])
    two, three = m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3
    found = law.present(theta)
    error = 1e-11 + 4e-15 / slack
    np.testing.assert_allclose(float(found.mean * theta / (cap + m1)), 1, rtol=error)
    np.testing.assert_allclose(float(found.variance * theta / two), 1, rtol=error)
    np.testing.assert_allclose(float(found.excess * theta**2 / (three - two)), 1, rtol=error)
    np.testing.assert_allclose(float(found.waiting * theta * sums[0] / (s * g)), 1, rtol=error)


def test_the_masses_of_the_line_are_those_of_scipy():
    n = np.arange(0.0, 400.0)
    law = law_of(LINE, None)
    np.testing.assert_allclose(
        np.exp(law.log_probability(n, 5000.0)),
        nbinom.pmf(n, 1 + LINE.base / LINE.per_query, 1 - 5000 * LINE.per_query),
        rtol=1e-10, atol=1e-300,
    )  # fmt: skip
    law = law_of(TokenTime(0.01, 0), None)
    np.testing.assert_allclose(
        np.exp(law.log_probability(n, 5000.0)), poisson.pmf(n, 50), rtol=1e-10, atol=1e-300
    )


def test_a_cap_nobody_reaches_changes_nothing_and_sharing_is_the_limit():
    x = np.full(5, 3000.0)
    w = batching_workload(Batching(LINE), prompt_time=0.0)
    free = tq.mean_system_time(w, x)
    capped = tq.mean_system_time(w.replace(server=Batching(LINE, 10**6)), x)
    np.testing.assert_allclose(capped, free, rtol=1e-12)
    # b = 0: nobody feels the others; a = 0: processor sharing
    w = batching_workload(Batching(TokenTime(0.01, 0)), prompt_time=0.0, arrival_rate=50.0)
    np.testing.assert_allclose(tq.mean_system_time(w, x), 0.01 * 3200, rtol=1e-14)
    w = batching_workload(Batching(TokenTime(0, 1e-3)), prompt_time=0.02)
    shared = w.replace(server=tq.ProcessorSharing(), base_time=0.22, time_per_token=1e-3)
    np.testing.assert_allclose(
        tq.mean_system_time(w, x), tq.mean_system_time(shared, x), rtol=1e-13
    )
    one = batching_workload(Batching(LINE, 1), prompt_time=0.02)
    pace = LINE.base + LINE.per_query
    shared = one.replace(server=tq.ProcessorSharing(), base_time=0.02 + 200 * pace,
                         time_per_token=pace)  # fmt: skip
    x = np.full(5, 300.0)
    np.testing.assert_allclose(
        tq.mean_system_time(one, x), tq.mean_system_time(shared, x), rtol=1e-12
    )


def test_a_cap_of_one_that_waits_is_first_come_first_served():
    pace = LINE.base + LINE.per_query
    w = batching_workload(Batching(LINE, 1, "wait"), arrival_rate=0.05)
    alone = w.replace(server=tq.Fifo(), base_time=200 * pace, time_per_token=pace)
    assert delay_of(w.server).convex
    for x in np.random.default_rng(0).uniform(0, 1500, (20, 5)):
        assert tq.utilization(w, x) < 1
        np.testing.assert_allclose(
            tq.mean_system_time(w, x), tq.mean_system_time(alone, x), rtol=1e-11
        )
        np.testing.assert_allclose(tq.gradient(w, x), tq.gradient(alone, x), rtol=1e-9)
    np.testing.assert_allclose(tq.solve(w).tokens, tq.solve(alone).tokens, rtol=1e-6, atol=1e-6)


def test_exponential_lengths_make_waiting_and_sharing_alike():
    # c² = 1: of two types, one without a token and one with 4/3 of the mean, π x² = 2 m²
    w = tq.Workload.from_arrays(
        share=[0.5, 0.5], gain=0.5, rate=1e-3, baseline=0.0, answer_tokens=0.0, arrival_rate=0.5,
        accuracy_weight=100.0, server=Batching(LINE, 4, "wait"),
    )  # fmt: skip
    x = np.array([0.0, 1100.0])
    np.testing.assert_allclose(
        tq.mean_system_time(w, x),
        tq.mean_system_time(w.replace(server=Batching(LINE, 4)), x),
        rtol=1e-12,
    )


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_prices_and_curvature_are_differences(server):
    w = batching_workload(server, arrival_rate=1.0)
    w = w.replace(arrival_rate=0.5 / float(tq.utilization(w, np.full(5, 2500.0))))
    for x in np.random.default_rng(1).uniform(500, 2500, (3, 5)):
        h = 1e-3 * x
        slope = np.array([
            (float(tq.mean_system_time(w, x + h * e)) - float(tq.mean_system_time(w, x - h * e)))
            / (2 * h @ e) for e in np.eye(5)
        ])  # fmt: skip
        np.testing.assert_allclose(w.share * delay_of(server).at(w, x).price, slope, rtol=1e-4)
        numeric = np.array([
            -(tq.gradient(w, x + h * e) - tq.gradient(w, x - h * e)) / (2 * h @ e)
            for e in np.eye(5)
        ])  # fmt: skip
        exact = tq.negative_hessian(w, x).dense()
        np.testing.assert_allclose(numeric, exact, rtol=1e-3, atol=1e-5 * np.abs(exact).max())


def test_the_mean_time_is_convex_where_it_says_so_and_not_in_the_counterexample():
    theta = np.linspace(1e-3, 5, 400)[:, None]
    for time in TIMES:
        for cap in (None, 1, 5, 64):
            law = law_of(time, cap)
            scale = 1 / law.pace if law.pace else 1e3
            found = law.present(theta / 5.1 * scale)
            assert (found.excess >= 0).all()
    # τ(1) = 1, τ(n ≥ 2) = 2: E[N] = 2θ/(1 + e^{−2θ}), concave beyond 2θ = 2.4
    steps = TokenTime.table([1, 2, 3], [1.0, 2.0, 2.0], allow=True)
    found = law_of(steps, None).present(theta)
    np.testing.assert_allclose(found.mean, 2 / (1 + np.exp(-2 * theta)), rtol=1e-12)
    assert (found.excess[2 * theta > 2.4] < 0).all()
    assert (found.excess[2 * theta < 2.39] > 0).all()


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_newton_certifies_what_is_convex_and_nothing_else(server):
    w = batching_workload(server, arrival_rate=0.2 if delay_of(server).convex else 0.05)
    found = tq.solve(w, throw=False)
    if delay_of(server).convex:
        assert found.status is Status.CONVERGED
        assert found.gap < 1e-9
        rows = tq.solve_grid(w, arrival_rate=[0.1, 0.2], accuracy_weight=[600.0, 600.0])
        assert rows.objective[1] == found.objective
        whole = tq.solve_integer(w)
        assert whole.proven
        assert 0 <= found.objective - whole.objective < 1e-5
    else:
        assert found.status is Status.NO_BOUND
        assert found.gap == np.inf
        assert np.abs(tq.gradient(w, found.tokens))[found.tokens > 0].max() < 1e-6
        with pytest.raises(WorkloadError, match="not convex"):
            tq.upper_bound(w, found.tokens)


@dataclass(frozen=True)
class Saturated(MeanOnly):
    """A server whose mean time is concave: the more is asked, the less a token adds."""

    size: float
    convex: bool = False

    def formula(self, rate, m):
        left = 100 * float(np.exp(-m / self.size))
        slope = left / self.size
        return Formula(1 - 1e-9 * rate * m, 100 - left, slope, -slope / self.size, 0, 0, 0)


def test_newton_arrives_where_the_mean_time_bends_the_other_way():
    g = np.random.default_rng(0)
    for _ in range(60):
        w = tq.Workload.from_arrays(
            share=g.dirichlet(np.ones(3)), gain=0.6, rate=10 ** g.uniform(-4, -2, 3), baseline=0.1,
            base_time=0.1, time_per_token=0.01, arrival_rate=0.1,
            accuracy_weight=10 ** g.uniform(1, 3), server=Saturated(10 ** g.uniform(0.5, 2)),
        )  # fmt: skip
        found = tq.solve(w, start=g.uniform(size=3) ** 3 * 32768, throw=False)
        values = [step.objective for step in found.history]
        assert (np.diff(values) >= -1e-12 * np.abs(values[1:])).all()
        slope = tq.gradient(w, found.tokens)
        assert np.abs(slope[(found.tokens > 0) & (found.tokens < 32768)]).max(initial=0) < 1e-5
        assert (slope[found.tokens == 0] <= 1e-12).all()


def test_every_type_pays_one_price():
    w = batching_workload(Batching(LINE, 64), arrival_rate=1.0)
    price = tq.queueing_price(w, [0, 100, 3000, 5000, 20000.0])
    np.testing.assert_allclose(price, price[0], rtol=1e-14)
    # not so where the context costs
    w = batching_workload(Batching(TokenTime(6.5e-3, 9.7e-5, 5e-8)), arrival_rate=0.1)
    assert (np.diff(tq.queueing_price(w, [0, 100, 3000, 5000, 20000.0])) > 0).all()


def test_the_largest_rate_is_where_the_error_says():
    w = batching_workload(Batching(LINE, 64), arrival_rate=100.0)
    with pytest.raises(tq.UnstableError) as caught:
        tq.mean_system_time(w, np.zeros(5))
    top = caught.value.max_arrival_rate
    assert np.isfinite(tq.mean_system_time(w.replace(arrival_rate=top * (1 - 1e-9)), np.zeros(5)))
    with pytest.raises(tq.UnstableError):
        tq.mean_system_time(w.replace(arrival_rate=top * (1 + 1e-9)), np.zeros(5))


def test_a_million_types_take_few_evaluations():
    g = np.random.default_rng(3)
    n = 10**5
    w = tq.Workload.from_arrays(
        share=np.full(n, 1 / n), gain=g.uniform(0.1, 0.7, n), rate=10 ** g.uniform(-4.5, -2.5, n),
        baseline=0.1, answer_tokens=g.uniform(50, 500, n), arrival_rate=1.0, accuracy_weight=600.0,
        server=Batching(LINE),
    )  # fmt: skip
    found = tq.solve(w)
    assert found.steps <= 4
    assert found.gap < 1e-9


@pytest.mark.parametrize("server", [s for s in SERVERS if s.overflow == "share"], ids=repr)
def test_times_and_prices_with_long_prompts_move_with_the_rate_as_differences_say(server):
    w = batching_workload(server, prompt_time=0.8, arrival_rate=0.5)
    x = np.full(5, 500.0)
    w = w.replace(arrival_rate=0.7 * w.arrival_rate / float(tq.utilization(w, x)))
    delay, h = delay_of(server), 1e-6 * w.arrival_rate
    found = delay.by_rate(w, delay.at(w, x))
    above, below = (delay.at(w.replace(arrival_rate=w.arrival_rate + d), x) for d in (h, -h))
    np.testing.assert_allclose(found.time, (above.time - below.time) / (2 * h), rtol=1e-7)
    np.testing.assert_allclose(found.price, (above.price - below.price) / (2 * h), rtol=1e-6)


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_the_load_rises_as_the_drift_says(server):
    w = batching_workload(server, arrival_rate=0.02)
    x, step = np.full(5, 800.0), np.linspace(0.1, 0.3, 5)
    state = delay_of(server).at(w, x)
    bent = delay_of(server).curvature(w, state)
    more = float(state.slack - delay_of(server).at(w, x + step).slack)
    np.testing.assert_allclose(bent.drift * (w.share * bent.load) @ step, more, rtol=1e-4)
