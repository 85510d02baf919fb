"""The search for the best of all optima: against many starts, and with a bound that holds."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, Status, TokenTime, WorkloadError
from thinkqueue.batching.global_search import _ContextCells, _WaitingCells
from thinkqueue.delay import delay_of
from workloads import LINE, SERVERS, batching_workload

CONTEXT = Batching(TokenTime(6.5e-3, 9.7e-5, 5e-8))


def random_allocations(w, count, seed=0):
    g = np.random.default_rng(seed)
    for _ in range(count):
        x = g.uniform(size=len(w)) ** 3 * w.max_tokens
        while tq.utilization(w, x) >= 1:
            x = x / 2
        yield x


@pytest.mark.parametrize("rate", [0.02, 0.2, 1.0])
def test_with_context_the_gap_closes_and_no_start_finds_more(rate):
    w = batching_workload(CONTEXT, arrival_rate=rate, prompt_tokens=500.0)
    found = tq.solve_globally(w, gap=1e-9)
    assert found.status is Status.CONVERGED
    assert 0 <= found.gap <= 1e-9 * found.objective
    for x in random_allocations(w, 300):
        assert tq.objective(w, x) <= found.upper_bound
    for x in random_allocations(w, 8, seed=1):
        assert tq.solve(w, start=x, throw=False).objective <= found.upper_bound


@pytest.mark.parametrize(("cap", "rate"), [(4, 0.1), (16, 0.5)])
def test_with_a_line_the_gap_closes_to_what_is_asked(cap, rate):
    w = batching_workload(Batching(LINE, cap, "wait"), arrival_rate=rate)
    found = tq.solve_globally(w, gap=1e-4)
    assert 0 <= found.gap <= 1e-4 * found.objective
    for x in random_allocations(w, 300):
        assert tq.objective(w, x) <= found.upper_bound


def test_a_wrong_allocation_is_given_away_by_the_bound():
    # negative control: the budgets for a server without context lose more than the gap
    w = batching_workload(CONTEXT, arrival_rate=0.2)
    careless = tq.solve(batching_workload(Batching(LINE), arrival_rate=0.2)).tokens
    found = tq.solve_globally(w)
    assert found.upper_bound - found.gap - float(tq.objective(w, careless)) > 5.0


def test_convex_servers_are_solved_and_hopeless_ones_refused():
    w = batching_workload(SERVERS[0])
    assert tq.solve_globally(w).gap < 1e-9
    with pytest.raises(WorkloadError, match="whose rate is not concave"):
        tq.solve_globally(batching_workload(SERVERS[-1], arrival_rate=0.05))
    with pytest.raises(tq.NotConvergedError, match="stopped after"):
        tq.solve_globally(batching_workload(SERVERS[2], arrival_rate=0.5), gap=1e-12, max_cells=4)


@pytest.mark.parametrize("server", [CONTEXT, Batching(LINE, 4, "wait")], ids=repr)
@pytest.mark.parametrize("wide", [0.02, 0.3])
def test_the_bound_of_a_cell_holds_for_every_allocation_in_it(server, wide):
    # best replies at many prices, with whatever scalar they have: below and above the optimum
    w = batching_workload(server, arrival_rate=0.1)
    kind = _ContextCells if server is CONTEXT else _WaitingCells
    cells = kind(w, delay_of(server), 0.0)
    looked = 0
    for price in np.geomspace(1e-3, 10, 25):
        x = cells.best(np.full(5, price), 1e-7)
        if tq.utilization(w, x) >= 1 or not x.any():
            continue
        value = float(tq.objective(w, x))
        load = float(tq.utilization(w, x))
        at = 1 / (1 - load) if server is CONTEXT else float(w.share @ (w.answer_tokens + x))
        for part in (1e-6, 0.5, 1 - 1e-6):  # it lies at this part of the cell
            low = max(at * (1 - part * wide), 1.0 if server is CONTEXT else 0.0)
            left, right = cells.end(low), cells.end(at * (1 + (1 - part) * wide))
            assert value <= cells.bound(left, right) + 1e-9 * value
            looked += 1
    assert looked > 30


@pytest.mark.parametrize(
    "server", [Batching(TokenTime(1e-5, 2e-3, 1e-9)), Batching(TokenTime(1e-5, 2e-3), 2, "wait")],
    ids=repr,
)  # fmt: skip
def test_the_cells_reach_as_far_as_anything_good_does(server):
    # hardly any time but that of others, and curves that saturate: nothing to spare in the range
    w = batching_workload(server, arrival_rate=0.02)
    w = w.replace(rate=30 * w.rate, arrival_rate=0.2 * w.arrival_rate, accuracy_weight=1e4)
    best = tq.solve(w, throw=False)
    kind = _ContextCells if server.token_time.per_context else _WaitingCells
    cells = kind(w, delay_of(server), best.objective)
    at = float(w.share @ (w.answer_tokens + best.tokens))
    if kind is _ContextCells:
        at = 1 / (1 - best.utilization)
    ends = [end.at for end in cells.start()]
    assert ends[0] <= at <= ends[-1]
    ideal = float(w.accuracy_weight * w.share @ w.curves.value(w.max_tokens))
    assert best.mean_system_time > 0.6 * (ideal - best.objective)
