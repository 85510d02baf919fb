"""Rounding: neighbours, repair, and the bound on what it costs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from thinkqueue import UnstableError, Workload, WorkloadError, objective, solve, utilization
from thinkqueue.whole_tokens import round_tokens, rounding_loss_bound
from thinkqueue.whole_tokens.rounding import How
from workloads import hard_workloads, plain_workload


@pytest.mark.parametrize(
    ("how", "expected"),
    [("nearest", [0, 2, 2, 7]), ("floor", [0, 1, 2, 7]), ("ceil", [1, 2, 2, 7])],
)
def test_whole_tokens_by_hand(how: How, expected: list[int]) -> None:
    w = plain_workload(0, 4)
    rounded = round_tokens(w, [0.2, 1.8, 2.0, 7.0], how)
    assert rounded.dtype == np.int64
    assert rounded.tolist() == expected


def test_a_menu_by_hand() -> None:
    w = plain_workload(0, 3).replace(max_tokens=[32768, 32768, 600])
    menu = [0, 512, 2048]
    assert round_tokens(w, [300, 1200, 600], menu=menu).tolist() == [512, 512, 512]
    assert round_tokens(w, [300, 1200, 600], "ceil", menu=menu).tolist() == [512, 2048, 512]
    assert round_tokens(w, [300, 1200, 600], "floor", menu=menu).tolist() == [0, 512, 512]


def test_a_menu_for_each_type() -> None:
    w = plain_workload(0, 2)
    assert round_tokens(w, [7, 7], menu=[[0, 5], [3, 8]]).tolist() == [5, 8]


@pytest.mark.parametrize("how", get_args(How))
def test_rounding_never_leaves_what_is_allowed(how: How) -> None:
    for w in hard_workloads(60, seed=1):
        ell = solve(w, throw=False).tokens
        rounded = round_tokens(w, ell, how)
        assert (rounded >= 0).all()
        assert (rounded <= w.max_tokens).all()
        assert utilization(w, rounded) < 1


def test_repair_gives_up_the_tokens_that_are_worth_least() -> None:
    w = Workload.from_arrays(
        share=[0.5, 0.5],
        gain=[0.5, 0.5],
        rate=[1e-1, 1e-6],
        baseline=0,
        base_time=0.0,
        time_per_token=1.0,
        max_tokens=100,
        arrival_rate=0.1,
        accuracy_weight=1e6,
    )
    # a mean service time below 10 s is stable: at most 19 tokens together
    assert round_tokens(w, [9.6, 10.1], "ceil").tolist() == [10, 9]


def test_a_menu_without_a_stable_entry_is_refused() -> None:
    w = plain_workload(3, 2)
    with pytest.raises(UnstableError, match="smallest budgets"):
        round_tokens(w, [0, 0], menu=[32768])


@pytest.mark.parametrize(
    ("menu", "message"),
    [
        ([0.5, 2], "whole number"),
        ([-1, 2], "whole number"),
        ([40000], "nothing up to its max_tokens"),
        ([[0, 1]], "1 lists"),
        ([np.nan], "whole number"),
        ("low", "list of whole numbers"),
        ([], "nothing up to its max_tokens"),
    ],
)
def test_what_is_no_menu_is_refused(menu: object, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        round_tokens(plain_workload(0, 2), [1, 1], menu=menu)  # type: ignore[arg-type]


def test_an_unknown_way_to_round_is_refused() -> None:
    with pytest.raises(WorkloadError, match="how"):
        round_tokens(plain_workload(0, 2), [1, 1], "up")  # type: ignore[arg-type]


@pytest.mark.parametrize(("how", "distance"), [("nearest", 0.5), ("floor", 1.0), ("ceil", 1.0)])
def test_the_loss_stays_below_its_bound(how: How, distance: float) -> None:
    ratios = []
    for seed in range(60):
        w = plain_workload(seed, 1 + seed % 7)
        best = solve(w)
        loss = best.objective - float(objective(w, round_tokens(w, best.tokens, how)))
        bound = rounding_loss_bound(w, best.tokens, distance=distance)
        assert loss <= bound + best.gap + 1e-12 * abs(best.objective)
        if bound > 1e-9:
            ratios.append(loss / bound)
    assert max(ratios) > 0.1  # not a bound that holds by being vast


def test_an_unstable_corner_has_no_bound() -> None:
    w = plain_workload(4, 1).replace(arrival_rate=0.01, base_time=99.99, time_per_token=0.1)
    assert rounding_loss_bound(w, [0.05]) == np.inf


def test_whole_allocations_lose_nothing() -> None:
    w = plain_workload(5, 3)
    assert rounding_loss_bound(w, [1, 2, 3]) == 0.0


@pytest.mark.parametrize("distance", [-1.0, np.nan, "half"])
def test_a_distance_that_is_none_is_refused(distance):
    w = plain_workload(1)
    with pytest.raises(WorkloadError, match="distance is"):
        rounding_loss_bound(w, np.full(5, 0.5), distance=distance)
