"""Budgets as caps: convex in mean tokens and not in caps, certified, simulated, and brute force."""

import itertools

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import thinkqueue as tq
from thinkqueue.workload import Capped, CappedCurve, Empirical, Exponential, Finished, Lognormal
from workloads import QWEN, plain_workload

BOOK = tq.Workload.from_toml(QWEN)
G = np.random.default_rng(1)
LAWS = {
    "exponential": Exponential(2 / BOOK.rate),
    "lognormal": Lognormal(2 / BOOK.rate, 1.5),
    "empirical": Empirical.of([G.exponential(2 / b, 60) for b in BOOK.rate]),
}
TWO = tq.Workload.from_arrays(
    share=[0.6, 0.4], gain=[0.6, 0.5], rate=[2e-3, 5e-4], baseline=[0.2, 0.1], base_time=[0.5, 0.2],
    time_per_token=[0.01, 0.012], arrival_rate=0.06, accuracy_weight=300.0, max_tokens=20_000.0,
)  # fmt: skip


def inside(capped, g, count=1):
    """Stable mean tokens, at random."""
    for _ in range(count):
        mu = g.uniform(0.02, 0.98, len(capped)) * capped.max_tokens
        slack = 1 - capped.arrival_rate * float(capped.share @ capped.service.base_time)
        load = capped.arrival_rate * float(capped.share @ (capped.service.time_per_token * mu))
        yield mu * min(1.0, g.uniform(0.1, 0.95) * slack / load)


@pytest.mark.parametrize("name", LAWS)
def test_moments_and_accuracy_have_the_derivatives_that_they_say(name):
    w = tq.capped(BOOK, LAWS[name])
    (mu,) = inside(w, np.random.default_rng(2))
    h = 1e-4
    at, up, down = (w.service.moments(mu + d) for d in (0, h, -h))
    np.testing.assert_allclose((up.square - down.square) / (2 * h), at.square_slope, rtol=1e-6)
    np.testing.assert_allclose((up.mean - down.mean) / (2 * h), at.mean_slope, rtol=1e-7)
    p = w.curves
    slope = (p.value(mu + h) - p.value(mu - h)) / (2 * h)
    np.testing.assert_allclose(slope, p.slope(mu), rtol=1e-5, atol=1e-11)
    if name != "empirical":  # there the second derivatives are staircases
        bend = (up.square_slope - down.square_slope) / (2 * h)
        np.testing.assert_allclose(bend, at.square_bend, rtol=1e-5)
        bend = (p.slope(mu - h) - p.slope(mu + h)) / (2 * h)
        np.testing.assert_allclose(bend, p.bend(mu), rtol=1e-5)


@pytest.mark.parametrize("name", LAWS)
def test_the_mean_time_is_convex_in_mean_tokens_whatever_the_law(name):
    w = tq.capped(BOOK.replace(arrival_rate=0.2), LAWS[name])
    g = np.random.default_rng(3)
    for one, other in zip(inside(w, g, 40), inside(w, g, 40), strict=True):
        ends = tq.mean_system_time(w, one) + tq.mean_system_time(w, other)
        middle = 2 * tq.mean_system_time(w, (one + other) / 2)
        assert middle <= ends * (1 + 1e-12)


def test_the_mean_time_is_not_convex_in_caps():
    # one type, exponential lengths: beyond the mean another token of cap costs ever less
    law = Exponential([1000.0])
    w = tq.capped(tq.Workload.from_arrays(
        share=[1.0], gain=[0.5], rate=[1e-3], baseline=[0.0], base_time=0.1, time_per_token=0.01,
        arrival_rate=0.05, accuracy_weight=100.0,
    ), law)  # fmt: skip

    def time(cap):
        return float(tq.mean_system_time(w, law.mean_under(np.array([cap]))))

    assert time(6000.0) > (time(4000.0) + time(8000.0)) / 2


