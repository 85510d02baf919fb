"""Delays of two moments and of the mean: differences, closed forms, and servers of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import minimize

import thinkqueue as tq
from thinkqueue import Status, Workload, WorkloadError
from thinkqueue.arrays import Array, Scalar
from thinkqueue.delay import Delay, Formula, State, TimeCurvature, TwoMoments, delay_of, room
from thinkqueue.workload import Affine, Moments
from workloads import plain_workload, plain_workloads, stable_tokens


@dataclass(frozen=True)
class Bursty(TwoMoments):
    """A reader's own server: the correction of Allen and Cunneen for bursty arrivals."""

    variability: float = 2.0

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        slack = 1 - rate * m
        y, extra = room(slack), self.variability - 1
        nu = rate / y
        return Formula(
            slack=slack,
            g=m + extra * nu * m * m / 2,
            g1=1 + extra * (nu * m + nu * nu * m * m / 2),
            g2=extra * (nu + 2 * nu * nu * m + nu * nu * nu * m * m),
            f=nu / 2,
            f1=nu * nu / 2,
            excess=0.0,
        )


@dataclass(frozen=True)
class Slow:
    """A reader's own server in two methods: everybody waits for the square of the load."""

    seconds: float
    convex: bool = True

    def at(self, problem: Workload, tokens: Array) -> State:
        s = problem.service.mean(tokens)
        m = float(problem.share @ s)
        load = problem.arrival_rate * m
        price = problem.service.moments(tokens).mean_slope
        price = price * (1 + 2 * self.seconds * load * problem.arrival_rate)
        return State(m + self.seconds * load**2, 1 - load, price)


@dataclass(frozen=True)
class Capped:
    """A reader's own service: the thought ends by itself, so that the time is random.

    A length uniform on [0, top] cut at the budget: mean ℓ − ℓ²/2top, square ℓ² − 2ℓ³/3top.
    """

    base: float
    pace: float
    top: float

    def mean(self, tokens: Array) -> Array:
        return self.base + self.pace * (tokens - tokens**2 / (2 * self.top))

    def moments(self, tokens: Array) -> Moments:
        x, t, c = tokens, self.top, self.pace
        length, left = x - x**2 / (2 * t), 1 - x / t
        square = self.base**2 + 2 * self.base * c * length + c**2 * (x**2 - 2 * x**3 / (3 * t))
        return Moments(
            self.mean(x),
            square,
            c * left,
            2 * self.base * c * left + 2 * c**2 * x * left,
            -c / t + 0 * x,
            -2 * self.base * c / t + 2 * c**2 * (1 - 2 * x / t),
        )


SERVERS = [tq.Fifo(), tq.ProcessorSharing(), Bursty(), Bursty(0.5)]


def served(workload: Workload, server: object) -> Workload:
    return workload.replace(server=server)


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_prices_and_curvature_are_differences(server):
    g = np.random.default_rng(0)
    for w in plain_workloads(6, seed=1, types=4):
        w = served(w, server)
        x = stable_tokens(w, g, load=0.6)
        time, h = tq.mean_system_time, 1e-3 * np.maximum(x, 1)
        slope = np.array([
            (float(time(w, x + h * e)) - float(time(w, np.maximum(x - h * e, 0))))
            / float((x + h * e - np.maximum(x - h * e, 0)) @ e)
            for e in np.eye(4)
        ])  # fmt: skip
        price = delay_of(server).at(w, x).price
        np.testing.assert_allclose(w.share * price, slope, rtol=2e-3)
        bend = tq.negative_hessian(w, x)
        numeric = np.array([
            -(tq.gradient(w, x + h * e) - tq.gradient(w, x - h * e)) / (2 * h @ e)
            for e in np.eye(4)
        ])  # fmt: skip
        inner = x > h
        np.testing.assert_allclose(
            bend.dense()[np.ix_(inner, inner)], numeric[np.ix_(inner, inner)], rtol=1e-4, atol=1e-13
        )


