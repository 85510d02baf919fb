"""Accuracy curves: closed forms, differences, and replies that nothing on a fine grid beats."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import WorkloadError
from thinkqueue.arrays import Array
from thinkqueue.objective import Answers
from thinkqueue.workload import Curve, Hill, Interpolated, Logistic, PowerLaw, Saturating
from thinkqueue.workload.accuracy import bisect, together

CURVES: list[Curve] = [
    Saturating(0.6, 1e-3, 0.1),
    PowerLaw(0.6, 1e-3, 0.7, 0.1),
    PowerLaw(0.9, 1e-2, 12.0),
    Hill(0.7, 800.0, 3.0, 0.05),
    Hill(0.7, 800.0, 0.6, 0.05),
    Logistic(-9.0, 1.4),
    Logistic(-3.0, 0.4),
    Interpolated((0.0, 256.0, 1024.0, 8192.0), (0.2, 0.5, 0.6, 0.62)),
    Interpolated((0.0, 256.0, 1024.0, 8192.0), (0.2, 0.25, 0.6, 0.5)),
    Interpolated((256.0, 1024.0, 8192.0), (0.2, 0.5, 0.6)),
]
SMOOTH = [curve for curve in CURVES if not isinstance(curve, Interpolated)]
PLACES = np.array([0.0, 1.0, 30.0, 400.0, 2500.0, 20000.0])


def test_closed_forms():
    np.testing.assert_allclose(Saturating(0.6, 1e-3, 0.1)(1000), 0.1 + 0.6 * (1 - np.exp(-1)))
    np.testing.assert_allclose(PowerLaw(0.6, 1e-3, 1.0, 0.1)(1000), 0.1 + 0.3)
    np.testing.assert_allclose(Hill(0.6, 500.0, 2.0, 0.1)(500), 0.4)
    np.testing.assert_allclose(Logistic(-2.0, 1.0)(np.expm1(2)), 0.5)
    np.testing.assert_allclose(Interpolated((0, 100), (0.2, 0.4))(50), 0.3)


def test_starts_at_the_baseline_and_ends_at_baseline_plus_gain():
    p = Saturating(gain=0.6, rate=1e-3, baseline=0.1)
    np.testing.assert_allclose(p([0, 1e3, 1e9]), [0.1, 0.7 - 0.6 / np.e, 0.7], rtol=1e-15)


def test_keeps_the_shape_of_the_tokens():
    p = Saturating(gain=0.6, rate=1e-3)
    assert p(3).shape == ()
    assert p(np.ones((2, 3))).shape == (2, 3)


def test_rises_with_diminishing_returns():
    values = Saturating(gain=0.6, rate=1e-3, baseline=0.1)(np.linspace(0, 1e4, 101))
    assert (np.diff(values) > 0).all()
    assert (np.diff(values, 2) < 0).all()


def small_rate_error(curve) -> float:
    """Relative error of p(1) − D at b = 1e-12, where p(ℓ) − D = A b ℓ to twelve digits."""
    return abs(curve(0.5, 1e-12, 1.0) / 0.5e-12 - 1)


def test_small_rates_keep_their_digits():
    assert small_rate_error(lambda a, b, x: Saturating(a, b)(x)) < 1e-11


def test_the_naive_formula_fails_that_check():
    assert small_rate_error(lambda a, b, x: a * (1 - np.exp(-b * x))) > 1e-6


def test_is_frozen():
    with pytest.raises(AttributeError):
        Saturating(0.5, 1e-3).gain = 0.6


def test_a_power_law_of_a_large_exponent_is_the_saturating_law():
    far, law = PowerLaw(0.6, 1e-3, 1e9, 0.1), Saturating(0.6, 1e-3, 0.1)
    np.testing.assert_allclose(far(PLACES), law(PLACES), rtol=1e-6)


@pytest.mark.parametrize("curve", SMOOTH, ids=repr)
def test_slope_and_bend_are_differences_of_the_value(curve: Curve):
    x = PLACES[1:]
    h = 1e-4 * x
    np.testing.assert_allclose(
        curve.slope(x), (curve.value(x + h) - curve.value(x - h)) / (2 * h), rtol=1e-5, atol=1e-14
    )
    np.testing.assert_allclose(
        curve.bend(x), -(curve.slope(x + h) - curve.slope(x - h)) / (2 * h), rtol=1e-5, atol=1e-16
    )


@pytest.mark.parametrize("curve", CURVES, ids=repr)
def test_nothing_is_better_than_the_reply(curve: Curve):
    tried = np.concatenate([np.linspace(0, 9000, 20001), np.geomspace(9000, 30000, 2000)])
    for price in np.geomspace(1e-7, 1e-2, 25):
        for low, high in ((0.0, 30000.0), (300.0, 5000.0), (0.0, 0.0)):
            at = float(curve.reply(np.array([price]), np.array([low]), np.array([high]))[0])
            assert low <= at <= high
            inside = tried[(tried >= low) & (tried <= high)]
            rival = (curve.value(inside) - price * inside).max() if inside.size else -np.inf
            assert curve.value(np.array(at)) - price * at >= rival - 1e-12


def test_where_tokens_are_worth_nothing_the_reply_is_none():
    for curve in CURVES:
        assert curve.reply(np.array([np.inf]), np.zeros(1), np.full(1, 1e4))[0] == 0


@pytest.mark.parametrize(
    ("curve", "concave"),
    list(
        zip(
            CURVES,
            [True, True, True, False, False, False, False, True, False, False],
            strict=True,
        )
    ),
    ids=repr,
)
def test_a_curve_knows_whether_it_is_concave(curve: Curve, concave: bool):
    assert curve.concave == concave
    if concave:
        x = np.linspace(0, 2e4, 400)
        assert (np.diff(curve.value(x), 2) <= 1e-12).all()


def test_the_general_response_agrees_with_the_closed_form():
    law = Saturating(np.array([0.6, 0.3]), np.array([1e-3, 1e-4]), np.zeros(2))
    w = tq.Workload.from_arrays(
        share=[0.5, 0.5], accuracy=law, base_time=0.1, time_per_token=0.01,
        arrival_rate=0.01, accuracy_weight=300.0,
    )  # fmt: skip
    tokens, price = np.array([100.0, 9000.0]), np.array([0.02, 0.011])
    general = Curve.respond(law, np.full(2, 300.0), price, tokens, w.max_tokens)
    fast, _ = Answers.of(w).respond(tokens, price)
    for name in ("step", "gain", "slope"):
        np.testing.assert_allclose(getattr(general, name), getattr(fast, name), rtol=1e-9)
    # the second type's reply is its cap: its own bend stands for what lies beyond
    np.testing.assert_allclose(general.bend[0], fast.bend[0], rtol=1e-9)
    np.testing.assert_allclose(general.bend[1], 300 * law.bend(tokens)[1], rtol=1e-12)


def mixed() -> list[Curve]:
    return [CURVES[0], CURVES[1], CURVES[7], CURVES[1], CURVES[5]]


def test_many_curves_are_each_of_them():
    curves = mixed()
    joint, x = together(curves), np.array([10.0, 300.0, 700.0, 5000.0, 900.0])
    price, zero, cap = np.full(5, 3e-5), np.zeros(5), np.full(5, 1e4)
    for k, curve in enumerate(curves):
        one = np.array([k])
        assert joint.pick(k) == curve
        np.testing.assert_array_equal(joint.value(x)[k], curve.value(x[one])[0])
        np.testing.assert_array_equal(joint.slope(x)[k], curve.slope(x[one])[0])
        np.testing.assert_array_equal(
            joint.reply(price, zero, cap)[k], curve.reply(price[one], zero[one], cap[one])[0]
        )
    assert not joint.concave
    assert together(curves[:4]).concave


def test_curves_of_one_kind_become_arrays():
    joint = together([Hill(0.5, 100.0, 2.0), Hill(0.4, 200.0, 3.0)])
    assert isinstance(joint, Hill)
    np.testing.assert_array_equal(joint.midpoint, [100, 200])


class Own(Curve):
    """A reader's own curve: p = 1 − 1/√(1 + x/m), in a class without fields."""

    def value(self, tokens: Array) -> Array:
        return 1 - (1 + tokens / 500) ** -0.5

    def slope(self, tokens: Array) -> Array:
        return (1 + tokens / 500) ** -1.5 / 1000

    def bend(self, tokens: Array) -> Array:
        return 1.5 * (1 + tokens / 500) ** -2.5 / 500_000