def brute(law, caps, share, gain, rate, baseline, base, pace, arrival, worth):
    """J of caps from integrals of the survival functions, without the library."""
    mean = second = value = 0.0
    for k, cap in enumerate(caps):

        def whole(f, cap=cap):
            edges = cap * np.concatenate([[0], np.geomspace(1e-5, 1, 9)])
            parts = itertools.pairwise(edges)
            return sum(integrate.fixed_quad(f, a, b, n=40)[0] for a, b in parts)

        sf = law[k].sf
        first, square = whole(sf), whole(lambda t, sf=sf: 2 * t * sf(t))
        mean += share[k] * (base[k] + pace[k] * first)
        second += share[k] * (base[k] ** 2 + 2 * base[k] * pace[k] * first + pace[k] ** 2 * square)
        rises = whole(lambda t, sf=sf, k=k: rate[k] * np.exp(-rate[k] * t) * sf(t))
        value += share[k] * (baseline[k] + gain[k] * rises)
    if arrival * mean >= 1:
        return -np.inf
    return worth * value - mean - arrival * second / (2 * (1 - arrival * mean))


@pytest.mark.parametrize("name", ["exponential", "lognormal"])
def test_the_optimum_of_two_types_is_the_one_of_brute_force(name):
    mean = np.array([900.0, 3000.0])
    if name == "exponential":
        law, frozen = Exponential(mean), [stats.expon(scale=m) for m in mean]
    else:
        law, sigma = Lognormal(mean, 1.5), np.sqrt(np.log(1 + 1.5**2))
        frozen = [stats.lognorm(sigma, scale=m / np.sqrt(1 + 1.5**2)) for m in mean]
    w = tq.capped(TWO, law)
    found = tq.solve(w)
    assert found.converged
    rest = (TWO.share, TWO.gain, TWO.rate, TWO.baseline, TWO.base_time, TWO.time_per_token)
    terms = (*rest, TWO.arrival_rate, TWO.accuracy_weight)

    def cost(log_caps):
        return -brute(frozen, np.exp(log_caps), *terms)

    best = optimize.minimize(cost, np.log([500.0, 500.0]), method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-9})  # fmt: skip
    assert found.objective == pytest.approx(-best.fun, abs=1e-7)
    np.testing.assert_allclose(w.service.cap_of(found.tokens), np.exp(best.x), rtol=1e-3)


@pytest.mark.parametrize("name", LAWS)
def test_the_optimum_is_certified_and_the_simulation_finds_its_time(name):
    w = tq.capped(BOOK, LAWS[name])
    found = tq.solve(w)
    assert found.converged
    run = tq.simulate(w, found.tokens, jobs=200_000, seed=5, level=0.999)
    assert run.mean_system_time.covers(found.mean_system_time)
    assert run.utilization.covers(found.utilization)
    # negative control: as if every query used the mean
    assert not run.mean_system_time.covers(float(tq.mean_system_time(BOOK, found.tokens)))
    # the price is met at the caps as if nothing were random
    price = tq.queueing_price(w, found.tokens) * BOOK.time_per_token
    caps = w.service.cap_of(found.tokens)
    np.testing.assert_allclose(BOOK.accuracy_weight * BOOK.curves.slope(caps), price, rtol=1e-5)


def test_budgets_of_the_certain_model_lose_as_caps():
    law = Lognormal(2 / BOOK.rate, 1.8)
    w = tq.capped(BOOK, law)
    naive = law.mean_under(tq.solve(BOOK).tokens)
    assert tq.solve(w).objective - tq.objective(w, naive) == pytest.approx(0.293, abs=5e-4)


