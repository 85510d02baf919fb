"""The pieces of the targets one by one, against quadrature, closed forms and plain floats."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import gammainccinv

import thinkqueue as tq
from thinkqueue import Batching, TokenTime
from thinkqueue.arrays import Array
from thinkqueue.targets import certificate, planning, shared_tails, splits
from thinkqueue.targets import solve as solving
from thinkqueue.targets.certificate import prove
from thinkqueue.targets.master import Gains, dual_value, maximise
from thinkqueue.targets.rations import Ration, most_accurate
from thinkqueue.targets.tangents import Limits, Tangents, excess, solve_limits
from thinkqueue.waiting_time.limited_buffer import lost_load
from workloads import LINE, MEASURED, QWEN, batching_workload, plain_workload

FREE = batching_workload(Batching(LINE), arrival_rate=0.5, prompt_time=0.0)


@pytest.fixture(scope="module")
def qwen() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


# rations


@pytest.mark.parametrize("quadratic", [0.0, 1e-4])
@pytest.mark.parametrize("room", [0.0, 1e-3, 200.0, 2000.0, 1e9])
def test_a_ration_is_shared_out_at_one_price(quadratic: float, room: float) -> None:
    w = plain_workload(3, 6)
    caps = np.array([50.0, 500, 5000, 5000, 5000, 5000])
    ration = Ration(np.linspace(0.5, 2, 6), quadratic, room)
    tokens, bound = most_accurate(w, ration, caps)
    used = ration.used(w.share, tokens)
    assert used <= room or room > 1e6
    assert ((tokens >= 0) & (tokens <= caps)).all()
    value = float(w.weight * w.share @ w.curves.value(tokens))
    assert value <= bound + 1e-15
    assert bound - value <= 1e-12
    if room > 1e6:  # everybody has all that is allowed
        np.testing.assert_array_equal(tokens, caps)
        return
    assert used == pytest.approx(room, rel=1e-9, abs=1e-9)
    rate = w.weight * w.curves.slope(tokens) / (ration.linear + quadratic * tokens)
    inside = (tokens > 0) & (tokens < caps)
    if inside.any():
        assert np.ptp(rate[inside]) <= 1e-6 * rate.max()
        assert (rate[tokens == 0] <= rate[inside].max() * (1 + 1e-6)).all()
        assert (rate[tokens == caps] >= rate[inside].min() * (1 - 1e-6)).all()


def test_what_is_used_is_what_the_ration_says() -> None:
    ration = Ration(np.array([1.0, 2.0]), 0.5, 9.0)
    assert ration.used(np.array([0.25, 0.75]), np.array([4.0, 6.0])) == pytest.approx(
        0.25 * (4 + 0.25 * 16) + 0.75 * (12 + 0.25 * 36)
    )


# deadlines of a batching server


def longest(a: float, b: float, rate: float, load: float, deadline: float, rare: float) -> float:
    """The longest answer whose deadline can be kept at a load, by quadrature and bisection."""

    def off(x: float) -> float:
        inside = quad(lambda t: (b * x - t) * max(load - rate * t, 0), 0, min(b * x, load / rate))
        ends = ((1 + a / b) * load, (1 + a / b) * (b * x * load) ** 2 / (2 * inside[0]))
        least = min(gammainccinv(k, rare) / k for k in (ends[0], max(ends)))
        return float((a + b) * x * (1 + load / (1 - load) * least) - deadline)

    return float(brentq(off, 1e-9, deadline / (a + b), xtol=1e-12))


@pytest.mark.parametrize("load", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("rare", [0.3, 0.05, 1e-3])
def test_the_longest_that_a_deadline_allows_at_a_load(load: float, rare: float) -> None:
    a, b, rate = LINE.base, LINE.per_query, 2.0
    deadline = np.array([3.0, 20.0, 100.0])
    found = shared_tails._longest(a, b, rate, load, load, deadline, np.full(3, rare))
    expected = [longest(a, b, rate, load, d, rare) for d in deadline]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # over a wider cell it is longer, and without a load it is what the tokens alone take
    wider = shared_tails._longest(a, b, rate, load * 0.9, load * 1.05, deadline, np.full(3, rare))
    assert (wider >= found * (1 - 1e-12)).all()
    alone = shared_tails._longest(a, b, rate, 0.0, load, deadline, np.full(3, rare))
    np.testing.assert_allclose(alone, deadline / (a + b))


@pytest.mark.parametrize("count_delay", [False, True])
def test_where_nobody_slows_anybody_a_deadline_is_a_number_of_tokens(count_delay: bool) -> None:
    a = 0.01
    w = batching_workload(Batching(TokenTime(a, 0.0)), prompt_time=0.0, accuracy_weight=1e5)
    deadline = np.array([200.5 * a, 10.0, 20.0, 40.0, 80.0])  # half a token, and many
    tokens = np.minimum(deadline / a - 200, w.max_tokens)
    found = tq.solve_target(w, tq.TypeTailTarget(deadline, 0.05), count_delay=count_delay)
    np.testing.assert_allclose(found.tokens, tokens, rtol=1e-9)
    best = float(tq.objective(w, tokens) if count_delay else tq.mean_accuracy(w, tokens))
    assert found.objective == pytest.approx(best, rel=1e-9)
    assert found.objective <= found.upper_bound
    # the bound lets the mean time be that of nobody thinking
    idle = float(tq.mean_system_time(w, np.zeros(5)))
    top = w.accuracy_weight * float(tq.mean_accuracy(w, tokens)) - idle if count_delay else best
    assert found.upper_bound == pytest.approx(top, rel=1e-9)


def test_where_thinking_is_worth_nothing_a_deadline_bounds_nothing() -> None:
    worthless = FREE.replace(gain=0.0)
    found = tq.solve_target(worthless, tq.TypeTailTarget(30.0, 0.05))
    np.testing.assert_array_equal(found.tokens, 0)
    assert found.gap == pytest.approx(0, abs=1e-12)


# the small problem


def test_a_variable_that_gains_nothing_stays_at_nothing() -> None:
    gains = Gains(np.array([1.0, 0.0]), np.array([1.0, 2.0]), np.zeros(2), np.array([3.0, 3.0]))
    found = maximise(gains, np.array([[1.0, 1e-9]]), np.array([1.0]))
    assert found.point[1] == 0
    assert found.point[0] == pytest.approx(1, abs=1e-9)
    assert found.upper_bound == pytest.approx(1 - np.exp(-1), abs=1e-12)
    assert found.multipliers[0] == pytest.approx(np.exp(-1), rel=1e-6)


def test_without_multipliers_the_box_is_the_bound() -> None:
    gains = Gains(
        np.array([1.0, 0.0, 2.0]), np.array([1.0, 2.0, 0.5]), np.array([0.0, -1.0, 0.25]),
        np.array([3.0, 3.0, 4.0]),
    )  # fmt: skip
    bound = dual_value(gains, np.ones((2, 3)), np.ones(2), np.zeros(2))
    assert bound == pytest.approx(1 - np.exp(-3) + 2 * (1 - np.exp(-2)) + 1, rel=1e-12)


# tangents of what a limited buffer loses


def program(w: tq.Workload, deadline: float, rare: float, count_delay: bool = False):
    """A promise to each type as a convex program."""
    own = np.arange(len(w))
    tangents = Tangents(w, np.full(len(w), deadline), own, count_delay, rare)
    most = np.minimum(tangents.most, deadline - w.base_time)
    limits = Limits(np.eye(len(w)) * (1 - rare), np.full(len(w), rare))
    return tangents, limits, most


def test_who_thinks_up_to_the_deadline_loses_what_an_empty_buffer_does(qwen: tq.Workload) -> None:
    """A service may come out a last bit longer than the deadline to which it was stretched."""
    w = qwen.replace(arrival_rate=1e-3, max_tokens=1e30)
    longer = 0
    for deadline in np.linspace(20.0, 90.0, 40):
        tangents, limits, _ = program(w, deadline, 0.01)
        tokens = tangents.tokens(deadline - w.base_time)
        longer += int((w.base_time + w.time_per_token * tokens > deadline).sum())
        lost = tangents.touch(tokens, limits)
        load = tq.utilization(w, tokens)  # of which a buffer that holds nothing loses all
        np.testing.assert_allclose(lost, load, rtol=1e-6)
        # and who thinks longer loses all, which counts only in the limits that ask
        lost = tangents.touch(tokens * [1, 1, 1, 1, 1.001], limits)
        assert np.isinf(lost[-1])
        broken = excess(tangents, limits, tokens, lost)
        assert np.isfinite(broken[:-1]).all()
        assert broken[-1] == np.inf
    assert longer > 5


def test_a_tangent_touches_what_is_lost_and_lies_below_it_elsewhere(qwen: tq.Workload) -> None:
    tangents, limits, _ = program(qwen, 60.0, 0.01)
    tangents.error = 1e-12
    g = np.random.default_rng(0)
    tokens = tq.solve(qwen).tokens
    seconds = qwen.time_per_token * tokens

    def lost(at: Array) -> Array:
        return lost_load(qwen, at, 60.0 - qwen.base_time - qwen.time_per_token * at, error=1e-12)

    there = tangents.touch(tokens, limits)
    np.testing.assert_allclose(there, lost(tokens), rtol=1e-9)
    assert len(tangents.which) == 5
    np.testing.assert_array_equal(tangents.points, np.tile(tokens, (5, 1)))
    np.testing.assert_allclose(
        tangents.height + tangents.slope @ seconds, there[tangents.which], atol=1e-10
    )
    for _ in range(20):
        other = tokens * g.uniform(0.5, 1.2, 5)
        model = tangents.height + tangents.slope @ (qwen.time_per_token * other)
        assert (model <= lost(other)[tangents.which] + 1e-11).all()
    # the slopes are those of differences
    for k in range(5):
        step = np.where(np.arange(5) == k, 1e-3 / qwen.time_per_token, 0)
        rise = (lost(tokens + step) - lost(tokens - step)) / 2e-3
        np.testing.assert_allclose(tangents.slope[:, k], rise[tangents.which], rtol=1e-4, atol=1e-9)


def test_a_limit_says_what_it_says(qwen: tq.Workload) -> None:
    """P(T > d) is at most ε where, and only where, its excess is at most 0."""
    g = np.random.default_rng(1)
    signs = set()
    for _ in range(6):
        tokens = tq.solve(qwen).tokens * g.uniform(0.2, 1.3, 5)
        tangents, limits, _ = program(qwen, 60.0, 0.01)
        late = np.diag(tq.system_time_tail(qwen, tokens, np.full(5, 60.0), per_type=True))
        over = excess(tangents, limits, tokens, tangents.touch(tokens, limits))
        clear = np.abs(late - 0.01) > 1e-6
        np.testing.assert_array_equal((over > 0)[clear], (late > 0.01)[clear])
        slack = 1 - float(tq.utilization(qwen, tokens))
        assert tangents.slack(tokens) == pytest.approx(slack, rel=1e-12)
        np.testing.assert_allclose(over, slack * (late - 0.01) / (1 - late), rtol=1e-4, atol=1e-7)
        signs |= set((over > 0).tolist())
    assert signs == {False, True}


@pytest.mark.parametrize("count_delay", [False, True])
def test_old_tangents_are_forgotten_and_the_bound_stays_one(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch, count_delay: bool
) -> None:
    tangents, limits, most = program(qwen, 60.0, 0.01, count_delay)
    whole = solve_limits(tangents, limits, most, gap=1e-8, rounds=60)
    assert whole.upper_bound - whole.value <= 1e-8 * max(1, abs(whole.value))
    few, _, _ = program(qwen, 60.0, 0.01, count_delay)
    few.most_tangents = 24
    short = solve_limits(few, limits, most, gap=1e-8, rounds=60)
    assert len(few.which) <= 24
    assert short.upper_bound >= whole.value
    assert short.value <= whole.upper_bound
    assert short.upper_bound - short.value <= 1e-4 * max(1, abs(whole.value))
    for kept in (few.height, few.slope, few.needed, few.spread, few.points):
        assert len(kept) == len(few.which)


def test_a_program_stops_where_it_is_hopeless_or_close_enough(qwen: tq.Workload) -> None:
    def rounds(**options: float) -> tuple[int, tq.targets.tangents.Found]:
        tangents, limits, most = program(qwen, 60.0, 0.01)
        found = solve_limits(tangents, limits, most, rounds=60, **options)
        return tangents.models, found

    many, best = rounds(gap=1e-9)
    few, loose = rounds(gap=1e-2)
    one, hopeless = rounds(gap=1e-9, hopeless=2.0)
    assert one == 1
    assert 1 < few < many < 60
    assert loose.upper_bound - loose.value <= 1e-2
    assert best.upper_bound - best.value <= 1e-9
    assert hopeless.upper_bound >= loose.upper_bound >= best.upper_bound >= best.value
    np.testing.assert_array_equal(hopeless.tokens, 0)


# the proof in balls


def dual_in_floats(tangents: Tangents, limits: Limits, most: Array, at: Array | None) -> float:
    """The dual value in doubles, with gains replaced by their tangents at given times."""
    proof, w = tangents.proof, tangents.workload
    price = (proof.limits @ limits.room) * tangents.drift
    price = price + proof.weight @ tangents.slope[proof.tangents]
    total = tangents.constant + proof.limits @ limits.room * tangents.idle_slack
    total -= proof.weight @ tangents.height[proof.tangents]
    asked = proof.limits @ limits.matrix
    given = np.bincount(
        tangents.which[proof.tangents], weights=proof.weight, minlength=len(w.share)
    )
    allowed = (limits.room / np.diag(limits.matrix)) * tangents.idle_slack
    total += np.maximum(given - asked, 0) @ allowed
    gain, fading = tangents.gain, tangents.rate
    if at is None:
        at = np.clip(np.log(gain * fading / price) / fading, 0, most)
    surplus = gain * fading * np.exp(-fading * at) - price
    total += gain @ -np.expm1(-fading * at) - price @ at
    return float(total + np.maximum(surplus, 0) @ (most - at) + np.maximum(-surplus, 0) @ at)


def test_the_dual_in_balls_is_the_dual_in_doubles(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    tangents, limits, most = program(qwen, 60.0, 0.01)
    found = solve_limits(tangents, limits, most, gap=1e-9, rounds=60)
    rare = np.full(5, 0.01)

    def bound(wide: np.ndarray | None = None) -> float:
        return prove(tangents, limits, most if wide is None else wide, found.tokens, rare)[1]

    assert bound() == pytest.approx(dual_in_floats(tangents, limits, most, None), abs=1e-8)
    assert bound() == pytest.approx(found.upper_bound, abs=1e-8)
    # multipliers that do not fit each other are paid for
    weight = tangents.proof.weight.copy()
    for factor in (0.5, 1.5):
        tangents.proof.weight[:] = weight * factor
        expected = dual_in_floats(tangents, limits, most, None)
        if factor < 1:  # what is asked and not given costs nothing more
            assert bound() == pytest.approx(expected, abs=1e-8)
        else:
            assert expected > found.upper_bound + 1e-4
            assert bound() == pytest.approx(expected, abs=1e-8)
            dear = bound()
            monkeypatch.setattr(certificate, "WIDER", 1.5)
            assert bound() > dear + 1e-4  # in a wider box more is possible
            monkeypatch.undo()
    tangents.proof.weight[:] = weight
    # what is lost is at most what the strictest limit allows it
    exact = bound()
    tangents.proof = replace(tangents.proof, limits=np.append(tangents.proof.limits, np.zeros(5)))
    limits = Limits(
        np.concatenate([limits.matrix, limits.matrix / 2]), np.append(limits.room, limits.room)
    )
    for factor in (1.0, 1.5):
        tangents.proof.weight[:] = weight * factor
        if factor == 1:
            assert bound() == pytest.approx(exact, abs=1e-12)
        else:
            assert bound() == pytest.approx(dear, abs=1e-12)
    tangents.proof = replace(tangents.proof, limits=tangents.proof.limits[:5])
    limits = Limits(limits.matrix[:5], limits.room[:5])
    tangents.proof.weight[:] = weight
    # a gain replaced by its tangent, wherever that is laid
    for part in (0.1, 0.9):
        monkeypatch.setattr(certificate, "_stop", lambda *a, part=part: part * a[3])
        expected = dual_in_floats(tangents, limits, most, part * most)
        assert bound() == pytest.approx(expected, abs=1e-7 * abs(expected))


def test_lateness_in_balls_is_lateness_in_doubles(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of services far below a second as well, and of those that alone take too long."""
    flint = certificate.import_flint()
    monkeypatch.setattr(flint.ctx, "prec", certificate.BITS)
    w = qwen.replace(base_time=[0.01, 0.02, 0.05, 1.5, 3.0], arrival_rate=1.5)
    tokens, deadline = np.array([5.0, 10.0, 0.0, 20.0, 0.0]), 2.0
    server = certificate._Server(flint, w)
    late = tq.system_time_tail(w, tokens, deadline, per_type=True)
    for k in range(5):
        assert float(server.late(tokens, deadline, k).mid()) == pytest.approx(late[k], abs=1e-9)
    assert late[4] == 1
    waits = float(tq.waiting_time_tail(w, tokens, deadline))
    assert float(server.late(tokens, deadline, -1).mid()) == pytest.approx(waits, abs=1e-9)


