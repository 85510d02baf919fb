"""Unknown mixes: the worst one in closed form, and budgets with a guarantee and a certificate."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import WorkloadError
from workloads import plain_workload


def some_mixes(g: np.random.Generator, rows: int, types: int = 5) -> np.ndarray:
    return g.dirichlet(np.full(types, 0.5), size=rows)


def stable_for_all(w, mixes, g):
    ell = g.uniform(size=len(w)) * w.max_tokens
    while max(float(tq.utilization(w.replace(share=mix), ell)) for mix in mixes) >= 0.99:
        ell = ell * 0.7
    return ell


def test_no_mix_between_the_given_ones_is_worse():
    for seed in range(60):
        g = np.random.default_rng(seed)
        w = plain_workload(g)
        mixes = some_mixes(g, 4)
        ell = stable_for_all(w, mixes, g)
        w = w.replace(accuracy_weight=float(10 ** g.uniform(0, 3)))
        worst = tq.worst_mix(w, ell, mixes)
        assert worst.objective == pytest.approx(
            float(tq.objective(w.replace(share=worst.mix), ell)), rel=1e-9
        )
        # every mix between: many at random, and the edges finely
        parts = np.vstack([g.dirichlet(np.full(4, a), size=60) for a in (0.2, 1.0)])
        tried = min(float(tq.objective(w.replace(share=p @ mixes), ell)) for p in parts)
        assert worst.objective <= tried + 1e-9 * (1 + abs(tried))


def test_the_worst_can_lie_between_and_corners_are_not_enough():
    # negative control of the corners: one mix has the longer mean, the other the larger square
    w = tq.Workload.from_arrays(
        share=[1, 0, 0], gain=0.0, rate=1e-3, baseline=[0.1, 0.3, 0.3], base_time=[1.0, 0.0, 8.0],
        time_per_token=0.01, arrival_rate=0.5, accuracy_weight=10.0,
    )  # fmt: skip
    mixes = np.array([[1, 0, 0], [0, 0.9, 0.1]])

    def at(mix):
        return float(tq.objective(w.replace(share=mix), np.zeros(3)))

    worst = tq.worst_mix(w, np.zeros(3), mixes)
    scan = min(at((1 - t) * mixes[0] + t * mixes[1]) for t in np.linspace(0, 1, 501))
    assert worst.objective == pytest.approx(scan, rel=1e-4)
    assert worst.objective < min(map(at, mixes)) - 0.05
    assert 0 < worst.part < 1
    found = tq.robust_budgets(w, mixes)
    assert found.objective == pytest.approx(worst.objective)
    assert found.gap < 1e-6


@pytest.mark.parametrize("regret", [False, True])
def test_the_guarantee_holds_and_nothing_guarantees_more(regret):
    for seed in range(6):
        g = np.random.default_rng(seed)
        w = plain_workload(g)
        w = w.replace(arrival_rate=0.5 * w.arrival_rate)
        mixes = some_mixes(g, 3)
        found = tq.robust_budgets(w, mixes, regret=regret)
        best = [tq.solve(w.replace(share=m)).objective if regret else 0.0 for m in mixes]
        assert 0 <= found.gap <= 2e-6 * max(1, abs(found.objective), *np.abs(best))

        def least(ell, w=w, mixes=mixes, best=best):
            loads = [float(tq.utilization(w.replace(share=m), ell)) for m in mixes]
            if max(loads) >= 1:
                return -np.inf
            return min(
                float(tq.objective(w.replace(share=m), ell)) - b
                for m, b in zip(mixes, best, strict=True)
            )

        assert least(found.tokens) >= found.objective - 1e-9 * (1 + abs(found.objective))
        for _ in range(60):
            assert least(found.tokens * g.uniform(0.5, 1.5, 5)) <= found.upper_bound
        nominal = tq.solve(w.replace(share=mixes.mean(axis=0)))
        assert least(nominal.tokens) <= found.upper_bound


def test_one_mix_is_the_optimum():
    w = plain_workload(1)
    found = tq.robust_budgets(w, [w.share])
    sure = tq.solve(w)
    assert found.objective == pytest.approx(sure.objective, rel=1e-9)
    assert found.upper_bound >= sure.objective * (1 - 1e-12)


def test_a_lottery_is_needed_and_its_mean_is_no_certificate():
    # negative control: the bound of the mean mix is not that of the lottery
    w = tq.Workload.from_arrays(
        share=[0.5, 0.5], gain=[0.6, 0.5], rate=[1e-3, 2e-4], baseline=0.1, base_time=0.2,
        time_per_token=0.012, arrival_rate=0.05, accuracy_weight=300.0,
    )  # fmt: skip
    mixes = np.array([[0.95, 0.05], [0.05, 0.95]])
    found = tq.robust_budgets(w, mixes, regret=True)
    assert len(found.weights) == 2
    assert found.weights.sum() == pytest.approx(1)
    losses = [
        tq.solve(w.replace(share=m)).objective
        - float(tq.objective(w.replace(share=m), found.tokens))
        for m in mixes
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] == pytest.approx(-found.objective, rel=1e-6)


def test_what_is_no_mix_is_refused():
    w = plain_workload(0)
    with pytest.raises(WorkloadError, match="shape"):
        tq.worst_mix(w, np.zeros(5), np.ones((2, 4)) / 4)
    with pytest.raises(WorkloadError, match="Mix 1"):
        tq.robust_budgets(w, np.ones((2, 5)))
    with pytest.raises(WorkloadError, match="concave"):
        tq.robust_budgets(w.replace(accuracy=[tq.Hill(0.5, 900.0, 3.0)] * 5), [w.share])
    with pytest.raises(tq.UnstableError):
        tq.worst_mix(w, w.max_tokens, [w.share])
    with pytest.raises(WorkloadError, match="only"):
        tq.worst_mix(w.replace(server=tq.ProcessorSharing()), np.zeros(5), [w.share])


def test_the_bound_of_a_lottery_holds_at_any_budgets():
    from thinkqueue.mixes import _Game

    for seed in range(6):
        g = np.random.default_rng(seed)
        w = plain_workload(g)
        mixes = some_mixes(g, 3)
        found = tq.robust_budgets(w, mixes)
        game = _Game(w, mixes, np.zeros(3))
        for _ in range(4):
            _, above = game.certificate(stable_for_all(w, mixes, g))
            assert above >= found.objective - 1e-9 * (1 + abs(found.objective))
