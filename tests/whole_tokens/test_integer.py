"""The exact integer optimum: brute force, two searches against each other, hard cases, honesty."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from thinkqueue import (
    Batching,
    Fifo,
    ProcessorSharing,
    TokenTime,
    UnstableError,
    Workload,
    WorkloadError,
    objective,
    solve,
    utilization,
)
from thinkqueue.arrays import Array
from thinkqueue.bounds import tangent
from thinkqueue.whole_tokens import (
    load_bound,
    load_search,
    round_tokens,
    solve_integer,
    tangent_search,
)
from thinkqueue.whole_tokens.choices import Choices, Menu, blur
from workloads import LINE, MEASURED, QWEN, hard_workload, plain_workload

LEVELS = [0, 1024, 8192, 24576]


def brute_force(w: Workload, menu: Menu | None = None) -> float:
    choices = Choices.of(w, menu)
    every = np.array(list(itertools.product(*(range(n) for n in choices.count))))
    return float(choices.objective(every).max())


def unresolved(w: Workload, menu: Menu | None, tokens: Array) -> float:
    """What rounding may do to J there: sums over a batch are taken in another order."""
    choices = Choices.of(w, menu)
    return 1e-12 + 2 * blur(choices.magnitude(choices.position(tokens.astype(np.float64))))


def small_case(seed: int) -> tuple[Workload, Menu | None]:
    """At most a few thousand allocations: a menu of five, or seven whole numbers."""
    g = np.random.default_rng(seed)
    types = int(g.integers(1, 6))
    w = (plain_workload if seed % 2 else hard_workload)(g, types)
    if seed % 3 == 0:
        return w.replace(max_tokens=np.minimum(w.max_tokens, 4.0)), None
    return w, [0, *np.sort(g.choice(30_000, 4)).tolist()]


@pytest.mark.parametrize("seed", range(80))
def test_brute_force_agrees(seed: int) -> None:
    w, menu = small_case(seed)
    best = brute_force(w, menu)
    found = solve_integer(w, menu=menu)
    assert found.proven
    room = unresolved(w, menu, found.tokens)
    assert found.objective == pytest.approx(best, rel=1e-12, abs=room)
    assert found.objective <= best + found.gap + room
    assert found.upper_bound >= best - room


@pytest.mark.parametrize("seed", range(80))
def test_the_search_by_load_agrees_on_its_own(seed: int) -> None:
    w, menu = small_case(seed)
    choices = Choices.of(w, menu)
    found = load_search.search(choices, 0 * choices.count, node_limit=10**6)
    assert found.proven
    room = unresolved(w, menu, choices.tokens(found.index))
    assert found.objective == pytest.approx(brute_force(w, menu), rel=1e-12, abs=room)


SHARING = [
    Batching(LINE),
    Batching(LINE, 4),
    Batching(TokenTime(0.0, 1e-3)),
    Batching(TokenTime(0.01, 0.0)),
    Batching(MEASURED),
    Batching(MEASURED, 12),
]


def batching_case(seed: int, types: int, server: Batching) -> Workload:
    """A workload of a batching server, anywhere between idle and full."""
    g = np.random.default_rng(seed)
    w = Workload.from_arrays(
        share=g.dirichlet(np.full(types, 2.0)),
        gain=g.uniform(0.1, 0.7, types),
        rate=10 ** g.uniform(-4.5, -2.5, types),
        baseline=0.1,
        answer_tokens=g.uniform(0, 500, types),
        prompt_time=g.uniform(0, 0.05, types) if seed % 2 else 0.0,
        arrival_rate=1.0,
        accuracy_weight=10 ** g.uniform(0, 4),
        server=server,
    )
    idle = float(utilization(w, np.zeros(types)))
    return w.replace(arrival_rate=g.uniform(0.01, 0.9) / idle) if idle > 0 else w


@pytest.mark.parametrize("server", SHARING, ids=repr)
@pytest.mark.parametrize("seed", range(8))
def test_brute_force_agrees_for_a_batching_server(seed: int, server: Batching) -> None:
    g = np.random.default_rng(seed)
    w = batching_case(seed, int(g.integers(1, 6)), server)
    menu: Menu | None = [0, *np.sort(g.choice(30_000, 4)).tolist()]
    if seed % 3 == 0:
        w, menu = w.replace(max_tokens=4.0), None
    best, choices = brute_force(w, menu), Choices.of(w, menu)
    found = solve_integer(w, menu=menu)
    assert found.proven
    room = unresolved(w, menu, found.tokens)
    assert found.objective == pytest.approx(best, rel=1e-12, abs=room)
    assert best - room <= found.upper_bound
    alone = load_search.search(choices, 0 * choices.count, node_limit=10**6)
    assert alone.proven
    assert alone.objective == pytest.approx(best, rel=1e-12, abs=room)


def test_a_bend_of_the_wrong_sign_is_caught_for_a_batching_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative control: the chord alone is no bound where T is convex and multipliers fall."""
    monkeypatch.setattr(load_search, "_bend", lambda left, right: -left.coupling.bend(left, right))
    monkeypatch.setattr(
        load_search, "_chord", lambda left, right, a, b: np.minimum(left.bound - a, right.bound - b)
    )
    wrong = 0
    for seed in range(30):
        w = batching_case(seed, 4, Batching(LINE))
        choices = Choices.of(w, LEVELS)
        found = load_search.search(choices, 0 * choices.count, node_limit=10**5)
        wrong += found.objective < brute_force(w, LEVELS) * (1 - 1e-9) - 1e-9
    assert wrong > 0


