"""From an idle server to one that is full but for a part in 10¹², against fifty digits.

Near a full server a last bit of the load is a part ε/(1 − ρ) of what remains free, and no
arithmetic in double precision can be nearer than that; nor is this library farther.
"""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest

import thinkqueue
from fifty_digits import LOADS, at_load, error_of_the_best, errors, exact
from many_digits import WITHOUT, measured
from thinkqueue import Workload, mean_type_time, utilization
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


#: In last bits of what is free of the server; most functions need three. A quantile is a root
#: that Brent's method finds: with another Python it ends seven off. A tail sums terms of both
#: signs, and loses 200 to 700 by the exponentials of the processor at hand.
LAST_BITS = {"waiting_time_tail": 2000, "system_time_tail": 2000, "system_time_quantile": 10}


@pytest.mark.slow
def test_every_public_function_keeps_its_digits_on_extreme_workloads() -> None:
    """Rates and times over 15 decades, caps of 0, equal types, a share of 1e-300, big batches."""
    seen: dict[str, float] = defaultdict(float)
    for name, case, number in measured(100):
        seen[name] = max(seen[name], number.error * case.free / EPS)
    assert {n: x for n, x in seen.items() if x > LAST_BITS.get(n, 6)} == {}
    recorded = json.loads((DATA / "results" / "stress.json").read_text(encoding="utf-8"))
    stated = {row["function"]: row["last_bits"] for row in recorded["functions"]}
    assert stated.keys() == seen.keys()
    assert {n: x for n, x in stated.items() if x > LAST_BITS.get(n, 6)} == {}
    public = {
        name
        for name in thinkqueue.__all__
        if callable(getattr(thinkqueue, name)) and not isinstance(getattr(thinkqueue, name), type)
    }
    assert public - seen.keys() - {"solve"} == WITHOUT.keys()


def test_a_lost_digit_of_a_small_load_is_seen() -> None:
    """The load as what is not free, as it was once computed: of a small one few digits are left."""
    w, tokens = asked(WORKLOADS["five types"], 1e-12)
    true = 1 - exact(w, tokens).slack
    right, lost = (float(x) for x in (utilization(w, tokens), 1 - (1 - utilization(w, tokens))))
    assert abs(right / float(true) - 1) <= 4 * EPS
    assert abs(lost / float(true) - 1) > 1e6 * EPS


def test_a_short_wait_is_not_lost_beside_a_long_service() -> None:
    w, tokens = asked(WORKLOADS["five types"], 1e-12)
    brief = w.replace(base_time=w.base_time * [1e-14, 1, 1, 1, 1])
    brief = brief.replace(time_per_token=w.time_per_token * [1e-14, 1, 1, 1, 1])
    wait = float(exact(brief, tokens).mean_waiting_time)
    own = float(brief.base_time[0] + brief.time_per_token[0] * tokens[0])
    assert mean_type_time(brief, tokens)[0] == pytest.approx(own + wait, rel=1e-14)
