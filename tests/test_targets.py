"""Budgets under latency targets: certificates, derivatives, sandwiches, simulation, controls."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.targets.convex import best_at_decay_rate
from thinkqueue.targets.solve import _caps, _climb, _largest_step
from thinkqueue.waiting_time.inversion import invert
from thinkqueue.waiting_time.mixture import ServiceMixture
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


def feasible(w: tq.Workload, target: tq.Target, count: int, seed: int) -> list[Array]:
    """Random allocations on the boundary of what a target allows."""
    generator = np.random.default_rng(seed)
    caps = w.max_tokens if isinstance(target, tq.MeanTarget) else _caps(w, target)
    nothing = np.zeros(len(w))
    found = []
    for _ in range(count):
        step = generator.dirichlet(np.ones(len(w))) * caps
        found.append(_largest_step(w, target, nothing, step) * step)
    return found


# the cap on the mean: convex, with a certificate ------------------------------------------------


@pytest.mark.parametrize("count_delay", [False, True])
@pytest.mark.parametrize("limit", [5.0, 20.0, 100.0])
def test_mean_cap_is_solved_to_its_certificate(
    qwen: tq.Workload, limit: float, count_delay: bool
) -> None:
    found = tq.solve_target(qwen, tq.MeanTarget(limit), count_delay=count_delay)
    assert found.convex
    assert found.mean_system_time <= limit * (1 + 1e-12)
    assert found.gap <= 1e-8 * abs(found.value)
    for ell in feasible(qwen, tq.MeanTarget(limit), 30, seed=1):
        value = tq.objective(qwen, ell) if count_delay else tq.mean_accuracy(qwen, ell)
        assert value <= found.upper_bound


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


# derivatives ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [TAIL, EACH])
def test_derivatives_of_the_targets(
    qwen: tq.Workload, target: tq.TailTarget | tq.TypeTailTarget
) -> None:
    ell = np.array([1300.0, 1200.0, 1500.0, 1450.0, 1250.0])
    slope = target.ratio_gradient(qwen, ell)
    for k in range(len(qwen)):
        step = 0.05 * np.eye(len(qwen))[k]
        change = (target.ratio(qwen, ell + step) - target.ratio(qwen, ell - step)) / 0.1
        np.testing.assert_allclose(slope[:, k], change, rtol=1e-4, atol=1e-9)


# the convex sets inside and outside --------------------------------------------------------------


def test_the_sandwich_of_the_tail() -> None:
    """g(θ s_max) e^{-θ d} (1 + θ/λ) ≤ P(T > d) ≤ e^{-θ d} (1 + θ/λ), once d holds every service."""
    generator = np.random.default_rng(5)
    for seed in range(8):
        w = plain_workload(seed, types=3)
        ell = tq.solve(w).tokens * generator.uniform(0.3, 1.0, 3)
        bound = tq.tail_bound(w, ell)
        d = generator.uniform(1, 6) * bound.longest_service
        level = 1 + bound.decay_rate / w.arrival_rate
        late = float(tq.system_time_tail(w, ell, d))
        assert level * float(bound.lower(d)) * (1 - 1e-9) <= late
        assert late <= level * float(bound(d)) * (1 + 1e-9)


def test_allocations_that_decay_fast_form_a_convex_set(qwen: tq.Workload) -> None:
    generator = np.random.default_rng(2)
    ends = [tq.solve(qwen).tokens * generator.uniform(0, 1.5, (2, 5)) for _ in range(50)]
    for a, b in ends:
        rates = [tq.tail_bound(qwen, ell).decay_rate for ell in (a, (a + b) / 2, b)]
        assert rates[1] >= min(rates[0], rates[2]) * (1 - 1e-12)


def test_best_at_decay_rate_closes_its_gap(qwen: tq.Workload) -> None:
    generator = np.random.default_rng(3)
    for theta in (0.02, 0.1, 0.4):
        found = best_at_decay_rate(qwen, theta, qwen.max_tokens)
        assert found is not None
        assert found.upper_bound - found.mean_accuracy <= 1e-10
        assert tq.tail_bound(qwen, found.tokens).decay_rate >= theta * (1 - 1e-9)
        for _ in range(50):
            other = np.maximum(found.tokens + generator.normal(0, 200, len(qwen)), 0)
            stable = tq.utilization(qwen, other) < 1
            if stable and tq.tail_bound(qwen, other).decay_rate >= theta:
                assert tq.mean_accuracy(qwen, other) <= found.upper_bound


# budgets under a tail ---------------------------------------------------------------------------


def test_the_target_holds_on_the_exact_distribution(
    qwen: tq.Workload, under_tail: tq.TargetSolution, under_each: tq.TargetSolution
) -> None:
    late = float(tq.system_time_tail(qwen, under_tail.tokens, TAIL.deadline))
    assert 0.999 * TAIL.probability < late <= TAIL.probability
    assert tq.system_time_quantile(qwen, under_tail.tokens, 0.99) <= TAIL.deadline
    each = tq.system_time_tail(qwen, under_each.tokens, 90.0, per_type=True)
    assert (each <= 0.01).all()
    assert each.max() > 0.00999
    for target, found in ((TAIL, under_tail), (EACH, under_each)):
        assert not found.convex
        assert (target.ratio(qwen, found.safe_tokens) <= 1).all()
        assert tq.mean_accuracy(qwen, found.safe_tokens) <= found.value <= found.upper_bound
        assert found.gap < 0.01


@pytest.mark.slow
def test_no_random_start_finds_better(
    qwen: tq.Workload, under_tail: tq.TargetSolution, under_each: tq.TargetSolution
) -> None:
    for target, found in ((TAIL, under_tail), (EACH, under_each)):
        caps = _caps(qwen, target)
        for ell in feasible(qwen, target, 3, seed=7):
            assert tq.mean_accuracy(qwen, ell) <= found.value
            climbed = _climb(qwen, target, ell, caps, False)
            assert tq.mean_accuracy(qwen, climbed) <= found.value + 1e-6


def test_the_multiplier_is_one_for_all_types(
    qwen: tq.Workload, under_tail: tq.TargetSolution
) -> None:
    """At the optimum a token's accuracy and its lateness are in one proportion for every type."""
    ell = under_tail.tokens
    gain = qwen.share * qwen.gain * qwen.rate * np.exp(-qwen.rate * ell)
    proportion = gain / TAIL.ratio_gradient(qwen, ell)[0]
    np.testing.assert_allclose(proportion, proportion.mean(), rtol=1e-3)


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
    assert both.objective >= under_tail.objective
    assert both.mean_accuracy <= under_tail.mean_accuracy
    assert both.upper_bound == pytest.approx(tq.solve(qwen).upper_bound)