@pytest.mark.parametrize("server", SHARING, ids=repr)
def test_the_bound_of_a_cell_holds_for_what_lies_in_it(server: Batching) -> None:
    g = np.random.default_rng(5)
    for seed in range(6):
        w = batching_case(seed, 4, server)
        choices = Choices.of(w)
        search = load_search._Search(choices, 0 * choices.count, enough=0.0)
        ideal = solve(w).tokens
        for _ in range(20):
            index = choices.position(g.uniform(0.3, 1.6) * ideal + g.uniform(0, 50, 4))
            if not utilization(w, choices.tokens(index)) < 1:
                continue
            m = float(w.share @ w.service.mean(choices.tokens(index)))
            low, high = m * (1 - g.uniform(0, 0.2)), m * (1 + g.uniform(0, 0.2))
            pace = search.coupling.delay.pace
            if pace:
                room = (1 - float(utilization(w, choices.tokens(index)))) / (w.arrival_rate * pace)
                high = min(high, m + 0.9 * room)
            left, right = search.end(low), search.end(high)
            bound = search._bound(left, right)
            assert float(choices.objective(index)) <= bound + search._tolerance(left, right)


@pytest.mark.parametrize("server", SHARING, ids=repr)
def test_the_bound_of_a_mean_is_reached_by_the_best_at_a_price(server: Batching) -> None:
    w = batching_case(4, 6, server)
    choices = Choices.of(w)
    search = load_search._Search(choices, 0 * choices.count, enough=0.0)
    for price in np.geomspace(0.5, 2, 9) * search.coupling.price(1.0, 0.0):
        index = choices.best(price, 0.0)
        if utilization(w, choices.tokens(index)) < 1:
            value = float(choices.objective(index))
            bound = search.end(search._moments(index)[0]).bound
            assert bound == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("menu", [None, LEVELS, range(0, 32769, 256)])
def test_a_thousand_types_of_a_batching_server_are_proven(menu: Menu | None) -> None:
    w = batching_case(2, 1000, Batching(LINE))
    found = solve_integer(w, menu=menu)
    assert found.proven
    assert found.gap <= 1e-12 * abs(found.objective) + 1e-9
    assert found.objective <= solve(w).upper_bound + found.gap


@pytest.mark.slow
def test_a_menu_for_a_hundred_thousand_types_of_a_batching_server_is_proven() -> None:
    w = batching_case(2, 100_000, Batching(LINE))
    assert solve_integer(w, menu=LEVELS, node_limit=2 * 10**8).proven


@pytest.mark.parametrize("seed", range(12))
def test_the_two_searches_agree(seed: int) -> None:
    w = plain_workload(seed, 8)
    choices = Choices.of(w)
    ideal = solve(w)
    start = choices.position(ideal.tokens)
    reduced = tangent_search.reduce(
        choices, tangent(w, ideal.tokens), float(choices.objective(start))
    )
    first, _, complete = tangent_search.search(choices, reduced, start, node_limit=10**5)
    second = load_search.search(choices, start, node_limit=10**7)
    assert complete
    assert second.proven
    assert choices.objective(first) == pytest.approx(second.objective, rel=1e-13)


@pytest.mark.parametrize("types", [1, 2, 5, 20, 100, 1000])
def test_whole_tokens_are_proven_at_every_size(types: int) -> None:
    w = plain_workload(types, types)
    found = solve_integer(w)
    ideal = solve(w)
    assert found.proven
    assert found.gap <= 1e-9 * abs(found.objective)
    assert found.objective <= ideal.upper_bound + found.gap
    assert found.objective >= float(objective(w, round_tokens(w, ideal.tokens))) - found.gap
    assert float(objective(w, found.tokens)) == pytest.approx(found.objective, rel=1e-12)


