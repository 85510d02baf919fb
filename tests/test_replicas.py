"""How many servers a stream needs: by hand, and against every number below and above."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from workloads import LINE, batching_workload, plain_workload

BATCH = batching_workload(tq.Batching(LINE), arrival_rate=20.0, prompt_time=0.0)


def test_fixed_budgets_by_hand():
    # a + bn: E[T] = τ(1) m / (1 − λ b m / n)
    ell = np.full(5, 3000.0)
    m = 200.0 + 3000.0
    one = LINE.base + LINE.per_query
    for latency in (25.0, 30.0, 60.0):
        by_hand = 20.0 * LINE.per_query * m / (1 - one * m / latency)
        found = tq.replicas_needed(BATCH, tokens=ell, latency=latency)
        assert found.count == int(np.ceil(by_hand))
        assert found.mean_system_time <= latency
    stable = tq.replicas_needed(BATCH, tokens=ell)
    assert stable.count == int(np.floor(20.0 * LINE.per_query * m)) + 1
    assert stable.utilization == pytest.approx(20.0 * LINE.per_query * m / stable.count)


@pytest.mark.parametrize("server", [tq.Batching(LINE), tq.Fifo()], ids=["batching", "fifo"])
def test_one_server_less_does_not_do(server):
    if isinstance(server, tq.Batching):
        w, accuracy, latency = BATCH, 0.6, 20.0
    else:
        w = plain_workload(3).replace(arrival_rate=5.0)
        idle = float(w.share @ w.base_time)
        accuracy = float(tq.mean_accuracy(w, np.full(5, 100.0)))
        latency = 3 * (idle + float(w.share @ w.time_per_token) * 100)
    found = tq.replicas_needed(w, accuracy=accuracy, latency=latency)
    assert found.count > 1
    assert found.mean_accuracy >= accuracy
    assert found.mean_system_time <= latency
    # an independent second method: the least time at this accuracy, by a sweep of its worth
    for count in (found.count - 1, found.count):
        one = w.replace(arrival_rate=w.arrival_rate / count)
        grid = tq.solve_grid(one, accuracy_weight=np.geomspace(1e-2, 1e6, 4000), throw=False)
        enough = grid.stable & (grid.mean_accuracy >= accuracy)
        least = np.min(grid.mean_system_time[enough], initial=np.inf)
        assert (least <= latency) == (count == found.count)


def test_refusals_say_what_to_do():
    with pytest.raises(tq.WorkloadError, match="either tokens"):
        tq.replicas_needed(BATCH)
    with pytest.raises(tq.WorkloadError, match="give a latency"):
        tq.replicas_needed(BATCH, accuracy=0.5)
    with pytest.raises(tq.ThinkQueueError, match="Not even 100 servers"):
        tq.replicas_needed(BATCH, accuracy=0.5, latency=1e-3, most=100)
    with pytest.raises(tq.ThinkQueueError, match="Not even"):
        tq.replicas_needed(BATCH, accuracy=0.99, latency=1e9)
