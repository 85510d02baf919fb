"""The pieces of the searches one by one: menus, windows, cells, tolerances, counts of work."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import brentq

import thinkqueue as tq
from thinkqueue import Batching, Workload, WorkloadError
from thinkqueue.arrays import Array
from thinkqueue.bounds import tangent
from thinkqueue.whole_tokens import load_search, round_tokens, solve_integer, tangent_search
from thinkqueue.whole_tokens.choices import Choices, Menu
from thinkqueue.whole_tokens.local_search import improve
from thinkqueue.whole_tokens.rounding import rounding_loss_bound
from workloads import LINE, batching_workload, plain_workload

EPS = float(np.finfo(float).eps)
MENU = [0, 100, 300, 1000, 3000, 9000]


def every(choices: Choices) -> Array:
    """All positions of all types."""
    return np.array(list(itertools.product(*(range(n) for n in choices.count))))


# menus


def test_a_menu_is_cut_at_the_caps_and_sorted() -> None:
    w = plain_workload(1, 3).replace(max_tokens=[50.0, 300.0, 1e4])
    choices = Choices.of(w, [300, 0, 100, 100, 9000])
    assert choices.count.tolist() == [1, 3, 4]
    assert choices.tokens(choices.count - 1).tolist() == [0, 300, 9000]
    assert choices.row(2, np.arange(4)).tolist() == [0, 100, 300, 9000]
    asked = np.array([[0.0, 99.9, 8999.0], [60.0, 100.0, 9000.0], [0.0, 1e6, 1e6]])
    assert [choices.position(x).tolist() for x in asked] == [[0, 0, 2], [0, 1, 3], [0, 2, 3]]
    each = Choices.of(w, [[0, 7], [5], [1, 2, 3]])
    assert each.count.tolist() == [2, 1, 3]
    assert each.position(np.array([6.0, 0.0, 0.0])).tolist() == [0, 0, 0]
    whole = Choices.of(w)
    assert whole.count.tolist() == [51, 301, 10001]
    assert Choices.of(w.replace(max_tokens=1e30)).count.tolist() == [2**53] * 3
    assert whole.row(1, np.array([4])).tolist() == [4]


@pytest.mark.parametrize(
    ("menu", "words"),
    [
        ([[0, 1], [0, 1]], "menu has 2 lists; it must be .* each of the 3"),
        ("few", "menu is .*list of whole numbers"),
        ([0, 1.5], "menu offers 1.5 tokens to task type 'type 1'"),
        ([-1, 0], "menu offers -1 tokens"),
        ([0, np.inf], "menu offers inf tokens"),
        ([60000], "nothing up to its max_tokens of 32768"),
    ],
)
def test_what_is_no_menu_is_refused(menu: Menu, words: str) -> None:
    with pytest.raises(WorkloadError, match=words) as caught:
        Choices.of(plain_workload(1, 3), menu)
    assert caught.value.parameter == "menu"


@pytest.mark.parametrize("menu", [None, MENU, [[0, 5], MENU, [3, 4], [10], range(0, 5000, 7)]])
def test_the_best_position_of_a_type_at_prices_is_the_best_of_all(menu: Menu | None) -> None:
    w = plain_workload(2, 5).replace(max_tokens=6000.0)
    choices = Choices.of(w, menu)
    for linear, burden in ((0.0, 0.0), (1.0, 0.0), (3.0, 0.05), (1.0, 5.0), (0.0, 0.3)):
        found = choices.best(linear, burden)
        value = choices.lagrangian(found, linear, burden)
        for k, count in enumerate(choices.count):
            tokens = choices.row(k, np.arange(count))
            s = choices.service_of(k, tokens)
            np.testing.assert_allclose(s, w.base_time[k] + w.time_per_token[k] * tokens)
            of_all = choices.worth_of(k, tokens) - w.share[k] * (s * linear + burden * s**2)
            assert value[k] == pytest.approx(of_all.max(), rel=1e-13)

        def at(index: Array, linear: float = linear, burden: float = burden) -> Array:
            return choices.lagrangian(index, linear, burden)

        # from anywhere: a climb that passes the top by more than a step has to turn twice
        for start in (0 * found, choices.count - 1, choices.count // 3):
            np.testing.assert_allclose(at(choices.climb(start, at)), value, rtol=1e-13)


def test_a_window_is_what_is_kept() -> None:
    choices = Choices.of(plain_workload(2, 4))
    g = np.random.default_rng(0)
    for _ in range(30):
        ends = np.sort(g.integers(0, choices.count[0], (2, 4)), axis=0)
        inside = g.integers(ends[0], ends[1] + 1)
        first, last = choices.window(inside, lambda x, e=ends: (x >= e[0]) & (x <= e[1]))
        np.testing.assert_array_equal([first, last], ends)


def test_the_size_of_what_is_added_up_is_that_of_its_terms() -> None:
    w = plain_workload(3, 4)
    choices = Choices.of(w)
    index = choices.position(tq.solve(w).tokens)
    tokens = choices.tokens(index)
    slack = 1 - float(tq.utilization(w, tokens))
    worth = w.accuracy_weight * float(tq.mean_accuracy(w, tokens))
    waits = float(tq.mean_waiting_time(w, tokens)) / slack
    size = worth + float(tq.mean_system_time(w, tokens)) + waits
    assert choices.magnitude(index) == pytest.approx(size, rel=1e-12)
    assert float(choices.objective(index)) == pytest.approx(float(tq.objective(w, tokens)))
    assert float(choices.objective(choices.count - 1)) == -np.inf
    whole = w.replace(
        share=[0.25] * 4, base_time=1.0, time_per_token=1.0, arrival_rate=0.5, max_tokens=9
    )
    full = np.ones(4, dtype=np.int64)
    assert float(tq.utilization(whole, full)) == 1
    assert float(Choices.of(whole).objective(full)) == -np.inf


# one type at a time


@pytest.mark.parametrize("menu", [None, MENU])
@pytest.mark.parametrize("server", [tq.Fifo(), tq.ProcessorSharing()], ids=repr)
def test_a_climb_by_single_steps_ends_where_none_helps(menu: Menu | None, server: object) -> None:
    w = plain_workload(4, 4).replace(server=server, max_tokens=3000.0)
    choices = Choices.of(w, menu)
    start = choices.position(0.97 * tq.solve(w).tokens) if menu is None else 0 * choices.count
    found = improve(choices, start, max_moves=400)
    here = float(choices.objective(found))
    assert here >= float(choices.objective(start))
    for k in range(4):
        for way in (-1, 1):
            other = found.copy()
            other[k] = np.clip(other[k] + way, 0, choices.count[k] - 1)
            assert float(choices.objective(other)) <= here + 1e-12 * abs(here)
    moves = int(np.abs(found - start).sum())
    assert moves > 2
    for limit in (0, 1, 2):
        short = improve(choices, start, max_moves=limit)
        assert int(np.abs(short - start).sum()) == limit
        # and each was the best single step of all
        if limit:
            before = improve(choices, start, max_moves=limit - 1)
            steps = np.concatenate([np.eye(4, dtype=int), -np.eye(4, dtype=int)])
            near = np.clip(before + steps, 0, choices.count - 1)
            assert float(choices.objective(short)) == pytest.approx(
                float(choices.objective(near).max()), rel=1e-13
            )


# reduced costs


def test_reduced_costs_remove_what_the_tangent_excludes_and_nothing_else() -> None:
    for seed in range(6):
        w = plain_workload(seed, 4)
        choices = Choices.of(w, range(0, 9000, 50))
        ideal = tq.solve(w).tokens
        look = tangent(w, ideal)
        incumbent = float(choices.objective(choices.position(ideal)))
        reduced = tangent_search.reduce(choices, look, incumbent)
        price = w.share * look.state.price
        top, slack = 0.0, 0.0
        rows = []
        for k in range(4):
            tokens = choices.row(k, np.arange(choices.count[k]))
            rows.append(choices.worth_of(k, tokens) - price[k] * tokens)
            top += rows[-1].max()
        bound = top - float(tq.mean_system_time(w, ideal)) + float(price @ ideal)
        assert reduced.bound == pytest.approx(bound, rel=1e-13)
        slack = bound - incumbent
        for k, row in enumerate(rows):
            kept = np.flatnonzero(row.max() - row <= slack)
            assert (reduced.first[k], reduced.last[k]) == (kept[0], kept[-1])
        sizes = reduced.last - reduced.first + 1
        assert reduced.log_size == pytest.approx(np.log(sizes).sum())
        # what rounding may do is that of all terms, none taken from another
        terms = worth_of_best(choices, rows) + float(price @ ideal) + abs(incumbent)
        terms += float(tq.mean_system_time(w, ideal))
        least = 512 * EPS * terms / look.state.slack
        assert least <= reduced.tolerance <= 4 * least


def worth_of_best(choices: Choices, rows: list[Array]) -> float:
    best = [int(np.argmax(row)) for row in rows]
    return float(choices.worth(choices.tokens(np.array(best))).sum())


@pytest.mark.parametrize("seed", range(6))
def test_a_search_in_depth_looks_at_no_more_than_its_bound_leaves(seed: int) -> None:
    w = plain_workload(seed, 4)
    choices = Choices.of(w, range(0, 9000, 300))
    ideal = tq.solve(w).tokens
    start = choices.position(ideal)
    reduced = tangent_search.reduce(choices, tangent(w, ideal), float(choices.objective(start)))
    best, nodes, complete = tangent_search.search(choices, reduced, start, node_limit=10**6)
    assert complete
    left = int((reduced.last - reduced.first + 1).prod())
    windows = [range(a, b + 1) for a, b in zip(reduced.first, reduced.last, strict=True)]
    inside = np.array(list(itertools.product(*windows)))
    assert float(choices.objective(best)) == pytest.approx(choices.objective(inside).max())
    assert nodes <= 2 * left + 5
    cut = tangent_search.search(choices, reduced, start, node_limit=3)
    assert (cut[1], cut[2]) == (4, False) or nodes <= 3


# cells of load


def cell(w: Workload, menu: Menu) -> tuple[Choices, load_search._Search]:
    choices = Choices.of(w, menu)
    return choices, load_search._Search(choices, 0 * choices.count, enough=0.0)


def test_no_allocation_as_good_as_the_incumbent_lies_outside_the_range() -> None:
    for seed in range(8):
        w = plain_workload(seed, 3)
        choices, search = cell(w, MENU)
        low, high = search._range()
        index = every(choices)
        good = index[choices.objective(index) >= search.value]
        numbers = [search.coupling.number(search._moments(x)[0]) for x in good]
        assert low * (1 - 1e-12) <= min(numbers)
        assert max(numbers) <= high


@pytest.mark.parametrize("base", [0.0, 0.3])
def test_what_is_left_for_waiting_bounds_the_load(base: float) -> None:
    w = plain_workload(5, 3).replace(base_time=base)
    coupling = Choices.of(w).coupling
    assert coupling is not None
    rate, mean, second = w.arrival_rate, base, base**2
    for left in (base + 0.5, base + 20.0):
        spare = left - mean

        def off(y: float, spare: float = spare) -> float:
            return (1 - y) ** 2 - 2 * rate * y * spare

        expected = rate / (2 * float(brentq(off, 1e-12, 1 - 1e-12, xtol=1e-15)))
        if second:
            expected = min(expected, spare / second)
        found = coupling.most(mean, second, 10 / rate, left)
        assert found == pytest.approx(expected, rel=1e-6)
        assert found >= expected * (1 - 1e-12)
        # and no budgets at all ask for more than the largest do
        reach = 0.5 / rate
        assert coupling.most(mean, second, reach, 1e9) == pytest.approx(rate, rel=1e-6)
    assert coupling.mean(coupling.number(0.7 / rate)) == pytest.approx(0.7 / rate)
    assert coupling.price(0.7 / rate, 3.0) == pytest.approx(rate**2 * 3.0 / (2 * 0.3**2))


def test_what_is_left_for_the_time_bounds_the_tokens_of_a_batching_server() -> None:
    w = batching_workload(Batching(LINE), arrival_rate=2.0, prompt_time=0.0)
    coupling = Choices.of(w).coupling
    assert coupling is not None

    def time(m: float) -> float:
        return m * (LINE.base + LINE.per_query) / (1 - 2.0 * m * LINE.per_query)

    fullest = 1 / (2.0 * LINE.per_query)
    for m in (300.0, 0.5 * fullest, 0.99 * fullest):
        assert coupling.constant(m)[0] == pytest.approx(time(m), rel=1e-9)
        assert coupling.price(m, 0.0) == pytest.approx((time(m + 1e-3) - time(m - 1e-3)) / 2e-3)
        found = coupling.most(200.0, 0.0, 1e6, time(m))
        assert m <= found <= m * (1 + 1e-8)
    assert coupling.most(200.0, 0.0, 1e6, 0.5 * time(200.0)) == 200
    assert coupling.most(200.0, 0.0, 700.0, 1e9) == pytest.approx(700, rel=1e-8)
    assert fullest * 0.999 < coupling.most(200.0, 0.0, 1e6, 1e300) < fullest
    means = np.array([[300.0, 400.0], [fullest * 2, 500.0]])
    np.testing.assert_allclose(
        coupling.time(means, means), [[time(300), time(400)], [np.inf, time(500)]], rtol=1e-9
    )


@pytest.mark.parametrize("server", [tq.Fifo(), Batching(LINE)], ids=repr)
def test_the_best_multiplier_of_a_load_is_found(server: object) -> None:
    w = plain_workload(6, 4)
    if isinstance(server, Batching):
        w = Workload.from_arrays(
            share=w.share, gain=w.gain, rate=w.rate, baseline=w.baseline, answer_tokens=200.0,
            arrival_rate=0.2, accuracy_weight=600.0, server=server,
        )  # fmt: skip
    _, search = cell(w, MENU)
    low, high = search._range()
    for part in (0.1, 0.5, 0.9):
        end = search.end(low + part * (high - low))
        # any other multiplier bounds as well, and no better
        for price in end.price + np.linspace(-1, 1, 21) * (1 + abs(end.price)):
            linear = search.coupling.own + price
            index = search.choices.best(linear, end.burden)
            value = float(search.choices.lagrangian(index, linear, end.burden).sum())
            other = value + price * end.mean - search.coupling.constant(end.at)[0]
            assert other >= end.bound - 1e-9 * abs(end.bound)
        tokens = search.choices.tokens(end.index)
        s = search.choices.service(tokens)
        terms = search.choices.worth(tokens) + w.share * (
            s * (abs(end.linear) + abs(end.price)) + end.burden * s**2
        )
        size = float(terms.sum()) + abs(end.price) * search.coupling.scale(end.mean)
        expected = 512 * EPS * max(size, search.choices.magnitude(search.best))
        assert search._tolerance(end) == pytest.approx(expected, rel=1e-9)


def test_cells_too_narrow_to_halve_are_given_up_with_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_search, "NARROWEST", 10.0)
    monkeypatch.setattr(load_search._Search, "_enumerate", lambda *_, **__: False)
    for seed in range(6):
        w = plain_workload(seed, 3)
        choices = Choices.of(w, MENU)
        best = float(choices.objective(every(choices)).max())
        found = load_search.search(choices, 0 * choices.count, node_limit=10**6)
        assert not found.proven
        assert found.upper_bound >= best
        assert found.upper_bound > found.objective
        assert found.objective <= best + 1e-12 * abs(best)


def test_an_enumeration_finds_the_best_of_a_cell_and_thins_out_on_the_way() -> None:
    for seed in range(6):
        w = plain_workload(seed, 5)
        choices, search = cell(w, MENU)
        index = every(choices)
        values = choices.objective(index)
        best = index[int(np.argmax(values))]
        number = search.coupling.number(search._moments(best)[0])
        left, right = search.end(0.9 * number), search.end(1.1 * number)
        search._offer(choices.position(tq.solve(w).tokens))
        before = search.nodes
        assert search._enumerate(left, right, 10**7, anyhow=True)
        assert search.value == pytest.approx(float(values.max()), rel=1e-13)
        assert search.nodes - before - 10 * search.cost < 0.2 * len(index)
        # what is too much is left
        assert not search._enumerate(left, right, search.nodes + 10 * search.cost, anyhow=True)


def test_what_is_too_much_for_an_enumeration_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LONGEST", 0), ("EXPANSION_LIMIT", 3), ("LAYER_LIMIT", 1)):
        w = plain_workload(2, 4)
        _, search = cell(w, MENU)
        low, high = search._range()
        left, right = search.end(low), search.end(high)
        monkeypatch.setattr(load_search, name, value)
        assert not search._enumerate(left, right, 10**7, anyhow=True)
        monkeypatch.undo()
        assert search._enumerate(left, right, 10**7, anyhow=True)
    search.value = np.inf  # then nothing is as good, and nothing is offered
    best = search.best
    assert search._enumerate(left, right, 10**7, anyhow=True)
    assert search.best is best


def test_one_allocation_is_the_best_of_one() -> None:
    w = plain_workload(2, 3)
    choices = Choices.of(w, [[5], [700], [30]])
    found = load_search.search(choices, 0 * choices.count, node_limit=10**5)
    assert found.proven
    assert found.index.tolist() == [0, 0, 0]
    assert found.objective == pytest.approx(float(tq.objective(w, [5, 700, 30])))
    assert found.upper_bound == pytest.approx(found.objective, rel=1e-10)


@pytest.mark.parametrize("limit", [1, 20_000])
def test_a_limit_leaves_a_bound_on_all_that_was_not_seen(limit: int) -> None:
    for seed in range(4):
        w = plain_workload(seed, 5)
        choices = Choices.of(w, MENU)
        best = float(choices.objective(every(choices)).max())
        found = load_search.search(choices, 0 * choices.count, node_limit=limit)
        assert found.upper_bound >= best
        assert found.objective <= best + 1e-12 * abs(best)
        if found.proven:
            assert found.objective == pytest.approx(best, rel=1e-12)
        elif limit > 1:
            assert found.nodes > limit
            assert found.upper_bound - best <= 0.05 * abs(best)


def test_where_no_step_down_releases_any_service_it_is_said() -> None:
    w = plain_workload(3, 2).replace(share=[1.0, 0.0], arrival_rate=1.0, base_time=2.0)
    with pytest.raises(tq.UnstableError, match="even with the smallest budgets allowed") as caught:
        round_tokens(w, [0.0, 5.0])
    assert caught.value.utilization == pytest.approx(2.0)


def test_a_cell_is_cut_in_the_middle_or_nearer_to_the_better_end() -> None:
    w = plain_workload(3, 4)
    _, search = cell(w, MENU)
    low, high = search._range()
    ends = [search.end(x) for x in np.linspace(low, high, 9)]
    for left, right in itertools.pairwise(ends):
        part = (search._split(left, right) - left.at) / (right.at - left.at)
        slack = max(max(left.bound, right.bound) - search.value, 0)
        far = abs(left.bound - right.bound) > 64 * (slack + search._tolerance(left, right))
        nearer = 0.25 if left.bound >= right.bound else 0.75
        assert part == pytest.approx(nearer if far else 0.5, abs=1e-9)


def test_the_chord_has_its_top_where_a_scan_finds_it() -> None:
    w = plain_workload(7, 4)
    _, search = cell(w, MENU)
    low, high = search._range()
    left, right = search.end(low * 1.1), search.end(low * 1.1 + 0.2 * (high - low))
    bend = load_search._bend(left, right)
    theta = np.linspace(0, 1, 100_001)
    g = np.random.default_rng(0)
    for _ in range(30):
        one, two = g.exponential(abs(bend) + 1e-3, 2) * 10 ** g.uniform(-2, 1)
        line = (1 - theta) * (left.bound - one) + theta * (right.bound - two)
        top = (line + theta * (1 - theta) * bend).max()
        assert search._bound(left, right, one, two) == pytest.approx(float(top), rel=1e-8)


# rounding


def test_the_loss_of_rounding_is_bounded_by_its_formula() -> None:
    w = plain_workload(8, 3).replace(arrival_rate=0.05)
    tokens = np.array([100.5, 200.0, 300.25])
    for d in (0.5, 1.0):
        reach = d * np.array([1.0, 0, 1])
        s = w.base_time + w.time_per_token * (tokens + reach)
        y = 1 - w.arrival_rate * float(w.share @ s)
        pressure = w.arrival_rate / y
        bend = w.accuracy_weight * w.weight * w.share * w.gain * w.rate**2
        bend = float((bend * np.exp(-w.rate * (tokens - d)))[[0, 2]].sum()) * d**2
        norm = d * np.sqrt(float((w.share * w.time_per_token**2)[[0, 2]].sum()))
        shift = d * float((w.share * w.time_per_token)[[0, 2]].sum())
        wait = pressure * (norm + pressure * np.sqrt(float(w.share @ s**2)) * shift) ** 2
        expected = float(np.abs(tq.gradient(w, tokens)) @ reach) + (bend + wait) / 2
        assert rounding_loss_bound(w, tokens, distance=d) == pytest.approx(expected, rel=1e-12)
    assert rounding_loss_bound(w, np.floor(tokens)) == 0
    full = w.replace(arrival_rate=(1 - 1e-9) / float(w.share @ (w.base_time + w.time_per_token)))
    assert rounding_loss_bound(full, np.full(3, 0.5), distance=9.0) == np.inf


@pytest.mark.parametrize("how", ["nearest", "floor", "ceil"])
def test_each_budget_goes_to_the_neighbour_that_was_asked_for(how: str) -> None:
    w = plain_workload(9, 5)
    tokens = np.array([0.0, 10.2, 10.7, 10.5, 32768.0])
    expected = {
        "nearest": [0, 10, 11, 10, 32768], "floor": [0, 10, 10, 10, 32768],
        "ceil": [0, 11, 11, 11, 32768],
    }[how]  # fmt: skip
    w = w.replace(arrival_rate=1e-9)
    assert round_tokens(w, tokens, how).tolist() == expected  # type: ignore[arg-type]
    with pytest.raises(WorkloadError, match="how is 'up'"):
        round_tokens(w, tokens, "up")  # type: ignore[arg-type]


# the whole


def test_a_limit_without_room_for_a_search_by_load_leaves_the_bound_of_the_tangent() -> None:
    w = plain_workload(10, 30)
    found = solve_integer(w, node_limit=2000)
    look = tangent(w, tq.solve(w).tokens)
    assert not found.proven
    assert found.nodes <= 2001
    assert found.upper_bound <= look.objective + look.gap + 1e-9
    assert found.gap == pytest.approx(found.upper_bound - found.objective)
    assert found.tokens.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        found.tokens[0] = 1


def test_what_no_tangent_bounds_is_refused() -> None:
    w = plain_workload(11, 2)
    steep = Workload(
        [tq.TaskType("S", 1.0, tq.Hill(0.7, 800.0, 4.0), base_time=0.2, time_per_token=0.01)],
        arrival_rate=0.01,
        accuracy_weight=100.0,
    )
    with pytest.raises(WorkloadError, match="concave accuracy curves") as caught:
        solve_integer(steep)
    assert caught.value.parameter == "accuracy"
    waits = Workload.from_arrays(
        share=w.share, gain=w.gain, rate=w.rate, baseline=0.0, answer_tokens=100.0,
        arrival_rate=0.01, accuracy_weight=100.0, server=Batching(LINE, 4, "wait"),
    )  # fmt: skip
    with pytest.raises(WorkloadError, match="mean time is convex") as caught:
        solve_integer(waits)
    assert caught.value.parameter == "server"


def test_one_allocation_is_rounded_at_a_time() -> None:
    w = plain_workload(11, 3)
    with pytest.raises(WorkloadError, match="one allocation"):
        round_tokens(w, np.full((2, 3), 10.5))


@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_what_rounding_may_cost_where_nobody_waits(weight: float) -> None:
    """All but the curve's own bend vanishes with the traffic, and the bend is in closed form."""
    alpha, gain, rate, tokens, half = 100.0, 0.6, 2e-3, 700.5, 0.5
    w = Workload.from_arrays(
        share=[1.0], gain=[gain], rate=[rate], baseline=[0.1], weight=[weight], base_time=[0.2],
        time_per_token=[0.01], arrival_rate=1e-9, accuracy_weight=alpha,
    )  # fmt: skip
    slope = alpha * weight * gain * rate * np.exp(-rate * tokens) - 0.01
    bend = alpha * weight * gain * rate**2 * np.exp(-rate * (tokens - half))
    expected = abs(slope) * half + bend * half**2 / 2
    assert rounding_loss_bound(w, [tokens]) == pytest.approx(expected, rel=1e-6)


def test_the_moments_of_an_allocation() -> None:
    w = plain_workload(12, 4)
    choices = Choices.of(w, [0, 100, 1000])
    search = load_search._Search(choices, 0 * choices.count)
    index = np.array([2, 0, 1, 2])
    s = w.base_time + w.time_per_token * np.array([1000, 0, 100, 1000])
    assert search._moments(index) == pytest.approx((w.share @ s, w.share @ s**2), rel=1e-14)
