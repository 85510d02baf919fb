"""Who is at a batching server, how long each type stays, and what a promise costs in tokens."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, WorkloadError
from workloads import LINE, QWEN, SERVERS, batching_workload

X = np.array([500.0, 1000.0, 4000.0, 3000.0, 2000.0])


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_the_types_make_up_the_mean_and_little_holds(server):
    w = batching_workload(server)
    w = w.replace(arrival_rate=0.7 * w.arrival_rate / float(tq.utilization(w, X)))
    times = tq.mean_type_time(w, X)
    np.testing.assert_allclose(w.share @ times, tq.mean_system_time(w, X), rtol=1e-12)
    if isinstance(server.token_time, TokenTime) and server.token_time.per_context:
        with pytest.raises(WorkloadError, match="No law of the number present"):
            tq.queries_present(w, X)
        return
    w = w.replace(prompt_time=0.0)
    present = tq.queries_present(w, X)
    n = np.arange(3000)
    chance = present.probability(n)
    np.testing.assert_allclose(chance.sum(), 1, rtol=1e-10)
    np.testing.assert_allclose(chance @ n, present.mean, rtol=1e-9)
    np.testing.assert_allclose(chance @ (n - present.mean) ** 2, present.variance, rtol=1e-9)
    np.testing.assert_allclose(chance @ (n - present.mean) ** 3, present.third_cumulant, rtol=1e-7)
    if server.max_batch:
        over = np.maximum(n - server.max_batch, 0)
        np.testing.assert_allclose(chance @ over, present.waiting, rtol=1e-9)
    np.testing.assert_allclose(
        present.tokens_per_second / present.most_tokens_per_second, tq.utilization(w, X), rtol=1e-12
    )
    if server.overflow == "share":
        little = w.arrival_rate * float(tq.mean_system_time(w, X))
        np.testing.assert_allclose(present.mean, little, rtol=1e-12)


def test_the_time_of_a_type_is_in_proportion_to_its_tokens():
    w = batching_workload(Batching(LINE), arrival_rate=1.0, prompt_time=0.0)
    m = float(w.share @ (X + 200))
    one = LINE.base + LINE.per_query
    np.testing.assert_allclose(
        tq.mean_type_time(w, X), one * (X + 200) / (1 - LINE.per_query * m), rtol=1e-13
    )


@pytest.mark.parametrize("server", [SERVERS[0], SERVERS[1], SERVERS[4], SERVERS[5]], ids=repr)
def test_a_promise_about_the_mean_time_is_a_budget_of_tokens(server):
    w = batching_workload(server, arrival_rate=0.5)
    for latency in (5.0, 20.0, 100.0):
        budget = tq.token_budget(w, latency)
        same = np.full(5, budget - 200)
        np.testing.assert_allclose(tq.mean_system_time(w, same), latency, rtol=1e-9)
        mixed = same + np.array([100.0, -150.0, 0, 0, -200])  # π = .5, .2, .1, .1, .1
        assert abs(w.share @ (mixed - same)) < 1e-9
        np.testing.assert_allclose(tq.mean_system_time(w, mixed), latency, rtol=1e-9)
    with pytest.raises(WorkloadError, match="without any thinking the mean time is"):
        tq.token_budget(w, 0.1)
    with pytest.raises(WorkloadError, match="latency is -1"):
        tq.token_budget(w, -1.0)


def test_what_does_not_apply_is_refused():
    with pytest.raises(WorkloadError, match="depends on more than the mean number"):
        tq.token_budget(batching_workload(SERVERS[2]), 10.0)
    fifo = tq.Workload.from_toml(QWEN)
    for ask in (tq.queries_present, tq.type_time):
        with pytest.raises(WorkloadError, match="server only"):
            ask(fifo, X)
    with pytest.raises(WorkloadError, match="server only"):
        tq.token_budget(fifo, 10.0)
    w = batching_workload(Batching(LINE))
    with pytest.raises(WorkloadError, match=r"n is 1\.5"):
        tq.queries_present(w, X).probability(1.5)
    with pytest.raises(tq.UnstableError):
        tq.queries_present(w.replace(arrival_rate=100.0), X)
