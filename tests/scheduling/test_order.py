"""Order and budgets: the convexity that holds and the one that does not, ties, the search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

import thinkqueue as tq
from thinkqueue.delay import delay_of
from thinkqueue.scheduling.envelope import Envelope
from thinkqueue.scheduling.relaxation import relaxed
from workloads import QWEN, plain_workloads


def timed(share, load, service, server):
    """A workload whose tokens are milliseconds beyond next to nothing, so that s may be chosen."""
    share, service = np.asarray(share, float), np.asarray(service, float)
    w = tq.Workload.from_arrays(
        share=share, gain=0.5, rate=1e-3, baseline=0.0, base_time=1e-9, time_per_token=1.0,
        max_tokens=1e9, arrival_rate=load / (share @ service), accuracy_weight=1.0, server=server,
    )  # fmt: skip
    return w, service - 1e-9


def bend(w, s, logs):
    """Least eigenvalue of the Hessian of E[T], scaled to a unit diagonal, in s or in ln s."""
    at, n = np.log(s) if logs else s, len(s)
    h = 1e-3 * (np.ones(n) if logs else s)

    def time(x):
        return delay_of(w.server).at(w, np.exp(x) if logs else x).time

    hessian = np.empty((n, n))
    for i, j in itertools.product(range(n), repeat=2):
        a, b = h * np.eye(n)[i], h * np.eye(n)[j]
        parts = time(at + a + b) - time(at + a - b) - time(at - a + b) + time(at - a - b)
        hessian[i, j] = parts / (4 * h[i] * h[j])
    scale = np.sqrt(np.diag(hessian))
    return float(np.linalg.eigvalsh(hessian / np.outer(scale, scale)).min())


@pytest.mark.parametrize("kind", [tq.NonPreemptivePriority, tq.PreemptivePriority])
def test_not_convex_in_the_tokens_but_in_the_logarithms(kind):
    cases = [((0.98, 0.02), (1.0, 1000.0), 0.9), ((0.1, 0.895, 0.005), (0.01, 1.0, 1000.0), 0.6)]
    least = []
    for share, service, load in cases:
        w, s = timed(share, load, service, kind(range(len(share))))
        least.append(bend(w, s, logs=False))
        assert bend(w, s, logs=True) > 0
    assert min(least) < -1e-4
    g = np.random.default_rng(3)
    for _ in range(60):
        n = int(g.integers(2, 5))
        w, s = timed(
            g.dirichlet(np.ones(n)), g.uniform(0.05, 0.97), 10 ** g.uniform(-2, 2, n),
            kind(g.permutation(n)),
        )  # fmt: skip
        assert bend(w, s, logs=True) > -1e-4


def test_shortest_first_and_srpt_are_convex_in_neither():
    # a kink that points upwards where two services meet; under PSJF a jump down
    for server in (tq.ShortestFirst(), tq.ShortestRemaining(), tq.PreemptiveShortestFirst()):
        w, s = timed((0.5, 0.5), 0.7, (1.0, 1.0), server)
        step = np.array([0.05, -0.05])
        ends = [delay_of(server).at(w, s * np.exp(sign * step)).time for sign in (1, -1)]
        middle = delay_of(server).at(w, s).time
        assert (middle > np.mean(ends)) == (server != tq.PreemptiveShortestFirst())


def test_the_tie_theorem():
    g = np.random.default_rng(1)
    for _ in range(50):
        share, service = g.dirichlet(np.ones(4)), g.uniform(0.1, 5, 4)
        w, s = timed(share, g.uniform(0.2, 0.95), service, tq.NonPreemptivePriority(range(4)))
        place = int(g.integers(0, 3))
        order = list(range(4))
        order[place], order[place + 1] = order[place + 1], order[place]
        swapped = w.replace(server=tq.NonPreemptivePriority(order))
        change = float(tq.mean_system_time(swapped, s) - tq.mean_system_time(w, s))
        load, j, k = w.arrival_rate * share * service, place, place + 1
        x, (a, b) = 1 - load[:place].sum(), load[[j, k]]
        told = w.arrival_rate * (share @ service**2) / 2 * w.arrival_rate * share[j] * share[k]
        told *= (service[k] - service[j]) * (2 * x - a - b)
        told /= x * (x - a) * (x - b) * (x - a - b)
        assert change == pytest.approx(told, rel=1e-6)


def brute(w, seed, starts=12):
    """The best of many local climbs under shortest first, in every order."""
    g, best = np.random.default_rng(seed), -np.inf
    beta = w.rate / w.time_per_token
    low = np.log(w.base_time)
    for order in itertools.permutations(range(len(w))):
        delay = delay_of(tq.NonPreemptivePriority(order))

        def loss(u, delay=delay):
            ell = np.clip((np.exp(u) - w.base_time) / w.time_per_token, 0, w.max_tokens)
            state = delay.at(w, ell)
            if not state.slack > 0:
                return 1e9
            return state.time - float(
                w.accuracy_weight * (w.weight * w.share) @ w.curves.value(ell)
            )

        for _ in range(starts):
            start = low + g.uniform(0, 1, len(w)) * np.maximum(np.log(2 / beta) - low, 0)
            while loss(start) > 1e8:
                start = (start + low) / 2
            found = minimize(loss, start, bounds=[(x, x + 30) for x in low], method="L-BFGS-B")
            best = max(best, -found.fun)
    return best


def test_the_search_finds_what_brute_force_finds():
    for seed, w in enumerate(plain_workloads(4, seed=5, types=3)):
        w = w.replace(server=tq.ShortestFirst())
        found = tq.solve_order(w)
        assert found.status is tq.Status.CONVERGED
        assert found.gap <= 1e-4 * max(1, abs(found.objective))
        assert float(tq.objective(w, found.tokens)) == pytest.approx(found.objective, rel=1e-12)
        worth = brute(w, seed)
        assert found.objective >= worth - 1e-4 * max(1, abs(worth))
        assert worth <= found.upper_bound + 1e-6 * abs(worth)
        # the same order given, and a wrong one
        given = tq.solve_order(w.replace(server=tq.NonPreemptivePriority(found.order)))
        assert given.objective == pytest.approx(found.objective, rel=2e-4)
        wrong = tq.solve_order(w.replace(server=tq.NonPreemptivePriority(found.order[::-1])))
        assert wrong.upper_bound < found.objective


def test_no_allocation_exceeds_the_bound():
    w = tq.Workload.from_toml(QWEN).replace(server=tq.ShortestFirst())
    found = tq.solve_order(w, max_nodes=150)
    assert found.status is tq.Status.OUT_OF_STEPS
    assert 0 < found.gap < np.inf
    assert found.objective - tq.solve(w.replace(server=tq.Fifo())).objective == pytest.approx(
        0.957, abs=2e-3
    )
    g = np.random.default_rng(0)
    for _ in range(300):
        ell = found.tokens * np.exp(g.normal(0, 0.5, 5))
        if tq.utilization(w, ell) < 1:
            assert float(tq.objective(w, ell)) < found.upper_bound


def test_the_bound_is_below_every_order():
    g = np.random.default_rng(7)
    for _ in range(60):
        n = 5
        share, low = g.dirichlet(np.ones(n)), np.exp(g.normal(0, 1, n))
        high = low * np.exp(g.uniform(0, 1, n))
        rate = g.uniform(0.3, 0.95) / (share @ high)
        order = g.permutation(n)
        cut = int(g.integers(1, n))
        groups = (tuple(int(k) for k in order[:cut]), tuple(int(k) for k in order[cut:]))
        bound = relaxed(share, rate, groups, high, np.sqrt(low * high))
        s = low * (high / low) ** g.uniform(0, 1, n)
        told = bound.at(np.log(s))[0] + float(share @ s + bound.square @ s**2)
        w, ell = timed(share, rate * (share @ s), s, tq.Fifo())
        for first, last in itertools.product(*(itertools.permutations(one) for one in groups)):
            exact = delay_of(tq.NonPreemptivePriority((*first, *last))).at(w, ell).time
            assert told <= exact * (1 + 1e-6)
        one = relaxed(share, rate, tuple((k,) for k in range(n)), high, s)
        exact = delay_of(tq.NonPreemptivePriority(range(n))).at(w, ell).time
        assert one.at(np.log(s))[0] + float(share @ s + one.square @ s**2) == pytest.approx(exact)
        up, down = (one.at(np.log(s) + h * np.eye(n)[0])[0] for h in (1e-5, -1e-5))
        assert one.at(np.log(s))[1][0] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-9)


def test_the_envelope_is_above_the_curve_and_concave():
    g = np.random.default_rng(5)
    n = 2000
    low, width = g.uniform(-4, 3, n), g.uniform(0.01, 6, n)
    parts = 10 ** g.uniform(0, 2, n), 10 ** g.uniform(-2, 1, n), np.exp(low - g.uniform(0, 2, n))
    env = Envelope(*parts, 10 ** g.uniform(-3, 0, n), 10 ** g.uniform(-5, -1, n), low, low + width)
    grid = low + width * np.linspace(0, 1, 60)[:, None]
    value, curve = (np.array([f(u) for u in grid]) for f in (env.value, env.curve))
    size = 1 + np.abs(curve).max(axis=0)
    assert (value >= curve - 1e-6 * size).all()
    assert (np.diff(value, 2, axis=0) <= 1e-6 * size).all()
    price = 10 ** g.uniform(-2, 2, n)
    most = (value - price * grid).max(axis=0)
    at = env.reply(price)
    assert (env.value(at) - price * at >= most - 1e-6 * (size + price * 10)).all()


def test_what_the_search_does_not_take_is_refused():
    w = tq.Workload.from_toml(QWEN)
    with pytest.raises(tq.WorkloadError, match="ShortestFirst"):
        tq.solve_order(w)
    with pytest.raises(tq.WorkloadError, match="base_time of task type 'GSM8K' is 0"):
        tq.solve_order(w.replace(server=tq.ShortestFirst(), base_time=[0, 1, 1, 1, 1]))
    with pytest.raises(tq.UnstableError):
        tq.solve_order(w.replace(server=tq.ShortestFirst(), arrival_rate=100.0))
