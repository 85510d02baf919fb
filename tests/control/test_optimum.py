"""The best tables: two codes, the theorems about them, and what must not pass for the best."""

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.control import descend
from workloads import QWEN, plain_workload

WORKLOAD = tq.Workload.from_toml(QWEN)
WHENS = ("start", "any time")


def at(rate):
    return WORKLOAD.replace(arrival_rate=rate)


# λ, load, J of fixed budgets, gain and part kept by the rule: chosen at the start, and stopped
GAINS = [
    (0.0021, 0.10, 353.65, 0.14, 0.994, 2.38, 0.9997),
    (0.005, 0.20, 347.95, 0.54, 0.976, 4.69, 0.999),
    (0.01, 0.31, 340.43, 1.27, 0.946, 7.09, 0.999),
    (0.02, 0.43, 330.47, 2.23, 0.922, 9.01, 0.9994),
    (0.05, 0.56, 314.94, 3.32, 0.952, 9.39, 0.990),
    (0.1, 0.62, 300.50, 3.30, 0.983, 7.67, 0.928),
    (0.2, 0.77, 274.39, 4.44, 0.943, 6.92, 0.943),
    (0.4, 0.84, 232.09, 6.29, 0.907, 7.68, 0.863),
    (1.0, 0.89, 177.38, 5.10, 0.820, 5.76, 0.731),
]


def test_gains_on_the_main_workload_to_the_digits_known_before():
    rates, *expected = zip(*GAINS)
    found = tq.control_gains(WORKLOAD, rates)
    names = ("utilization", "fixed", "best_start", "kept_start", "best", "kept")
    for name, column in zip(names, expected):
        half = np.array([0.5 * 10.0 ** -len(str(v).split(".")[1]) for v in column])
        if name in ("utilization", "fixed", "best_start", "best"):
            half = np.full(len(column), 0.0051)
        assert (np.abs(getattr(found, name) - column) <= half + 1e-9).all(), name
    # the naive price is no better than the rule, and from a load of .6 on worse than nothing
    assert (found.naive < found.rule).all()
    assert (found.naive[found.utilization > 0.6] < 0).all()


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize(
    "rate",
    [0.0021, pytest.param(0.02, marks=pytest.mark.slow), pytest.param(0.1, marks=pytest.mark.slow)],
)
def test_policy_iteration_and_the_recursion_agree(when, rate):
    policy, other = tq.optimal_control(at(rate), when), descend(at(rate), when)
    assert policy.objective == pytest.approx(other.objective, rel=1e-13)
    rows = min(len(policy.thresholds), len(other.thresholds))
    np.testing.assert_allclose(policy.thresholds[:rows], other.thresholds[:rows], atol=1e-7)
    np.testing.assert_allclose(policy.value.step[: rows - 1], other.step[: rows - 1], atol=1e-9)
    assert policy.error < 1e-9


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("seed", range(4))
def test_no_other_table_is_better(when, seed):
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, 3)
    policy = tq.optimal_control(workload, when)
    assert policy.objective >= tq.stopping_rule(workload, when=when).objective
    assert policy.objective >= tq.solve(workload).objective
    for size in (1e-3, 0.1):
        table = policy.thresholds * (1 + size * rng.normal(size=policy.thresholds.shape))
        table = np.clip(np.minimum.accumulate(table, axis=0), 0, workload.max_tokens)
        table[-1] = 0
        worse = tq.table_value(workload, table, when=when).objective
        assert worse <= policy.objective + policy.error


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.4, 6.0])
def test_what_the_theorem_says_of_the_prices(rate):
    workload = at(rate)
    policy = tq.optimal_control(workload)
    step, price = policy.value.step_at(np.arange(1, 120)), policy.price
    waiting = np.arange(len(price))
    slack = 1e-9 * abs(step[0])
    # D falls and is convex, so that the table falls and the price is concave
    assert (np.diff(step) <= slack).all()
    assert (np.diff(step, 2) >= -slack).all()
    assert (np.diff(policy.thresholds, axis=0) <= 0).all()
    assert (np.diff(price, 2) <= slack).all()
    assert price[0] == pytest.approx(1, abs=1e-10)
    idle = 1 - rate * float(WORKLOAD.share @ WORKLOAD.base_time)
    assert (price >= 1 + waiting / idle - 1e-9).all()
    # a server that is never idle has no bound from above
    ever_idle = max(1 - policy.value.utilization, 1e-30)
    assert (price <= 1 + waiting / ever_idle + 1e-9).all()
    start = tq.optimal_control(workload, "start")
    assert (np.diff(start.value.step) <= slack).all()
    assert (np.diff(start.value.step, 2) >= -slack).all()
    assert (np.diff(start.thresholds, axis=0) <= 1e-9).all()


