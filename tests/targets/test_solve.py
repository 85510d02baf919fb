"""Budgets under latency targets: certificates, brute force, simulation, controls."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.targets import certificate
from thinkqueue.targets import solve as solving
from thinkqueue.targets.certificate import prove
from thinkqueue.targets.tangents import Found, Limits, Tangents, solve_limits
from workloads import QWEN, plain_workload

TAIL = tq.TailTarget(deadline=60.0, probability=0.01)
EACH = tq.TypeTailTarget(deadline=90.0, probability=0.01)


@pytest.fixture(scope="module")
def qwen() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


@pytest.fixture(scope="module")
def under_tail(qwen: tq.Workload) -> tq.TargetSolution:
    return tq.solve_target(qwen, TAIL)


@pytest.fixture(scope="module")
def under_each(qwen: tq.Workload) -> tq.TargetSolution:
    return tq.solve_target(qwen, EACH)


# the cap on the mean: convex, with a certificate ------------------------------------------------


@pytest.mark.parametrize("count_delay", [False, True])
@pytest.mark.parametrize("limit", [5.0, 20.0, 100.0])
def test_mean_cap_is_solved_to_its_certificate(
    qwen: tq.Workload, limit: float, count_delay: bool
) -> None:
    found = tq.solve_target(qwen, tq.MeanTarget(limit), count_delay=count_delay)
    assert found.convex
    assert found.mean_system_time <= limit * (1 + 1e-12)
    assert found.gap <= 1e-8 * abs(found.objective)
    for ell in feasible(qwen, tq.MeanTarget(limit), 30, seed=1):
        value = tq.objective(qwen, ell) if count_delay else tq.mean_accuracy(qwen, ell)
        assert value <= found.upper_bound


def test_multipliers_are_not_called_enough_where_curves_are_not_concave() -> None:
    for curve, enough in ((tq.Saturating(0.1, 0.8, 0.02), True), (tq.Logistic(-9.0, 1.8), False)):
        w = tq.Workload.from_arrays(
            share=[0.5, 0.5], accuracy=[curve, tq.Saturating(0.1, 0.8, 0.01)], base_time=0.1,
            time_per_token=0.01, arrival_rate=0.1, accuracy_weight=100.0,
        )  # fmt: skip
        found = tq.solve_target(w, tq.MeanTarget(2.0))
        assert found.convex is enough
        assert found.mean_system_time <= 2.0


def test_mean_cap_agrees_with_a_conic_solver(qwen: tq.Workload) -> None:
    import cvxpy as cp

    limit, w = 20.0, qwen
    kilo = cp.Variable(len(w), nonneg=True)
    service = w.base_time + 1e3 * cp.multiply(w.time_per_token, kilo)
    idle = 1 - w.arrival_rate * (w.share @ service)
    delay = sum(cp.quad_over_lin(np.sqrt(w.share[k]) * service[k], idle) for k in range(len(w)))
    mean = w.share @ service + w.arrival_rate / 2 * delay
    lost = (w.weight * w.share * w.gain) @ cp.exp(-1e3 * cp.multiply(w.rate, kilo))
    problem = cp.Problem(cp.Minimize(lost), [mean <= limit])
    problem.solve(solver=cp.CLARABEL)
    ours = tq.solve_target(w, tq.MeanTarget(limit))
    best = float((w.weight * w.share) @ (w.baseline + w.gain)) - float(problem.value)
    assert ours.mean_accuracy == pytest.approx(best, abs=1e-6)
    np.testing.assert_allclose(ours.tokens, 1e3 * kilo.value, atol=2.0)


def test_a_cap_that_does_not_bind_changes_nothing(qwen: tq.Workload) -> None:
    free = tq.solve(qwen)
    for target in (tq.MeanTarget(1e3), tq.TailTarget(1e3, 0.1), tq.TypeTailTarget(1e3, 0.1)):
        found = tq.solve_target(qwen, target, count_delay=True)
        np.testing.assert_allclose(found.tokens, free.tokens, rtol=1e-6)
    light = qwen.replace(arrival_rate=1e-7)
    loose = tq.solve_target(light, tq.MeanTarget(1e6))
    most = float(tq.mean_accuracy(light, light.max_tokens))
    assert loose.mean_accuracy == pytest.approx(most, abs=1e-9)
    assert loose.upper_bound <= most


# convex programs: every percentile of W, and of each type's T -------------------------------------

VARIANTS = {
    "60 s, 1 %": (1, 60.0, 0.01),
    "90 s, 1 %": (1, 90.0, 0.01),
    "90 s, 5 %": (1, 90.0, 0.05),
    "120 s, 0.1 %": (1, 120.0, 0.001),
    "one deadline each": (1, [60.0, 90.0, 90.0, 120.0, 60.0], 0.02),
    "40 s, 20 %": (1, 40.0, 0.2),
    "a quarter of the traffic": (0.25, 90.0, 0.01),
    "twice the traffic": (2, 90.0, 0.01),
    "four times the traffic": (4, 90.0, 0.01),
}


def feasible(w: tq.Workload, target: tq.Target, count: int, seed: int) -> list[Array]:
    """Random allocations at the boundary of what a target allows, by bisection on rays."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ray = generator.dirichlet(np.ones(len(w))) * 100 / w.time_per_token
        low, high = 0.0, 1.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            at = np.minimum(middle * ray, w.max_tokens)
            kept = tq.utilization(w, at) < 1 and (target.ratio(w, at) <= 1).all()
            low, high = (middle, high) if kept else (low, middle)
        found.append(np.minimum(low * ray, w.max_tokens))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_promises_to_each_type_are_solved_to_their_certificate(
    qwen: tq.Workload, name: str
) -> None:
    traffic, deadline, probability = VARIANTS[name]
    w, target = (
        qwen.replace(arrival_rate=traffic * qwen.arrival_rate),
        tq.TypeTailTarget(deadline, probability),
    )
    found = tq.solve_target(w, target)
    assert found.convex
    assert found.gap <= 1e-10
    assert found.objective <= found.upper_bound == found.objective + found.gap
    assert (found.ratio <= 1).all()
    assert found.ratio.max() > 1 - 1e-5
    late = np.diag(tq.system_time_tail(w, found.tokens, target.deadlines(w), per_type=True))
    assert (late <= target.probabilities(w) * (1 + 1e-9)).all()
    for ell in feasible(w, target, 5, seed=3):
        assert tq.mean_accuracy(w, ell) <= found.upper_bound


