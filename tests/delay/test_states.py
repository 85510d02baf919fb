"""What every server says of itself: how much of it is free, and that it knows where it is full."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import UnstableError, Workload, WorkloadError
from thinkqueue.delay.several import SeveralServers, erlang_c, lee_longton_limit
from thinkqueue.delay.time import delay_of
from workloads import plain_workload

SERVERS = {
    "first come": tq.Fifo(),
    "three": tq.Fifo(servers=3),
    "priority": tq.NonPreemptivePriority((2, 0, 1)),
    "shortest first": tq.ShortestFirst(),
    "preemptive": tq.PreemptivePriority((2, 0, 1)),
    "shortest first, preemptive": tq.PreemptiveShortestFirst(),
    "least left": tq.ShortestRemaining(),
    "sharing": tq.ProcessorSharing(),
}
SECONDS = np.array([0.5, 2.0, 3.5])
SHARE = np.array([0.5, 0.3, 0.2])


def in_seconds(server: object, rate: float) -> Workload:
    return Workload.from_arrays(
        share=SHARE, gain=0.5, rate=1e-3, baseline=0.1, base_time=SECONDS - 0.25,
        time_per_token=0.01, arrival_rate=rate, accuracy_weight=100.0, server=server,
    )  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("load", [0.3, 0.9, 1.5])
def test_what_is_free_is_what_is_not_asked_for(name: str, load: float) -> None:
    server = SERVERS[name]
    servers = getattr(server, "servers", 1)
    tokens = np.full(3, 25.0)
    # idle it is stable, so that it is a workload
    w = in_seconds(server, 0.5).replace(
        arrival_rate=load * servers / float(SHARE @ SECONDS),
        base_time=SECONDS * 1e-3,
        time_per_token=SECONDS * (1 - 1e-3) / 25,
    )
    state = delay_of(server).at(w, tokens)
    assert state.slack == pytest.approx(1 - load, abs=1e-12)
    if load < 1:
        # a last bit of the load moves what is free by a part 1/slack, and at most the time with it
        assert 0 <= state.magnified <= 1.001 * state.time / state.slack
        assert float(tq.utilization(w, tokens)) == pytest.approx(load)
    else:
        with pytest.raises(UnstableError) as error:
            tq.mean_system_time(w, tokens)
        assert error.value.utilization == pytest.approx(load)


def test_many_allocations_at_once_are_each_of_them() -> None:
    for server in SERVERS.values():
        delay, w = delay_of(server), in_seconds(server, 0.4)
        rows = np.array([[0.0, 10.0, 20.0], [5.0, 0.0, 1.0]])
        many = delay.at(w, rows)
        for k, row in enumerate(rows):
            one = delay.at(w, row)
            np.testing.assert_allclose(np.ravel(many.time)[k], one.time, rtol=1e-13)
            np.testing.assert_allclose(np.ravel(many.slack)[k], one.slack, rtol=1e-13)
            np.testing.assert_allclose(many.price[k], one.price, rtol=1e-13)
    single = plain_workload(0, 1).replace(server=tq.Fifo(servers=2))
    assert delay_of(single.server).at(single, np.zeros((2, 1))).price.shape == (2, 1)


def test_one_of_several_servers_is_first_come_first_served() -> None:
    w, tokens = in_seconds(tq.Fifo(), 0.5), np.array([3.0, 20.0, 7.0])
    alone, one = delay_of(tq.Fifo()).at(w, tokens), SeveralServers(1).at(w, tokens)
    assert one.time == pytest.approx(alone.time, rel=1e-14)
    np.testing.assert_allclose(one.price, alone.price, rtol=1e-14)
    assert SeveralServers(1).convex is True
    assert SeveralServers(2).convex is False


def test_an_idle_crew_lets_nobody_wait() -> None:
    # at one server whoever finds it busy waits: the probability is the load itself
    assert erlang_c(1, 0.0) == (0.0, 1.0, 0.0)
    assert erlang_c(3, 0.0) == (0.0, 0.0, 0.0)
    for k in (1, 3):
        np.testing.assert_allclose(erlang_c(k, 0.0)[:2], erlang_c(k, 1e-9)[:2], atol=1e-8)
    for offered in (0.0, 2.0):
        with pytest.raises(WorkloadError, match="must lie between 0 and the number of servers, 2"):
            lee_longton_limit(2, offered)


def test_sakasegawa_as_it_is_written() -> None:
    k, rate = 3, 1.2
    w, tokens = in_seconds(tq.Fifo(servers=k), rate), np.full(3, 25.0)
    m, second = float(SHARE @ SECONDS), float(SHARE @ SECONDS**2)
    load = rate * m / k
    wait = second / (2 * m**2) * m / k * load ** (np.sqrt(2 * (k + 1)) - 1) / (1 - load)
    assert SeveralServers(k, "sakasegawa").at(w, tokens).time == pytest.approx(m + wait, rel=1e-12)


def test_equal_ones_take_equally_long_whoever_has_least_left_first() -> None:
    for server in (tq.ShortestFirst(), tq.PreemptiveShortestFirst(), tq.ShortestRemaining()):
        two, one = (
            Workload.from_arrays(
                share=share, gain=0.5, rate=1e-3, baseline=0.1, base_time=seconds,
                time_per_token=0.01, arrival_rate=0.15, accuracy_weight=1.0, server=server,
            )
            for share, seconds in (([0.3, 0.2, 0.5], [5.0, 5.0, 2.0]), ([0.5, 0.5], [5.0, 2.0]))
        )  # fmt: skip
        times = tq.mean_type_time(two, np.zeros(3))
        np.testing.assert_allclose(
            times, tq.mean_type_time(one, np.zeros(2))[[0, 0, 1]], rtol=1e-12
        )


def test_a_time_of_each_type_that_nobody_knows_is_refused() -> None:
    w = in_seconds(SeveralServers(2), 0.5)  # as a reader's own server would come
    with pytest.raises(WorkloadError, match="mean time of each type is not known"):
        tq.mean_type_time(w, np.zeros(3))
