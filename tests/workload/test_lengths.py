"""Laws of lengths under a cap: closed forms against integrals, draws, and the way back."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

import thinkqueue as tq
from thinkqueue.workload import Empirical, Exponential, Lognormal, Saturating

MEAN = np.array([300.0, 2000.0])
SPREAD = np.array([0.4, 1.5])
G = np.random.default_rng(1)
SAMPLES = [G.exponential(300.0, 40), G.integers(1, 9, 7) * 500.0]

FROZEN = {
    "exponential": [stats.expon(scale=m) for m in MEAN],
    "lognormal": [
        stats.lognorm(np.sqrt(np.log1p(v**2)), scale=m / np.sqrt(1 + v**2))
        for m, v in zip(MEAN, SPREAD)
    ],
}
LAWS = {
    "exponential": Exponential(MEAN),
    "lognormal": Lognormal(MEAN, SPREAD),
    "empirical": Empirical.of(SAMPLES),
}


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("factor", [1e-3, 0.1, 0.7, 1.0, 3.0, 8.0])
def test_closed_forms_are_the_integrals_of_the_survival_function(name, factor):
    law, cap = LAWS[name], factor * MEAN
    curve = Saturating(np.array([0.5, 0.7]), np.array([4e-3, 1e-3]), np.array([0.2, 0.1]))
    for k, one in enumerate(FROZEN[name]):
        edges = cap[k] * np.concatenate([[0], np.geomspace(1e-6, 1, 40)])

        def whole(f, edges=edges):
            parts = (integrate.quad(f, a, b)[0] for a, b in itertools.pairwise(edges))
            return sum(parts)

        assert law.survival(cap)[k] == pytest.approx(one.sf(cap[k]), rel=1e-12)
        assert law.mean_under(cap)[k] == pytest.approx(whole(one.sf), rel=1e-9)
        square = whole(lambda t, one=one: 2 * t * one.sf(t))
        assert law.square_under(cap)[k] == pytest.approx(square, rel=1e-8)
        p = curve.pick(k)
        answer = p.baseline + whole(lambda t, one=one, p=p: float(p.slope(t)) * one.sf(t))
        assert law.expect(curve.value, cap)[k] == pytest.approx(answer, abs=1e-11)


@pytest.mark.parametrize("name", LAWS)
def test_a_cap_and_what_is_used_under_it_tell_each_other(name):
    law = LAWS[name]
    cap = np.linspace(0, 1, 23)[:, None] * law.longest
    used = law.mean_under(cap)
    assert (np.diff(used, axis=0) >= 0).all()
    back = law.cap_of(used)
    # where nearly nobody is left, a cap leaves no trace in the mean
    seen = law.survival(cap) > 1e-4
    np.testing.assert_allclose(back[seen], cap[seen], rtol=1e-9)
    np.testing.assert_allclose(law.mean_under(back), used, rtol=1e-12)
    assert (back <= law.longest * (1 + 1e-12)).all()


@pytest.mark.parametrize("name", LAWS)
def test_moments_are_each_others_derivatives(name):
    law, cap, h = LAWS[name], np.array([[111.0, 777.0], [271.0, 1234.0]]), 1e-3
    slope = (law.mean_under(cap + h) - law.mean_under(cap - h)) / (2 * h)
    np.testing.assert_allclose(slope, law.survival(cap), rtol=1e-6)
    square = (law.square_under(cap + h) - law.square_under(cap - h)) / (2 * h)
    np.testing.assert_allclose(square, 2 * cap * law.survival(cap), rtol=1e-6)


@pytest.mark.parametrize("name", ["exponential", "lognormal"])
def test_the_hazard_is_the_density_over_the_survival_and_turns_where_it_says(name):
    law, cap, h = LAWS[name], np.array([200.0, 900.0]), 1e-3
    pdf = [one.pdf(x) / one.sf(x) for one, x in zip(FROZEN[name], cap)]
    np.testing.assert_allclose(law.hazard(cap), pdf, rtol=1e-10)
    slope = (law.hazard(cap + h) - law.hazard(cap - h)) / (2 * h)
    np.testing.assert_allclose(law.hazard_slope(cap), slope, rtol=1e-4, atol=1e-15)
    if name == "lognormal":
        at = law.hazard(law.turn)
        for other in (0.9, 1.1):
            assert (law.hazard(other * law.turn) < at).all()


@pytest.mark.parametrize("name", FROZEN)
def test_draws_follow_the_law(name):
    kinds = np.repeat([0, 1], 20_000)
    drawn = LAWS[name].draw(kinds, np.random.default_rng(3)).reshape(2, -1)
    for sample, one in zip(drawn, FROZEN[name]):
        assert stats.kstest(sample, one.cdf).pvalue > 1e-3
        assert stats.kstest(1.05 * sample, one.cdf).pvalue < 1e-3  # negative control


def test_a_sample_is_drawn_from_and_cut_as_it_is():
    law = LAWS["empirical"]
    for k, sample in enumerate(SAMPLES):
        drawn = law.draw(np.full(5000, k), np.random.default_rng(4))
        assert set(drawn) == set(sample)
        assert stats.kstest(drawn, sample).pvalue > 1e-3
        cut = np.minimum(sample, 400.0)
        assert law.mean_under(np.full(2, 400.0))[k] == pytest.approx(cut.mean(), rel=1e-14)
        assert law.square_under(np.full(2, 400.0))[k] == pytest.approx((cut**2).mean(), rel=1e-14)
        one = law.pick(np.array([k]))
        assert one.mean_under(np.array([400.0]))[0] == pytest.approx(cut.mean(), rel=1e-14)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Exponential([1.0, 0.0]),
        lambda: Lognormal([1.0], [-1.0]),
        lambda: Lognormal([np.nan], [1.0]),
        lambda: Empirical.of([[]]),
        lambda: Empirical.of([[-1.0]]),
        lambda: Empirical.of([[0.0, 0.0]]),
    ],
)
def test_what_is_no_law_is_refused(bad):
    with pytest.raises(tq.WorkloadError, match=r"positive|lengths"):
        bad()
