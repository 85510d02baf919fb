"""The rule in closed form: what it is, what it never does, and rules that are not it."""

import json
import tomllib
from dataclasses import dataclass

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.workload import Curve
from workloads import QWEN, plain_workload

WORKLOAD = tq.Workload.from_toml(QWEN)
BEST = tq.solve(WORKLOAD)
WHENS = ("start", "any time")


def test_the_rule_is_its_formula():
    rule = tq.stopping_rule(WORKLOAD)
    assert rule.slack == pytest.approx(1 - BEST.utilization, rel=1e-12)
    w = WORKLOAD
    for n in (0, 1, 5, 20):
        price = 1 + n / rule.slack
        value = w.accuracy_weight * w.weight * w.gain * w.rate / (w.time_per_token * price)
        expected = np.clip(np.log(value) / w.rate, 0, w.max_tokens)
        np.testing.assert_allclose(rule.thresholds[n], expected, rtol=1e-13)
        for k, name in enumerate(w.names):
            assert rule.tokens(name, n) == pytest.approx(expected[k], rel=1e-13)
            assert rule.tokens(k, n) == rule.tokens(name, n)
    assert (rule.thresholds[-1] == 0).all()
    assert (rule.tokens(0, [0, 10**6]) == [rule.thresholds[0, 0], 0]).all()


def test_kept_budgets_solve_their_equation():
    rule = tq.stopping_rule(WORKLOAD, when="start")
    w, y = WORKLOAD, rule.slack
    n = np.arange(len(rule.thresholds))[:, None]
    price = 1 + (n + w.arrival_rate * w.service.mean(rule.thresholds)) / y
    worth = w.accuracy_weight * w.curves.slope(rule.thresholds) / w.time_per_token
    inside = rule.thresholds > 0
    np.testing.assert_allclose(worth[inside], price[inside], rtol=1e-11)
    assert (worth <= price * (1 + 1e-11))[~inside].all()


@dataclass(frozen=True)
class OwnCurve(Curve):
    """The usual curve, known to the library only by its value, slope and bend."""

    inner: tq.Saturating

    def value(self, tokens):
        return self.inner.value(tokens)

    def slope(self, tokens):
        return self.inner.slope(tokens)

    def bend(self, tokens):
        return self.inner.bend(tokens)

    def pick(self, place):
        return OwnCurve(self.inner.pick(place))


@pytest.mark.parametrize("when", WHENS)
def test_a_curve_of_ones_own_has_the_same_rule(when):
    own = WORKLOAD.replace(accuracy=OwnCurve(WORKLOAD.curves))
    rule, theirs = tq.stopping_rule(WORKLOAD, when=when), tq.stopping_rule(own, when=when)
    assert theirs.slack == pytest.approx(rule.slack, rel=1e-6)
    theirs = tq.stopping_rule(own, when=when, slack=rule.slack)
    np.testing.assert_allclose(theirs.thresholds, rule.thresholds, atol=1e-6)
    assert theirs.objective == pytest.approx(rule.objective, abs=1e-8)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("seed", range(6))
def test_the_rule_never_loses_to_the_fixed_budgets_it_comes_from(when, seed):
    workload = plain_workload(seed, 1 + seed)
    assert tq.stopping_rule(workload, when=when).objective > tq.solve(workload).objective


def test_a_rule_with_the_wrong_sign_loses():
    """Negative control: who thinks longer the more wait."""
    waiting = np.arange(len(tq.stopping_rule(WORKLOAD).thresholds))
    price = np.maximum(1 - 0.02 * waiting / (1 - BEST.utilization), 0.1)[:, None]
    w = WORKLOAD
    table = np.log(w.accuracy_weight * w.gain * w.rate / (w.time_per_token * price)) / w.rate
    table = np.clip(table, 0, w.max_tokens)
    table[-1] = BEST.tokens
    with pytest.raises(tq.WorkloadError, match="rise from"):
        tq.table_value(WORKLOAD, table)
    assert tq.table_value(WORKLOAD, table, when="start").objective < BEST.objective - 1


def test_fixed_budgets_are_the_rule_at_the_average_queue():
    waiting = float(WORKLOAD.arrival_rate * tq.mean_waiting_time(WORKLOAD, BEST.tokens))
    s = tq.service_time(WORKLOAD, BEST.tokens)
    price = 1 + (waiting + WORKLOAD.arrival_rate * s) / (1 - BEST.utilization)
    np.testing.assert_allclose(price, tq.queueing_price(WORKLOAD, BEST.tokens), rtol=1e-12)


def test_one_step_of_improvement_is_the_best_answer_to_the_relative_values():
    """The price of the rule, 1 + n/y, is that of the relative values of fixed budgets."""
    from thinkqueue.control.optimum import mean_step, now

    value = tq.table_value(WORKLOAD, BEST.tokens)
    level = np.arange(1, 30)
    y = 1 - BEST.utilization
    np.testing.assert_allclose(now(WORKLOAD, value, level), 1 + (level - 1) / y, rtol=1e-10)
    a = np.full((29, 1), 1.7)
    found = mean_step(value, level, a)[:, 0]
    np.testing.assert_allclose(found, value.step_at(level) + value.line[1] * -1.7, rtol=1e-12)


def test_work_is_counted_in_services():
    rule = tq.stopping_rule(WORKLOAD)
    n = np.arange(20)
    by_work = rule.tokens_for_work("GSM8K", n * rule.mean_service)
    np.testing.assert_allclose(by_work, rule.tokens("GSM8K", n), rtol=1e-12)


def test_tables_are_written_as_they_are(tmp_path):
    for rule in (tq.stopping_rule(WORKLOAD), tq.optimal_control(WORKLOAD, "start")):
        rule.to_toml(tmp_path / "a.toml", comment="two\nlines")
        rule.to_json(tmp_path / "a.json")
        text = (tmp_path / "a.toml").read_text(encoding="utf-8")
        assert text.startswith("# two\n# lines\n")
        document = tomllib.loads(text)
        assert document == json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
        assert document["when"] == rule.when
        for k, name in enumerate(WORKLOAD.names):
            assert document["tokens"][name] == np.floor(rule.thresholds[:, k]).tolist()


def test_questions_that_have_no_answer():
    rule = tq.stopping_rule(WORKLOAD)
    with pytest.raises(tq.WorkloadError, match="the task types are"):
        rule.tokens("chess", 0)
    with pytest.raises(tq.WorkloadError, match="type must be"):
        rule.tokens(5, 0)
    for bad in (-1, 0.5, np.nan):
        with pytest.raises(tq.WorkloadError, match="waiting"):
            rule.tokens(0, bad)
    with pytest.raises(tq.WorkloadError, match="seconds"):
        rule.tokens_for_work(0, -1.0)
    with pytest.raises(tq.WorkloadError, match="slack"):
        tq.stopping_rule(WORKLOAD, slack=0.0)
