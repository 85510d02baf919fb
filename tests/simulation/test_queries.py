"""Who comes when: laws of gaps and types, repeatability, and given arrivals."""

import pickle

import numpy as np
import pytest
from scipy import stats

from thinkqueue.simulation.alias import alias_table
from thinkqueue.simulation.queries import BUFFER, queries_of
from thinkqueue.simulation.work import Certain

DRAWS = 200_000
FIVE = np.array([0.5, 0.2, 0.1, 0.1, 0.1])


def stream(number=0, seed=1, share=FIVE, arrivals=None, jobs=1):
    child = np.random.SeedSequence(seed).spawn(number + 1)[number]
    work = Certain(np.arange(share.size) + 0.5)
    return queries_of(alias_table(share), 2.0, arrivals, jobs, lambda _: work, child)


def drawn(queries, count):
    """Take so many of them, in pieces of odd lengths."""
    parts, left = [], count
    while left > 0:
        parts.append([column.copy() for column in queries.ahead(min(left, 7919))])
        queries.take(parts[-1][0].size)
        left -= parts[-1][0].size
    return [np.concatenate(column) for column in zip(*parts)]


def test_gaps_are_exponential_and_independent_of_the_types():
    kinds, gaps, work = drawn(stream(), DRAWS)
    np.testing.assert_array_equal(work, kinds + 0.5)
    assert stats.kstest(2.0 * gaps, "expon").pvalue > 1e-3
    # negative control: two percent off
    assert stats.kstest(2.0 * 1.02 * gaps, "expon").pvalue < 1e-3
    assert abs(np.corrcoef(kinds, gaps)[0, 1]) < 4 / np.sqrt(DRAWS)


def test_types_are_drawn_by_their_shares():
    counts = np.bincount(drawn(stream(), DRAWS)[0], minlength=5)
    assert stats.chisquare(counts, FIVE * DRAWS).pvalue > 1e-3
    wrong = np.array([0.51, 0.19, 0.1, 0.1, 0.1])
    assert stats.chisquare(counts, wrong * DRAWS).pvalue < 1e-3


def test_a_stream_goes_on_where_it_was_left_and_survives_the_way_to_a_worker():
    whole = drawn(stream(), 3 * BUFFER)
    queries = stream()
    first = drawn(queries, BUFFER + 5)
    rest = drawn(pickle.loads(pickle.dumps(queries)), 2 * BUFFER - 5)
    for one, a, b in zip(whole, first, rest):
        np.testing.assert_array_equal(one, np.concatenate([a, b]))


def test_replications_have_streams_of_their_own():
    gaps = [drawn(stream(number), 10)[1] for number in range(5)]
    assert len({tuple(one) for one in gaps}) == 5
    np.testing.assert_array_equal(drawn(stream(3), 10)[1], gaps[3])


class Given:
    def gaps_at(self, arrival_rate, jobs, seed):
        return np.arange(1.0, jobs + 1) / arrival_rate


def test_given_gaps_come_as_they_are_and_end():
    queries = stream(arrivals=Given(), jobs=2 * BUFFER + 3)
    kinds, gaps, _ = queries.all()
    np.testing.assert_array_equal(gaps, np.arange(1.0, 2 * BUFFER + 4) / 2.0)
    np.testing.assert_array_equal(kinds, drawn(stream(), 2 * BUFFER + 3)[0])
    assert queries.ahead(10)[0].size == 0


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