def test_processor_sharing_depends_on_the_mean_alone():
    for w in plain_workloads(20, seed=2):
        w = served(w, tq.ProcessorSharing())
        x = stable_tokens(w, np.random.default_rng(3))
        m = float(w.share @ tq.service_time(w, x))
        y = 1 - w.arrival_rate * m
        np.testing.assert_allclose(tq.mean_system_time(w, x), m / y, rtol=1e-13)
        np.testing.assert_allclose(tq.queueing_price(w, x), 1 / y**2, rtol=1e-13)


def best_by_scipy(w: Workload) -> float:
    """J* by a method that knows nothing of the seam."""
    unit = 1 / w.rate

    def loss(z: Array) -> float:
        x = np.clip(z * unit, 0, w.max_tokens)
        return -float(tq.objective(w, x)) if tq.utilization(w, x) < 1 else 1e6

    bounds = [(0, c / u) for c, u in zip(w.max_tokens, unit)]
    start = tq.solve(w.replace(server=tq.Fifo())).tokens / unit
    return -min(
        minimize(loss, s, method="Nelder-Mead", bounds=bounds,
                 options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}).fun
        for s in (start, 0.3 * start)
    )  # fmt: skip


@pytest.mark.parametrize("server", [*SERVERS[1:], Slow(50.0)], ids=repr)
def test_newton_or_its_stand_in_finds_the_optimum_of_every_convex_server(server):
    for w in plain_workloads(4, seed=4, types=2):
        w = served(w, server)
        found = tq.solve(w)
        assert found.status is Status.CONVERGED
        assert found.gap <= 1e-9 * max(1, abs(found.objective))
        assert best_by_scipy(w) <= found.upper_bound + 1e-9
        assert best_by_scipy(w) >= found.objective - 1e-5 * max(1, abs(found.objective))


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_the_tangent_bound_holds_between_any_two_allocations(server):
    g = np.random.default_rng(5)
    for w in plain_workloads(30, seed=6):
        w = served(w, server)
        points = np.array([stable_tokens(w, g) for _ in range(8)])
        values = tq.objective(w, points)
        assert (tq.upper_bound(w, points)[:, None] >= values - 1e-9 * np.abs(values)).all()


@dataclass(frozen=True)
class Concave(Slow):
    """The negative control: a server that claims a convexity which it has not."""

    def at(self, problem: Workload, tokens: Array) -> State:
        s = problem.service.mean(tokens)
        load = problem.arrival_rate * float(problem.share @ s)
        price = problem.service.moments(tokens).mean_slope * problem.arrival_rate / 2 / load**0.5
        return State(self.seconds * load**0.5, 1 - load, self.seconds * price)


def test_a_false_claim_of_convexity_breaks_the_bound():
    w = plain_workload(7, 3).replace(server=Concave(500.0))
    g = np.random.default_rng(8)
    points = [stable_tokens(w, g) for _ in range(20)]
    bounds = [float(tq.upper_bound(w, x)) for x in points]
    assert max(float(tq.objective(w, x)) for x in points) > min(bounds)


def test_without_convexity_nothing_is_called_a_bound():
    w = plain_workload(9, 3).replace(server=Slow(50.0, convex=False))
    found = tq.solve(w, throw=False)
    assert found.status is Status.NO_BOUND
    assert not found.converged
    assert found.upper_bound == np.inf
    with pytest.raises(tq.NotConvergedError, match="not convex"):
        tq.solve(w)
    with pytest.raises(WorkloadError, match="bound nothing"):
        tq.upper_bound(w, np.zeros(3))
    with pytest.raises(WorkloadError, match="convex"):
        tq.solve_integer(w)


def test_whole_tokens_on_another_server_agree_with_brute_force():
    for seed, server in enumerate([tq.ProcessorSharing(), Bursty(), Slow(30.0)]):
        w = served(plain_workload(seed, 3), server)
        menu = [0, 300, 1000, 3000, 9000]
        every = np.array(np.meshgrid(*[menu] * 3)).reshape(3, -1).T.astype(float)
        best = max(float(tq.objective(w, x)) for x in every if tq.utilization(w, x) < 1)
        found = tq.solve_integer(w, menu=menu)
        assert found.proven
        assert found.objective == pytest.approx(best, rel=1e-12)