@pytest.mark.slow
def test_ten_thousand_types_come_within_a_millionth() -> None:
    found = solve_integer(plain_workload(7, 10_000))
    assert found.gap <= 1e-6 * abs(found.objective)


@pytest.mark.slow
def test_a_hundred_thousand_types_keep_the_bound_of_the_tangent() -> None:
    found = solve_integer(plain_workload(8, 100_000))
    assert not found.proven
    assert 0 <= found.gap <= 1e-6 * abs(found.objective)


@pytest.mark.parametrize("menu", [LEVELS, range(0, 32769, 256)])
@pytest.mark.parametrize("types", [5, 20, 100])
def test_menus_are_proven(types: int, menu: Menu) -> None:
    w = plain_workload(100 + types, types)
    found = solve_integer(w, menu=menu)
    assert found.proven
    assert np.isin(found.tokens, np.asarray(menu)).all()
    naive = round_tokens(w, solve(w).tokens, menu=menu)
    assert found.objective >= float(objective(w, naive)) - found.gap


def test_no_single_or_double_change_is_better() -> None:
    w = Workload.from_toml(QWEN)
    found = solve_integer(w)
    assert found.proven
    moves = np.array(list(itertools.product((-1, 0, 1), repeat=len(w))))
    near = np.maximum(found.tokens + moves, 0)
    assert objective(w, near).max() <= found.objective + found.gap


def test_naive_rounding_to_effort_levels_loses_percents() -> None:
    losses = []
    for seed in range(40):
        w = plain_workload(seed, 5)
        best = solve_integer(w, menu=LEVELS).objective
        losses.append(1 - float(objective(w, round_tokens(w, solve(w).tokens, menu=LEVELS))) / best)
    assert max(losses) > 0.02


@pytest.mark.parametrize("seed", range(0, 30, 2))
def test_hard_workloads_end_with_a_certified_gap(seed: int) -> None:
    w = hard_workload(seed, 20)
    found = solve_integer(w, node_limit=200_000)
    ideal = solve(w, throw=False)
    assert utilization(w, found.tokens) < 1
    assert np.isfinite([found.objective, found.upper_bound]).all()
    assert found.objective <= found.upper_bound
    assert found.objective - found.gap <= ideal.upper_bound


def test_a_node_limit_ends_it_without_a_false_proof() -> None:
    w = plain_workload(1, 1000)
    cut = solve_integer(w, node_limit=5_000)
    whole = solve_integer(w)
    assert not cut.proven
    assert cut.upper_bound >= whole.objective
    assert cut.gap < 1e-5 * abs(cut.objective)


def test_equal_types_are_no_trouble() -> None:
    one = plain_workload(9, 1)
    w = Workload.from_arrays(
        share=np.full(6, 1 / 6),
        gain=one.gain[0],
        rate=one.rate[0],
        baseline=0.0,
        base_time=one.base_time[0],
        time_per_token=one.time_per_token[0],
        arrival_rate=one.arrival_rate,
        accuracy_weight=one.accuracy_weight,
    )
    found = solve_integer(w)
    assert found.proven
    assert np.ptp(found.tokens) <= 1


def test_a_type_that_never_comes_has_no_say() -> None:
    w = plain_workload(2, 3)
    wider = Workload.from_arrays(
        share=[*w.share, 0.0],
        gain=[*w.gain, 0.3],
        rate=[*w.rate, 1e-3],
        baseline=[*w.baseline, 0.0],
        base_time=[*w.base_time, 0.1],
        time_per_token=[*w.time_per_token, 0.01],
        arrival_rate=w.arrival_rate,
        accuracy_weight=w.accuracy_weight,
    )
    found = solve_integer(wider)
    assert found.proven
    assert found.tokens[:3].tolist() == solve_integer(w).tokens.tolist()


def test_a_cap_of_zero_leaves_one_choice() -> None:
    w = plain_workload(2, 3).replace(max_tokens=0.0)
    assert solve_integer(w).tokens.tolist() == [0, 0, 0]


def test_without_a_stable_budget_there_is_an_error() -> None:
    with pytest.raises(UnstableError, match="smallest budgets"):
        solve_integer(plain_workload(3, 2), menu=[32768])


