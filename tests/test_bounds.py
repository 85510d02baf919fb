"""What is called certain must be: the tangent bound, the map, the contraction modulus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import UnstableError, Workload, WorkloadError
from thinkqueue.arrays import Array
from thinkqueue.bounds import modulus
from workloads import hard_workload, hard_workloads, plain_workload, plain_workloads, stable_tokens

Price = Callable[[Workload, Array], Array]


# the tangent bound


def bound_by_the_book(w: Workload, x: Array, price: Price = tq.queueing_price) -> float:
    """U as it is written in the model: one maximum a type, found where the slope is zero."""
    slope = w.share * w.time_per_token * price(w, x)
    worth = w.accuracy_weight * w.weight * w.share
    with np.errstate(divide="ignore"):
        best = np.log(worth * w.gain * w.rate / slope) / w.rate
    best = np.clip(best, 0, w.max_tokens)
    tops = worth * tq.accuracy(w, best) - slope * best
    return float(tops.sum() - tq.mean_system_time(w, x) + slope @ x)


def size_of_terms(w: Workload, x: Array) -> float:
    """The magnitude that rounding errors of U and J are relative to."""
    y = 1 - float(tq.utilization(w, x))
    cost = w.share * w.time_per_token * tq.queueing_price(w, x)
    worth = w.accuracy_weight * float((w.weight * w.share * (w.gain + w.baseline)).sum())
    return worth + float(tq.mean_system_time(w, x) + cost @ (x + tq.fixed_point_map(w, x))) / y


def worst_violation(
    bound: Callable[[Workload, Array], float], workloads: int, allocations: int, seed: int
) -> float:
    """How far J at one allocation rises above the bound from another, at worst.

    Relative to the terms that both are sums of; at most rounding if the bound is one.
    """
    g = np.random.default_rng(seed)
    worst = -np.inf
    for w in hard_workloads(workloads, seed):
        points = [stable_tokens(w, g) for _ in range(allocations)]
        points.append(tq.solve(w).tokens)
        values = tq.objective(w, np.array(points))
        for x in points:
            excess = float(values.max()) - float(bound(w, x))
            worst = max(worst, excess / (size_of_terms(w, x) + np.abs(values).max()))
    return worst


def test_no_allocation_beats_the_bound():
    assert worst_violation(tq.upper_bound, 250, 12, seed=0) < 1e-13


def test_the_bound_as_it_is_written_passes_too():
    assert worst_violation(bound_by_the_book, 60, 6, seed=1) < 1e-13


def without_other_queries(w: Workload, x: Array) -> Array:
    """A wrong price: a second of service costs its own second and no more."""
    return np.ones(len(w))


def without_own_length(w: Workload, x: Array) -> Array:
    """A wrong price: λ s/y, by which a long service delays more, is forgotten."""
    y = 1 - tq.utilization(w, x)
    return tq.queueing_price(w, x) - w.arrival_rate * tq.service_time(w, x) / y


def without_the_half(w: Workload, x: Array) -> Array:
    """A wrong price: λ² M / y² for λ² M / (2 y²)."""
    second, y = tq.service_moments(w, x)[1], 1 - tq.utilization(w, x)
    return tq.queueing_price(w, x) + w.arrival_rate**2 * second / (2 * y**2)


@pytest.mark.parametrize("price", [without_other_queries, without_own_length, without_the_half])
def test_a_wrong_price_breaks_the_bound(price):
    def wrong(w, x):
        return bound_by_the_book(w, x, price)

    assert worst_violation(wrong, 60, 6, seed=1) > 1e-6


def test_the_gap_is_never_negative_and_the_bound_is_the_written_one():
    g = np.random.default_rng(2)
    for w in hard_workloads(400, seed=2):
        x = stable_tokens(w, g)
        gap = float(tq.upper_bound(w, x) - tq.objective(w, x))
        assert gap >= 0
        written = bound_by_the_book(w, x) - float(tq.objective(w, x))
        assert abs(gap - written) <= 1e-11 * size_of_terms(w, x)


def test_the_gap_closes_only_at_the_optimum():
    g = np.random.default_rng(3)
    for w in plain_workloads(30, seed=3):
        best = tq.solve(w, gap=1e-12)
        assert float(tq.upper_bound(w, best.tokens)) - best.objective < 1e-9
        away = np.minimum(best.tokens + g.uniform(50, 100, len(w)), w.max_tokens)
        if tq.utilization(w, away) < 1:
            assert tq.upper_bound(w, away) - tq.objective(w, away) > 1e-6


def test_the_gap_shrinks_as_the_square_of_the_distance():
    w = plain_workload(4, 5)
    best = tq.solve(w, gap=1e-13).tokens
    inner = (best > 1) & (best < w.max_tokens - 1)
    ratio = [
        float(tq.upper_bound(w, best - h * inner) - tq.objective(w, best - h * inner)) / h**2
        for h in (1e-1, 1e-2)
    ]
    np.testing.assert_allclose(ratio[0], ratio[1], rtol=1e-2)


# the map


def test_the_map_answers_each_price_with_the_best_budget():
    g = np.random.default_rng(5)
    for w in plain_workloads(40, seed=5):
        x = stable_tokens(w, g)
        best = tq.fixed_point_map(w, x)
        slope = w.share * w.time_per_token * tq.queueing_price(w, x)
        worth = w.accuracy_weight * w.weight * w.share

        def profit(tokens, w=w, slope=slope, worth=worth):
            return worth * tq.accuracy(w, tokens) - slope * tokens

        tried = np.linspace(0, w.max_tokens, 2001)
        assert (profit(best) >= profit(tried).max(axis=0) - 1e-12 * np.abs(profit(best))).all()


def test_the_optimum_is_a_fixed_point_and_stays_within_the_caps():
    for w in hard_workloads(100, seed=6):
        x = tq.fixed_point_map(w, np.zeros(len(w)))
        assert ((x >= 0) & (x <= w.max_tokens)).all()
    for w in plain_workloads(40, seed=6):
        best = tq.solve(w, gap=1e-13, throw=False).tokens
        moved = np.abs(tq.fixed_point_map(w, best) - best)
        # F magnifies an error of the tokens by its Lipschitz constant
        kappa = tq.contraction_modulus(w, best, best)
        assert moved.max() <= 1e-6 * (1 + kappa) * (1 + best.max())


def test_what_is_worth_nothing_gets_nothing():
    w = plain_workload(7, 4).replace(gain=[0, 0.5, 0.5, 0.5], weight=[1, 0, 1, 1])
    np.testing.assert_array_equal(tq.fixed_point_map(w, np.zeros(4))[:2], 0)
    nothing = w.replace(accuracy_weight=0)
    np.testing.assert_array_equal(tq.fixed_point_map(nothing, np.zeros(4)), 0)
    np.testing.assert_allclose(
        tq.upper_bound(nothing, np.zeros(4)), tq.objective(nothing, np.zeros(4)), rtol=1e-15
    )


# contraction


def boxes(count: int, seed: int):
    """Workloads with a stable box, none of them empty."""
    g = np.random.default_rng(seed)
    for w in plain_workloads(count, seed):
        top = stable_tokens(w, g, load=g.uniform(0.05, 0.9))
        if top.any():
            yield w, top * g.uniform(), top, g


def lipschitz_excess(
    modulus: Callable[[Workload, Array, Array], float], count: int, seed: int
) -> float:
    """The largest ratio of an observed Lipschitz quotient of F to the modulus."""
    worst = 0.0
    for w, low, high, g in boxes(count, seed):
        kappa = modulus(w, low, high)
        for _ in range(10):
            x, z = low + g.uniform(size=(2, len(w))) * (high - low)
            for a, b in ((x, z), (low, high)):
                # where nothing is clipped, the logarithm of the price is all that moves F
                q = np.log(tq.queueing_price(w, np.array([a, b])))
                moved = np.abs((q[1] - q[0]) / w.rate).max()
                worst = max(worst, moved / np.abs(a - b).max() / kappa)
    return worst


def test_the_modulus_bounds_every_observed_quotient():
    assert lipschitz_excess(tq.contraction_modulus, 150, 8) <= 1


def test_the_modulus_is_sharp_on_small_cubes():
    w = plain_workload(9, 4)
    x = stable_tokens(w, np.random.default_rng(9), load=0.6)
    cube = x + 1e-4
    q = np.log(tq.queueing_price(w, np.array([x, cube])))
    observed = ((q[1] - q[0]) / w.rate).max() / 1e-4
    np.testing.assert_allclose(observed, tq.contraction_modulus(w, x, cube), rtol=1e-4)


def quotient_on_a_cube(modulus: Callable[[Workload, Array, Array], float]) -> float:
    """The largest observed quotient over the modulus on small cubes, where it is 1 if it is one."""
    g = np.random.default_rng(10)
    worst = 0.0
    for w in plain_workloads(40, seed=10):
        x = stable_tokens(w, g, load=g.uniform(0.05, 0.9))
        q = np.log(tq.queueing_price(w, np.array([x, x + 1e-4])))
        observed = ((q[1] - q[0]) / w.rate).max() / 1e-4
        worst = max(worst, observed / modulus(w, x, x + 1e-4))
    return worst


def test_a_modulus_that_forgets_a_term_fails_that_check():
    def forgetful(w, low, high):
        y, second = 1 - tq.utilization(w, high), tq.service_moments(w, high)[1]
        u = float(w.share @ w.time_per_token)
        last = w.arrival_rate**3 * second * u / y**3
        lost = last / (w.rate * tq.queueing_price(w, low))
        return tq.contraction_modulus(w, low, high) - lost.max()

    assert quotient_on_a_cube(tq.contraction_modulus) < 1 + 1e-5
    assert quotient_on_a_cube(forgetful) > 1.1


def test_below_one_plain_iteration_converges_at_that_rate():
    tried = 0
    for w in plain_workloads(60, seed=11):
        w = w.replace(accuracy_weight=w.accuracy_weight / 30, arrival_rate=w.arrival_rate / 30)
        top = tq.fixed_point_map(w, np.zeros(len(w)))
        if tq.utilization(w, top) >= 1:
            continue
        kappa = tq.contraction_modulus(w, np.zeros(len(w)), top)
        if kappa >= 1:
            continue
        tried += 1
        x, best = np.zeros(len(w)), tq.solve(w, gap=1e-13, throw=False).tokens
        error = np.abs(x - best).max()
        for _ in range(20):
            x = tq.fixed_point_map(w, x)
            after = np.abs(x - best).max()
            assert after <= kappa * error + 1e-3
            error = after
    assert tried >= 5


def test_the_modulus_grows_with_the_box():
    for w, low, high, _ in boxes(50, 12):
        assert tq.contraction_modulus(w, low, high) >= tq.contraction_modulus(w, high, high)
        assert tq.contraction_modulus(w, low, high) >= tq.contraction_modulus(w, low, low)


# the door


def test_bad_boxes_and_allocations_are_refused():
    w = plain_workload(13, 3)
    with pytest.raises(WorkloadError, match=r"lower is 5 tokens.*'type 2'.*swap"):
        tq.contraction_modulus(w, [0, 5, 0], [1, 1, 1])
    with pytest.raises(WorkloadError, match=r"lower is 7 tokens.*'type 3'.*swap"):
        tq.contraction_modulus(w, [0, 1, 7], [1, 1, 6])
    with pytest.raises(UnstableError, match="must be below 1"):
        tq.contraction_modulus(w, np.zeros(3), np.full(3, 1e9))
    for corners in ((np.zeros((2, 3)), np.ones(3)), (np.zeros(3), np.ones((2, 3)))):
        with pytest.raises(WorkloadError):
            tq.contraction_modulus(w, *corners)
    capped = tq.capped(w, tq.Exponential(np.full(3, 500.0)))
    with pytest.raises(WorkloadError, match="The contraction modulus"):
        tq.contraction_modulus(capped, np.zeros(3), np.ones(3))
    for of in (tq.upper_bound, tq.fixed_point_map):
        with pytest.raises(WorkloadError, match="its max_tokens"):
            of(w, [0, 0, 40000])
        with pytest.raises(UnstableError, match="must be below 1"):
            of(w.replace(arrival_rate=0.9 / float(w.share @ w.base_time)), w.max_tokens)


def test_extremes_give_numbers_and_no_warning():
    g = np.random.default_rng(14)
    for w in hard_workloads(150, seed=14):
        for x in (np.zeros(len(w)), stable_tokens(w, g, load=1 - 1e-5)):
            assert np.isfinite(tq.upper_bound(w, x))
            assert np.isfinite(tq.gradient(w, x)).all()
            assert np.isfinite(tq.contraction_modulus(w, x, x))
            assert tq.strong_concavity_modulus(w, x) >= 0
    assert hard_workload(0) == hard_workload(0)


def test_the_moduli_of_many_boxes_are_those_of_each():
    w = plain_workload(16, 3)
    low = np.array([[0.0, 0, 0], [1, 2, 3]])
    high = low + np.array([[1.0, 2, 3], [4, 4, 4]])
    many = modulus(w, low, high)
    assert many.shape == (2, 1)
    for k in range(2):
        assert many[k, 0] == pytest.approx(tq.contraction_modulus(w, low[k], high[k]), rel=1e-13)


def test_the_curvature_that_is_promised_is_the_written_one():
    for w in plain_workloads(10, seed=17):
        x = np.full(5, 20.0)
        s = w.base_time + w.time_per_token * x
        slack, second = 1 - w.arrival_rate * w.share @ s, w.share @ s**2
        least = (w.share * w.time_per_token**2).min() * w.arrival_rate / slack
        expected = least / (1 + w.arrival_rate * np.sqrt(second)) ** 2
        assert tq.strong_concavity_modulus(w, x) == pytest.approx(expected, rel=1e-12)