def best_by_enumeration(workload, curve, menu, levels=40):
    """Value iteration over a menu of budgets kept from the start, whatever the curve is."""
    from scipy.stats import poisson

    lam, s = workload.arrival_rate, workload.service.mean(np.array(menu)[:, None])[:, 0]
    come = poisson.pmf(np.arange(levels), lam * s[:, None])
    come[:, -1] += 1 - come.sum(axis=1)
    level = np.arange(1, levels + 1)
    moves = np.zeros((levels, s.size, levels + 1))
    for j in level:
        for i in range(levels):
            moves[j - 1, :, min(j - 1 + i, levels)] += come[:, i]
    reward = workload.accuracy_weight * curve(menu) - (level[:, None] * s + lam * s**2 / 2)
    low, high = 0.0, workload.accuracy_weight * lam
    for _ in range(60):
        eta = (low + high) / 2
        value = np.zeros(levels + 1)
        for _ in range(400):
            choices = reward - eta * s + moves @ value
            new = np.append(0.0, choices.max(axis=1))
            new[0] = new[1] - eta / lam
            new -= new[0]
            if np.abs(new - value).max() < 1e-11:
                break
            value = new
        drift = (reward - eta * s + moves @ value).max(axis=1)[0] - eta / lam
        low, high = (eta, high) if drift > 0 else (low, eta)
    return low / lam, np.array(menu)[choices.argmax(axis=1)]


def one_type():
    return tq.Workload.from_arrays(
        share=1.0,
        gain=0.9,
        rate=0.003,
        baseline=0.05,
        base_time=0.2,
        time_per_token=0.01,
        arrival_rate=0.08,
        accuracy_weight=60.0,
    )


def test_the_table_falls_with_the_queue_for_any_curve():
    """A wild accuracy curve: no monotony in it, and yet none waiting more is given more."""
    workload = one_type()
    menu = np.linspace(0, 1500, 76)
    rng = np.random.default_rng(5)

    def wild(tokens):
        return 0.4 + 0.3 * np.sin(np.asarray(tokens) / 170) + 0.2 * rising

    for _ in range(3):
        rising = np.sort(rng.random(menu.size))
        _, table = best_by_enumeration(workload, wild, menu)
        assert (np.diff(table[:25]) <= 0).all()
        assert np.unique(table).size > 3


def test_the_enumeration_finds_the_optimum_of_a_concave_curve():
    workload = one_type()
    policy = tq.optimal_control(workload, "start")
    menu = np.linspace(0, 1500, 151)
    found, table = best_by_enumeration(workload, workload.curves.pick(0), menu)
    assert found == pytest.approx(policy.objective, abs=2e-3)
    assert np.abs(table[:8] - policy.thresholds[:8, 0]).max() <= 10


def test_a_policy_that_is_not_the_best_is_told_from_it():
    """Negative control: half the prices, or the rule for another load, are measurably worse."""
    policy = tq.optimal_control(WORKLOAD)
    assert tq.stopping_rule(WORKLOAD).objective < policy.objective - 0.001
    dear = tq.stopping_rule(WORKLOAD, slack=0.25).objective
    assert dear < policy.objective - 0.1


@pytest.mark.slow
def test_measured_curves_have_a_best_table():
    points = np.concatenate([[0.0], np.geomspace(20, 32768, 60)])
    curves = [
        tq.Interpolated(tuple(points.tolist()), tuple(WORKLOAD.curves.pick(k)(points).tolist()))
        for k in range(5)
    ]
    workload = WORKLOAD.replace(accuracy=curves)
    smooth = tq.optimal_control(WORKLOAD)
    for when in WHENS:
        policy = tq.optimal_control(workload, when)
        assert policy.objective >= tq.stopping_rule(workload, when=when).objective - 1e-9
        assert policy.objective == pytest.approx(descend(workload, when).objective, abs=1e-8)
    assert tq.optimal_control(workload).objective == pytest.approx(smooth.objective, abs=0.5)
    law = WORKLOAD.replace(
        accuracy=tq.PowerLaw(WORKLOAD.gain, WORKLOAD.rate, np.full(5, 1.5), WORKLOAD.baseline)
    )
    for when in WHENS:
        assert tq.optimal_control(law, when).objective == pytest.approx(
            descend(law, when).objective, rel=1e-11
        )


def test_hostile_workloads():
    idle = WORKLOAD.replace(arrival_rate=1e-6)
    assert tq.optimal_control(idle).objective == pytest.approx(tq.solve(idle).objective, abs=0.01)
    none = WORKLOAD.replace(accuracy_weight=0.0)
    for when in WHENS:
        policy = tq.optimal_control(none, when)
        assert policy.thresholds.shape == (1, 5)
        assert policy.objective == pytest.approx(tq.solve(none).objective, rel=1e-12)
    full = WORKLOAD.replace(arrival_rate=0.99 / float(WORKLOAD.share @ WORKLOAD.base_time))
    for when in WHENS:
        policy = tq.optimal_control(full, when)
        assert policy.objective >= tq.solve(full).objective - policy.error
    zero = WORKLOAD.replace(weight=[1, 1, 0, 1, 1], max_tokens=1e30)
    policy = tq.optimal_control(zero)
    assert (policy.thresholds[:, 2] == 0).all()
    with pytest.raises(tq.UnstableError):
        tq.optimal_control(WORKLOAD.replace(arrival_rate=100.0))
    with pytest.raises(tq.WorkloadError, match="the most"):
        tq.optimal_control(WORKLOAD.replace(accuracy_weight=1e6))
