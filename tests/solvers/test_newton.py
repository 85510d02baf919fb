"""Newton against closed forms, other people's solvers, and workloads at the edge."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import brentq

import thinkqueue as tq
from benchmarks.peers import conic, general
from fifty_digits import free_at_the_best
from thinkqueue import Solution, Status, Workload
from thinkqueue.arrays import Array
from thinkqueue.workload import FIELDS
from workloads import (
    extreme_workload,
    hard_workload,
    hard_workloads,
    plain_workload,
    plain_workloads,
    rounding,
    stable_tokens,
    thinking_workloads,
)

# closed forms


def best_of_one_type(w: Workload) -> float:
    """The root of ∂J/∂ℓ of a single type, by bisection on the stable interval."""
    slack = 1 - w.arrival_rate * w.base_time[0]
    top = min(float(w.max_tokens[0]), slack / w.arrival_rate / float(w.time_per_token[0]))
    top *= 1 - 1e-12

    def slope(x: float) -> float:
        s = float(w.base_time[0] + w.time_per_token[0] * x)
        y = 1 - w.arrival_rate * s
        price = 1 + w.arrival_rate * s / y + w.arrival_rate**2 * s**2 / (2 * y**2)
        value = w.accuracy_weight * w.weight[0] * w.gain[0] * w.rate[0]
        return float(value * np.exp(-w.rate[0] * x) - w.time_per_token[0] * price)

    if slope(0) <= 0:
        return 0.0
    return top if slope(top) >= 0 else brentq(slope, 0, top, xtol=1e-12, rtol=1e-14)


def test_one_type_is_a_root_on_a_line():
    for w in plain_workloads(60, seed=0, types=1):
        got = tq.solve(w, gap=1e-13, throw=False).tokens[0]
        np.testing.assert_allclose(got, best_of_one_type(w), rtol=1e-5, atol=1e-3)


def test_without_others_to_wait_the_budget_is_a_logarithm():
    # at an arrival rate of nearly nothing the price is 1
    w = plain_workload(1, 6).replace(arrival_rate=1e-15)
    value = w.accuracy_weight * w.gain * w.rate
    expected = np.clip(np.log(value / w.time_per_token) / w.rate, 0, w.max_tokens)
    np.testing.assert_allclose(tq.solve(w, gap=1e-13).tokens, expected, rtol=1e-6, atol=1e-4)


# invariants


def test_order_names_and_splitting_of_types_do_not_matter():
    w = plain_workload(2, 6)
    best = tq.solve(w, gap=1e-13, throw=False)
    order = np.random.default_rng(2).permutation(6)
    shuffled = w.replace(**{f: getattr(w, f)[order] for f in FIELDS}, names=None)
    got = tq.solve(shuffled, gap=1e-13, throw=False).tokens
    np.testing.assert_allclose(got, best.tokens[order], rtol=1e-5, atol=1e-3)
    halves = {f: np.repeat(getattr(w, f), 2) for f in FIELDS}
    halves["share"] = halves["share"] / 2
    twice = tq.solve(w.replace(**halves, names=None), gap=1e-13, throw=False)
    np.testing.assert_allclose(twice.tokens, np.repeat(best.tokens, 2), rtol=1e-5, atol=1e-3)


def test_units_of_time_and_of_tokens_do_not_matter():
    for w in plain_workloads(20, seed=3):
        best = tq.solve(w, gap=1e-12).tokens
        other = w.replace(
            base_time=w.base_time * 1e3,
            time_per_token=w.time_per_token * 1e3 / 1e2,
            arrival_rate=w.arrival_rate / 1e3,
            accuracy_weight=w.accuracy_weight * 1e3,
            rate=w.rate / 1e2,
            max_tokens=w.max_tokens * 1e2,
        )
        got = tq.solve(other, gap=1e-9).tokens
        np.testing.assert_allclose(got / 1e2, best, rtol=1e-4, atol=1e-2)


def worst_slope(w: Workload, x: Array) -> float:
    """How far the conditions of Karush, Kuhn and Tucker are from holding, relative to the price."""
    cost = w.share * w.time_per_token * tq.queueing_price(w, x)
    slope = tq.gradient(w, x) / cost
    wrong = np.where(x <= 0, np.maximum(slope, 0), np.abs(slope))
    wrong = np.where(x >= w.max_tokens, np.maximum(-slope, 0), wrong)
    return float(np.where((w.max_tokens == 0) | (w.share == 0), 0, wrong).max())


def test_no_budget_wants_to_move():
    for w in plain_workloads(60, seed=4, types=20):
        assert worst_slope(w, tq.solve(w, gap=1e-13, throw=False).tokens) < 1e-5


def test_a_budget_that_is_off_by_a_token_fails_that_check():
    w = plain_workload(5, 5)
    best = tq.solve(w).tokens
    assert worst_slope(w, np.where(best > 10, best - 1, best)) > 1e-5


# second methods


def shortfall(w: Workload, found: Solution, answer: Array) -> float:
    """How far the other answer beats this one's objective or certificate; positive is a fault.

    Relative to the size of J, and with the rounding of J allowed for: that of 1 − ρ is magnified.
    """
    other = float(tq.objective(w, np.clip(answer, 0, w.max_tokens)))
    scale = 1 + abs(other)
    excess = max(other - found.upper_bound, other - found.objective - found.gap)
    return (excess - rounding(found)) / scale


def difference(w: Workload, found: Solution, answer: Array) -> float:
    """How far the objectives are apart, relative to the size of J."""
    other = float(tq.objective(w, np.clip(answer, 0, w.max_tokens)))
    return abs(other - found.objective) / (1 + abs(other))


PEERS = [
    pytest.param(conic.rescaled, 5, 8, 1e-5, id="CVXPY-5"),
    pytest.param(conic.rescaled, 40, 6, 1e-5, id="CVXPY-40"),
    pytest.param(general.SciPy(general.l_bfgs_b, general.widths), 5, 20, 1e-9, id="L-BFGS-B-5"),
    pytest.param(general.SciPy(general.l_bfgs_b, general.widths), 60, 8, 1e-9, id="L-BFGS-B-60"),
    pytest.param(general.SciPy(general.slsqp, general.widths), 5, 10, 1e-8, id="SLSQP-5"),
    pytest.param(
        general.SciPy(general.trust_constr, general.widths), 5, 5, 1e-4, id="trust-constr"
    ),
]


@pytest.mark.parametrize(("answer", "types", "count", "close"), PEERS)
@pytest.mark.filterwarnings("ignore:delta_grad == 0.0")
def test_others_find_the_same_and_nothing_better(answer, types, count, close):
    for w in plain_workloads(count, seed=6, types=types):
        found, other = tq.solve(w), answer(w, 60.0)
        assert shortfall(w, found, other) <= 0
        assert difference(w, found, other) <= close


def test_an_answer_to_another_question_fails_that_check():
    lbfgs = general.SciPy(general.l_bfgs_b, general.widths)
    faults = []
    for w in plain_workloads(6, seed=6):
        wrong = tq.solve(w.replace(arrival_rate=w.arrival_rate * 0.9))
        value = float(tq.objective(w, wrong.tokens))
        claimed = replace(wrong, objective=value, upper_bound=value + wrong.gap)
        faults.append(shortfall(w, claimed, lbfgs(w, 60.0)))
    assert max(faults) > 1e-6


def test_nothing_better_lies_nearby_on_hard_workloads():
    g = np.random.default_rng(7)
    for w in thinking_workloads(100, seed=7):
        found = tq.solve(w)
        for scale in (1e-6, 1e-3, 1e-1):
            other = np.clip(found.tokens * (1 + scale * g.normal(size=len(w))), 0, w.max_tokens)
            if tq.utilization(w, other) < 1:
                assert shortfall(w, found, other) <= 0


# near-singular stress


def test_rounding_of_the_load_does_not_stop_the_climb():
    # at ρ = 1 − 8e-8 the rounding of J is larger than what the last step gains
    w = hard_workload(np.random.default_rng(np.random.SeedSequence(77, spawn_key=(3242,))))
    found = tq.solve(w)
    assert found.utilization > 1 - 1e-7
    check(w, found)


def test_where_the_optimum_leaves_a_billionth_free_sixty_decades_are_solved():
    """What is left is known: budgets are doubles, and at 1 − ρ a last bit of them moves the prices
    by ε/(1 − ρ) of themselves, so that the bound cannot close nearer to a full server.
    """
    solved = stopped = 0
    for seed in (*range(300, 440), 775, 787):  # with three that once stopped short
        w = extreme_workload([40, seed], 1)
        if tq.utilization(w, [0.0]) >= 1:
            continue
        found, free = tq.solve(w, throw=False, max_steps=300), free_at_the_best(w)
        if free > 1e-9:
            check(w, found)
            solved += 1
        elif found.status is not Status.CONVERGED:
            assert found.status is Status.STALLED
            assert found.utilization < 1
            stopped += 1
    assert solved > 60
    assert stopped > 0


@pytest.mark.parametrize("seed", [1530, 3122])
def test_a_bound_that_is_far_off_till_the_end_does_not_stop_the_climb(seed):
    # the objective is a part in 10¹² from its best from the start, and the bound a part in 10
    w = extreme_workload([40, seed])
    found = tq.solve(w)
    check(w, found)
    first, *_, last = found.history
    assert last.objective - first.objective < 1e-12 * last.objective
    assert first.gap > 1e-2 * last.objective


def test_a_step_finer_than_the_prices_is_found():
    # the step is 10⁻¹⁵ of the width of its curve, and so is its price of that where it is 0
    w = extreme_workload([40, 2834])
    check(w, tq.solve(w))


def check(w: Workload, found: Solution) -> None:
    """What every answer must be, whatever the workload."""
    assert found.status is Status.CONVERGED
    assert ((found.tokens >= 0) & (found.tokens <= w.max_tokens)).all()
    assert 0 <= found.utilization < 1
    assert 0 <= found.gap <= 1e-9 * max(1, abs(found.objective))
    assert found.upper_bound >= found.objective
    assert np.isfinite([found.mean_system_time, found.mean_accuracy, found.objective]).all()


@pytest.mark.parametrize("seed", range(4))
def test_hard_workloads_are_solved(seed):
    for w in hard_workloads(250, seed=100 + seed):
        found = tq.solve(w)
        check(w, found)
        assert found.steps <= 60


@pytest.mark.parametrize("types", [1, 2, 5, 100])
def test_hard_workloads_with_something_to_gain_are_solved(types):
    for w in thinking_workloads(60, seed=types, types=types):
        check(w, tq.solve(w))


@pytest.mark.parametrize("load", [0.0, 0.3, 0.999, 1 - 1e-6])
def test_any_stable_start_leads_to_the_same_value(load):
    g = np.random.default_rng(8)
    for w in thinking_workloads(100, seed=8):
        best = tq.solve(w)
        found = tq.solve(w, start=stable_tokens(w, g, load))
        check(w, found)
        blur = 1e-13 * max(1, abs(best.objective))
        assert abs(found.objective - best.objective) <= max(found.gap, best.gap) + blur


@pytest.mark.parametrize("slack", [1e-2, 1e-5, 1e-9, 1e-12])
def test_idle_loads_up_to_one(slack):
    for w in plain_workloads(30, seed=9):
        busy = w.replace(arrival_rate=(1 - slack) / float(w.share @ w.base_time))
        for alpha in (1.0, 1e4, 1e9):
            check(busy, tq.solve(busy.replace(accuracy_weight=alpha)))


@pytest.mark.parametrize("rate", [1e-12, 1e-6, 1e-3, 1.0, 1e3])
def test_rates_of_every_size(rate):
    for w in plain_workloads(15, seed=10):
        one = w.replace(rate=rate, accuracy_weight=w.accuracy_weight * 1e-3 / min(rate, 1e-3))
        check(one, tq.solve(one))
        mixed = w.replace(rate=np.geomspace(1e-12, 1e3, 5))
        check(mixed, tq.solve(mixed))


def test_what_has_no_use_gets_no_tokens():
    w = plain_workload(11, 6)
    useless = w.replace(
        gain=[0, 0.5, 0.5, 0.5, 0, 0.5], weight=[1, 0, 1, 1, 0, 1], max_tokens=[9, 9, 0, 9, 0, 9]
    )
    found = tq.solve(useless)
    check(useless, found)
    np.testing.assert_array_equal(found.tokens[[0, 1, 2, 4]], 0)
    for nothing in (w.replace(gain=0), w.replace(accuracy_weight=0), w.replace(max_tokens=0)):
        found = tq.solve(nothing)
        check(nothing, found)
        np.testing.assert_array_equal(found.tokens, 0)
        assert found.steps == 0


def test_a_type_without_a_share_gets_what_one_query_of_it_deserves():
    w = plain_workload(12, 4)
    share = np.array([0.5, 0.5, 0.0, 0.0])
    w = w.replace(share=share, gain=0.6, accuracy_weight=1000.0)
    found = tq.solve(w, gap=1e-12)
    check(w, found)
    rare = w.replace(share=np.array([0.5, 0.5 - 2e-9, 1e-9, 1e-9]))
    np.testing.assert_allclose(tq.fixed_point_map(w, found.tokens)[:2], found.tokens[:2], rtol=1e-4)
    expected = tq.solve(rare, gap=1e-13, throw=False).tokens
    np.testing.assert_allclose(found.tokens[:2], expected[:2], rtol=1e-4, atol=1e-2)


def test_caps_that_bind_are_met_exactly():
    for w in plain_workloads(30, seed=13):
        free = tq.solve(w)
        capped = w.replace(max_tokens=np.maximum(free.tokens / 2, 1))
        found = tq.solve(capped)
        check(capped, found)
        assert found.objective <= free.upper_bound
        assert (found.tokens <= capped.max_tokens).all()


def test_each_step_is_at_least_as_good_and_stays_stable():
    for w in thinking_workloads(100, seed=14):
        history = tq.solve(w, start=np.zeros(len(w))).history
        values = np.array([step.objective for step in history])
        assert (np.diff(values) >= -1e-12 * np.abs(values[1:])).all()
        assert all(0 <= step.utilization < 1 and step.gap >= 0 for step in history)


def test_convergence_is_quadratic_at_the_end():
    orders = []
    for w in plain_workloads(40, seed=15, types=50):
        gaps = [step.gap for step in tq.solve(w, gap=1e-13, throw=False).history]
        ends = [(a, b) for a, b in pairwise(gaps) if 1e-10 < b < a < 1e-2]
        orders += [np.log(b) / np.log(a) for a, b in ends]
    assert np.median(orders) > 1.4  # a linear rate would give orders near 1


@pytest.mark.parametrize("types", [10_000, 100_000])
def test_many_types(types):
    for w in (plain_workload(16, types), hard_workload(17, types), hard_workload(18, types)):
        check(w, tq.solve(w))


@pytest.mark.slow
@pytest.mark.parametrize("make", [plain_workload, hard_workload])
def test_a_million_types(make):
    w = make(19, 10**6)
    found = tq.solve(w)
    check(w, found)
    assert found.steps <= 40


def test_a_sample_without_queries_is_no_start():
    share = np.zeros(10**5)
    share[[7, 11]] = 0.5
    w = tq.Workload.from_arrays(
        share=share,
        gain=0.5,
        rate=1e-3,
        baseline=0.1,
        base_time=0.1,
        time_per_token=0.01,
        arrival_rate=0.05,
        accuracy_weight=500,
    )
    check(w, tq.solve(w))
