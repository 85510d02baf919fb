"""Intervals: a ratio estimator against the delta method by hand, skewness, and too little data."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkqueue.simulation.estimates import ENOUGH, Estimate, ratio, unskewed


def of(a, b, **options):
    return ratio(np.asarray(a), np.asarray(b), 0.95, **{"skewed": True, **options})[()]


def test_the_ratio_and_its_error_are_those_of_the_textbook():
    rng = np.random.default_rng(4)
    b = rng.integers(32, 64, 500).astype(float)
    a = 3.0 * b + rng.normal(0, 5, 500)
    found = of(a, b)
    rest = a - a.sum() / b.sum() * b
    error = np.sqrt((rest @ rest) / 499 / 500) / b.mean()
    assert np.isclose(found.value, a.sum() / b.sum(), rtol=1e-14)
    assert np.isclose(found.observations, (found.value / error) ** 2)
    # symmetric data: the correction for skewness moves the ends by little
    np.testing.assert_allclose(found.half_width, 1.9647 * error, rtol=0.01)


def test_skewed_rows_get_a_longer_upper_arm_where_that_is_asked_for():
    a, b = np.random.default_rng(5).lognormal(0, 1.5, 400), np.full(400, 32.0)
    found, plain = of(a, b), of(a, b, skewed=False)
    assert found.high - found.value > 1.1 * (found.value - found.low)
    assert np.isclose(plain.high - plain.value, plain.value - plain.low)


def test_skewed_intervals_cover_where_plain_ones_do_not():
    rng = np.random.default_rng(6)
    rows = rng.lognormal(0, 1.5, (2000, 100))
    missed = {
        skewed: np.mean(
            [not of(a, np.ones(100), skewed=skewed).covers(np.exp(1.125)) for a in rows]
        )
        for skewed in (True, False)
    }
    assert missed[True] < 0.09
    assert missed[False] > 0.12


@settings(deadline=None, max_examples=50)
@given(q=st.floats(-3, 3), t=st.floats(0.5, 4))
def test_the_skewed_quantile_keeps_order_and_tends_to_the_plain_one(q, t):
    assert unskewed(-t, np.array(q)) < unskewed(t, np.array(q))
    np.testing.assert_allclose(unskewed(t, np.array(0.0)), t, rtol=1e-4)
    np.testing.assert_allclose(unskewed(t, np.array(q)), -unskewed(-t, np.array(-q)), atol=1e-6)
    # Hall's cubic takes it back to the quantile of the symmetric law
    u = unskewed(t, np.array(q))
    back = u + q * u**2 / 3 + q**2 * u**3 / 27 + q / 6
    np.testing.assert_allclose(back, t, atol=1e-4)


def test_one_row_tells_nothing_about_its_error():
    for a, b in (([], []), ([5.0], [32.0])):
        found = of(a, b)
        assert (found.low, found.high) == (-np.inf, np.inf)
        assert found.too_short


def test_batches_of_one_size_give_the_t_interval():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    found = of(10 * values, np.full(4, 10.0), skewed=False)
    np.testing.assert_allclose(found.half_width, 3.18245 * values.std(ddof=1) / 2, rtol=1e-5)


def test_what_rests_on_too_little_says_so():
    assert Estimate(1.0, 0.5, 1.5, 0.95, ENOUGH - 1).too_short
    assert Estimate(1.0, 0.5, np.inf, 0.95, 1e9).too_short
    assert not Estimate(1.0, 0.5, 1.5, 0.95, ENOUGH).too_short
    # nobody waited: that says nothing about how long a wait is
    assert of(np.zeros(50), np.ones(50)).too_short
