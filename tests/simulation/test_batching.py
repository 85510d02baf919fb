"""The engine for batching against the exact law: three length laws, caps, lines, and a control."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, Workload, WorkloadError
from thinkqueue.simulation.engine import engine_for
from thinkqueue.simulation.replication import Cut
from thinkqueue.simulation.tally import TYPE_LATE, WAITING, empty_tally
from workloads import LINE, MEASURED, SERVERS, batching_workload

X = np.array([500.0, 1000.0, 4000.0, 3000.0, 2000.0])


def at_load(server: Batching, load: float, **changes) -> Workload:
    w = batching_workload(server, prompt_time=0.0, **changes)
    return w.replace(arrival_rate=load * w.arrival_rate / float(tq.utilization(w, X)))


@pytest.mark.parametrize("server", [Batching(LINE), Batching(LINE, 3), Batching(LINE, 3, "wait"),
                                    Batching(MEASURED, 5, "wait")], ids=repr)  # fmt: skip
def test_every_query_is_where_a_plain_program_says(server):
    w = at_load(server, 0.8)
    g = np.random.default_rng(0)
    kinds = g.choice(5, p=w.share, size=3000)
    gaps = g.exponential(1 / w.arrival_rate, 3000)
    stays = plain(np.cumsum(gaps) - gaps, X[kinds] + 200, server, server.max_batch or 10**9)
    alone = float(server.token_time.seconds_at(1)) * (X + 200)
    engine, tally = (
        engine_for(server, alone),
        empty_tally(np.full(5, 50.0), Cut.NOWHERE.least, False),
    )
    for part in (slice(0, 7), slice(7, None)):  # it goes on where it stopped
        assert (
            engine.advance(kinds[part], gaps[part], alone[kinds[part]], tally) == kinds[part].size
        )
    engine.drain(tally)
    np.testing.assert_allclose(
        tally.sums[:, WAITING].sum(), (stays - alone[kinds]).sum(), rtol=1e-9
    )
    for k in range(5):
        assert tally.of_type[:, k, TYPE_LATE].sum() == (stays[kinds == k] > 50).sum()


def plain(at, lengths, server, cap):
    """The same events in a few plain lines."""
    inside, line, stays = [], [], np.zeros(len(at))
    clock = now = 0.0

    def leave(until):
        nonlocal clock, now
        while inside:
            n = len(inside)
            some = min(n, cap)
            rate = some / n / float(server.token_time.seconds_at(some))
            if now + (inside[0][0] - clock) / rate > until:
                clock += (until - now) * rate
                break
            now += (inside[0][0] - clock) / rate
            clock, who = heapq.heappop(inside)
            stays[who] = now - at[who]
            if line:
                later = line.pop(0)
                heapq.heappush(inside, (clock + lengths[later], later))
        now = until

    for who, when in enumerate(at):
        leave(when)
        if server.overflow == "wait" and len(inside) >= cap:
            line.append(who)
        else:
            heapq.heappush(inside, (clock + lengths[who], who))
    leave(np.inf)
    return stays


@pytest.mark.slow
@pytest.mark.parametrize(
    "server",
    [Batching(LINE), Batching(LINE, 16), Batching(LINE, 1, "wait"), Batching(MEASURED, 32)],
    ids=repr,
)
def test_the_exact_law_lies_in_the_intervals(server):
    w = at_load(server, 0.6)
    expected = float(tq.mean_system_time(w, X))
    inside = 0
    for seed in range(40):
        run = tq.simulate(w, X, jobs=60_000, seed=seed, level=0.9)
        inside += run.mean_system_time.low <= expected <= run.mean_system_time.high
        # negative control: one at a time on the same server, whatever the order
        alone = expected * (1 - 0.6) * 2
        assert not (run.mean_system_time.low <= alone <= run.mean_system_time.high)
    # 36 expected of 40 at 90 %; fewer than 29 has a probability of 4e-4
    assert inside >= 29


def test_the_law_of_the_lengths_does_not_matter_where_the_overflow_shares():
    quantiles = (np.arange(200) + 0.5) / 200
    laws = {
        "fixed": np.full(200, 1000.0),
        "exponential": -np.log1p(-quantiles),
        "wide": np.where(quantiles < 0.9, 0.2, 8.2),
    }
    values = {}
    for name, lengths in laws.items():
        w = tq.Workload.from_arrays(
            share=np.full(200, 1 / 200), gain=0.5, rate=1e-3, baseline=0.0,
            answer_tokens=lengths / lengths.mean() * 1000, arrival_rate=3.0, accuracy_weight=1.0,
            server=Batching(LINE, 64),
        )  # fmt: skip
        run = tq.simulate(w, np.zeros(200), jobs=1_000_000, seed=1, level=0.9999)
        expected = float(tq.mean_system_time(w, np.zeros(200)))
        assert run.mean_system_time.low < expected < run.mean_system_time.high
        assert run.mean_system_time.half_width < 0.025 * expected
        values[name] = expected
    np.testing.assert_allclose(list(values.values()), values["fixed"], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("cap", "load", "allowed"), [(4, 0.8, 0.03), (16, 0.8, 0.02)])
def test_the_approximation_for_a_line_is_as_near_as_it_says(cap, load, allowed):
    w = at_load(Batching(LINE, cap, "wait"), load)
    run = tq.simulate(w, X, jobs=1_000_000, seed=2)
    assert run.mean_system_time.half_width < 0.015 * run.mean_system_time.value
    assert abs(float(tq.mean_system_time(w, X)) / run.mean_system_time.value - 1) < allowed


def test_what_is_not_simulated_is_refused():
    with pytest.raises(WorkloadError, match="without prompts that take time"):
        tq.simulate(batching_workload(SERVERS[0]), X, jobs=10, seed=0)
    with pytest.raises(WorkloadError, match="without prompts that take time"):
        tq.simulate(batching_workload(SERVERS[3], prompt_time=0.0), X, jobs=10, seed=0)
    w = at_load(SERVERS[1], 0.5)
    with pytest.raises(WorkloadError, match="send each of several its part"):
        tq.simulate(w, X, jobs=10, seed=0, servers=2)
    with pytest.raises(WorkloadError, match="on its own Batching"):
        tq.simulate(w, X, jobs=10, seed=0, discipline=tq.Fifo())
    with pytest.raises(tq.UnstableError):
        tq.simulate(w.replace(arrival_rate=100.0), X, jobs=10, seed=0)