@pytest.mark.parametrize("time", [0.0, 30.0])
def test_a_cap_on_a_percentile_of_the_wait(qwen: tq.Workload, time: float) -> None:
    target = tq.WaitingTarget(time, 0.3 if time == 0 else 0.01)
    found = tq.solve_target(qwen, target)
    assert found.gap <= 1e-10
    wait = tq.waiting_time_tail(qwen, found.tokens, time)
    assert wait == pytest.approx(target.probability, rel=1e-6)
    assert wait <= target.probability * (1 + 1e-9)
    for ell in feasible(qwen, target, 5, seed=4):
        assert tq.mean_accuracy(qwen, ell) <= found.upper_bound
    if time == 0:
        # P(W > 0) = ρ: the best budgets under a load, where one multiplier is for all types
        assert found.utilization == pytest.approx(0.3, rel=1e-6)
        value = qwen.gain * qwen.rate * np.exp(-qwen.rate * found.tokens) / qwen.time_per_token
        np.testing.assert_allclose(value, value.mean(), rtol=1e-4)


def two_types() -> tq.Workload:
    return tq.Workload.from_arrays(
        share=[0.6, 0.4],
        gain=[0.5, 0.7],
        rate=[2e-3, 5e-4],
        baseline=0.1,
        base_time=[0.2, 0.5],
        time_per_token=0.01,
        arrival_rate=0.03,
        accuracy_weight=300.0,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [tq.TypeTailTarget([40.0, 50.0], 0.05), tq.TailTarget(40.0, 0.05), tq.WaitingTarget(20.0, 0.1)],
)
def test_brute_force_on_two_types_agrees(target: tq.Target) -> None:
    w = two_types()
    found = tq.solve_target(w, target, gap=1e-6)
    assert found.gap <= 1e-6
    best = 0.0
    for first in np.linspace(0.25, 1.5, 26) * found.tokens[0]:
        # the largest second budget that keeps the promise: each token makes it harder to keep
        low, high = 0.0, 5000.0
        while high - low > 0.5:
            middle = (low + high) / 2
            ell = np.array([first, middle])
            kept = tq.utilization(w, ell) < 1 and (target.ratio(w, ell) <= 1).all()
            low, high = (middle, high) if kept else (low, middle)
        best = max(best, float(tq.mean_accuracy(w, [first, low])) if low else 0.0)
    assert best <= found.upper_bound
    assert found.objective - 2e-3 <= best


