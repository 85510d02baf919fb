"""One shared set of hard problems, every solver: all agree to what their certificates allow."""

from __future__ import annotations

import functools
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Solution, Status, Workload
from thinkqueue.workload import FIELDS
from workloads import DATA, extreme_workload, plain_workload, rounding, thinking_workloads

SOLVERS = {
    "newton": tq.Newton(),
    "conditional-gradient": tq.ConditionalGradient(),
    "projected-gradient": tq.ProjectedGradient(),
    "projected-gradient-accelerated": tq.ProjectedGradient(accelerated=True),
    "projected-gradient-textbook": tq.ProjectedGradient(scaled=False, backtracking=False),
    "fixed-point": tq.FixedPoint(),
}
ALWAYS = ("newton", "conditional-gradient")
"""Those that must reach the gap on every problem within the steps."""
RISING = tuple(name for name in SOLVERS if name != "fixed-point")
"""Those that must never step down."""
MAX_STEPS = 1500


def problems() -> dict[str, Workload]:
    """Real, plain and hard workloads, and each kind of edge."""
    plain = plain_workload(0, 5)
    edges = {
        "one-type": plain_workload(1, 1),
        "busy": plain.replace(arrival_rate=(1 - 1e-6) / float(plain.share @ plain.base_time)),
        "precious-answers": plain.replace(accuracy_weight=1e8),
        "worthless-answers": plain.replace(accuracy_weight=0.0),
        "tight-caps": plain.replace(max_tokens=[0, 1, 10, 100, 1e6]),
        "useless-thinking": plain.replace(gain=[0, 0.5, 0, 0.5, 0.1], weight=[1, 0, 1, 1, 1]),
        "no-base-time": plain.replace(base_time=0.0),
        "rates-of-all-sizes": plain.replace(rate=np.geomspace(1e-12, 1e3, 5)),
        "slow-arrivals": plain.replace(arrival_rate=1e-12),
        "absent-type": plain.replace(share=[0.4, 0.3, 0.2, 0.1, 0.0]),
        "identical-types": plain.replace(
            **{field: getattr(plain, field)[0] for field in FIELDS if field != "share"}
        ),
        "a-hundred-types": plain_workload(2, 100),
    }
    files = {path.stem: Workload.from_toml(path) for path in (DATA / "workloads").glob("*.toml")}
    # the guaranteed gradient step is for first come, first served
    real = {name: w for name, w in files.items() if w.server == tq.Fifo()}
    hard = {f"hard-{k}": w for k, w in enumerate(thinking_workloads(12, seed=30, types=5))}
    hard |= {f"hard-wide-{k}": w for k, w in enumerate(thinking_workloads(4, seed=31, types=40))}
    return real | edges | hard


PROBLEMS = problems()


@functools.cache
def answer(problem: str, solver: str) -> Solution:
    return tq.solve(PROBLEMS[problem], SOLVERS[solver], max_steps=MAX_STEPS, throw=False)


def disagreement(one: Solution, other: Solution) -> float:
    """By how much two answers contradict each other's certificate, in s; at most 0 if they agree.

    Neither may be better than the other one's upper bound.
    """
    excess = max(one.objective - other.upper_bound, other.objective - one.upper_bound)
    return excess - rounding(one) - rounding(other)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_solver_agrees_with_newton_to_its_gap(problem, solver):
    w, found, best = PROBLEMS[problem], answer(problem, solver), answer(problem, "newton")
    assert ((found.tokens >= 0) & (found.tokens <= w.max_tokens)).all()
    assert 0 <= found.utilization < 1
    assert found.gap >= 0
    assert disagreement(found, best) <= 0
    # what it says of its tokens is what the formulas say of them
    blur = rounding(found)
    assert abs(found.objective - float(tq.objective(w, found.tokens))) <= blur
    assert (
        abs(found.upper_bound - float(tq.upper_bound(w, found.tokens))) <= 1e-9 * found.gap + blur
    )
    if solver in ALWAYS:
        assert found.status is Status.CONVERGED
    if found.converged:
        assert found.gap <= 1e-9 * max(1, abs(found.objective))
        assert best.objective - found.objective <= found.gap + blur
    else:
        assert found.status is not Status.CONVERGED
        assert len(found.status.value) > 20