def test_a_random_service_of_ones_own():
    own = Capped(0.2, 0.01, 40000.0)
    w = plain_workload(10, 3)
    w = w.replace(service=own, arrival_rate=w.arrival_rate / 3)
    x = np.array([300.0, 4000.0, 0.0])
    # its moments are those of a sample
    length = np.random.default_rng(0).uniform(0, own.top, 400_000)
    time = own.base + own.pace * np.minimum(length, 4000.0)
    m, second = own.moments(x).mean[1], own.moments(x).square[1]
    assert abs(time.mean() - m) < 5 * time.std() / np.sqrt(time.size)
    assert abs((time**2).mean() - second) < 5 * (time**2).std() / np.sqrt(time.size)
    bend = tq.negative_hessian(w, x + 10)
    numeric = np.array([
        -(tq.gradient(w, x + 10 + e) - tq.gradient(w, x + 10 - e)) / 2 for e in np.eye(3)
    ])  # fmt: skip
    np.testing.assert_allclose(bend.dense(), numeric, rtol=1e-5, atol=1e-13)
    found = tq.solve(w)
    slope = tq.gradient(w, found.tokens)
    inner = (found.tokens > 1) & (found.tokens < w.max_tokens - 1)
    assert inner.any()
    np.testing.assert_allclose(slope[inner], 0, atol=1e-9)


def test_any_object_with_the_members_of_a_delay_is_one():
    for server in SERVERS:
        assert isinstance(delay_of(server), Delay)
    assert isinstance(Bursty(), Delay)
    assert not isinstance(tq.Fifo(), Delay)


@pytest.mark.parametrize(
    "server",
    [
        tq.ProcessorSharing(servers=2),
        tq.ShortestFirst(servers=2),
        tq.NonPreemptivePriority([1, 0], servers=3),
    ],
    ids=repr,
)
def test_a_server_without_a_formula_is_named(server):
    w = plain_workload(11, 2).replace(server=server)
    for of in (tq.solve, tq.solve_grid, lambda w: tq.objective(w, [0, 0])):
        with pytest.raises(WorkloadError, match="No formula for the mean time of"):
            of(w)


@pytest.mark.parametrize(
    "of",
    [
        lambda w, x: tq.mean_waiting_time(w, x),
        lambda w, x: tq.contraction_modulus(w, x, x),
        lambda w, x: tq.curvature_bound(w, x),
        lambda w, x: tq.strong_concavity_modulus(w, x),
        lambda w, x: tq.fixed_point_regimes(w, arrival_rate=[0.1], accuracy_weight=[1.0]),
        lambda w, x: tq.certify(w, x),
        lambda w, x: tq.rounding_loss_bound(w, x),
        lambda w, x: tq.waiting_time_tail(w, x, 1.0),
        lambda w, x: tq.system_time_quantile(w, x, 0.9),
        lambda w, x: tq.system_time_tail(w, x, 1.0),
        lambda w, x: tq.tail_bound(w, x),
        lambda w, x: tq.solve_target(w, tq.TailTarget(100.0, 0.05)),
        lambda w, x: tq.prove_concavity(w),
        lambda w, x: tq.solve(w, tq.ProjectedGradient()),
    ],
)
def test_what_holds_for_first_come_first_served_refuses_another_server(of):
    w = plain_workload(12, 2).replace(server=tq.ProcessorSharing())
    with pytest.raises(WorkloadError, match=r"holds for Fifo\(\)"):
        of(w, np.zeros(2))


def test_the_curvature_of_first_come_first_served_is_a_sum_of_squares():
    w = plain_workload(13, 4)
    x = stable_tokens(w, np.random.default_rng(0), load=0.7)
    delay = delay_of(w.server)
    own, cross, square, c, joint, drift = TimeCurvature(*delay.curvature(w, delay.at(w, x)))
    y = 1 - float(tq.utilization(w, x))
    np.testing.assert_allclose(own, w.arrival_rate / y * w.time_per_token**2, rtol=1e-13)
    np.testing.assert_allclose(cross**2 / own, square, rtol=1e-13)
    assert joint == 0
    assert drift == w.arrival_rate
    np.testing.assert_array_equal(c, w.time_per_token)
    assert isinstance(w.service, Affine)
