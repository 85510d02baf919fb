"""What is read off a log: by hand on three queries, and against a queue that is understood."""

from __future__ import annotations

import numpy as np
import pytest

from thinkqueue.live.gateway import LoggedQuery
from thinkqueue.live.judging import cycles, mean, number_present, replayed, times


def log_of(arrived: list[float], started: list[float], ended: list[float]) -> list[LoggedQuery]:
    return [
        LoggedQuery(k, "two", a, a, s, s, s, e, 0, 0, 0, 2, 0, 0, True)
        for k, (a, s, e) in enumerate(zip(arrived, started, ended, strict=True))
    ]


THREE = log_of([0.0, 1.0, 5.0], [0.0, 2.5, 5.0], [2.0, 4.0, 6.0])


def test_three_queries_by_hand() -> None:
    np.testing.assert_allclose(times(THREE), [2, 3, 1])
    np.testing.assert_array_equal(cycles(THREE), [0, 0, 1])
    # the second waited half a second longer than the first one's service explains
    np.testing.assert_allclose(replayed(THREE), [0, 1, 0])
    np.testing.assert_allclose(replayed(THREE, [5.0, 1.0, 1.0]), [0, 4, 1])
    # 0–1 one, 1–2 two, 2–4 one, 4–5 none
    np.testing.assert_allclose(number_present(THREE), [0.2, 0.6, 0.2])


def test_the_mean_is_that_of_the_queries_that_count() -> None:
    estimate = mean(THREE, times(THREE), [True, False, True])
    assert estimate.value == pytest.approx(1.5)
    assert estimate.low < 1.5 < estimate.high


def test_an_md1_queue_is_found_again() -> None:
    rng = np.random.default_rng(11)
    arrived = np.cumsum(rng.exponential(1.0, 20_000))
    idle = log_of(arrived.tolist(), arrived.tolist(), (arrived + 0.6).tolist())
    waits = replayed(idle)
    queued = log_of(arrived.tolist(), (arrived + waits).tolist(), (arrived + waits + 0.6).tolist())
    estimate = mean(queued, times(queued))
    exact = 0.6 + 0.6**2 / (2 * 0.4)
    assert estimate.low < exact < estimate.high
    assert estimate.half_width < 0.05 * exact
    present = number_present(queued)
    assert present[0] == pytest.approx(0.4, abs=0.02)
    assert present @ np.arange(present.size) == pytest.approx(exact, rel=0.05)
    np.testing.assert_allclose(replayed(queued), waits, atol=1e-9)
