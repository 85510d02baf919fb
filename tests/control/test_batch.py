"""The rule of a batching server: its price, an engine, and where there is none."""

from dataclasses import replace

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.control import Record
from workloads import DATA

WORKLOAD = tq.Workload.from_toml(DATA / "workloads" / "qwen3-8b-batching.toml")
CROWDED = WORKLOAD.replace(server=tq.Batching(tq.TokenTime(0.004, 0.002)), arrival_rate=0.25)


def relative_values(lam, mean, a, b, levels=4000):
    """What one query more costs at a server of exponential lengths, by the balance equations."""
    n = np.arange(1, levels + 1)
    leave = n / (mean * (a + b * n))
    law = np.concatenate([[0.0], np.cumsum(np.log(lam / leave))])
    law = np.exp(law - law.max())
    present = float(law @ np.arange(levels + 1) / law.sum())
    step = np.zeros(levels + 1)
    step[0] = present / lam  # g = λ v(1)
    for j in range(300):
        step[j + 1] = (present - (j + 1) + leave[j] * step[j]) / lam
    return step


def test_relative_values_are_linear_in_the_number_present():
    lam, mean, a, b = 0.3, 500.0, 0.004, 0.002
    found = relative_values(lam, mean, a, b)
    n = np.arange(1, 20)  # forwards the recursion loses digits
    expected = mean * (a + b * n) / (1 - lam * b * mean)
    np.testing.assert_allclose(found[:19], expected, rtol=1e-6)


@pytest.mark.parametrize("workload", [WORKLOAD, CROWDED])
def test_fixed_budgets_are_the_rule_at_the_average_batch(workload):
    rule, best = tq.batch_stopping_rule(workload), tq.solve(workload).tokens
    # a token sees as many others as are present in the mean
    others = workload.arrival_rate * float(tq.mean_system_time(workload, best))
    line = workload.server.token_time
    mean = line.seconds_at(1) + others * rule.crowd_price
    assert mean == pytest.approx(line.seconds_at(1) / (1 - rule.load) ** 2, rel=1e-9)
    price = tq.queueing_price(workload, best)
    np.testing.assert_allclose(price, mean, rtol=1e-9)


def test_the_engine_has_the_exact_mean_and_the_rule_gains():
    record = Record.draw(CROWDED, jobs=30_000, seed=2)
    best = tq.solve(CROWDED)
    fixed = record.serve_in_batch(best.tokens)
    assert fixed.mean_system_time.covers(best.mean_system_time)
    np.testing.assert_allclose(fixed.service, best.tokens[record.kinds], rtol=1e-9)
    rule = tq.batch_stopping_rule(CROWDED)
    served = record.serve_in_batch(rule)
    assert served.difference(fixed.worth).low > 0.1
    # nobody thinks longer than alone
    alone = np.array([rule.tokens(k, 1) for k in range(5)])
    assert (served.service <= alone[record.kinds] * (1 + 1e-9)).all()
    # negative control: who pays a tenth for the others loses
    blind = record.serve_in_batch(replace(rule, crowd_price=rule.crowd_price / 10))
    assert blind.difference(fixed.worth).high < 0


def test_two_in_a_batch_by_hand():
    rule = tq.batch_stopping_rule(WORKLOAD)
    together = Record(WORKLOAD, np.array([0, 2]), np.array([0.0, 1e-12]))
    served = together.serve_in_batch(rule)
    # the short thought ends at the price of two, the long one alone
    expected = [float(rule.tokens(0, 2)), float(rule.tokens(2, 1))]
    np.testing.assert_allclose(served.service, expected, rtol=1e-9)
    answer, line = WORKLOAD.answer_tokens, WORKLOAD.server.token_time
    first = (expected[0] + answer[0]) * float(line.seconds_at(2))
    rest = (expected[1] + answer[2] - expected[0] - answer[0]) * float(line.seconds_at(1))
    np.testing.assert_allclose(served.system, [first, first + rest], rtol=1e-9)


def test_the_formula_and_what_it_refuses():
    rule = tq.batch_stopping_rule(WORKLOAD)
    price = rule.price([1, 2, 100])
    b = WORKLOAD.server.token_time.per_query
    np.testing.assert_allclose(np.diff(price), (b + b / (1 - rule.load)) * np.array([1, 98]))
    worth = WORKLOAD.accuracy_weight * WORKLOAD.curves.slope(np.full(5, rule.tokens(0, 100)))
    assert worth[0] == pytest.approx(price[2], rel=1e-9)
    assert rule.tokens("GSM8K", 10**7) == 0
    with pytest.raises(tq.WorkloadError, match="at least 1"):
        rule.price(0)
    capped = WORKLOAD.replace(server=tq.Batching(WORKLOAD.server.token_time, max_batch=8))
    for other in (capped, WORKLOAD.replace(prompt_time=0.1)):
        with pytest.raises(tq.WorkloadError, match="without a cap"):
            tq.batch_stopping_rule(other)
    with pytest.raises(tq.WorkloadError, match="stopping_rule is for"):
        tq.batch_stopping_rule(tq.Workload.from_toml(DATA / "workloads" / "qwen3-8b.toml"))
