"""The random streams: moments, tails, the alias table, and independence of the workers."""

import numpy as np
import pytest
from scipy import stats

from thinkqueue.simulation.alias import alias_table, draw
from thinkqueue.simulation.streams import TAIL, exponential, fraction, next_bits, spawn_states

DRAWS = 200_000


def drawn(sampler, seed=1, count=DRAWS):
    state = spawn_states(seed, 1)[0]
    return np.array([sampler(state) for _ in range(count)])


def test_exponential_numbers_follow_the_exponential_law():
    assert stats.kstest(drawn(exponential), "expon").pvalue > 1e-3


def test_the_same_test_refuses_a_law_that_is_off_by_one_percent():
    assert stats.kstest(1.01 * drawn(exponential), "expon").pvalue < 1e-3


def test_the_tail_beyond_the_lowest_layer_is_reached_as_often_as_it_should_be():
    beyond = np.count_nonzero(drawn(exponential) > TAIL)
    assert stats.binomtest(beyond, DRAWS, np.exp(-TAIL)).pvalue > 1e-3


def test_fractions_are_uniform():
    assert (
        stats.kstest(drawn(lambda state: fraction(np.uint64(next_bits(state)))), "uniform").pvalue
        > 1e-3
    )


def test_streams_are_spawned_one_by_one():
    few, many = spawn_states(7, 2), spawn_states(7, 5)
    for one, other in zip(few, many, strict=False):
        np.testing.assert_array_equal(one, other)
    assert len({tuple(state) for state in many}) == 5


SHARES = {
    "one": [1.0],
    "none of the first": [0.0, 1.0],
    "five": [0.5, 0.2, 0.1, 0.1, 0.1],
    "thirds": [1 / 3] * 3,
    "rare": [1e-9, 0.5, 0.5 - 1e-9],
    "many": np.random.default_rng(1).dirichlet(np.full(3000, 0.1)),
}


@pytest.mark.parametrize("name", SHARES)
def test_the_alias_table_holds_the_shares_exactly(name):
    share = np.asarray(SHARES[name])
    keep, first, other = alias_table(share)
    implied = np.bincount(first, keep, share.size) + np.bincount(other, 1 - keep, share.size)
    np.testing.assert_allclose(implied / keep.size, share, rtol=0, atol=1e-12)
    assert not implied[share == 0].any()


def test_types_are_drawn_by_their_shares():
    share = np.asarray(SHARES["five"])
    table, state = alias_table(share), spawn_states(3, 1)[0]
    counts = np.bincount([draw(state, *table) for _ in range(DRAWS)], minlength=share.size)
    assert stats.chisquare(counts, share * DRAWS).pvalue > 1e-3
    wrong = np.array([0.51, 0.19, 0.1, 0.1, 0.1])
    assert stats.chisquare(counts, wrong * DRAWS).pvalue < 1e-3
