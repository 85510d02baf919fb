"""How the solvers end, and what they do with what a peer or a wrong step hands them."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import scipy.optimize

import thinkqueue as tq
from solvers.test_steps import blur, exhausted, side_by_side
from thinkqueue import Status, Workload
from thinkqueue.arrays import Array
from thinkqueue.bounds import tangent
from thinkqueue.solvers import newton
from workloads import plain_workload, plain_workloads, stable_tokens


def test_where_there_is_nothing_to_do_a_solver_stalls_at_once():
    w = plain_workload(80).replace(accuracy_weight=0.0)
    for solver, most in (
        (tq.ConditionalGradient(), 1),
        (tq.ProjectedGradient(), 1),
        (tq.ProjectedGradient(accelerated=True), 1),
        (tq.QuasiNewton(), 1),
        (tq.Newton(), 3),
    ):
        looks, end = exhausted(solver, w, 9)
        assert end is Status.STALLED
        assert len(looks) == most


def test_newton_looks_three_times_where_it_begins_at_the_best():
    for w in plain_workloads(5, seed=81):
        best = tq.solve(w, gap=0, throw=False)
        looks = list(islice(tq.Newton().iterates(w, best.tokens), 20))
        risen = np.diff([look.objective for look in looks])
        if (risen <= blur(looks[0])).all() and (np.array([x.gap for x in looks[1:]]) > 0).all():
            assert len(looks) >= 3
        assert newton._blur(looks[0]) == pytest.approx(blur(looks[0]), rel=1e-12)


@pytest.mark.parametrize("far", [1.0, 8.0])
def test_a_step_that_overruns_the_server_is_halved_till_it_does_not(monkeypatch, far):
    """Rounding alone may ask for that; here the length of the step is wrong by far."""
    from thinkqueue.solvers import conditional_gradient

    monkeypatch.setattr(conditional_gradient, "best_fraction", lambda *step: far)
    monkeypatch.setattr(conditional_gradient, "between", lambda one, other, t: one + t * other)
    w = Workload.from_arrays(
        share=[1.0], gain=0.9, rate=1.0, baseline=0.0, base_time=1.0, time_per_token=1.0,
        max_tokens=1.0, arrival_rate=0.5, accuracy_weight=1e6,
    )  # fmt: skip
    looks = tq.ConditionalGradient().iterates(w)
    assert next(looks).reply(w.max_tokens)[0] == 1  # which fills the server to the last bit
    assert next(looks).tokens[0] == 0.5


def fake_peer(monkeypatch: pytest.MonkeyPatch, answers: list[Array]) -> None:
    """Let the peer answer with these parts of the caps, one after the other."""

    class Found:
        def __init__(self, x: Array) -> None:
            self.x = x

    left = iter(answers)

    def minimize(loss, x, *, bounds, **options):
        loss(x)
        return Found(next(left) * bounds[:, 1])

    monkeypatch.setattr(scipy.optimize, "minimize", minimize)


def test_what_the_peer_finds_beyond_the_stable_region_is_drawn_back_into_it(monkeypatch):
    for w in plain_workloads(4, seed=82):
        fake_peer(monkeypatch, [np.ones(5)])
        rich = w.replace(accuracy_weight=1e12)
        first, second = islice(tq.QuasiNewton(1).iterates(rich), 2)
        kept = second.state.slack / first.state.slack
        assert 0.01 < kept < 0.02
        part = second.tokens / w.max_tokens
        np.testing.assert_allclose(part, part[0], rtol=1e-9)


def test_the_peer_is_asked_again_if_only_one_of_bound_and_height_is_better(monkeypatch):
    g, seen = np.random.default_rng(83), {True: 0, False: 0}
    for w in plain_workloads(30, seed=83):
        one, other = (stable_tokens(w, g, load) / w.max_tokens for load in g.uniform(0, 0.9, 2))
        fake_peer(monkeypatch, [other])
        iterates = tq.QuasiNewton(1).iterates(w, one * w.max_tokens)
        looks = [next(iterates)]
        there = tangent(w, other * w.max_tokens)
        higher, closer = there.objective > looks[0].objective, there.gap < looks[0].gap
        looks += list(iterates)
        assert len(looks) == 1 + (higher or closer)
        if higher != closer:
            seen[bool(higher)] += 1
    assert sum(seen.values()) > 0


def test_a_leap_ends_where_no_part_of_the_way_to_the_reply_leads_up():
    g = np.random.default_rng(84)
    task = tq.TaskType(
        "S", 1.0, tq.Hill(0.7, 800.0, 4.0, 0.05), base_time=0.2, time_per_token=0.002
    )
    w = Workload([task], arrival_rate=0.05, accuracy_weight=600.0)
    for start in g.uniform(0, 4000, 8):
        look = next(tq.Newton().iterates(w, np.array([start])))
        way = look.reply(w.max_tokens) - look.tokens
        for halvings in range(12):
            there = look.tokens + way / 2**halvings
            if tq.utilization(w, there) < 1:
                assert float(tq.objective(w, there)) <= look.objective + 1e-12


def test_a_grid_begins_with_nothing_however_many_types_it_has():
    grid = side_by_side([plain_workload(seed, 8 * 4096) for seed in (85, 86)])
    assert not next(tq.Newton().iterates(grid)).tokens.any()