@pytest.mark.parametrize("menu", [None, LEVELS])
def test_no_allocation_beats_the_bound_of_its_load(menu: Menu | None) -> None:
    w = plain_workload(3, 4).replace(max_tokens=32768.0)
    ideal, g = solve(w).tokens, np.random.default_rng(0)
    for _ in range(50):
        tokens = round_tokens(w, g.uniform(0.5, 1.5) * ideal + g.uniform(0, 30, 4), menu=menu)
        bound = load_bound(w, float(utilization(w, tokens)), menu=menu)
        assert float(objective(w, tokens)) <= bound + 1e-9 * abs(bound)


def test_the_bound_of_a_load_is_closer_than_the_tangent() -> None:
    w = Workload.from_toml(QWEN)
    best, found = solve(w), solve_integer(w)
    bound = load_bound(w, best.utilization)
    assert found.objective < bound < found.objective + (best.objective - found.objective) / 4


def test_the_bound_of_a_load_wants_a_load_that_can_be() -> None:
    with pytest.raises(WorkloadError, match="below 1"):
        load_bound(plain_workload(3, 4), 1.0)


def test_a_bound_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: without the bend a cell excludes what it must not."""
    monkeypatch.setattr(load_search, "_bend", lambda left, right: -1e9)
    monkeypatch.setattr(
        load_search, "_chord", lambda left, right, a, b: np.minimum(left.bound - a, right.bound - b)
    )
    wrong = 0
    for seed in range(40):
        w, menu = small_case(seed)
        choices = Choices.of(w, menu)
        found = load_search.search(choices, 0 * choices.count, node_limit=10**5)
        wrong += found.objective < brute_force(w, menu) * (1 - 1e-9) - 1e-9
    assert wrong > 0


def test_scip_agrees() -> None:
    scip = pytest.importorskip("pyscipopt")
    w = plain_workload(11, 3).replace(max_tokens=60.0, rate=[0.05, 0.1, 0.2], arrival_rate=0.5)
    model = scip.Model()
    model.hideOutput()
    ell = [model.addVar(vtype="I", lb=0, ub=60) for _ in range(3)]
    s = [w.base_time[k] + w.time_per_token[k] * ell[k] for k in range(3)]
    m = scip.quicksum(w.share[k] * s[k] for k in range(3))
    square = scip.quicksum(w.share[k] * s[k] * s[k] for k in range(3))
    wait, worth = model.addVar(lb=0, ub=None), model.addVar(lb=None, ub=None)
    model.addCons(2 * (1 - w.arrival_rate * m) * wait >= w.arrival_rate * square)
    model.addCons(w.arrival_rate * m <= 0.999)
    stake = w.accuracy_weight * w.weight * w.share
    model.addCons(
        worth
        <= scip.quicksum(
            stake[k] * (w.baseline[k] + w.gain[k] - w.gain[k] * scip.exp(-w.rate[k] * ell[k]))
            for k in range(3)
        )
    )
    model.setParam("limits/time", 20)
    model.setParam("limits/gap", 1e-9)
    model.setObjective(worth - m - wait, "maximize")
    model.optimize()
    tokens = np.round([model.getVal(x) for x in ell])
    found = solve_integer(w)
    assert float(objective(w, tokens)) <= found.objective + found.gap
    assert model.getDualbound() >= found.objective * (1 - 1e-5)


@pytest.mark.parametrize(
    "server", [Batching(LINE), Batching(LINE, 4), Batching(MEASURED)], ids=repr
)
def test_single_changes_of_a_batching_server_are_valued_as_they_are(server: Batching) -> None:
    choices = Choices.of(batching_case(3, 6, server))
    index = np.array([0, 100, 2000, 7, 900, 0])
    step = index + np.array([1, 1, -1, 0, 1, 1])
    got = choices.changed(index, step)
    for k in np.flatnonzero(step != index):
        one = np.where(np.arange(6) == k, step, index)
        assert got[k] == pytest.approx(float(choices.objective(one)), rel=1e-13)


@pytest.mark.parametrize("server", [Fifo(), ProcessorSharing()], ids=repr)
def test_single_changes_are_valued_as_they_are(server: object) -> None:
    choices = Choices.of(plain_workload(21, 6).replace(server=server))
    index = np.array([0, 100, 2000, 7, 900, 0])
    step = index + np.array([1, 1, -1, 0, 1, 1])
    got = choices.changed(index, step)
    for k in np.flatnonzero(step != index):
        one = np.where(np.arange(6) == k, step, index)
        assert got[k] == pytest.approx(float(choices.objective(one)), rel=1e-13)
