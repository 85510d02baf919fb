"""Several servers: closed forms, an independent sum, differences, the record, what must fail."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import poisson

import thinkqueue as tq
from thinkqueue.delay.several import (
    RULES,
    SeveralServers,
    erlang_c,
    first_to_end,
    lee_longton_limit,
    line_of_equal_times,
)
from workloads import DATA, plain_workload, stable_tokens

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from bench_several_servers import JOBS, cell, seen, told


def exponential(servers, load, types=2000):
    edge = np.arange(types + 1) / types
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(edge < 1, (1 - edge) * (1 - np.log1p(-edge)), 0.0)
    return tq.Workload.from_arrays(
        share=np.full(types, 1 / types), gain=0.5, rate=1e-3, baseline=0.0, time_per_token=0.01,
        base_time=types * (below[:-1] - below[1:]), arrival_rate=load * servers,
        accuracy_weight=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("servers", [1, 2, 5, 40])
def test_erlang_and_its_slopes(servers):
    a, h = 0.8 * servers, 1e-4 * servers
    terms = np.cumprod(np.concatenate([[1.0], a / np.arange(1, servers + 1)]))
    queued = terms[-1] / (1 - a / servers)
    at, up, down = (erlang_c(servers, x) for x in (a, a + h, a - h))
    assert at.value == pytest.approx(queued / (terms[:-1].sum() + queued), rel=1e-12)
    assert at.slope == pytest.approx((up.value - down.value) / (2 * h), rel=1e-6)
    assert at.bend == pytest.approx((up.slope - down.slope) / (2 * h), rel=1e-5)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("servers", [1, 2, 7])
def test_equal_times_by_the_chain_of_the_numbers_present(servers, load):
    # an independent second method: in a service time up to k leave and Poisson(a) come
    a, most = load * servers, 600
    come = poisson.pmf(np.arange(most), a)
    moves = np.zeros((most, most))
    for n in range(most):
        left = max(n - servers, 0)
        moves[n, left:] = come[: most - left]
    moves[:, -1] += 1 - moves.sum(axis=1)
    there = np.linalg.solve((np.eye(most) - moves).T + np.ones((most, most)), np.ones(most))
    waiting = there @ np.maximum(np.arange(most) - servers, 0)
    (line, slope), h = line_of_equal_times(servers, a), 1e-4 * a * (1 - load)
    assert line == pytest.approx(waiting, rel=1e-8, abs=1e-9)
    up, down = (
        line_of_equal_times(servers, a + h)[0],
        line_of_equal_times(servers, a - h)[0],
    )
    assert slope == pytest.approx((up - down) / (2 * h), rel=1e-4)
    assert up + down > 2 * line


def test_what_is_left_of_the_first_service_to_end():
    # equal times: the least of k uniform ones; exponential times: 1/k; and by sampling
    for k in (2, 5, 64):
        assert first_to_end(np.ones(1), np.array([3.0]), k)[0] == pytest.approx(3 / (k + 1))
    w = exponential(4, 0.5)
    assert first_to_end(w.share, w.base_time, 4)[0] == pytest.approx(0.25, rel=1e-4)
    share, s, g = np.array([0.7, 0.3]), np.array([1.0, 4.0]), np.random.default_rng(0)
    kind = g.choice(2, (200_000, 3), p=share * s / (share @ s))
    sampled = (s[kind] * g.uniform(size=kind.shape)).min(axis=1)
    gamma, slope = first_to_end(share, s, 3)
    assert gamma == pytest.approx(sampled.mean(), abs=4 * sampled.std() / np.sqrt(200_000))
    for k, e in enumerate(np.eye(2)):
        up, down = (first_to_end(share, s + h * e, 3)[0] for h in (1e-5, -1e-5))
        assert slope[k] == pytest.approx((up - down) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_exact_where_they_should_be(rule):
    w = plain_workload(2)
    ell = stable_tokens(w, np.random.default_rng(1), 0.6)
    one = w.replace(server=SeveralServers(1, rule))
    assert float(tq.mean_system_time(one, ell)) == pytest.approx(float(tq.mean_system_time(w, ell)))
    if rule == "sakasegawa":
        return
    many = exponential(5, 0.7)
    erlang = erlang_c(5, 3.5).value / 1.5
    told = float(tq.mean_system_time(many.replace(server=SeveralServers(5, rule)), np.zeros(2000)))
    assert told - 1 == pytest.approx(erlang, rel=2e-3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("servers", [2, 8])
def test_prices_are_differences(rule, servers):
    w = plain_workload(4)
    w = w.replace(arrival_rate=servers * w.arrival_rate, server=SeveralServers(servers, rule))
    ell = stable_tokens(
        w.replace(arrival_rate=w.arrival_rate / servers), np.random.default_rng(1), 0.7
    )
    delay, h = w.server, 1e-4 * np.maximum(ell, 10)
    price = delay.at(w, ell).price
    for k, e in enumerate(np.eye(5)):
        up, down = (delay.at(w, ell + sign * h * e).time for sign in (1, -1))
        assert (up - down) / (2 * h[k]) == pytest.approx(w.share[k] * price[k], rel=1e-4)
    stack = np.stack([ell, 0.5 * ell])
    np.testing.assert_allclose(
        tq.mean_system_time(w, stack), [float(tq.mean_system_time(w, x)) for x in stack]
    )


def test_convexity_of_lee_and_longton_by_the_hessian():
    for servers, load in ((2, 0.5), (4, 0.4), (16, 0.7)):
        limit = lee_longton_limit(servers, load * servers)
        for factor in (0.98, 1.02):
            w = cell(servers, load, limit * factor)
            w = w.replace(server=SeveralServers(servers, "lee-longton"), time_per_token=1.0)
            h = 1e-4
            w = w.replace(base_time=w.base_time - 2 * h)
            eye, at = h * np.eye(2), np.full(2, 2 * h)

            def time(x, w=w):
                return float(tq.mean_system_time(w, x))

            bend = np.array([
                [
                    time(at + a + b) - time(at + a - b) - time(at - a + b) + time(at - a - b)
                    for b in eye
                ]
                for a in eye
            ])  # fmt: skip
            assert (np.linalg.eigvalsh(bend / (4 * h * h)).min() > 0) == (factor < 1)
    least = [
        min(lee_longton_limit(k, x) for x in k * np.linspace(0.001, 0.999, 300))
        for k in (2, 3, 4, 8, 16, 64)
    ]
    np.testing.assert_allclose(least, [3, 2, 1.67, 1.28, 1.12, 0.98], atol=0.01)


def test_the_record_can_be_derived_again():
    stored = json.loads((DATA / "results" / "several_servers.json").read_text())
    cells = [c for c in stored["cells"] if c["load"] < 0.8 and c["servers"] in (2, 16)]
    assert stored["jobs"] == JOBS
    for one in (cells[0], cells[len(cells) // 2], cells[-1]):
        w = cell(one["servers"], one["load"], one["variability"])
        wait = seen(w, one["seed"])
        assert wait.value == pytest.approx(one["wait"], rel=1e-9)
        for rule in RULES:
            assert told(w, rule) / wait.value - 1 == pytest.approx(one["errors"][rule], abs=1e-5)
    # one server is exact: there the intervals hold the formula, and would not hold 5 % more
    exact = [c for c in stored["cells"] if c["servers"] == 1]
    inside = [abs(c["errors"]["kimura"]) * c["wait"] <= 1.5 * c["half_width"] for c in exact]
    assert np.mean(inside) > 0.9
    wrong = [abs(c["errors"]["kimura"] + 0.05) * c["wait"] <= c["half_width"] for c in exact]
    assert np.mean(wrong) < 0.5


def test_several_servers_are_never_claimed_to_be_convex():
    w = plain_workload(1).replace(server=tq.Fifo(servers=4))
    found = tq.solve(w, throw=False)
    assert found.status is tq.Status.NO_BOUND
    with pytest.raises(tq.WorkloadError, match="tangents"):
        tq.upper_bound(w, found.tokens)
    with pytest.raises(tq.WorkloadError):
        tq.waiting_time_tail(w, found.tokens, 1.0)
    with pytest.raises(tq.WorkloadError, match="rule is 'x'"):
        SeveralServers(2, "x")
    with pytest.raises(tq.UnstableError):
        tq.mean_system_time(w.replace(arrival_rate=1e3), found.tokens)
