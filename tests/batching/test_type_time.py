"""The time of each type at a batching server against an event simulation."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, WorkloadError
from workloads import SERVERS, batching_workload


def simulate(share, lengths, rate, time, jobs, seed):
    """Arrivals and departures in the clock that counts steps: dt = τ(n) dV."""
    g = np.random.default_rng(seed)
    kinds, gaps = g.choice(len(share), p=share, size=jobs), g.exponential(1 / rate, jobs)
    tau = time.seconds_at(np.arange(4000.0)).tolist()
    now = clock = 0.0
    inside: list[tuple[float, float, int]] = []
    stays = np.full(jobs, np.nan)
    for job, (kind, gap) in enumerate(zip(kinds.tolist(), gaps.tolist())):
        until = now + gap
        while inside:
            left = (inside[0][0] - clock) * tau[len(inside)]
            if now + left > until:
                clock += (until - now) / tau[len(inside)]
                break
            now += left
            clock, came, who = heapq.heappop(inside)
            stays[who] = now - came
        now = until
        heapq.heappush(inside, (clock + lengths[kind], now, job))
    warm = slice(jobs // 20, jobs - jobs // 20)
    return kinds[warm], stays[warm]


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.5, 4, 67])
def test_mean_and_variance_are_those_of_a_simulation(ratio):
    time = TokenTime(ratio * 1e-3, 1e-3)
    x = np.array([100.0, 400.0, 1000.0])
    share = np.array([0.5, 0.3, 0.2])
    w = tq.Workload.from_arrays(
        share=share, gain=0.5, rate=1e-3, baseline=0.0, answer_tokens=0.0,
        arrival_rate=0.6 / 1e-3 / float(share @ x), accuracy_weight=10.0, server=Batching(time),
    )  # fmt: skip
    theory = tq.type_time(w, x)
    runs = [simulate(share, x, w.arrival_rate, time, 30_000, seed) for seed in range(12)]
    for k in range(3):
        stays = [t[kind == k] for kind, t in runs]
        means = np.array([t.mean() for t in stays])
        spreads = np.array([((t - theory.mean[k]) ** 2).mean() for t in stays])
        for values, expected in ((means, theory.mean[k]), (spreads, theory.variance[k])):
            error = values.std(ddof=1) / np.sqrt(len(values))
            # 6 comparisons a ratio, Student with 11 degrees: 5 errors have a level of 4e-4 each
            assert abs(values.mean() - expected) < 5 * error
            assert error < 0.1 * expected
        # negative control: the same without the power 1 + r is far off
        wrong = theory.variance[k] / (1 + ratio)
        assert abs(spreads.mean() - wrong) > 5 * spreads.std(ddof=1) / np.sqrt(len(spreads))
        together = np.concatenate(stays)
        late = np.quantile(together, [0.95, 0.99])
        np.testing.assert_allclose(theory.quantile([0.95, 0.99])[:, k], late, rtol=0.06)


def test_processor_sharing_is_the_limit_and_nobody_waits_without_b():
    # r → 0, one type, Yashkov: Var T(x) for x → 0 is λ E[S²]… here by its own integral of M/D/1
    w = batching_workload(Batching(TokenTime(1e-9, 1e-3)), prompt_time=0.0, arrival_rate=0.1)
    x = np.full(5, 4800.0)
    law = tq.type_time(w, x)
    rho = 0.1 * 1e-3 * 5000
    # P(W ≤ t) = (1 − ρ) e^{λt} below one service time of 5 s
    t = np.linspace(0, 5, 200_001)
    integrand = (5 - t) * (1 - (1 - rho) * np.exp(0.1 * t))
    expected = 2 / (1 - rho) ** 2 * np.trapezoid(integrand, t)
    np.testing.assert_allclose(law.variance, expected, rtol=1e-5)
    free = batching_workload(Batching(TokenTime(0.01, 0)), prompt_time=0.0)
    law = tq.type_time(free, x)
    assert (law.variance == 0).all()
    np.testing.assert_allclose(law.quantile(0.99), 50.0, rtol=1e-14)
    assert (law.tail([49.9]) == 1).all()
    assert (law.tail([50.1]) == 0).all()


def test_quantile_and_tail_belong_together():
    w = batching_workload(Batching(TokenTime(6.5e-3, 9.7e-5)), prompt_time=0.0, arrival_rate=1.0)
    law = tq.type_time(w, np.full(5, 3000.0))
    p = np.array([0.1, 0.5, 0.95, 0.999])
    for level, at in zip(p, law.quantile(p)):
        np.testing.assert_allclose(law.tail(at[0])[0], 1 - level, rtol=1e-9)
    assert (law.quantile(0.0) >= law.least).all()
    with pytest.raises(tq.ThinkQueueError, match="must lie in"):
        law.quantile(1.0)


@pytest.mark.parametrize("server", [SERVERS[1], SERVERS[3], SERVERS[4]], ids=repr)
def test_no_variance_is_known_elsewhere(server):
    with pytest.raises(WorkloadError, match="The variance of the time is known for"):
        tq.type_time(batching_workload(server), np.zeros(5))
    with pytest.raises(WorkloadError, match="prompts that take time"):
        tq.type_time(batching_workload(SERVERS[0], prompt_time=0.1), np.zeros(5))
