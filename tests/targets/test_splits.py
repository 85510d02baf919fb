"""Sharing out the lateness: what is necessary, what is sufficient, and how much between them."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import ThinkQueueError
from thinkqueue.arrays import Array
from thinkqueue.targets.splits import Splits
from thinkqueue.targets.tangents import Found, Limits, excess
from workloads import plain_workload


def at_budgets(seed: int) -> tuple[Splits, Array, Array, float]:
    """A search whose promise some random budgets just keep, with their lateness."""
    w = plain_workload(seed, types=4)
    ell = tq.solve(w).tokens * np.random.default_rng(seed).uniform(0.2, 1.0, 4)
    d = 1.5 * float(tq.service_time(w, ell).max())
    late = tq.system_time_tail(w, ell, d, per_type=True)
    return Splits(w, d, float(w.share @ late), False), ell, late, 1e-7


def by(splits: Splits, limits: Limits, ell: Array, late: Array) -> Array:
    lost = splits.tangents.slack(ell) * late / (1 - late)
    return excess(splits.tangents, limits, ell, lost)


def test_intervals_around_the_lateness_imply_their_limits() -> None:
    generator = np.random.default_rng(1)
    for seed in range(4):
        splits, ell, late, tiny = at_budgets(seed)
        np.testing.assert_allclose(splits.lateness(ell), late, atol=tiny)
        for _ in range(15):
            low = late * generator.uniform(0, 1, 4)
            high = late + (1 - late) * generator.uniform(0, 1, 4) ** 3
            assert (by(splits, splits.necessary(low, high), ell, late) <= tiny).all()
            # the secant meets the curve at both ends, and no bound is sharper there
            for ends in ((late, high), (low, late)):
                assert abs(by(splits, splits.together(*ends), ell, late)[0]) <= tiny
        # a type that may be given up plays no part
        assert not splits.necessary(low, np.ones(4)).used.any()


def test_a_tangent_is_sufficient() -> None:
    """Where the limit at some split holds, the promise is kept; at the split itself it is tight."""
    generator = np.random.default_rng(2)
    kept = 0
    for seed in range(4):
        splits, ell, late, tiny = at_budgets(seed)
        assert abs(by(splits, splits.together(late, late), ell, late)[0]) <= tiny
        for _ in range(15):
            other = np.clip(late * generator.uniform(0.3, 3, 4), 0, 1)
            shorter = ell * generator.uniform(0.9, 1.02, 4)
            there = splits.lateness(shorter)
            if by(splits, splits.together(other, other), shorter, there)[0] <= 0:
                kept += 1
                assert splits.share @ there <= splits.probability + tiny
    assert kept > 8


def test_one_bad_number_among_good_ones_is_refused():
    for bad in (np.nan, np.inf, 0.0, -1.0):
        with pytest.raises(ThinkQueueError):
            tq.TypeTailTarget(deadline=[1.0, bad, 3.0], probability=0.05)


def test_a_climb_keeps_the_promise_and_ends_at_its_top() -> None:
    for seed in range(4):
        splits, ell, _, tiny = at_budgets(seed)
        start = splits._stable(1.3 * ell)  # breaks it
        assert splits.share @ splits.lateness(start) > splits.probability
        found = splits.climb(start, 1e-6)
        assert found is not None
        assert splits.share @ splits.lateness(found.tokens) <= splits.probability + tiny
        # it stopped where another climb gains no more than it stops at, and not at its first step
        again = splits.climb(found.tokens, 1e-6)
        assert again is not None
        assert found.value <= again.value <= found.value + 1e-6
        assert found.value > splits.tangents.value(ell)


def test_budgets_beyond_what_the_server_can_do_are_drawn_back() -> None:
    w = plain_workload(0, types=4)
    nearly = w.replace(
        arrival_rate=w.arrival_rate * (1 - 1e-7) / float(tq.utilization(w, np.zeros(4)))
    )
    for workload in (w, nearly):
        splits = Splits(workload, 1e9, 0.5, False)
        back = splits._stable(np.full(4, 1e6))
        assert splits.tangents.slack(back) > 0
        assert splits.tangents.slack(back) >= 1e-6 * splits.tangents.idle_slack
        assert splits.tangents.slack(back) < 0.5 * splits.tangents.idle_slack
        np.testing.assert_array_equal(splits._stable(0 * back), 0 * back)


def test_a_last_climb_that_is_given_up_or_ends_lower_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    splits, *_ = at_budgets(1)
    true, nothing, last = Splits.climb, np.zeros(4), []
    for worse in (None, Found(nothing, -1.0, np.inf, nothing)):

        def climb(self, outer, gap, worse=worse):  # type: ignore[no-untyped-def]
            last.append(gap < 1e-3)
            return worse if last[-1] else true(self, outer, gap)

        monkeypatch.setattr(Splits, "climb", climb)
        found = splits.search(gap=1e-3, nodes=30)
        assert last.pop()
        assert found.value > 0
        assert splits.share @ splits.lateness(found.tokens) <= splits.probability + 1e-7