def test_a_curve_of_ones_own_needs_three_lines_and_is_solved_with_proof():
    own = tq.Workload(
        [tq.TaskType("own", 1.0, Own(), base_time=0.2, time_per_token=0.01)],
        arrival_rate=0.02,
        accuracy_weight=300.0,
    )
    known = own.replace(accuracy=[PowerLaw(1.0, 1e-3, 0.5)])  # the same law
    np.testing.assert_allclose(tq.solve(own).tokens, tq.solve(known).tokens, rtol=1e-6)
    assert tq.solve(own).gap <= 1e-9


def test_the_bisection_finds_a_root_any_number_of_decades_away():
    root = 10.0 ** np.arange(-3, 25)
    got = bisect(lambda x: -x, -root, np.zeros(root.size), np.full(root.size, 1e30))
    np.testing.assert_allclose(got, root, rtol=1e-12)


@pytest.mark.parametrize(
    ("accuracy", "says"),
    [
        ([Saturating(0.5, 1e-3)], "1 curves; there are 2"),
        ("saturating", "accuracy"),
        ([Saturating(0.5, 1e-3), 0.7], "accuracy of task type.*0.7"),
        ([Hill(2.0, 100.0, 2.0), Hill(0.5, 100.0, 2.0)], "must lie between 0 and 1"),
        ([Saturating(1.5, 1e-3), Saturating(0.5, 1e-3)], "gain of task type 'type 1' is 1.5"),
    ],
)
def test_what_is_no_accuracy_is_refused(accuracy, says):
    with pytest.raises(WorkloadError, match=says):
        tq.Workload.from_arrays(
            share=[0.5, 0.5], accuracy=accuracy, base_time=0.1, time_per_token=0.01,
            arrival_rate=0.01, accuracy_weight=300.0,
        )  # fmt: skip


def test_a_curve_is_given_once():
    with pytest.raises(WorkloadError, match="both are given"):
        tq.Workload.from_arrays(
            share=[1.0], gain=0.5, rate=1e-3, baseline=0.0, accuracy=[Saturating(0.5, 1e-3)],
            base_time=0.1, time_per_token=0.01, arrival_rate=0.01, accuracy_weight=300.0,
        )  # fmt: skip
    with pytest.raises(WorkloadError, match="rate, baseline missing"):
        tq.Workload.from_arrays(
            share=[1.0], gain=0.5, base_time=0.1, time_per_token=0.01,
            arrival_rate=0.01, accuracy_weight=300.0,
        )  # fmt: skip


def test_symbols_of_the_usual_law_are_refused_where_it_is_another():
    w = tq.Workload(
        [tq.TaskType("S", 1.0, Hill(0.5, 100.0, 2.0), base_time=0.2, time_per_token=0.01)],
        arrival_rate=0.02,
        accuracy_weight=300.0,
    )
    with pytest.raises(WorkloadError, match="rate belongs to saturating curves"):
        _ = w.rate
