"""From an idle server to one that is full but for a part in 10¹², against fifty digits.

Near a full server a last bit of the load is a part ε/(1 − ρ) of what remains free, and no
arithmetic in double precision can be nearer than that; nor is this library farther.
"""

from __future__ import annotations

import numpy as np
import pytest

from fifty_digits import LOADS, at_load, error_of_the_best, errors, exact
from thinkqueue import Workload
from workloads import QWEN, plain_workload

EPS = float(np.finfo(float).eps)
WORKLOADS = {
    "the book's server": Workload.from_toml(QWEN),
    "five types": plain_workload(1),
    "fifty types": plain_workload(2, 50),
}


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("name", WORKLOADS)
def test_values_are_as_near_as_a_load_in_double_precision_allows(name: str, load: float) -> None:
    workload = WORKLOADS[name]
    tokens = np.random.default_rng(0).uniform(0, 2000, len(workload.share))
    found = errors(at_load(workload, tokens, load), tokens)
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
    asked = at_load(workload, np.zeros(len(workload.share)), load)
    assert error_of_the_best(asked) <= 2 * EPS / (1 - load)


def test_an_error_in_the_tenth_digit_is_seen() -> None:
    workload = WORKLOADS["five types"]
    tokens = np.full(5, 300.0)
    asked = at_load(workload, tokens, 0.5)
    wrong = exact(asked.replace(time_per_token=asked.time_per_token * (1 + 1e-10)), tokens)
    true = exact(asked, tokens)
    assert abs(wrong.mean_system_time / true.mean_system_time - 1) > 100 * EPS / true.slack
