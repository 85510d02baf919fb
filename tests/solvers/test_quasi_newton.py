"""The stand-in for Newton: the same optima, certified by the same bound, and honest beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Status, WorkloadError
from thinkqueue.arrays import Array
from thinkqueue.delay import State, delay_of
from thinkqueue.workload import Parameters
from workloads import plain_workload, plain_workloads


@dataclass(frozen=True)
class Flat:
    """First come, first served without its curvature."""

    convex: bool = True

    def at(self, problem: Parameters, tokens: Array) -> State:
        return delay_of(tq.Fifo()).at(problem, tokens)


def test_it_finds_what_newton_finds():
    for w in plain_workloads(25, seed=0):
        best, found = tq.solve(w), tq.solve(w, tq.QuasiNewton(), gap=1e-6)
        assert found.gap <= 1e-6 * max(1, abs(found.objective))
        assert abs(found.objective - best.objective) <= found.gap + best.gap + 1e-12


def test_it_steps_in_where_a_server_has_no_curvature():
    w = plain_workload(1, 4)
    flat = w.replace(server=Flat())
    np.testing.assert_allclose(tq.solve(flat).objective, tq.solve(w).objective, rtol=1e-9)
    with pytest.raises(WorkloadError, match="no curvature"):
        tq.solve(flat, tq.Newton())
    with pytest.raises(WorkloadError, match="no curvature"):
        tq.negative_hessian(flat, np.zeros(4))


def test_a_long_first_step_out_of_the_stable_region_is_survived():
    for w in plain_workloads(10, seed=2):
        idle = float(w.share @ w.base_time)
        busy = w.replace(arrival_rate=0.999 / idle)
        found = tq.solve(busy, tq.QuasiNewton(), throw=False)
        assert found.utilization < 1
        assert found.upper_bound >= tq.solve(busy).objective - 1e-9


def test_the_other_solvers_take_other_servers():
    w = plain_workload(3, 4).replace(server=tq.ProcessorSharing())
    best = tq.solve(w)
    for solver in (tq.ConditionalGradient(), tq.QuasiNewton()):
        found = tq.solve(w, solver, gap=1e-6, max_steps=3000, throw=False)
        assert found.status is Status.CONVERGED
        assert found.objective == pytest.approx(best.objective, abs=2e-6 * abs(best.objective))
    plain = tq.solve(w, tq.FixedPoint(), throw=False)
    assert plain.upper_bound >= best.objective - 1e-9


def test_what_is_no_number_of_restarts_is_refused():
    with pytest.raises(WorkloadError, match="restarts"):
        tq.QuasiNewton(restarts=0)


def test_caps_that_bind_are_met():
    for w in plain_workloads(5, seed=21):
        capped = w.replace(max_tokens=np.maximum(tq.solve(w).tokens / 2, 1))
        found, best = (tq.solve(capped, s, throw=False) for s in (tq.QuasiNewton(), tq.Newton()))
        assert found.objective == pytest.approx(best.objective, rel=1e-8)
        np.testing.assert_allclose(found.tokens, best.tokens, rtol=1e-3, atol=1e-2)