@pytest.mark.parametrize(
    "target",
    [tq.WaitingTarget(1e3, 0.5), tq.TypeTailTarget(1e3, 0.5), tq.TailTarget(1e3, 0.5)],
)
def test_a_loose_promise_leaves_the_caps(qwen: tq.Workload, target: tq.Target) -> None:
    capped = qwen.replace(max_tokens=[100.0, 200.0, 500.0, 300.0, 0.0])
    found = tq.solve_target(capped, target)
    np.testing.assert_allclose(found.tokens, capped.max_tokens, rtol=1e-9)
    assert found.gap <= 1e-10


def test_many_types_close_their_gap_too() -> None:
    w = plain_workload(4, types=12)
    found = tq.solve_target(w, tq.TypeTailTarget(60.0, 0.05), gap=1e-8)
    assert found.gap <= 1e-8
    assert (found.ratio <= 1).all()


def test_the_bound_is_proved_in_balls(qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tq.TypeTailTarget(60.0, 0.01)
    plain, proved = tq.solve_target(qwen, target), tq.solve_target(qwen, target, certify=True)
    assert proved.proven
    assert not plain.proven
    assert 0 <= proved.gap <= 1e-10
    assert proved.objective == pytest.approx(plain.objective, abs=1e-14)
    # controls: budgets a little larger break the promise, and smaller multipliers prove less
    w, rare = qwen, target.probabilities(qwen)
    tangents = Tangents(w, target.deadlines(w), np.arange(5), False, 0.01)
    most = np.minimum(tangents.most, 60.0 - w.base_time)
    limits = Limits(np.diag(1 - rare), rare)
    found = solve_limits(tangents, limits, most, gap=1e-8, rounds=60)
    value, bound = prove(tangents, limits, most, found.tokens, rare)
    assert value <= plain.upper_bound
    assert plain.objective <= bound <= plain.upper_bound + 1e-8
    with pytest.raises(tq.ThinkQueueError, match="cannot be proved to keep"):
        prove(tangents, limits, most, plain.tokens * 1.001, rare)
    # wherever the tangent of a gain is laid, the bound stays one
    monkeypatch.setattr(certificate, "_stop", lambda *_: 0.0)
    assert prove(tangents, limits, most, found.tokens, rare)[1] > bound
    monkeypatch.undo()
    tangents.proof.limits[:] *= 0.5
    assert prove(tangents, limits, most, found.tokens, rare)[1] > bound + 1e-3


def test_a_bound_below_a_value_is_raised(
    qwen: tq.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: object, **__: object) -> Found:
        return Found(np.full(5, 500.0), 0.5, 0.1, np.full(5, 500.0))

    monkeypatch.setattr(solving, "solve_limits", wrong)
    with pytest.raises(tq.ThinkQueueError, match="a fault of this library"):
        tq.solve_target(qwen, EACH)


# a promise about any query: a union of convex sets -----------------------------------------------


def test_the_gap_of_the_book(qwen: tq.Workload, under_tail: tq.TargetSolution) -> None:
    late = float(tq.system_time_tail(qwen, under_tail.tokens, TAIL.deadline))
    assert 0.999 * TAIL.probability < late <= TAIL.probability * (1 + 1e-9)
    assert not under_tail.convex
    assert under_tail.gap <= 5e-4
    for ell in feasible(qwen, TAIL, 20, seed=7):
        assert tq.mean_accuracy(qwen, ell) <= under_tail.objective


def test_a_rare_type_may_be_given_up() -> None:
    """π ≤ ε: its answers may all come late, and a bound that forbids that is false."""
    w = tq.Workload.from_arrays(
        share=[0.995, 0.005],
        gain=[0.3, 0.9],
        rate=[1e-2, 1e-3],
        baseline=[0.5, 0.0],
        base_time=0.1,
        time_per_token=0.01,
        max_tokens=4000,
        weight=[1, 100],
        arrival_rate=1e-3,
        accuracy_weight=600.0,
    )
    target = tq.TailTarget(10.0, 0.02)
    known = np.array([891.0, 4000.0])
    assert (target.ratio(w, known) <= 1).all()
    assert tq.mean_accuracy(w, known) == pytest.approx(1.2377, abs=1e-4)
    found = tq.solve_target(w, target)
    assert tq.mean_accuracy(w, known) <= found.objective
    assert found.gap <= 2e-4
    assert found.tokens[1] == pytest.approx(4000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_random_allocation_beats_a_bound(seed: int) -> None:
    w = plain_workload(seed, types=3)
    d = 4 * float(tq.service_time(w, tq.solve(w).tokens).max())
    for target in (tq.TailTarget(d, 0.05), tq.TypeTailTarget(d, 0.05)):
        found = tq.solve_target(w, target, nodes=40)
        for ell in feasible(w, target, 15, seed=seed):
            assert tq.mean_accuracy(w, ell) <= found.upper_bound


@pytest.mark.slow
def test_simulation_confirms_the_target_and_refutes_the_exponential_law(
    qwen: tq.Workload, under_each: tq.TargetSolution
) -> None:
    ell = under_each.tokens
    run = tq.simulate(
        qwen, ell, jobs=2_000_000, seed=11, deadlines=np.full(len(qwen), 90.0), level=0.999
    )
    exact = tq.system_time_tail(qwen, ell, 90.0, per_type=True)
    late = run.per_type.late
    assert (late.low <= exact).all()
    assert (exact <= late.high).all()
    # P(W > t) ≈ ρ exp(-ρ t / E[W]), with the right mean and the right atom, must fail this
    load, mean = float(tq.utilization(qwen, ell)), float(tq.mean_waiting_time(qwen, ell))
    wrong = load * np.exp(-load * (90.0 - tq.service_time(qwen, ell)) / mean)
    assert ((wrong < late.low) | (wrong > late.high)).any()


def test_delay_can_be_counted_too(qwen: tq.Workload, under_tail: tq.TargetSolution) -> None:
    both = tq.solve_target(qwen, TAIL, count_delay=True)
    assert both.objective >= tq.objective(qwen, under_tail.tokens)
    assert both.mean_accuracy <= under_tail.mean_accuracy
    assert both.objective <= both.upper_bound <= tq.solve(qwen).upper_bound
    assert both.gap <= 2e-4 * qwen.accuracy_weight


# what is refused --------------------------------------------------------------------------------


def test_what_cannot_be_met_is_said(qwen: tq.Workload) -> None:
    with pytest.raises(tq.InfeasibleTargetError, match="without a single") as caught:
        tq.solve_target(qwen, tq.MeanTarget(0.01))
    assert caught.value.least > 1
    least = float(tq.mean_system_time(qwen, np.zeros(5)))
    with pytest.raises(tq.InfeasibleTargetError, match="without a single"):
        tq.solve_target(qwen, tq.MeanTarget(0.99 * least))
    with pytest.raises(tq.InfeasibleTargetError):
        tq.solve_target(qwen, tq.TypeTailTarget([1, 1, 0.1, 1, 1], 0.01))
    with pytest.raises(tq.InfeasibleTargetError, match="services alone"):
        tq.largest_arrival_rate(qwen, tq.MeanTarget(1.0), tokens=tq.solve(qwen).tokens)
    with pytest.raises(tq.InfeasibleTargetError, match=r"accuracy of 0\.9"):
        tq.largest_arrival_rate(qwen, tq.MeanTarget(20.0), accuracy=0.9)


def test_bad_input_is_refused_kindly(qwen: tq.Workload) -> None:
    target = tq.MeanTarget(20.0)
    with pytest.raises(tq.WorkloadError, match="one allocation"):
        tq.largest_arrival_rate(qwen, target, tokens=np.ones((2, 5)))
    with pytest.raises(tq.WorkloadError, match="accuracy is 'high'"):
        tq.largest_arrival_rate(qwen, target, accuracy="high")  # type: ignore[arg-type]
    with pytest.raises(tq.ThinkQueueError, match="No service takes any time"):
        tq.largest_arrival_rate(qwen.replace(base_time=0.0), target, tokens=np.zeros(5))
    with pytest.raises(tq.ThinkQueueError, match="no task type 5; the last is 4"):
        tq.least_accuracy_weight(qwen, 5)
    with pytest.raises(tq.WorkloadError, match="task must be a whole number"):
        tq.least_accuracy_weight(qwen, -1)
    with pytest.raises(tq.ThinkQueueError, match="limit is 'short'"):
        tq.MeanTarget("short")  # type: ignore[arg-type]
    with pytest.raises(tq.ThinkQueueError, match=r"deadline has shape \(2,\)"):
        tq.TailTarget([1.0, 2.0], 0.01)  # type: ignore[arg-type]
    with pytest.raises(tq.WorkloadError, match="target is None"):
        tq.solve_target(qwen, None)  # type: ignore[arg-type]
    with pytest.raises(tq.ThinkQueueError, match="limit"):
        tq.MeanTarget(-1.0)
    for no_time in (-1.0, np.nan, np.inf, "late", [1.0, 2.0]):
        with pytest.raises(tq.ThinkQueueError, match="time"):
            tq.WaitingTarget(no_time, 0.1)  # type: ignore[arg-type]
    with pytest.raises(tq.WorkloadError, match="certify is True with TailTarget"):
        tq.solve_target(qwen, TAIL, certify=True)
    with pytest.raises(tq.WorkloadError, match="nodes must be"):
        tq.solve_target(qwen, TAIL, nodes=0)
    with pytest.raises(tq.WorkloadError, match="gap is -1"):
        tq.solve_target(qwen, TAIL, gap=-1.0)
    with pytest.raises(tq.ThinkQueueError, match="strictly between"):
        tq.TailTarget(60.0, 1.0)
    with pytest.raises(tq.ThinkQueueError, match="shape"):
        tq.solve_target(qwen, tq.TypeTailTarget([1.0, 2.0], 0.1))
    with pytest.raises(tq.ThinkQueueError, match="either tokens"):
        tq.largest_arrival_rate(qwen, TAIL)
    with pytest.raises(tq.ThinkQueueError, match="No task type"):
        tq.least_accuracy_weight(qwen, "chess")
    with pytest.raises(tq.ThinkQueueError, match="cannot help"):
        tq.least_accuracy_weight(qwen.replace(max_tokens=[0.0] + [1e4] * 4), 0)
    with pytest.raises(tq.ThinkQueueError, match="all 0"):
        tq.slowest_decode(qwen, TAIL, tokens=np.zeros(5))


@pytest.mark.slow
def test_a_promise_on_the_wait_is_just_kept_when_it_is_simulated(qwen: tq.Workload) -> None:
    found = tq.solve_target(qwen, tq.WaitingTarget(60.0, 0.05))
    assert found.gap <= 1e-8
    seen = tq.simulate(qwen, found.tokens, jobs=1_000_000, seed=4, level=0.999)
    quantile = seen.waiting_quantiles[0.95]
    assert quantile.covers(60.0)
    more = tq.simulate(qwen, found.tokens * 1.15, jobs=1_000_000, seed=4, level=0.999)
    assert more.waiting_quantiles[0.95].low > 60.0


def test_one_broken_promise_of_several_is_kept_where_delay_counts(qwen: tq.Workload) -> None:
    free = tq.solve(qwen)
    rare = np.full(5, 0.5)
    rare[0] = 0.01 * float(tq.system_time_tail(qwen, free.tokens, 60.0, per_type=True)[0])
    target = tq.TypeTailTarget(60.0, rare)
    kept = target.ratio(qwen, free.tokens) <= 1
    assert kept.any()
    assert not kept.all()
    found = tq.solve_target(qwen, target, count_delay=True)
    assert (target.ratio(qwen, found.tokens) <= 1 + 1e-9).all()
    assert found.objective < free.objective
    assert found.gap <= 1e-6  # the best that keeps it, and not the best drawn back
