"""Engines that read the queue, against exact values, against each other and against bad rules."""

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrivals import MarkovModulated, Records
from thinkqueue.control import Record
from thinkqueue.control.bursts import burst_outcomes
from thinkqueue.control.drift import drift_outcomes, estimates, rush_hour
from thinkqueue.control.phases import phase_aware_optimum
from thinkqueue.simulation.stopping import by_table
from workloads import QWEN

WORKLOAD = tq.Workload.from_toml(QWEN)
BEST = tq.solve(WORKLOAD).tokens
RULE = tq.stopping_rule(WORKLOAD)
SOME = Record.draw(WORKLOAD, jobs=200_000, seed=4)
BURSTY = MarkovModulated(high=(4.8,), low=(0.05,), up=(0.02,), down=(0.08,))


def test_fixed_budgets_wait_as_lindley_says():
    gaps = np.append(np.diff(SOME.times), 0.0)
    waits, _ = Records(WORKLOAD, gaps[None], SOME.kinds[None]).waiting(BEST)
    for when in ("start", "any time"):
        served = SOME.serve(BEST, when=when)
        assert (served.system - served.service).mean() == pytest.approx(waits[0], rel=1e-9)
        s = tq.service_time(WORKLOAD, BEST)
        np.testing.assert_allclose(served.service, s[SOME.kinds], atol=1e-6)


def by_hand(kinds, times, limits):
    """A thought at a time, in plain Python, looking at all who have come."""
    free, found = 0.0, []
    for i, k in enumerate(kinds):
        start = max(free, times[i])
        end = start + limits[min(np.sum(times <= start) - i - 1, len(limits) - 1), k]
        for moment in times[(times > start)]:
            if moment >= end:
                break
            waiting = np.sum(times <= moment) - i - 1
            end = max(moment, start + limits[min(waiting, len(limits) - 1), k])
        free = end
        found.append((end - times[i], end - start))
    return np.array(found).T


def test_the_engine_does_what_a_few_lines_of_python_do():
    busy = Record.draw(WORKLOAD.replace(arrival_rate=0.2), jobs=300, seed=1)
    limits = WORKLOAD.service.mean(RULE.thresholds)
    none = np.zeros(300, np.int64)
    found = by_table(busy.kinds, busy.times, limits[None].copy(), none, False)
    np.testing.assert_allclose(found, by_hand(busy.kinds, busy.times, limits), atol=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.4, 6.0])
def test_exact_values_lie_in_the_intervals(rate):
    workload = WORKLOAD.replace(arrival_rate=rate)
    record = Record.draw(workload, jobs=400_000, seed=7)
    fixed = tq.solve(workload)
    beside = record.serve(fixed.tokens).worth
    for when in ("start", "any time"):
        for table in (tq.stopping_rule(workload, when=when), tq.optimal_control(workload, when)):
            served = record.serve(table.thresholds, when=when)
            exact = tq.table_value(workload, table.thresholds, when=when)
            # on the same queries the difference is known much better than either
            gain = served.difference(beside)
            wide = gain.value - gain.low
            assert abs(gain.value - (exact.objective - fixed.objective)) < 1.6 * wide
            assert wide < 0.5
            assert abs(served.mean_accuracy.value - exact.mean_accuracy) < 0.003


def test_a_wrong_value_lies_outside_them():
    """Negative control: the value of a table that is read at the start is not that of stopping."""
    served = SOME.serve(RULE.thresholds)
    gain = served.difference(SOME.serve(BEST).worth)
    wrong = tq.table_value(WORKLOAD, RULE.thresholds, when="start").objective
    wrong -= tq.solve(WORKLOAD).objective
    assert abs(gain.value - wrong) > 5 * (gain.value - gain.low)


def test_prices_and_tables_are_the_same_rule():
    table = SOME.serve(RULE.thresholds)
    price = SOME.serve_by_price(per_query=1 / RULE.slack)
    np.testing.assert_allclose(price.system, table.system, atol=1e-6)
    # types of one kind: so many seconds of work are so many queries
    alike = WORKLOAD.replace(gain=0.5, rate=0.001, baseline=0.1, base_time=0.1)
    rule = tq.stopping_rule(alike)
    record = Record.draw(alike, jobs=20_000, seed=2)
    by_work = record.serve_by_work(rule)
    by_number = record.serve_by_price(per_query=1 / rule.slack)
    np.testing.assert_allclose(by_work.system, by_number.system, atol=1e-5)


def test_more_knowledge_of_the_queue_is_worth_no_less_than_its_work_alone():
    s = tq.service_time(WORKLOAD, BEST)
    beside = SOME.serve(BEST).worth
    y = RULE.slack
    both = SOME.serve_by_price(per_query=1.0, per_second=WORKLOAD.arrival_rate / y, work=s)
    alone = SOME.serve_by_work(RULE)
    assert alone.difference(beside).low > 0
    assert both.difference(alone.worth).high > 0


@pytest.mark.slow
def test_bursts_of_no_interest_and_bursts():
    # where both states are alike the stream is Poisson, and the ceiling is the optimum
    plain = MarkovModulated((1.0,), (1.0,), (0.01,), (0.01,))
    exact = tq.optimal_control(WORKLOAD).objective
    coarse, fine = (phase_aware_optimum(WORKLOAD, plain, step=h).objective for h in (1.0, 0.5))
    assert coarse < fine < exact
    assert 2 * fine - coarse == pytest.approx(exact, abs=0.01)
    found = {
        one.budgets: one for one in burst_outcomes(WORKLOAD, BURSTY, "bursts", jobs=20_000, seed=1)
    }
    assert found["rule"].over_fixed_low > 0
    assert found["fixed"].objective < found["best fixed"].objective < found["rule"].objective
    ceiling = phase_aware_optimum(WORKLOAD, BURSTY, step=1.0).objective
    assert found["rule"].low < ceiling


def test_estimates_forget():
    day = rush_hour(WORKLOAD, quiet=0.005, busy=0.02, rush=0.1)
    np.testing.assert_allclose(day.shares.sum(axis=1), 1)
    record = day.draw(WORKLOAD, days=20, seed=1)
    assert record.times.size == pytest.approx(20 * 3600 * day.rates.sum(), rel=0.05)
    seen = estimates(record, day.mean(WORKLOAD), 480, 3600.0)
    rates = np.array([one.arrival_rate for one in seen])
    # at the end of the rush it is seen, hours later it is forgotten
    assert rates[12::24].mean() > 0.06
    assert rates[9::24].mean() == pytest.approx(0.005, rel=0.3)


@pytest.mark.slow
def test_who_reads_the_queue_survives_the_rush():
    day = rush_hour(WORKLOAD, quiet=0.005, busy=0.02, rush=0.1)
    found = {one.budgets: one for one in drift_outcomes(WORKLOAD, day, days=12, seed=3)}
    assert found["oracle"].regret == 0
    assert found["fixed"].regret > 100
    assert 0 < found["rule"].regret < 10
    assert found["re-solved"].regret > found["re-estimated rule"].regret
