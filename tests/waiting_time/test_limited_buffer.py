"""The limited buffer: simulated, its derivatives, its convexity, and what is not convex."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from queues import small
from thinkqueue.arrays import Array
from thinkqueue.waiting_time.limited_buffer import limited_buffer


def server(share: Array, seconds: Array, rate: float = 1.0) -> tq.Workload:
    """Services of given lengths, without tokens."""
    return tq.Workload.from_arrays(
        share=share,
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=seconds,
        time_per_token=0.01,
        arrival_rate=rate,
        accuracy_weight=1.0,
    )


def idle(share: Array, seconds: Array, t: float, rate: float = 1.0) -> float:
    w = server(share, seconds, rate)
    return float(tq.idle_probability(w, np.zeros(len(w)), t))


def test_a_simulated_buffer_is_idle_as_often() -> None:
    """In 3000 independent runs of 400 arrivals; the idle share within 4.5 standard errors."""
    w, ell = small()
    service, t = tq.service_time(w, ell), 1.5
    generator = np.random.default_rng(2)
    runs, steps = 3000, 400
    work, rest, total = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for step in range(steps):
        asked = service[generator.choice(len(w), size=runs, p=w.share)]
        work = np.minimum(work + asked, t)
        pause = generator.exponential(1 / w.arrival_rate, runs)
        if step >= 50:
            rest += np.maximum(pause - work, 0)
            total += pause
        work = np.maximum(work - pause, 0)
    ratio = rest.sum() / total.sum()
    deviation = (rest - ratio * total).std() / total.mean() / np.sqrt(runs)
    assert abs(ratio - float(tq.idle_probability(w, ell, t))) < 4.5 * deviation
    # control: an unlimited buffer is idle less often
    assert abs(ratio - (1 - float(tq.utilization(w, ell)))) > 20 * deviation


def test_what_it_is_at_the_ends() -> None:
    w, ell = small()
    assert tq.idle_probability(w, ell, 0.0) == pytest.approx(1.0)
    assert tq.idle_probability(w, ell, 1e4) == pytest.approx(1 - tq.utilization(w, ell))
    assert tq.idle_probability(w, ell, -1.0) == np.inf


def test_derivatives_on_both_sides_of_a_kink() -> None:
    w, ell = small()
    kink = float(tq.service_time(w, ell)[1])
    for t in (0.3, 1.0, kink, 4.0):
        look = limited_buffer(w, ell, np.array([t]), error=1e-13)
        h = 1e-4
        # at a kink the derivatives returned are those for a buffer a little larger
        ahead = [float(tq.idle_probability(w, ell, t + x * h, error=1e-14)) for x in (1, 2)]
        here = float(tq.idle_probability(w, ell, t, error=1e-14))
        slope = (-3 * here + 4 * ahead[0] - ahead[1]) / (2 * h)
        assert look.by_buffer[0] == pytest.approx(slope, rel=1e-5)
        for k in range(len(w)):
            down = [ell - x * h / w.time_per_token * np.eye(len(w))[k] for x in (1, 2)]
            before = [float(tq.idle_probability(w, x, t, error=1e-14)) for x in down]
            slope = (3 * here - 4 * before[0] + before[1]) / (2 * h)
            by_idle = look.by_service[0, k] - w.arrival_rate * w.share[k]
            assert by_idle == pytest.approx(slope, rel=1e-5, abs=1e-9)


def midpoints(count: int, seed: int) -> list[tuple[Array, Array, Array, float, float]]:
    generator = np.random.default_rng(seed)
    pairs = []
    while len(pairs) < count:
        types = int(generator.integers(1, 4))
        share = generator.dirichlet(np.ones(types))
        a, b = 10 ** generator.uniform(-1.5, 1, (2, types))
        if max(share @ a, share @ b) < 0.98:
            pairs.append((share, a, b, *generator.uniform(0, 4, 2)))
    return pairs


def test_it_is_convex_in_buffer_and_services_together() -> None:
    for share, a, b, t, u in midpoints(150, seed=1):
        middle = idle(share, (a + b) / 2, (t + u) / 2)
        assert middle <= (idle(share, a, t) + idle(share, b, u)) / 2 + 1e-10


def test_percentiles_are_convex() -> None:
    """Of the wait and of each type's time, at the midpoints of random pairs."""
    for share, a, b, *_ in midpoints(15, seed=2):
        at = [server(share, s) for s in (a, (a + b) / 2, b)]
        nothing = np.zeros(len(share))
        wait = [float(tq.waiting_time_distribution(w, nothing).quantile(0.95)) for w in at]
        assert wait[1] <= (wait[0] + wait[2]) / 2 + 1e-8


def test_controls_what_is_not_convex() -> None:
    """P(W > t) is not, and a promise about a random query is not even a convex set."""

    def three(function: object, share: list[float], a: Array, b: Array) -> list[float]:
        return [float(function(server(np.array(share), s))) for s in (a, (a + b) / 2, b)]  # type: ignore[operator]

    a, b = np.array([0.0835, 0.897]), np.array([7.36, 0.1205])
    wait = three(lambda w: tq.waiting_time_tail(w, [0, 0], 2.84), [0.105, 0.895], a, b)
    assert wait[1] > 1.02 * (wait[0] + wait[2]) / 2
    assert wait[1] < max(wait[0], wait[2])
    a, b = np.array([0.82, 0.42]), np.array([0.42, 0.82])
    late = three(lambda w: tq.system_time_tail(w, [0, 0], 0.82), [0.5, 0.5], a, b)
    assert late[0] == pytest.approx(late[2])
    assert late == pytest.approx([0.52655, 0.53587, 0.52655], abs=1e-5)
