"""The pieces of the searches: bounds, windows, layers and steps, each by a second way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from thinkqueue import Batching, Workload, solve, utilization
from thinkqueue.arrays import Index
from thinkqueue.bounds import tangent
from thinkqueue.whole_tokens import load_search, tangent_search
from thinkqueue.whole_tokens.choices import Choices
from thinkqueue.whole_tokens.coupling import End
from thinkqueue.whole_tokens.local_search import improve
from workloads import LINE, plain_workload

EPSILON = 2.0**-52


def batches(seed: int, types: int) -> Workload:
    """The same workload at a batching server whose overflow shares."""
    w = plain_workload(seed, types)
    answer = np.linspace(50, 400, types)
    other = Workload.from_arrays(
        share=w.share, gain=w.gain, rate=w.rate, baseline=w.baseline, weight=w.weight,
        answer_tokens=answer, arrival_rate=1.0, accuracy_weight=w.accuracy_weight,
        server=Batching(LINE),
    )  # fmt: skip
    idle = float(utilization(other, np.zeros(types)))
    return other.replace(arrival_rate=0.2 / idle)


def searches(types: int, seeds: range = range(3)) -> Iterator[load_search._Search]:
    """Searches in whole tokens at both kinds of server, from no tokens at all."""
    for seed in seeds:
        for w in (plain_workload(seed, types), batches(seed, types)):
            choices = Choices.of(w)
            yield load_search._Search(choices, 0 * choices.count, enough=0.0)


def ideal(search: load_search._Search) -> Index:
    """The positions at or below the continuous optimum."""
    return search.choices.position(solve(search.choices.workload, throw=False).tokens)


def ideal_number(search: load_search._Search) -> float:
    """The number that belongs to them."""
    return search.coupling.number(search._moments(ideal(search))[0])


def dual(search: load_search._Search, number: float, price: float) -> float:
    """L at a number and a multiplier, over every budget of every type."""
    choices, coupling = search.choices, search.coupling
    w, total = choices.workload, 0.0
    for k in range(len(w)):
        tokens = choices.row(k, np.arange(choices.count[k]))
        s = choices.service_of(k, tokens)
        cost = (coupling.own + price) * s + coupling.burden(number) * s**2
        total += float((choices.worth_of(k, tokens) - w.share[k] * cost).max())
    return total + price * coupling.mean(number) - coupling.constant(number)[0]


@pytest.mark.parametrize("wrong", [1e-3, 0.9, 1.2, 1e3])
def test_the_bound_of_a_load_is_the_least_over_its_multiplier(wrong):
    for search in searches(3):
        number = 0.97 * ideal_number(search)
        guess = wrong * search.end(number).price
        search.nodes = 0
        end = search.end(number, between=(guess, 1.1 * guess))
        assert end.bound == pytest.approx(dual(search, number, end.price), rel=1e-12)
        found = minimize_scalar(
            lambda price, s=search, n=number: dual(s, n, price),
            bounds=(end.price - 0.5 - abs(end.price), end.price + 0.5 + abs(end.price)),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert end.bound <= found.fun + 1e-11 * abs(found.fun)
        # the types' own parts of it
        s = search.choices.service(search.choices.tokens(end.index))
        w = search.choices.workload
        own = search.choices.worth(search.choices.tokens(end.index))
        own = own - w.share * (end.linear * s + end.burden * s**2)
        np.testing.assert_allclose(end.top, own, rtol=1e-12)
        assert search.nodes % search.cost == 0
        assert search.nodes <= 90 * search.cost


@pytest.mark.parametrize("bracket", [(0.98, 3.0), (0.3, 1.02)])
def test_the_allocations_on_either_side_of_a_load_are_looked_at(bracket):
    thinking = [x for x in searches(1, range(6)) if ideal(x) > 1]
    differ = 0
    for search in thinking:
        choices, number = search.choices, ideal_number(search)
        price = search.end(number).price
        prices = [x * price for x in bracket]
        fresh = load_search._Search(choices, 0 * choices.count, enough=0.0)
        fresh.end(number, between=(prices[0], prices[1]))
        burden = search.coupling.burden(number)
        sides = [choices.best(search.coupling.own + x, burden) for x in prices]
        assert sides[0] >= sides[1]
        assert fresh.value == max(float(choices.objective(x)) for x in (0 * sides[0], *sides))
        differ += sides[0] > sides[1]
    assert differ > 2


def small(search: load_search._Search, menu: list[int]) -> load_search._Search:
    """The same workload with a menu, from the best start at hand."""
    choices = Choices.of(search.choices.workload, menu)
    start = improve(choices, 0 * choices.count)
    return load_search._Search(choices, start, enough=0.0)


MENU = [0, 150, 400, 900, 1700, 3000, 5000]


def every(choices: Choices) -> np.ndarray:
    """All allocations."""
    return np.array(list(itertools.product(*(range(n) for n in choices.count))))


def test_no_allocation_as_good_as_the_incumbent_lies_beyond_the_range():
    for whole in searches(2, range(12)):
        search = small(whole, [0, int(np.median(solve(whole.choices.workload).tokens)) + 7])
        low, high = search._range()
        choices = search.choices
        search.value = float(choices.objective(every(choices)).max())
        for index in every(choices):
            if float(choices.objective(index)) >= search.value:
                number = search.coupling.number(search._moments(index)[0])
                assert low * (1 - 1e-12) <= number <= high


@pytest.mark.parametrize("left", [3.0, 30.0, 3e4])
def test_how_full_a_server_may_be_for_what_is_left(left):
    w = plain_workload(3, 3)
    coupling, rate = Choices.of(w).coupling, w.arrival_rate
    mean, full = 0.4, 2 / rate
    spare = left - mean
    # J ≤ worth − m − τM with M ≥ m²: 2λ y (left − m) = (1 − y)²
    y = brentq(lambda y: (1 - y) ** 2 - 2 * rate * y * spare, 1e-12, 1.0, xtol=1e-15)
    by_mean = rate / (2 * y)
    assert coupling.most(mean, 0.0, full, left) == pytest.approx(by_mean, rel=2e-9)
    for second in (1e-6, 0.5, 500.0):
        expected = min(by_mean, spare / second)
        assert coupling.most(mean, second, full, left) == pytest.approx(expected, rel=2e-9)
    reach = 1.01 * mean
    expected = min(by_mean, rate / (2 * (1 - rate * reach)))
    assert coupling.most(mean, 0.0, reach, left) == pytest.approx(expected, rel=2e-9)
    assert coupling.most(mean, 0.0, full, left) > by_mean


def cell(search: load_search._Search, width: float) -> tuple[End, End]:
    """A cell of numbers about the optimum."""
    number = ideal_number(search)
    return search.end((1 - width) * number), search.end((1 + width / 3) * number)


def chord(left: End, right: End, one: float, two: float) -> float:
    """The largest bound on the chord, by looking along it."""
    t = np.linspace(0, 1, 4001)
    bend = left.coupling.bend(left, right)
    values = (1 - t) * (left.bound - one) + t * (right.bound - two) + t * (1 - t) * bend
    return float(values.max())


def test_the_windows_are_what_the_ends_leave():
    for whole in searches(3):
        search = small(whole, MENU)
        left, right = cell(search, 0.1)
        choices, spare = search.choices, max(left.coupling.bend(left, right), 0) / 4
        for threshold in (search.value, search.value - 0.5, left.bound - 1e-3):
            first, last = search._windows(left, right, threshold)
            for k in range(3):
                kept = {int(end.index[k]) for end in (left, right)}
                for end, v in itertools.product((left, right), range(choices.count[k])):
                    index = np.where(np.arange(3) == k, v, end.index)
                    loss = end.top[k] - choices.lagrangian(index, end.linear, end.burden)[k]
                    if end.bound + spare - threshold >= 0 and loss <= end.bound + spare - threshold:
                        kept.add(v)
                assert (first[k], last[k]) == (min(kept), max(kept))


def test_the_layers_look_at_what_the_bound_leaves_and_no_more():
    for whole in searches(4, range(4)):
        search = small(whole, MENU)
        left, right = cell(search, 0.15)
        choices, share = search.choices, search.choices.workload.share
        tolerance = search._tolerance(left, right)
        first, last = search._windows(left, right, search.value - tolerance)
        s = choices.service(choices.tokens(first))
        reach = share * (choices.service(choices.tokens(last)) - s)
        order = [k for k in np.argsort(-reach, kind="stable") if last[k] > first[k]]
        parts, nodes, best = [first], 10 * search.cost, search.value
        for depth, k in enumerate(order):
            grown = [
                np.where(np.arange(4) == k, v, index)
                for index in parts
                for v in range(first[k], last[k] + 1)
            ]
            nodes += len(grown)
            known = [j for j in range(4) if j in order[: depth + 1] or first[j] == last[j]]
            parts = []
            for index in grown:
                losses = [
                    (end.top - choices.lagrangian(index, end.linear, end.burden))[known].sum()
                    for end in (left, right)
                ]
                mean = search._moments(index)[0]
                more = sum(reach[j] for j in order[depth + 1 :])
                if chord(left, right, *losses) >= best - 1e-9 * abs(best) and (
                    left.mean - more <= mean + 1e-12 and mean <= right.mean + 1e-12
                ):
                    parts.append(index)
        value, before = search.value, search.nodes
        assert search._enumerate(left, right, 10**9, anyhow=True)
        assert search.nodes - before == nodes
        inside = [
            float(choices.objective(x))
            for x in every(choices)
            if left.mean <= search._moments(x)[0] <= right.mean
        ]
        assert search.value >= max([value, *inside]) - 1e-12 * abs(value)


@pytest.mark.parametrize("side", [0, 1])
def test_an_allocation_at_the_very_end_of_a_cell_lies_in_it(side):
    for whole in searches(3, range(4)):
        search = small(whole, MENU)
        found = every(search.choices)
        best = found[np.argmax(search.choices.objective(found))]
        number = search.coupling.number(search._moments(best)[0])
        ends = [search.end(number * x) for x in ((1.0, 1.05) if side == 0 else (0.95, 1.0))]
        search.best, search.value = 0 * best, float(search.choices.objective(0 * best))
        assert search._enumerate(*ends, 10**9, anyhow=True)
        assert search.value == float(search.choices.objective(best))


def test_an_enumeration_that_would_take_too_long_is_not_begun():
    search = small(next(searches(4)), MENU)
    left, right = cell(search, 0.15)
    before = search.nodes
    assert not search._enumerate(left, right, before, anyhow=True)
    assert search.nodes > before


def test_a_cell_is_cut_near_the_end_that_is_far_better():
    search = next(searches(3))
    left, right = cell(search, 0.3)
    width = right.at - left.at
    search.value = max(left.bound, right.bound) - 1e-9
    slack = 1e-9 + search._tolerance(left, right)
    for gap, part in ((0.0, 0.5), (63 * slack, 0.5), (66 * slack, 0.25), (10.0, 0.25)):
        top = search.value + 1e-9
        low, high = replace(left, bound=top), replace(right, bound=top - gap)
        assert search._split(low, high) == pytest.approx(low.at + part * width, rel=1e-12)
        low, high = replace(left, bound=top - gap), replace(right, bound=top)
        part = part if gap else 0.5
        assert search._split(low, high) == pytest.approx(high.at - part * width, rel=1e-12)


def test_the_room_for_rounding_is_the_size_of_the_terms():
    for search in searches(4):
        left, right = cell(search, 0.1)
        choices, w = search.choices, search.choices.workload
        for end in (left, right):
            size = abs(end.price) * search.coupling.scale(end.mean)
            tokens = choices.tokens(end.index)
            for p, worth, s in zip(w.share, choices.worth(tokens), choices.service(tokens)):
                size += worth + p * s * (abs(end.linear) + abs(end.price)) + p * s * s * end.burden
            expected = 512 * EPSILON * max(size, search.size)
            assert search._tolerance(end) == pytest.approx(expected, rel=1e-12)
        both = search._tolerance(left, right)
        assert both == max(search._tolerance(left), search._tolerance(right))


# the search by tangents


def reduced_case(seed: int, menu: list[int] | None) -> tuple[Choices, tangent_search.Reduced]:
    w = plain_workload(seed, 3)
    w = w.replace(share=[0.6, 0.4, 0.0]) if seed % 2 else w
    choices = Choices.of(w, menu)
    start = improve(choices, choices.position(solve(w).tokens))
    value = float(choices.objective(start))
    return choices, tangent_search.reduce(choices, tangent(w, solve(w).tokens), value)


@pytest.mark.parametrize("seed", range(6))
def test_reduced_costs_leave_what_the_tangent_does_not_exclude(seed):
    choices, reduced = reduced_case(seed, MENU)
    w = choices.workload
    look = tangent(w, solve(w).tokens)
    start = improve(choices, choices.position(look.tokens))
    incumbent = float(choices.objective(start))
    price = w.share * look.state.price
    bound, size = -float(look.state.time), float(look.state.time) + abs(incumbent)
    for k in range(3):
        tokens = choices.row(k, np.arange(choices.count[k]))
        value = choices.worth_of(k, tokens) - price[k] * tokens
        best = int(np.argmax(value))
        bound += value[best] + price[k] * look.tokens[k]
        size += choices.worth_of(k, tokens)[best]
        size += price[k] * (tokens[best] + look.tokens[k])
    tolerance = 512 * EPSILON * size / float(look.state.slack)
    assert reduced.bound == pytest.approx(bound, rel=1e-12)
    assert reduced.tolerance == pytest.approx(tolerance, rel=1e-12)
    for k in range(3):
        tokens = choices.row(k, np.arange(choices.count[k]))
        value = choices.worth_of(k, tokens) - price[k] * tokens
        kept = np.flatnonzero(value.max() - value <= bound - incumbent + tolerance)
        if w.share[k] > 0:
            assert (reduced.first[k], reduced.last[k]) == (kept[0], kept[-1])
        else:
            assert reduced.first[k] == reduced.last[k]
    assert reduced.log_size == pytest.approx(np.log(reduced.last - reduced.first + 1).sum())


@pytest.mark.parametrize("room", [0.0, 1.0, 30.0])
def test_the_depth_first_search_visits_what_its_bound_leaves(room):
    for seed in range(0, 6, 2):
        choices, reduced = reduced_case(seed, MENU)
        found = every(choices)
        best = found[np.argmax(choices.objective(found))]
        top = float(choices.objective(best))
        wide = replace(reduced, first=0 * choices.count, last=choices.count - 1, tolerance=room)
        levels = [
            reduced.top[k]
            - choices.worth_of(k, choices.row(k, np.arange(choices.count[k])))
            + reduced.price[k] * choices.row(k, np.arange(choices.count[k]))
            for k in range(3)
        ]
        levels.sort(key=lambda losses: -losses.max())
        left = reduced.bound - top + room
        nodes = 1 + sum(
            sum(path) <= left
            for depth in range(1, 4)
            for path in itertools.product(*levels[:depth])
            if all(sum(path[:i]) <= left for i in range(depth))
        )
        index, visited, complete = tangent_search.search(choices, wide, best, node_limit=nodes)
        assert complete
        assert visited == nodes
        assert (index == best).all()
        index, visited, complete = tangent_search.search(choices, wide, best, node_limit=nodes - 1)
        assert not complete
        assert visited == nodes
        worst = 0 * choices.count
        index, visited, complete = tangent_search.search(choices, wide, worst, node_limit=10**6)
        assert complete
        assert float(choices.objective(index)) == top
        assert visited >= nodes


# the moves of single types


@pytest.mark.parametrize("server", ["line", "batches"])
def test_a_move_is_the_best_there_is_and_the_last_leaves_none(server):
    for seed in range(4):
        w = plain_workload(seed, 4) if server == "line" else batches(seed, 4)
        choices = Choices.of(w, MENU)
        index = choices.position(0.5 * solve(w).tokens)
        moves = [
            np.clip(index + way * (np.arange(4) == k), 0, choices.count - 1)
            for k in range(4)
            for way in (1, -1)
        ]
        once = improve(choices, index, max_moves=1)
        values = [float(choices.objective(x)) for x in (index, *moves)]
        assert float(choices.objective(once)) == max(values)
        end = improve(choices, index)
        for k, way in itertools.product(range(4), (1, -1)):
            near = np.clip(end + way * (np.arange(4) == k), 0, choices.count - 1)
            assert float(choices.objective(near)) <= float(choices.objective(end)) * (1 + 1e-15)
        assert improve(choices, end).tolist() == end.tolist()
