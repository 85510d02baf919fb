"""From an idle server to one that is full but for a part in 10¹², against fifty digits.

Near a full server a last bit of the load is a part ε/(1 − ρ) of what remains free, and no
arithmetic in double precision can be nearer than that; nor is this library farther.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from fifty_digits import LOADS, at_load, error_of_the_best, errors, exact
from thinkqueue import Workload
from thinkqueue.arrays import Array
from workloads import DATA, QWEN, plain_workload

EPS = float(np.finfo(float).eps)
WORKLOADS = {
    "the book's server": Workload.from_toml(QWEN),
    "five types": plain_workload(1),
    "fifty types": plain_workload(2, 50),
}


def asked(workload: Workload, load: float) -> tuple[Workload, Array]:
    tokens = np.random.default_rng(0).uniform(0, 2000, len(workload.share))
    return at_load(workload, tokens, load), tokens


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_values_are_as_near_as_a_load_in_double_precision_allows(name: str, load: float) -> None:
    found = errors(*asked(WORKLOADS[name], load))
    allowed = EPS / found.pop("slack")
    assert found["mean system time"] <= 2 * allowed
    assert found["mean waiting time"] <= 4 * allowed
    assert found["objective"] <= 2 * allowed
    assert found["prices"] <= 4 * allowed


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_solution_states_its_objective_as_nearly(name: str, load: float) -> None:
    """At the load that is there before anybody thinks."""
    workload = WORKLOADS[name]
    begun = at_load(workload, np.zeros(len(workload.share)), load)
    assert error_of_the_best(begun) <= 2 * EPS / (1 - load)


def test_an_error_in_the_tenth_digit_is_seen() -> None:
    workload = WORKLOADS["five types"]
    tokens = np.full(5, 300.0)
    right = at_load(workload, tokens, 0.5)
    wrong = exact(right.replace(time_per_token=right.time_per_token * (1 + 1e-10)), tokens)
    true = exact(right, tokens)
    assert abs(wrong.mean_system_time / true.mean_system_time - 1) > 100 * EPS / true.slack


def test_the_record_says_the_same() -> None:
    """A third of it is derived again; on another machine a last bit may fall otherwise."""
    rows = json.loads((DATA / "results" / "stress.json").read_text(encoding="utf-8"))["rows"]
    assert [row["load"] for row in rows] == list(LOADS)
    for row in rows[::4]:
        found = errors(*asked(WORKLOADS["five types"], row["load"]))
        allowed = EPS / found.pop("slack")
        for name, value in found.items():
            assert value <= row[name.replace(" ", "_")] + 2 * allowed
            assert row[name.replace(" ", "_")] <= 4 * allowed
