"""The question turned round: thresholds are thresholds."""

from __future__ import annotations

import pytest

import thinkqueue as tq
from workloads import QWEN

TAIL = tq.TailTarget(deadline=60.0, probability=0.01)
EACH = tq.TypeTailTarget(deadline=90.0, probability=0.01)


@pytest.fixture(scope="module")
def qwen() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


def test_largest_arrival_rate_has_a_closed_form_under_a_mean_cap(qwen: tq.Workload) -> None:
    ell = tq.solve(qwen).tokens
    m, second = tq.service_moments(qwen, ell)
    limit = 40.0
    expected = 2 * (limit - m) / (second + 2 * m * (limit - m))
    found = tq.largest_arrival_rate(qwen, tq.MeanTarget(limit), tokens=ell)
    assert found == pytest.approx(float(expected), rel=1e-8)
    assert found <= expected * (1 + 1e-14)


@pytest.mark.parametrize("target", [TAIL, EACH])
def test_thresholds_are_thresholds(
    qwen: tq.Workload, target: tq.TailTarget | tq.TypeTailTarget
) -> None:
    ell = tq.solve(qwen).tokens / 2
    rate = tq.largest_arrival_rate(qwen, target, tokens=ell)
    assert (target.ratio(qwen.replace(arrival_rate=rate), ell) <= 1).all()
    assert (target.ratio(qwen.replace(arrival_rate=rate * (1 + 1e-5)), ell) > 1).any()
    factor = tq.slowest_decode(qwen, target, tokens=ell)
    slower = [
        qwen.replace(time_per_token=qwen.time_per_token * f) for f in (factor, factor * 1.001)
    ]
    assert (target.ratio(slower[0], ell) <= 1).all()
    assert (target.ratio(slower[1], ell) > 1).any()


def test_thresholds_with_budgets_that_adapt(qwen: tq.Workload) -> None:
    target, wanted = tq.MeanTarget(20.0), 0.55
    rate = tq.largest_arrival_rate(qwen, target, accuracy=wanted)
    there = tq.solve_target(qwen.replace(arrival_rate=rate), target)
    assert there.mean_accuracy == pytest.approx(wanted, abs=1e-4)
    assert there.mean_accuracy >= wanted
    factor = tq.slowest_decode(qwen, target, accuracy=wanted)
    slow = qwen.replace(time_per_token=qwen.time_per_token * factor)
    assert tq.solve_target(slow, target).mean_accuracy == pytest.approx(wanted, abs=1e-4)


def test_least_accuracy_weight(qwen: tq.Workload) -> None:
    for k, name in enumerate(qwen.names):
        weight = tq.least_accuracy_weight(qwen, name)
        assert weight == tq.least_accuracy_weight(qwen, k)
        floor = qwen.time_per_token[k] / (qwen.gain[k] * qwen.rate[k])
        assert floor < weight < 1.2 * floor
        below, above = (
            tq.solve(qwen.replace(accuracy_weight=weight * f)).tokens[k] for f in (0.999, 1.001)
        )
        assert below == 0 < above


def test_a_server_that_answers_at_once_has_a_largest_arrival_rate(qwen: tq.Workload) -> None:
    instant, target = qwen.replace(base_time=0.0), tq.MeanTarget(20.0)
    rate = tq.largest_arrival_rate(instant, target, accuracy=0.5)
    at = tq.solve_target(instant.replace(arrival_rate=rate), target)
    assert at.mean_accuracy == pytest.approx(0.5, abs=1e-3)


def test_where_no_tokens_are_asked_for_only_the_load_or_nothing_limits(qwen: tq.Workload) -> None:
    unthinking = float(qwen.share @ qwen.baseline)
    assert tq.slowest_decode(qwen, tq.MeanTarget(20.0), accuracy=0.9 * unthinking) == 1e6
    full = qwen.arrival_rate / float(tq.utilization(qwen, [0] * 5))
    rate = tq.largest_arrival_rate(qwen, tq.MeanTarget(1e6), accuracy=0.99 * unthinking)
    assert full * (1 - 2e-4) < rate < full


def test_where_no_weight_buys_a_token_that_is_said(qwen: tq.Workload) -> None:
    full = qwen.arrival_rate / float(tq.utilization(qwen, [0] * 5))
    with pytest.raises(tq.ThinkQueueError, match="gets no tokens at any weight up to"):
        tq.least_accuracy_weight(qwen.replace(arrival_rate=full * (1 - 1e-9)), 0)
