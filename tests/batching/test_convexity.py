"""The test of convexity where queries wait: against eigenvalues, and its smallest limits."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, Workload, WorkloadError
from workloads import SERVERS, batching_workload


def waiting(ratio: float, cap: int, load: float, x: np.ndarray, share: np.ndarray) -> Workload:
    time = TokenTime(ratio * 1e-3, 1e-3)
    pace = float(1 / time.rate_at(cap))
    return tq.Workload.from_arrays(
        share=share, gain=0.0, rate=1e-3, baseline=0.0, answer_tokens=0.0,
        arrival_rate=load / pace / float(share @ x), accuracy_weight=0.0,
        server=Batching(time, cap, "wait"),
    )  # fmt: skip


def test_the_limit_is_where_an_eigenvalue_turns_negative():
    g = np.random.default_rng(2)
    seen = {True: 0, False: 0}
    for _ in range(300):
        cap, ratio = int(g.integers(2, 40)), float(10 ** g.uniform(-1, 3))
        share = g.dirichlet(np.ones(3))
        x = 10 ** g.uniform(1, 4, 3)
        w = waiting(ratio, cap, float(g.uniform(0.5, 0.98)), x, share)
        test = tq.waiting_convexity(w, x)
        scale = np.sqrt(np.outer(share, share))
        eigenvalues = np.linalg.eigvalsh(tq.negative_hessian(w, x).dense() / scale)
        clear = abs(test.variability / test.limit - 1) > 1e-6
        if clear and np.isfinite(test.limit):
            assert (eigenvalues[0] > -1e-9 * eigenvalues[-1]) == test.convex
            seen[test.convex] += 1
    assert min(seen.values()) > 20


@pytest.mark.parametrize(
    ("ratio", "smallest"), [(0, 2.0), (3.5, 1.73), (10, 1.59), (67, 1.34), (200, 1.23)]
)
def test_the_smallest_limit_over_caps_and_loads(ratio, smallest):
    x, share = np.array([1000.0]), np.array([1.0])
    limits = [
        tq.waiting_convexity(waiting(ratio, cap, load, x, share), x).limit
        for cap in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
        for load in np.arange(0.3, 0.981, 0.02)
    ]
    assert abs(min(limits) - smallest) < 0.03


def test_it_is_asked_where_it_applies():
    with pytest.raises(WorkloadError, match="where it shares, the mean time is convex"):
        tq.waiting_convexity(batching_workload(SERVERS[0]), np.zeros(5))
    with pytest.raises(WorkloadError, match="No type asks for any token"):
        tq.waiting_convexity(batching_workload(SERVERS[2], answer_tokens=0.0), np.zeros(5))