def test_lengths_beyond_all_caps_leave_the_certain_model():
    w = tq.capped(BOOK.replace(max_tokens=8000.0), Lognormal(1e9, 0.1))
    found, certain = tq.solve(w), tq.solve(BOOK.replace(max_tokens=8000.0))
    assert found.objective == pytest.approx(certain.objective, rel=1e-9)
    np.testing.assert_allclose(w.service.cap_of(found.tokens), certain.tokens, rtol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_gradient_and_hessian_are_the_derivatives(seed):
    g = np.random.default_rng(seed)
    plain = plain_workload(g)
    law = (
        Lognormal(2 / plain.rate, g.uniform(0.3, 2, 5)) if seed % 2 else Exponential(1 / plain.rate)
    )
    w, h, d = tq.capped(plain, law), 1e-3, g.normal(size=5)
    (x,) = inside(w, g)
    slope = (tq.objective(w, x + h * d) - tq.objective(w, x - h * d)) / (2 * h)
    assert tq.gradient(w, x) @ d == pytest.approx(float(slope), rel=1e-5, abs=1e-6)
    bend = (tq.gradient(w, x - h * d) - tq.gradient(w, x + h * d)) / (2 * h)
    np.testing.assert_allclose(tq.negative_hessian(w, x) @ d, bend, rtol=1e-3, atol=1e-8)


def test_thoughts_that_must_finish_are_a_line_an_s_or_refused():
    line = tq.capped(BOOK, LAWS["exponential"], must_finish=True)
    assert line.curves.concave
    mu = 0.3 * line.max_tokens
    share = mu * BOOK.rate / 2
    np.testing.assert_allclose(line.curves.value(mu), BOOK.baseline + BOOK.gain * share, rtol=1e-12)
    assert tq.solve(line).converged
    bent = tq.capped(BOOK, Lognormal(2 / BOOK.rate, 1.8), must_finish=True)
    assert not bent.curves.concave
    h = 1e-3
    for part in (0.05, 0.3, 0.6):
        x = part * bent.max_tokens
        slope = (bent.curves.value(x + h) - bent.curves.value(x - h)) / (2 * h)
        np.testing.assert_allclose(slope, bent.curves.slope(x), rtol=1e-4)
        bend = (bent.curves.slope(x - h) - bent.curves.slope(x + h)) / (2 * h)
        np.testing.assert_allclose(bend, bent.curves.bend(x), rtol=1e-3, atol=1e-12)
    assert (bent.curves.bend(1e-3 * bent.max_tokens) < 0).any()
    found = tq.solve(bent, throw=False)
    assert found.status in (tq.Status.LOCAL, tq.Status.CONVERGED)
    # the bound holds: no allocation tried is above it
    g = np.random.default_rng(6)
    assert all(tq.objective(bent, x) <= found.upper_bound for x in inside(bent, g, 200))
    with pytest.raises(tq.WorkloadError, match="hazard"):
        tq.capped(BOOK, LAWS["empirical"], must_finish=True)


def test_the_reply_of_a_curve_is_its_best_answer():
    g = np.random.default_rng(7)
    hill = BOOK.replace(accuracy=tq.Hill(BOOK.gain, 1 / BOOK.rate, np.full(5, 2.0), BOOK.baseline))
    curves = [
        tq.capped(BOOK, LAWS["lognormal"]).curves,
        tq.capped(hill, LAWS["lognormal"]).curves,
        tq.capped(BOOK, LAWS["lognormal"], must_finish=True).curves,
    ]
    top = LAWS["lognormal"].mean_under(np.full(5, 8000.0))
    grid = np.linspace(0, 1, 801)[:, None] * top
    for curve in curves:
        for _ in range(5):
            price = 10 ** g.uniform(-6, -3, 5)
            best = curve.reply(price, np.zeros(5), top)
            tried = (curve.value(grid) - price * grid).max(axis=0)
            assert (curve.value(best) - price * best >= tried - 1e-12).all()


def test_what_does_not_suit_is_refused_in_words(tmp_path):
    w = tq.capped(BOOK, LAWS["lognormal"])
    assert w == tq.capped(BOOK, Lognormal(2 / BOOK.rate, 1.5))
    assert w != tq.capped(BOOK, Lognormal(2 / BOOK.rate, 1.6))
    with pytest.raises(tq.WorkloadError, match="affine"):
        tq.capped(w, LAWS["lognormal"])
    with pytest.raises(tq.WorkloadError, match="2 types for 5"):
        tq.capped(BOOK, Exponential([1.0, 2.0]))
    with pytest.raises(tq.WorkloadError, match="however large"):
        w.service.cap_of(np.full(5, 1e9))
    with pytest.raises(tq.WorkloadError, match="affine"):
        w.to_toml(tmp_path / "w.toml")
    mixed = BOOK.replace(accuracy=[
        *(task.accuracy for task in BOOK.tasks[:4]), tq.Hill(0.5, 1000.0, 2.0, 0.1)
    ])  # fmt: skip
    with pytest.raises(tq.WorkloadError, match="all Hill"):
        tq.capped(mixed, LAWS["lognormal"])
    assert isinstance(w.service, Capped)
    assert isinstance(w.curves, CappedCurve)
    assert isinstance(tq.capped(BOOK, LAWS["lognormal"], must_finish=True).curves, Finished)


def test_one_law_may_serve_all_types():
    one = tq.capped(BOOK, Exponential([1500.0]))
    assert one == tq.capped(BOOK, Exponential(np.full(5, 1500.0)))
