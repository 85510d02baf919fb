"""The price of the tail: one-sided derivatives, the mean, and the kink between."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from queues import small
from workloads import QWEN


def test_tail_price_is_the_derivative() -> None:
    w, ell = small()
    t = np.array([0.2, 1.5, 8.0])
    price = tq.waiting_time_tail_price(w, ell, t)
    assert price.shape == (3, len(w))
    step = 1e-4 / w.time_per_token
    for k in range(len(w)):
        shift = np.eye(len(w))[k] * step
        up, down = (tq.waiting_time_tail(w, ell + side * shift, t) for side in (1, -1))
        np.testing.assert_allclose(price[:, k], (up - down) / 2e-4, rtol=1e-5)


def test_tail_price_integrates_to_the_queueing_price() -> None:
    w = tq.Workload.from_toml(QWEN)
    ell = tq.solve(w).tokens
    t = np.linspace(0, 400, 2001)
    price = np.trapezoid(tq.waiting_time_tail_price(w, ell, t, error=1e-8), t, axis=0)
    np.testing.assert_allclose(price / w.share, tq.queueing_price(w, ell) - 1, rtol=2e-3)


def test_tail_price_has_two_sides_where_a_service_just_fits() -> None:
    """At t = s_k a longer and a shorter service differ by λπ(1-ρ); a wrong side is off by that."""
    w, ell = small()
    service, k, h = tq.service_time(w, ell), 1, 1e-5
    t = service[k]
    here = float(tq.waiting_time_tail(w, ell, t))
    sides = {}
    for longer, sign in ((False, -1), (True, 1)):
        moved = ell + sign * h / w.time_per_token * np.eye(len(w))[k]
        slope = sign * (float(tq.waiting_time_tail(w, moved, t)) - here) / h
        sides[longer] = float(tq.waiting_time_tail_price(w, ell, t, longer=longer)[k])
        assert sides[longer] == pytest.approx(slope, rel=1e-4)
    jump = w.arrival_rate * w.share[k] * (1 - float(tq.utilization(w, ell)))
    assert sides[True] - sides[False] == pytest.approx(jump, rel=1e-9)
