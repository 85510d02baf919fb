"""The one function that runs a solver: what it promises, refuses, and hands back when it fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from itertools import islice

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import NotConvergedError, Solution, Status, UnstableError, WorkloadError
from thinkqueue.arrays import Array
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.workload import Parameters
from workloads import hard_workloads, plain_workload, plain_workloads, rounding, thinking_workloads


def feasible_with_a_valid_gap(w: tq.Workload, found: Solution) -> bool:
    """Whether an answer, converged or not, may be used: its certificate is that of its tokens."""
    best = tq.solve(w)
    blur = rounding(found) + rounding(best)
    inside = ((found.tokens >= 0) & (found.tokens <= w.max_tokens)).all()
    return bool(
        inside
        and tq.utilization(w, found.tokens) < 1
        and best.objective <= found.upper_bound + blur
        and best.objective - found.objective <= found.gap + blur
    )


# what comes back


def test_the_solution_says_what_the_formulas_say():
    for w in plain_workloads(30, seed=0):
        found = tq.solve(w)
        np.testing.assert_allclose(found.objective, tq.objective(w, found.tokens), rtol=1e-12)
        np.testing.assert_allclose(found.utilization, tq.utilization(w, found.tokens), rtol=1e-9)
        np.testing.assert_allclose(
            found.mean_system_time, tq.mean_system_time(w, found.tokens), rtol=1e-12
        )
        np.testing.assert_allclose(found.mean_accuracy, tq.mean_accuracy(w, found.tokens))
        assert found.gap == pytest.approx(found.upper_bound - found.objective, abs=1e-10)
        assert found.steps == len(found.history) - 1
        assert found.converged
        assert "gap" in found.status.value


def test_the_solution_is_frozen():
    found = tq.solve(plain_workload(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.objective = 0.0
    with pytest.raises(ValueError, match="read-only"):
        found.tokens[0] = 1


def test_solving_twice_gives_the_same_bits():
    for w in hard_workloads(30, seed=2):
        one, two = tq.solve(w), tq.solve(w)
        np.testing.assert_array_equal(one.tokens, two.tokens)
        assert one.history == two.history


def test_a_good_start_needs_no_step():
    w = plain_workload(3)
    best = tq.solve(w, gap=1e-11)
    again = tq.solve(w, start=best.tokens)
    assert again.steps == 0
    np.testing.assert_array_equal(again.tokens, best.tokens)


def test_a_looser_gap_takes_no_more_steps_and_is_kept():
    for w in plain_workloads(30, seed=4):
        loose, tight = tq.solve(w, gap=1e-2), tq.solve(w, gap=1e-11)
        assert loose.steps <= tight.steps
        assert loose.gap <= 1e-2
        assert tight.objective - loose.objective <= loose.gap


def test_the_best_is_monotone_in_what_is_offered():
    # more accuracy per second, fewer arrivals, higher caps: J* can only grow
    for w in plain_workloads(30, seed=5):
        best = tq.solve(w)
        better = (
            w.replace(arrival_rate=w.arrival_rate / 2),
            w.replace(base_time=w.base_time / 2),
            w.replace(time_per_token=w.time_per_token / 2),
            w.replace(accuracy_weight=w.accuracy_weight * 2),
            w.replace(max_tokens=w.max_tokens * 2),
        )
        for other in better:
            assert tq.solve(other).upper_bound >= best.objective


# what is refused


@pytest.mark.parametrize("load", [1.0, 1.5, 1e6])
def test_a_workload_that_no_allocation_makes_stable_is_an_error(load):
    w = plain_workload(6)
    limit = 1 / float(w.share @ w.base_time)
    full = w.replace(arrival_rate=load * limit * (1 + 1e-15))
    with pytest.raises(UnstableError, match="even with no thinking tokens") as caught:
        tq.solve(full)
    np.testing.assert_allclose(caught.value.utilization, load)
    np.testing.assert_allclose(caught.value.max_arrival_rate, limit)
    almost = full.replace(arrival_rate=caught.value.max_arrival_rate * (1 - 1e-9))
    assert tq.solve(almost).utilization < 1


def test_a_start_must_be_an_allocation():
    w = plain_workload(7, 3)
    with pytest.raises(WorkloadError, match=r"shape \(2,\)"):
        tq.solve(w, start=[1, 2])
    with pytest.raises(WorkloadError, match="its max_tokens"):
        tq.solve(w, start=[1, 2, 1e6])
    with pytest.raises(WorkloadError, match="-1"):
        tq.solve(w, start=[1, -1, 0])
    full = w.replace(arrival_rate=0.99 / float(w.share @ w.base_time))
    with pytest.raises(UnstableError, match="at these tokens"):
        tq.solve(full, start=w.max_tokens)


# when a solver stops short


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_steps_that_run_out_leave_a_usable_answer(steps):
    for w in thinking_workloads(30, seed=8):
        found = tq.solve(w, max_steps=steps, throw=False)
        if not found.converged:
            assert found.status is Status.OUT_OF_STEPS
            with pytest.raises(NotConvergedError, match=r"Newton stopped after.*raise max_steps"):
                tq.solve(w, max_steps=steps)
        assert found.steps <= steps
        assert feasible_with_a_valid_gap(w, found)


def test_a_gap_below_what_double_precision_resolves_is_a_stall_with_an_answer():
    stalls = 0
    for w in thinking_workloads(40, seed=9):
        found = tq.solve(w, gap=1e-300, throw=False)
        assert feasible_with_a_valid_gap(w, found)
        if not found.converged:
            stalls += 1
            assert found.status is Status.STALLED
            assert found.gap <= 1e-9 * max(1, abs(found.objective))
            with pytest.raises(NotConvergedError, match="accept a larger gap") as caught:
                tq.solve(w, gap=1e-300)
            np.testing.assert_array_equal(caught.value.solution.tokens, found.tokens)
    assert stalls > 10


class Idler:
    """A solver that never moves, and ends with a status of its choice."""

    def __init__(self, ends: Status) -> None:
        self.ends = ends

    def iterates(
        self, parameters: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, None, Status]:
        yield from islice(iter(lambda: tangent(parameters, np.zeros(5)), None), 3)
        return self.ends


@pytest.mark.parametrize("ends", Status)
def test_no_solver_is_believed_without_its_certificate(ends):
    w = plain_workload(10).replace(accuracy_weight=1000.0)
    with pytest.raises(NotConvergedError, match="Idler stopped after 2 steps") as caught:
        tq.solve(w, Idler(ends))
    found = caught.value.solution
    assert not found.converged
    assert feasible_with_a_valid_gap(w, found)


def test_any_solver_is_believed_with_it():
    w = plain_workload(11).replace(accuracy_weight=0.0)
    assert tq.solve(w, Idler(Status.STALLED)).converged


def test_an_invalid_answer_would_be_noticed():
    w = plain_workload(12).replace(accuracy_weight=1000.0)
    best = tq.solve(w)
    idle = dataclasses.replace(
        best,
        tokens=np.zeros(5),
        objective=float(tq.objective(w, np.zeros(5))),
        upper_bound=float(tq.objective(w, np.zeros(5))) + best.gap,
    )
    assert feasible_with_a_valid_gap(w, best)
    assert not feasible_with_a_valid_gap(w, idle)
    assert not feasible_with_a_valid_gap(w, dataclasses.replace(best, tokens=best.tokens - 1e6))


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"gap": -1.0}, "gap is -1.0"),
        ({"gap": float("nan")}, "gap is nan"),
        ({"gap": "small"}, "gap is 'small'"),
        ({"gap": [1e-9]}, "gap is .*one number"),
        ({"max_steps": -1}, "max_steps .* at least 0"),
        ({"max_steps": 2.5}, "max_steps .* whole number"),
        ({"solver": "newton"}, r"solver is 'newton'.*Newton\(\)"),
        ({"solver": tq.FixedPoint}, r"solver is .*class.*Newton\(\)"),
    ],
)
def test_faulty_arguments_are_refused_kindly(argument, says):
    with pytest.raises(WorkloadError, match=says):
        tq.solve(plain_workload(1), **argument)


def test_a_fixed_point_without_patience_is_refused():
    with pytest.raises(WorkloadError, match=r"patience must be .* at least 1"):
        tq.FixedPoint(patience=0)
