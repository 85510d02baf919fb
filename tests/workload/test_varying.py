"""Service times whose lengths vary: moments, draws, the queue, and how a workload carries them."""

import numpy as np
import pytest
from scipy import stats

import thinkqueue as tq
from thinkqueue.workload import Affine, Varying
from workloads import QWEN, plain_workload, stable_tokens

BOOK = tq.Workload.from_toml(QWEN)
SPREAD = np.array([0.7, 0.0, 1.0, 1.5, 0.3])
VARYING = BOOK.replace(variation=SPREAD)
TOKENS = tq.solve(VARYING).tokens


def test_moments_are_those_of_the_definition_and_their_derivatives():
    g = np.random.default_rng(1)
    service = VARYING.service
    x, d = g.uniform(10, 5000, 5), 1e-2
    at, up, down = (service.moments(x + h) for h in (0, d, -d))
    s = BOOK.base_time + BOOK.time_per_token * x
    np.testing.assert_allclose(at.mean, s, rtol=1e-14)
    variance = (BOOK.time_per_token * SPREAD * x) ** 2
    np.testing.assert_allclose(at.square, s**2 + variance, rtol=1e-14)
    np.testing.assert_allclose((up.mean - down.mean) / (2 * d), at.mean_slope, rtol=1e-7)
    np.testing.assert_allclose((up.square - down.square) / (2 * d), at.square_slope, rtol=1e-7)
    bend = (up.square_slope - down.square_slope) / (2 * d)
    np.testing.assert_allclose(bend, at.square_bend, rtol=1e-7)
    assert at.mean_bend == 0.0


def test_lengths_follow_the_gamma_law():
    random, n = np.random.default_rng(2), 40_000
    kinds = np.repeat(np.arange(5), n)
    lengths = VARYING.service.lengths(TOKENS, kinds, random).reshape(5, n)
    for k in (0, 2, 3, 4):
        v = SPREAD[k]
        law = stats.gamma(1 / v**2, scale=v**2 * TOKENS[k])
        assert stats.kstest(lengths[k], law.cdf).pvalue > 1e-3
        # negative control: five per cent more variation
        wrong = stats.gamma(1 / (1.05 * v) ** 2, scale=(1.05 * v) ** 2 * TOKENS[k])
        assert stats.kstest(lengths[k], wrong.cdf).pvalue < 1e-3
    np.testing.assert_array_equal(lengths[1], TOKENS[1])
    drawn = VARYING.service.draw(TOKENS, kinds, np.random.default_rng(2)).reshape(5, n)
    pace, base = BOOK.time_per_token[:, None], BOOK.base_time[:, None]
    np.testing.assert_allclose(drawn, base + pace * lengths, rtol=1e-13)


def test_the_simulated_wait_is_that_of_the_two_moments():
    run = tq.simulate(VARYING, TOKENS, jobs=300_000, seed=3, level=0.999)
    assert run.mean_waiting_time.covers(float(tq.mean_waiting_time(VARYING, TOKENS)))
    # negative control: lengths that do not vary
    assert not run.mean_waiting_time.covers(float(tq.mean_waiting_time(BOOK, TOKENS)))


def test_the_optimum_is_certified_and_no_neighbour_is_better():
    found = tq.solve(VARYING)
    assert found.converged
    g = np.random.default_rng(4)
    for _ in range(200):
        other = np.maximum(found.tokens * (1 + 0.05 * g.normal(size=5)), 0)
        assert tq.objective(VARYING, other) <= found.objective + 1e-9
    quasi = tq.solve(VARYING, tq.QuasiNewton())
    np.testing.assert_allclose(quasi.tokens, found.tokens, rtol=1e-4)
    # variation costs, and those who vary think less
    assert found.objective < tq.solve(BOOK).objective
    assert found.tokens[3] < tq.solve(BOOK).tokens[3]


@pytest.mark.parametrize("seed", range(5))
def test_gradient_and_hessian_are_the_derivatives(seed):
    g = np.random.default_rng(seed)
    plain, h = plain_workload(g), 1e-4
    w, x, d = (
        plain.replace(variation=g.uniform(0, 2, 5)),
        stable_tokens(plain, g, 0.5) + 0.01,
        g.normal(size=5),
    )
    slope = (tq.objective(w, x + h * d) - tq.objective(w, x - h * d)) / (2 * h)
    assert tq.gradient(w, x) @ d == pytest.approx(float(slope), rel=1e-5, abs=1e-6)
    bend = (tq.gradient(w, x - h * d) - tq.gradient(w, x + h * d)) / (2 * h)
    np.testing.assert_allclose(tq.negative_hessian(w, x) @ d, bend, rtol=1e-4, atol=1e-9)