# where it is not convex: the controls -----------------------------------------------------------


def test_neither_tail_is_convex() -> None:
    """P(W > t) lies above its chord; P(T > d) even above both ends of it, past a deadline."""

    def waits(share: Array, service: Array, t: float) -> float:
        order = np.argsort(service)
        queue = ServiceMixture(1.0, share[order], service[order])
        return float(invert(queue, np.array(t)).value)

    share = np.array([0.105, 0.895])
    a, b, t = np.array([0.0835, 0.897]), np.array([7.36, 0.1205]), 2.84
    middle = waits(share, (a + b) / 2, t)
    assert middle > 1.02 * (waits(share, a, t) + waits(share, b, t)) / 2
    assert middle < max(waits(share, a, t), waits(share, b, t))

    def late(share: Array, service: Array, d: float) -> float:
        order = np.argsort(service)
        queue = ServiceMixture(1.0, share[order], service[order])
        return float(share @ invert(queue, d - service).value)

    share = np.array([0.42, 0.51, 0.07])
    a, b, d = np.array([0.441, 0.148, 0.296]), np.array([0.227, 0.381, 0.317]), 0.2618
    assert late(share, (a + b) / 2, d) > 1.3 * max(late(share, a, d), late(share, b, d))


# inverse planning -------------------------------------------------------------------------------


def test_largest_arrival_rate_has_a_closed_form_under_a_mean_cap(qwen: tq.Workload) -> None:
    ell = tq.solve(qwen).tokens
    m, second = tq.service_moments(qwen, ell)
    limit = 40.0
    expected = 2 * (limit - m) / (second + 2 * m * (limit - m))
    found = tq.largest_arrival_rate(qwen, tq.MeanTarget(limit), tokens=ell)
    assert found == pytest.approx(float(expected), rel=1e-8)
    assert found <= expected * (1 + 1e-14)


@pytest.mark.parametrize("target", [TAIL, EACH])
def test_thresholds_are_thresholds(
    qwen: tq.Workload, target: tq.TailTarget | tq.TypeTailTarget
) -> None:
    ell = tq.solve(qwen).tokens / 2
    rate = tq.largest_arrival_rate(qwen, target, tokens=ell)
    assert (target.ratio(qwen.replace(arrival_rate=rate), ell) <= 1).all()
    assert (target.ratio(qwen.replace(arrival_rate=rate * (1 + 1e-5)), ell) > 1).any()
    factor = tq.slowest_decode(qwen, target, tokens=ell)
    slower = [
        qwen.replace(time_per_token=qwen.time_per_token * f) for f in (factor, factor * 1.001)
    ]
    assert (target.ratio(slower[0], ell) <= 1).all()
    assert (target.ratio(slower[1], ell) > 1).any()


def test_thresholds_with_budgets_that_adapt(qwen: tq.Workload) -> None:
    target, wanted = tq.MeanTarget(20.0), 0.55
    rate = tq.largest_arrival_rate(qwen, target, accuracy=wanted)
    there = tq.solve_target(qwen.replace(arrival_rate=rate), target)
    assert there.mean_accuracy == pytest.approx(wanted, abs=1e-4)
    assert there.mean_accuracy >= wanted
    factor = tq.slowest_decode(qwen, target, accuracy=wanted)
    slow = qwen.replace(time_per_token=qwen.time_per_token * factor)
    assert tq.solve_target(slow, target).mean_accuracy == pytest.approx(wanted, abs=1e-4)


def test_least_accuracy_weight(qwen: tq.Workload) -> None:
    for k, name in enumerate(qwen.names):
        weight = tq.least_accuracy_weight(qwen, name)
        assert weight == tq.least_accuracy_weight(qwen, k)
        floor = qwen.time_per_token[k] / (qwen.gain[k] * qwen.rate[k])
        assert floor < weight < 1.2 * floor
        below, above = (
            tq.solve(qwen.replace(accuracy_weight=weight * f)).tokens[k] for f in (0.999, 1.001)
        )
        assert below == 0 < above


# what is refused --------------------------------------------------------------------------------


def test_what_cannot_be_met_is_said(qwen: tq.Workload) -> None:
    with pytest.raises(tq.InfeasibleTargetError, match="without a single") as caught:
        tq.solve_target(qwen, tq.MeanTarget(0.01))
    assert caught.value.least > 1
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


def test_a_server_that_answers_at_once_has_a_largest_arrival_rate(qwen: tq.Workload) -> None:
    instant, target = qwen.replace(base_time=0.0), tq.MeanTarget(20.0)
    rate = tq.largest_arrival_rate(instant, target, accuracy=0.5)
    at = tq.solve_target(instant.replace(arrival_rate=rate), target)
    assert at.mean_accuracy == pytest.approx(0.5, abs=1e-3)
