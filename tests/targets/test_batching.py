"""Promises of a batching server: rations, deadlines on the shifted gamma law, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import gammainccinv

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, WorkloadError
from thinkqueue.targets import shared_tails
from workloads import LINE, MEASURED, SERVERS, batching_workload

RATIONED = [s for s in SERVERS if s.overflow == "share"]
FREE = batching_workload(Batching(LINE), arrival_rate=0.5, prompt_time=0.0)


@pytest.mark.parametrize("server", RATIONED, ids=repr)
@pytest.mark.parametrize("limit", [4.0, 25.0])
def test_a_cap_on_the_mean_is_kept_exactly_and_proved_best(server, limit):
    w = batching_workload(server, arrival_rate=0.2 if server.convex else 0.05)
    found = tq.solve_target(w, tq.MeanTarget(limit))
    assert found.ratio[0] == pytest.approx(1.0, abs=1e-9)
    assert found.ratio[0] <= 1
    assert 0 <= found.gap <= 1e-9
    assert found.convex
    # nothing else that keeps it is as accurate: random moves, drawn back to the cap
    g = np.random.default_rng(0)
    for _ in range(40):
        x = np.clip(found.tokens * g.uniform(0.7, 1.3, 5), 0, w.max_tokens)
        while tq.utilization(w, x) >= 1 or tq.mean_system_time(w, x) > limit:
            x = 0.99 * x
        assert tq.mean_accuracy(w, x) <= found.objective + 1e-12
    rate = w.weight * w.curves.slope(found.tokens)
    inside = found.tokens > 0
    if server.token_time != CONTEXT:  # one price
        assert np.ptp(rate[inside]) < 1e-9 * rate.max()
        assert (rate[~inside] <= rate[inside].max()).all()


CONTEXT = TokenTime(6.5e-3, 9.7e-5, 5e-8)


def test_a_ration_agrees_with_multipliers_and_with_a_solver_that_knows_neither():
    w = batching_workload(Batching(MEASURED), arrival_rate=0.5)
    mean = tq.MeanTarget(8.0)
    ration = tq.solve_target(w, mean)
    # maximising J with an overwhelming worth of accuracy is the same problem, by multipliers
    rich = w.replace(accuracy_weight=1e9)
    other = tq.solve_target(rich, mean, count_delay=True)
    np.testing.assert_allclose(other.tokens, ration.tokens, rtol=1e-3)
    assert other.mean_accuracy == pytest.approx(ration.mean_accuracy, abs=1e-8)
    w = batching_workload(Batching(CONTEXT), arrival_rate=0.1, prompt_tokens=700.0)
    ration = tq.solve_target(w, mean)
    free = minimize(
        lambda x: -float(tq.mean_accuracy(w, x)),
        0.8 * ration.tokens,
        bounds=[(0, 32768)] * 5,
        constraints=[{"type": "ineq", "fun": lambda x: 8.0 - float(tq.mean_system_time(w, x))}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    # a general solver stops a few 1e-7 below, and never above
    assert ration.objective - 5e-6 < -free.fun < ration.objective + 1e-8


def test_a_cap_that_everybody_keeps_changes_nothing():
    w = FREE.replace(max_tokens=50.0)
    found = tq.solve_target(w, tq.MeanTarget(1e3))
    assert (found.tokens == 50).all()
    assert found.gap < 1e-12
    assert tq.solve_target(w, tq.TypeTailTarget(1e3, 0.01)).gap < 1e-12


@pytest.mark.parametrize(("rate", "deadline", "rare"), [(0.05, 30.0, 0.1), (2.0, 10.0, 0.02)])
def test_deadlines_are_met_and_the_bound_is_close(rate, deadline, rare):
    w = FREE.replace(arrival_rate=rate)

    def excess(x):
        return 1 - tq.type_time(w, x).within(1 - rare + 0 * x) / deadline

    found = tq.solve_target(w, tq.TypeTailTarget(deadline, rare))
    assert (found.ratio <= 1).all()
    assert found.ratio.max() > 1 - 1e-6
    assert not found.convex
    assert 0 <= found.gap < 2e-3
    # a solver that knows nothing finds nothing better
    free = minimize(
        lambda x: -float(tq.mean_accuracy(w, x)),
        0.8 * found.tokens,
        bounds=[(0, 32768)] * 5,
        constraints=[{"type": "ineq", "fun": excess}],
        method="SLSQP",
        options={"maxiter": 30},
    )
    assert -free.fun < found.objective + 1e-5


@pytest.mark.parametrize("rare", [0.05, 0.01])
def test_deadlines_are_met_in_simulation_to_the_percent_that_is_stated(rare):
    # tokens are cheap here: every type gets what its deadline allows, all the same
    found = tq.solve_target(FREE, tq.TypeTailTarget(10.0, rare))
    assert np.ptp(found.tokens) < 1e-6
    run = tq.simulate(FREE, found.tokens, jobs=300_000, seed=1, probabilities=(1 - rare,))
    late = run.quantiles[1 - rare]
    assert late.low < 10.0 * 1.01
    assert late.high > 10.0 * 0.99
    # negative control: budgets for the mean alone are late by more
    careless = tq.solve_target(FREE, tq.MeanTarget(10.0))
    run = tq.simulate(FREE, careless.tokens, jobs=50_000, seed=1, probabilities=(1 - rare,))
    assert run.quantiles[1 - rare].low > 10.0 * 1.01


def test_delay_may_count_beside_a_deadline():
    target = tq.TypeTailTarget(8.0, 0.05)
    found = tq.solve_target(FREE, target, count_delay=True)
    careless = tq.solve_target(FREE, target)
    assert found.objective >= float(tq.objective(FREE, careless.tokens)) - 1e-6
    assert (found.ratio <= 1).all()
    assert found.upper_bound >= found.objective
    free = tq.solve(FREE)
    loose = tq.solve_target(FREE, tq.TypeTailTarget(1e3, 0.05), count_delay=True)
    np.testing.assert_allclose(loose.tokens, free.tokens)
    assert loose.gap <= free.gap


def test_a_deadline_is_held_to_the_last_millionth():
    tokens = np.full(5, 300.0)
    late = tq.type_time(FREE, tokens).within(np.full(5, 0.95))
    for longer, held in ((1 + 1e-6, True), (1 - 1e-6, False), (0.7, False)):
        promise = shared_tails._Promise(FREE, late * longer, np.full(5, 0.05), True)
        assert promise.held(tokens) is held


@pytest.mark.slow
def test_one_type_in_a_hurry_holds_the_others_back_and_the_best_price_is_between():
    """Neither as much as the deadlines allow nor as little as delay asks for is best here."""
    target = tq.TypeTailTarget([3.0, *[1e3] * 4], 0.05)
    both = tq.solve_target(FREE, target, count_delay=True)
    assert both.gap < 0.02 * both.objective
    promise = shared_tails._Promise(FREE, target.deadlines(FREE), target.probabilities(FREE), True)
    prices = np.linspace(np.log(promise.value.max()) - 20, np.log(promise.value.max()), 5)
    tried = [promise.reached(promise.kept(x)) for x in prices]
    assert both.objective >= max(tried) - 1e-3
    assert max(tried) > tried[0] + 10
    # a type whose deadline its answer alone takes up has no token to think, whatever one costs
    answer = tq.type_time(FREE, np.zeros(5)).within(np.full(5, 0.95))
    idle = shared_tails._Promise(FREE, np.append(answer[:1], [1e3] * 4), np.full(5, 0.05), True)
    assert idle.kept(prices[0])[0] == 0
    # and the bound knows that others, whose thoughts would make it late, may not think much either
    hurried = tq.TypeTailTarget([1.1 * answer[0], *[1e3] * 4], 0.05)
    found = tq.solve_target(FREE, hurried)
    assert found.gap < 0.02
    assert found.utilization < 0.5 * tq.solve(FREE).utilization
    assert found.ratio[0] == pytest.approx(1, abs=1e-6)


def test_the_longest_that_a_deadline_allows_is_longer_than_what_it_allows():
    g = np.random.default_rng(2)
    a, b = LINE.base, LINE.per_query
    for _ in range(12):
        w = FREE.replace(arrival_rate=10 ** g.uniform(-2, 0.7))
        x = g.uniform(0, 1, 5) ** 3 * 8_000
        load = float(tq.utilization(w, x))
        if load >= 0.98:
            continue
        rare = np.full(5, 10 ** g.uniform(-3, -0.5))
        late = tq.type_time(w, x).within(1 - rare)
        left, right = load * g.uniform(0.98, 1), load * g.uniform(1, 1.02)
        most = shared_tails._longest(a, b, w.arrival_rate, left, right, late, rare)
        assert (w.service.mean(x) <= most * (1 + 1e-9)).all()


def test_quantiles_of_gamma_laws_of_mean_one_rise_and_then_fall():
    shape = np.geomspace(1e-3, 1e6, 4000)
    for rare in (0.3, 0.1, 0.05, 0.01, 1e-3, 1e-6):
        quantile = gammainccinv(shape, rare) / shape
        top = int(np.argmax(quantile))
        assert (np.diff(quantile[: top + 1]) >= -1e-12).all()
        assert (np.diff(quantile[top:]) <= 1e-12).all()


def test_what_cannot_be_done_is_refused_in_one_sentence():
    w = FREE
    cases = [
        (w, tq.WaitingTarget(1.0, 0.1), {}, "about a line"),
        (w, tq.TailTarget(10.0, 0.1), {}, "How to split lateness"),
        (w, tq.TypeTailTarget(10.0, 0.1), {"certify": True}, "not certified"),
        (
            batching_workload(Batching(LINE, 64)),
            tq.TypeTailTarget(50.0, 0.1),
            {},
            "variance of the time is known",
        ),
        (
            batching_workload(Batching(LINE, 4, "wait"), arrival_rate=0.05),
            tq.MeanTarget(50.0),
            {},
            "not convex in the tokens as far as is known",
        ),
    ]
    for workload, target, options, words in cases:
        with pytest.raises(WorkloadError, match=words) as refused:
            tq.solve_target(workload, target, **options)
        assert "time_per_token" not in str(refused.value)
    with pytest.raises(tq.InfeasibleTargetError):
        tq.solve_target(w, tq.MeanTarget(0.1))


@pytest.mark.parametrize("server", [*RATIONED, Batching(LINE, 4, "wait")], ids=repr)
def test_the_largest_rate_under_a_cap_on_the_mean_is_a_threshold(server):
    w = batching_workload(server, arrival_rate=0.01)
    tokens, target = np.full(5, 300.0), tq.MeanTarget(8.0)
    rate = tq.largest_arrival_rate(w, target, tokens=tokens)
    assert target.ratio(w.replace(arrival_rate=rate), tokens) <= 1
    assert target.ratio(w.replace(arrival_rate=rate * (1 + 1e-6)), tokens) > 1
    factor = tq.slowest_decode(w, target, tokens=tokens)
    time = server.token_time
    if isinstance(time, TokenTime):
        slow = TokenTime(factor * time.base, factor * time.per_query, factor * time.per_context)
        slower = w.replace(server=Batching(slow, server.max_batch, server.overflow))
        assert tq.mean_system_time(slower, tokens) == pytest.approx(8.0, rel=1e-6)


def test_the_largest_rate_of_the_line_is_in_closed_form():
    tokens, limit = np.full(5, 2000.0), 30.0
    m, one, b = 2200.0, LINE.base + LINE.per_query, LINE.per_query
    expected = (1 - one * m / limit) / (b * m)
    found = tq.largest_arrival_rate(FREE, tq.MeanTarget(limit), tokens=tokens)
    assert found == pytest.approx(expected, rel=1e-8)
    rate = tq.largest_arrival_rate(FREE, tq.TypeTailTarget(30.0, 0.05), tokens=tokens)
    there = FREE.replace(arrival_rate=rate)
    assert tq.type_time(there, tokens).quantile(0.95)[0] == pytest.approx(30.0, rel=1e-6)
    wanted = tq.largest_arrival_rate(FREE, tq.MeanTarget(limit), accuracy=0.6)
    reached = tq.solve_target(FREE.replace(arrival_rate=wanted), tq.MeanTarget(limit))
    assert reached.mean_accuracy == pytest.approx(0.6, abs=1e-4)
    weight = tq.least_accuracy_weight(FREE, 0)
    assert weight >= one / (FREE.gain[0] * FREE.rate[0])
    assert tq.solve(FREE.replace(accuracy_weight=1.001 * weight)).tokens[0] > 0
    assert tq.solve(FREE.replace(accuracy_weight=0.999 * weight)).tokens[0] == 0


@pytest.mark.parametrize("count_delay", [False, True])
def test_no_other_price_of_a_token_is_worth_more_under_deadlines(count_delay):
    """The bound is looser than that; what was found is held to a scan of prices."""
    w = FREE
    deadline, rare = np.full(5, 40.0), np.full(5, 0.01)
    found = shared_tails.under_deadlines(w, deadline, rare, count_delay)
    promise = shared_tails._Promise(w, deadline, rare, count_delay)
    high = float(np.log(np.max(promise.value * w.curves.slope(np.zeros(5)))))
    tried = np.linspace(high - shared_tails.DECADES, high, 40)
    best = max(promise.reached(promise.kept(x)) for x in tried)
    assert promise.reached(found.tokens) >= best - 1e-4 * abs(best)