def test_a_workload_carries_the_variation_wherever_it_goes(tmp_path):
    file = tmp_path / "w.toml"
    VARYING.to_toml(file)
    back = tq.Workload.from_toml(file)
    assert back == VARYING
    assert "variation = 1.5" in file.read_text()
    assert [task.variation for task in back.tasks] == SPREAD.tolist()
    again = tq.Workload(
        back.tasks, arrival_rate=back.arrival_rate, accuracy_weight=back.accuracy_weight
    )
    assert again == VARYING
    np.testing.assert_array_equal(back.variation, SPREAD)
    assert VARYING.replace(arrival_rate=0.01).replace(variation=SPREAD).service == VARYING.service
    assert VARYING.replace(base_time=0.5).service.variation[3] == 1.5
    assert VARYING != BOOK
    assert VARYING.replace(service=BOOK.service) == BOOK


def test_no_variation_is_the_plain_service():
    assert VARYING.replace(variation=0.0) == BOOK
    assert isinstance(BOOK.replace(variation=0.0).service, Affine)
    w = VARYING.replace(service=Varying(BOOK.base_time, BOOK.time_per_token, 0.0))
    assert tq.solve(w).objective == pytest.approx(tq.solve(BOOK).objective, rel=1e-12)


def test_a_grid_solves_as_one_by_one():
    spread = np.array([[0.0] * 5, [1.0] * 5, SPREAD])
    grid = tq.solve_grid(VARYING, variation=spread)
    for row, one in enumerate(spread):
        alone = tq.solve(BOOK.replace(variation=one))
        assert grid.objective[row] == pytest.approx(alone.objective, abs=1e-7)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_variations_that_are_none_are_refused(value):
    with pytest.raises(tq.WorkloadError, match="variation"):
        BOOK.replace(variation=value)
    with pytest.raises(tq.WorkloadError, match="variation"):
        Varying(BOOK.base_time, BOOK.time_per_token, value)


def test_what_does_not_go_together_is_refused():
    server = tq.Batching(tq.TokenTime(6e-3, 1e-4))
    with pytest.raises(tq.WorkloadError, match="answer_tokens"):
        VARYING.replace(server=server)
    for refused in (
        lambda: tq.waiting_time_tail(VARYING, TOKENS, 10.0),
        lambda: tq.relative_modulus(VARYING, TOKENS),
        lambda: tq.curvature_bound(VARYING, TOKENS),
        lambda: tq.solve(VARYING, tq.ProjectedGradient()),
        lambda: tq.contraction_modulus(VARYING, 0 * TOKENS, TOKENS),
    ):
        with pytest.raises(tq.WorkloadError, match="certain service times"):
            refused()
    with pytest.raises(tq.WorkloadError, match="variation"):
        BOOK.replace(variation=[0.1, 0.2])


@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_is_enclosed_in_balls(seed):
    g = np.random.default_rng(seed)
    plain = BOOK.replace(arrival_rate=10 ** g.uniform(-3, -1))
    w = plain.replace(variation=g.uniform(0.1, 3, 5))
    found = tq.solve(w, gap=1e-14, throw=False)
    sure = tq.certify(w, found.tokens)
    assert sure.proven
    assert sure.lower <= found.objective + 1e-9 <= sure.upper + 2e-9
    assert sure.gap < 1e-8
    np.testing.assert_allclose(sure.tokens_lower, found.tokens, atol=1e-3)
    np.testing.assert_allclose(sure.tokens_upper, found.tokens, atol=1e-3)
    for part in (0.3, 0.9, 1.1):
        other = np.minimum(part * found.tokens, w.max_tokens)
        if tq.utilization(w, other) < 1:
            assert tq.objective(w, other) <= sure.upper
            # away from the optimum the bound holds too, and says how far it is
            assert tq.certify(w, other).upper >= found.objective - 1e-9
    # negative control: the budgets of certain lengths are not the optimum
    assert tq.certify(w, tq.solve(plain).tokens).gap > 1e-6


def test_the_slopes_behind_the_enclosure_are_those_of_the_moments():
    flint = pytest.importorskip("flint")
    from thinkqueue.proofs.certificate import _Types

    with flint.ctx.workprec(200):
        types, near = _Types(VARYING, flint), TOKENS.tolist()
        mu, pressure, h = flint.arb(1.1), flint.arb(0.03), flint.arb(2) ** -60
        at = types.respond(mu, pressure, near)
        for column, (by_mu, by_pressure) in enumerate([(h, 0 * h), (0 * h, h)]):
            up = types.respond(mu + by_mu, pressure + by_pressure, near)
            down = types.respond(mu - by_mu, pressure - by_pressure, near)
            for row in range(2):
                slope = (up.value[row, 0] - down.value[row, 0]) / (2 * h)
                expected = float(at.slopes[row, column].mid())
                assert float(slope.mid()) == pytest.approx(expected, rel=1e-6)