def test_where_a_gain_less_its_price_is_largest() -> None:
    assert certificate._stop(1.0, 0.5, 0.0, 7.0) == 7.0
    assert certificate._stop(1.0, 0.5, 9.0, 7.0) == 0.0
    assert certificate._stop(1.0, 0.5, 1e-9, 7.0) == 7.0
    assert certificate._stop(2.0, 0.5, 0.5, 7.0) == pytest.approx(np.log(2) / 0.5)


# what is asked of the solvers


class Asked(Exception):
    """The gap that a search was asked for."""


@pytest.mark.parametrize(
    ("types", "target", "count_delay", "gap"),
    [
        (20, tq.TypeTailTarget(60.0, 0.05), False, 1e-10),
        (21, tq.TypeTailTarget(60.0, 0.05), False, 5e-9),
        (20, tq.TypeTailTarget(20.0, 0.05), True, 1e-5),
        (3, tq.TailTarget(60.0, 0.05), False, 2e-4),
        (3, tq.TailTarget(20.0, 0.05), True, 20.0),
    ],
)
def test_the_usual_gap_is_the_one_that_is_stated(
    types: int,
    target: tq.Target,
    count_delay: bool,
    gap: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(*_: object, gap: float, **__: object) -> None:
        raise Asked(gap)

    monkeypatch.setattr(solving, "solve_limits", ask)
    monkeypatch.setattr(splits.Splits, "search", ask)
    w = plain_workload(4, types).replace(accuracy_weight=1e5)
    for given, expected in ((None, gap), (0.25, 0.25)):
        with pytest.raises(Asked) as asked:
            tq.solve_target(w, target, count_delay=count_delay, gap=given)
        assert asked.value.args[0] == pytest.approx(expected, rel=1e-12)


def test_a_solver_that_stalls_at_some_weight_stops_no_target(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tq.solve_target(qwen, tq.MeanTarget(20.0))
    stalling = solving.solve
    monkeypatch.setattr(solving, "solve", lambda w, **o: stalling(w, gap=0, **o))
    found = tq.solve_target(qwen, tq.MeanTarget(20.0))
    np.testing.assert_allclose(found.tokens, usual.tokens, rtol=1e-6)
    both = tq.solve_target(qwen, tq.MeanTarget(20.0), count_delay=True)
    assert both.mean_system_time <= 20.0
    nothing = tq.solve_target(
        qwen.replace(accuracy_weight=0.0), tq.MeanTarget(20.0), count_delay=True
    )
    np.testing.assert_array_equal(nothing.tokens, 0)
    assert nothing.objective == pytest.approx(-float(tq.mean_system_time(qwen, np.zeros(5))))


def test_a_search_that_is_cut_short_does_not_claim_the_rest() -> None:
    w = tq.Workload.from_toml(QWEN)
    target = tq.TailTarget(60.0, 0.01)
    short, longer = (tq.solve_target(w, target, nodes=n, gap=1e-6) for n in (1, 8))
    assert short.gap > 1e-4
    assert short.upper_bound >= longer.upper_bound > longer.objective
    assert longer.objective >= short.objective - 1e-9
    assert longer.gap < short.gap
    # nor does one that stops at a looser gap
    loose = tq.solve_target(w, target, gap=1e-2)
    assert loose.upper_bound == pytest.approx(short.upper_bound, abs=1e-4)


# planning


def test_with_budgets_that_adapt_a_threshold_is_as_fine_as_it_is_called(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against accuracies in closed form, which are as far off as the gap that is asked for."""

    def solved(w: tq.Workload, target: tq.Target, *, gap: float, nodes: int) -> SimpleNamespace:
        assert nodes >= 1
        return SimpleNamespace(mean_accuracy=1 - w.arrival_rate - 0.5 * gap)

    monkeypatch.setattr(planning, "solve_target", solved)
    rate = tq.largest_arrival_rate(qwen, tq.MeanTarget(1e3), accuracy=0.75)
    assert rate == pytest.approx(0.25, rel=1.2e-4)
    assert rate <= 0.25


def test_traffic_at_which_nothing_meets_the_target_is_too_much(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solved(w: tq.Workload, target: tq.Target, **_: object) -> SimpleNamespace:
        if w.arrival_rate > 0.125:
            raise tq.InfeasibleTargetError("no", least=1.0)
        return SimpleNamespace(mean_accuracy=0.9)

    monkeypatch.setattr(planning, "solve_target", solved)
    rate = tq.largest_arrival_rate(qwen, tq.MeanTarget(1e3), accuracy=0.75)
    assert rate == pytest.approx(0.125, rel=1.2e-4)


def test_the_prices_of_a_delay_are_shares_of_it(qwen: tq.Workload) -> None:
    """With multipliers that add up to one the tangents of a convex function bound it from below."""
    tangents, limits, most = program(qwen, 60.0, 0.01, True)
    for part in (0.0, 0.5, 1.0):
        tangents.touch(part * tq.solve(qwen).tokens, limits)
    model = tangents.model(limits, most)
    of_delay = model.multipliers[-len(tangents.delay_height) :]
    assert len(of_delay) == 3
    assert of_delay.sum() == pytest.approx(1, abs=1e-15)


def test_the_weight_is_sought_within_a_step_of_the_grid(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    own = planning.solve

    def watched(w: tq.Workload, **options: bool) -> tq.Solution:
        tried.append(w.accuracy_weight)
        return own(w, **options)

    monkeypatch.setattr(planning, "solve", watched)
    weight = tq.least_accuracy_weight(qwen, 2)
    step = 1e8 ** (1 / 399)
    assert max(tried) / min(tried) <= step
    assert weight / step <= min(tried) <= weight <= max(tried) * step
    assert len(tried) <= np.log2((step - 1) / 1e-9) + 2


def test_a_table_of_times_is_slowed_as_a_whole() -> None:
    for time in (MEASURED, LINE, TokenTime(6.5e-3, 9.7e-5, 5e-8)):
        w = batching_workload(Batching(time), arrival_rate=0.01)
        slow = planning._slowed(w, 3.0).server.token_time
        if time is MEASURED:
            np.testing.assert_allclose(slow.seconds, 3 * np.array(MEASURED.seconds))
        else:
            assert slow.base == pytest.approx(3 * time.base)
            assert slow.per_query == pytest.approx(3 * time.per_query)
            assert slow.per_context == pytest.approx(3 * time.per_context)


def test_slower_hardware_has_a_closed_form_where_nobody_waits() -> None:
    w = tq.Workload.from_toml(QWEN).replace(arrival_rate=1e-12, base_time=1.0)
    tokens = np.array([100.0, 200, 300, 400, 500])
    limit = 30.0
    decode = float(w.share @ (w.time_per_token * tokens))
    found = tq.slowest_decode(w, tq.MeanTarget(limit), tokens=tokens)
    assert found == pytest.approx((limit - 1.0) / decode, rel=1e-7)


@pytest.mark.parametrize("tokens", [None, 300.0])
def test_what_no_rate_and_no_speed_can_do_is_said(qwen: tq.Workload, tokens: float | None) -> None:
    given = {"accuracy": 0.999} if tokens is None else {"tokens": np.full(5, tokens)}
    words = "reach an accuracy of 0.999" if tokens is None else "services alone take too long"
    with pytest.raises(tq.InfeasibleTargetError, match=words) as caught:
        tq.largest_arrival_rate(qwen, tq.MeanTarget(1.0), **given)
    assert caught.value.least == np.inf
    with pytest.raises(tq.ThinkQueueError, match="not both"):
        tq.slowest_decode(qwen, tq.MeanTarget(1.0), tokens=np.ones(5), accuracy=0.5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tq.MeanTarget(np.inf), "limit is inf; it must be positive and finite"),
        (lambda: tq.MeanTarget(0.0), "limit is 0.0; it must be positive"),
        (lambda: tq.MeanTarget([1.0, 2.0]), r"limit has shape \(2,\)"),
        (lambda: tq.WaitingTarget(1.0, [0.1, 0.2]), r"probability has shape \(2,\)"),
        (lambda: tq.TailTarget(1.0, [0.1, 0.2]), r"probability has shape \(2,\)"),
        (lambda: tq.TypeTailTarget(1.0, [0.1, 1.0]), "strictly between 0 and 1"),
        (lambda: tq.TypeTailTarget(1.0, [0.1, 0.0]), "strictly between 0 and 1"),
        (lambda: tq.TypeTailTarget([1.0, 0.0], 0.1), "must be positive"),
    ],
)
def test_a_target_that_is_none_is_refused_when_it_is_made(make, words) -> None:
    with pytest.raises(tq.ThinkQueueError, match=words):
        make()
