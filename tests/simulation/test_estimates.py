"""Intervals: a ratio estimator against the delta method by hand, skewness, and too little data."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkqueue.simulation.estimates import Blocks, of_batches, unskewed


def blocks_of(rows):
    lower = [np.tril(np.einsum("i,j->ij", row, row)) for row in rows]
    cubes = [np.einsum("i,j,k->ijk", row, row, row) for row in rows]
    d = np.arange(rows.shape[1])
    falling = (d[:, None, None] >= d[None, :, None]) & (d[None, :, None] >= d[None, None, :])
    return Blocks.pooled([(len(rows), rows.sum(0), sum(lower), sum(cubes) * falling)])


ABOVE, BELOW = np.array([0.0, 1.0]), np.array([1.0, 0.0])


def test_the_ratio_and_its_error_are_those_of_the_textbook():
    rng = np.random.default_rng(4)
    b = rng.integers(32, 64, 500).astype(float)
    a = 3.0 * b + rng.normal(0, 5, 500)
    found = blocks_of(np.stack([b, a], 1)).ratio(ABOVE, BELOW, 0.95)[()]
    rest = a - a.sum() / b.sum() * b
    error = np.sqrt((rest @ rest) / 499 / 500) / b.mean()
    assert np.isclose(found.value, a.sum() / b.sum(), rtol=1e-14)
    # symmetric data: the correction for skewness moves the ends by little
    np.testing.assert_allclose(found.half_width, 1.9647 * error, rtol=0.01)


def test_skewed_blocks_get_a_longer_upper_arm():
    rng = np.random.default_rng(5)
    b = np.full(400, 32.0)
    found = blocks_of(np.stack([b, rng.lognormal(0, 1.5, 400)], 1)).ratio(ABOVE, BELOW, 0.95)[()]
    assert found.high - found.value > 1.1 * (found.value - found.low)


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


def test_one_block_or_batch_tells_nothing_about_its_error():
    one = blocks_of(np.array([[32.0, 5.0]])).ratio(ABOVE, BELOW, 0.95)[()]
    assert (one.low, one.high) == (-np.inf, np.inf)
    for values in ([], [3.0]):
        found = of_batches(np.array(values), np.ones(len(values)), 0.95)
        assert (found.low, found.high) == (-np.inf, np.inf)


def test_batches_of_one_size_give_the_t_interval():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    found = of_batches(values, np.full(4, 10.0), 0.95)
    np.testing.assert_allclose(found.half_width, 3.18245 * values.std(ddof=1) / 2, rtol=1e-5)
