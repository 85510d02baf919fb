"""A router that errs: exact moments of what it sees, and that seeing less is never better."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Workload, WorkloadError
from workloads import LINE, batching_workload, plain_workload

COLUMNS = ("gain", "rate", "baseline", "base_time", "time_per_token", "max_tokens", "weight")


def router(g: np.random.Generator, types: int, classes: int) -> np.ndarray:
    return g.dirichlet(np.ones(classes), size=types)


def told_apart(w: Workload, table: np.ndarray) -> Workload:
    """Every pair of type and class as a type of its own: a second way to write the same server."""
    classes = table.shape[1]
    columns = {name: np.repeat(getattr(w, name), classes) for name in COLUMNS}
    return Workload.from_arrays(
        share=(w.share[:, None] * table).ravel(), arrival_rate=w.arrival_rate,
        accuracy_weight=w.accuracy_weight, **columns,
    )  # fmt: skip


@pytest.mark.parametrize("classes", [1, 2, 5, 9])
def test_a_class_is_its_types(classes):
    g = np.random.default_rng(classes)
    w = plain_workload(g).replace(weight=g.uniform(0.2, 3, 5))
    table = router(g, 5, classes)
    seen, pairs = tq.seen_classes(w, table), told_apart(w, table)
    ell = g.uniform(0, 300, (7, classes))
    spread = np.tile(ell, (1, 5))
    assert tq.objective(seen, ell) == pytest.approx(tq.objective(pairs, spread), rel=1e-12)
    assert tq.utilization(seen, ell) == pytest.approx(tq.utilization(pairs, spread), rel=1e-12)
    slope = tq.gradient(pairs, spread).reshape(7, 5, classes).sum(axis=1)
    assert tq.gradient(seen, ell) == pytest.approx(slope, rel=1e-9, abs=1e-12)


def test_the_optimum_is_certified_and_no_budgets_beat_it():
    g = np.random.default_rng(0)
    w = plain_workload(1)
    seen = tq.seen_classes(w, router(g, 5, 3))
    best = tq.solve(seen)
    assert best.gap <= 1e-9 * max(1, abs(best.objective))
    for _ in range(200):
        tried = best.tokens * g.uniform(0, 2, 3)
        if tq.utilization(seen, tried) < 1:
            assert tq.objective(seen, tried) <= best.upper_bound


def test_a_router_that_never_errs_changes_nothing_and_a_worse_one_never_helps():
    g = np.random.default_rng(3)
    for seed in range(5):
        w = plain_workload(seed).replace(accuracy_weight=3000.0)
        sure = tq.solve(w)
        same = tq.solve(tq.seen_classes(w, np.eye(5)))
        assert same.objective == pytest.approx(sure.objective, rel=1e-10)
        table = router(g, 5, 4)
        some = tq.solve(tq.seen_classes(w, table))
        less = tq.solve(tq.seen_classes(w, table @ router(g, 4, 3)))
        none = tq.solve(tq.seen_classes(w, np.ones((5, 1))))
        assert sure.objective + 1e-9 >= some.objective >= less.objective - 1e-9
        assert less.objective >= none.objective - 1e-9
        assert sure.objective > none.objective + 1e-6


def test_the_mean_of_the_curves_alone_is_not_enough():
    # negative control: a class with the mean service time of its types, but certain
    w = plain_workload(2)
    table = np.ones((5, 1))
    seen = tq.seen_classes(w, table)
    flat = Workload.from_arrays(
        share=[1.0], accuracy=seen.curves, base_time=[w.share @ w.base_time],
        time_per_token=[w.share @ w.time_per_token], arrival_rate=w.arrival_rate,
        accuracy_weight=w.accuracy_weight,
    )  # fmt: skip
    at = np.array([800.0])
    lost = float(tq.mean_system_time(seen, at) - tq.mean_system_time(flat, at))
    assert lost > 1e-3 * float(tq.mean_system_time(seen, at))


def test_draws_have_the_moments():
    w = plain_workload(4)
    g = np.random.default_rng(9)
    seen = tq.seen_classes(w, router(g, 5, 2))
    ell = np.array([300.0, 2000.0])
    kinds = np.repeat([0, 1], 40_000)
    drawn = seen.service.draw(ell, kinds, np.random.default_rng(1))
    moments = seen.service.moments(ell)
    for c in range(2):
        mine = drawn[kinds == c]
        error = 5 * mine.std() / 200
        assert abs(mine.mean() - moments.mean[c]) < error
        assert abs((mine**2).mean() - moments.square[c]) < 5 * (mine**2).std() / 200


def test_batching_feels_the_means():
    w = batching_workload(tq.Batching(LINE), answer_tokens=[50.0, 100, 200, 400, 800])
    table = router(np.random.default_rng(0), 5, 2)
    seen = tq.seen_classes(w, table)
    n = 2
    pairs = w.replace(
        share=(w.share[:, None] * table).ravel(), names=None,
        **{name: np.repeat(getattr(w, name), n) for name in
           ("gain", "rate", "baseline", "max_tokens", "weight", "answer_tokens", "prompt_time",
            "prompt_tokens")},
    )  # fmt: skip
    ell = np.array([500.0, 3000.0])
    assert tq.objective(seen, ell) == pytest.approx(tq.objective(pairs, np.tile(ell, 5)), rel=1e-12)
    with pytest.raises(WorkloadError, match="more than the mean lengths"):
        tq.seen_classes(batching_workload(tq.Batching(LINE, 3, "wait")), table)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (np.eye(4), "shape"),
        (np.full((5, 2), 0.6), "add up to 1"),
        (np.eye(5)[:, [0, 1, 2, 3, 4, 4]] * [1, 1, 1, 1, 1, 0], "never seen"),
        (np.array([[1.5, -0.5]] * 5), "probabilities"),
    ],
)
def test_a_table_that_is_none_is_refused(table, match):
    with pytest.raises(WorkloadError, match=match):
        tq.seen_classes(plain_workload(0), table)
    w = plain_workload(0).replace(accuracy=[tq.Hill(0.5, 900.0, 3.0)] * 5)
    with pytest.raises(WorkloadError, match="not concave"):
        tq.seen_classes(w, np.ones((5, 1)))