@pytest.mark.parametrize("solver", RISING)
def test_solvers_with_a_line_search_or_a_guaranteed_step_never_step_down(solver):
    for problem in PROBLEMS:
        found = answer(problem, solver)
        for before, after in pairwise(found.history):
            assert after.objective >= before.objective - rounding(found), problem
            assert after.utilization < 1


def test_most_problems_are_solved_by_most_solvers():
    solved = {name: sum(answer(p, name).converged for p in PROBLEMS) for name in SOLVERS}
    assert all(solved[name] == len(PROBLEMS) for name in ALWAYS)
    assert solved["projected-gradient"] >= len(PROBLEMS) / 2
    # plain iteration must be seen to fail, or the problems are not hard
    assert solved["fixed-point"] < len(PROBLEMS)


def test_a_solver_that_claims_too_much_is_found_out():
    found_out = 0
    for problem, w in PROBLEMS.items():
        best = answer(problem, "newton")
        idle = np.zeros(len(w))
        value = float(tq.objective(w, idle))
        lazy = replace(best, tokens=idle, objective=value, upper_bound=value, gap=0.0)
        found_out += disagreement(lazy, best) > 0
    # all but those where nobody should think
    assert found_out >= len(PROBLEMS) - 3


@pytest.mark.parametrize("solver", SOLVERS)
def test_sixty_decades_give_numbers_or_an_honest_status(solver):
    tried = 0
    for seed in range(120):
        w = extreme_workload([40, seed])
        if tq.utilization(w, np.zeros(len(w))) >= 1:
            continue
        tried += 1
        found = tq.solve(w, SOLVERS[solver], max_steps=40, throw=False)
        assert np.isfinite([found.objective, found.upper_bound, found.mean_system_time]).all()
        assert found.gap >= 0
        assert found.utilization < 1
        assert tq.utilization(w, found.tokens) < 1
    assert tried > 50


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_that_gives_up_says_why(solver):
    """Asked for a gap of nothing, every one comes to an end of its own."""
    for w in thinking_workloads(3, seed=50, types=3):
        found = tq.solve(w, SOLVERS[solver], gap=0, max_steps=3000, throw=False)
        assert isinstance(found.status, Status)


def test_plain_iteration_says_how_it_ended():
    calm = plain_workload(3).replace(accuracy_weight=400.0, arrival_rate=1e-3)
    found = tq.solve(calm, tq.FixedPoint())
    assert found.status is Status.CONVERGED
    assert found.steps > 0
    assert found.objective == pytest.approx(tq.solve(calm).objective, abs=2e-9)
    # the reply to the prices of an idle server, which would overrun it
    eager = tq.Workload.from_toml(DATA / "workloads" / "qwen3-8b.toml").replace(arrival_rate=1.0)
    left = tq.solve(eager, tq.FixedPoint(), throw=False)
    assert left.status is Status.LEFT_STABLE_REGION
    assert left.steps == 0


def test_plain_iteration_has_the_patience_that_it_is_given():
    swinging = next(
        w
        for w in thinking_workloads(300, seed=51, types=3)
        if tq.solve(w, tq.FixedPoint(), throw=False).status is Status.OSCILLATES
    )
    for patience in (5, 30):
        found = tq.solve(swinging, tq.FixedPoint(patience=patience), throw=False)
        gaps = np.array([step.gap for step in found.history])
        # the step that exhausts it is not looked at again
        assert len(gaps) - 2 - int(np.argmin(gaps[1:])) == patience - 1
