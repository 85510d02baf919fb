"""The series in balls: enclosures hold the panels, and doubles do not."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from queues import MIXTURES, erlang_cdf, mixture, single
from thinkqueue.waiting_time.renewal import solve


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("load", [0.05, 0.5, 0.95])
def test_mixtures_lie_in_the_rigorous_enclosure(name: str, load: float) -> None:
    from thinkqueue.waiting_time.series import enclose

    queue = mixture(name, load)
    tilted = solve(queue)
    kinks = queue.service[-1] * np.array([1 - 1e-9, 1, 1 + 1e-9])
    for t in (0.0, 0.3 * queue.service[0], *kinks, 1.7 * queue.longest):
        low, high = enclose(queue, float(t), width=1e-16)
        value = float(tilted.tail(np.array(t)))
        assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)


def test_series_in_doubles_fails_where_balls_and_panels_do_not() -> None:
    w, ell = single(0.9)
    low, high = tq.enclose_waiting_time_tail(w, ell, 40.0)
    assert high - low < 1e-14
    assert tq.waiting_time_tail(w, ell, 40.0) == pytest.approx(low, rel=1e-10)
    assert abs(1 - erlang_cdf(0.9, 40.0) - low) > 1e-3
