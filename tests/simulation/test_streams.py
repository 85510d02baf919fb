"""The random streams: moments, tails, the alias table, and independence of the workers."""

import numpy as np
import pytest
from numba import njit
from scipy import stats

from thinkqueue.simulation.alias import alias_table, draw
from thinkqueue.simulation.streams import (
    TAIL,
    exponential,
    fraction,
    keep_words,
    next_bits,
    spawn_states,
    words_of,
)

DRAWS = 200_000


@njit
def exponentials(stream, count):
    words, values = words_of(stream), np.empty(count)
    for i in range(count):
        values[i], words = exponential(words)
    keep_words(stream, words)
    return values


@njit
def fractions(stream, count):
    words, values = words_of(stream), np.empty(count)
    for i in range(count):
        bits, words = next_bits(words)
        values[i] = fraction(bits)
    return values


@njit
def types(stream, count, keep, first, other):
    words, values = words_of(stream), np.empty(count, np.int64)
    for i in range(count):
        values[i], words = draw(words, keep, first, other)
    return values


def drawn(sampler, *table):
    return sampler(spawn_states(1, 1)[0], DRAWS, *table)


def test_exponential_numbers_follow_the_exponential_law():
    assert stats.kstest(drawn(exponentials), "expon").pvalue > 1e-3


def test_the_same_test_refuses_a_law_that_is_off_by_one_percent():
    assert stats.kstest(1.01 * drawn(exponentials), "expon").pvalue < 1e-3


def test_the_tail_beyond_the_lowest_layer_is_reached_as_often_as_it_should_be():
    beyond = np.count_nonzero(drawn(exponentials) > TAIL)
    assert stats.binomtest(beyond, DRAWS, np.exp(-TAIL)).pvalue > 1e-3


def test_fractions_are_uniform():
    assert stats.kstest(drawn(fractions), "uniform").pvalue > 1e-3


def test_a_stream_goes_on_where_it_was_left():
    stream = spawn_states(9, 1)[0]
    whole = exponentials(stream.copy(), 10)
    parts = [exponentials(stream, 5), exponentials(stream, 5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


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
    counts = np.bincount(drawn(types, *alias_table(share)), minlength=share.size)
    assert stats.chisquare(counts, share * DRAWS).pvalue > 1e-3
    wrong = np.array([0.51, 0.19, 0.1, 0.1, 0.1])
    assert stats.chisquare(counts, wrong * DRAWS).pvalue < 1e-3
