import numpy as np
import pytest

from thinkqueue.calibration.curves import (
    HILL,
    LOGISTIC,
    PARAMETRIC,
    POWER_LAW,
    SATURATING,
    ConcaveCurve,
    MonotoneCurve,
)

TOKENS = np.array([0.0, 100.0, 300.0, 1000.0, 5000.0])
FREE = (*PARAMETRIC, ConcaveCurve(tuple(TOKENS)), MonotoneCurve(tuple(TOKENS)))


def members(curve, count=40, seed=0):
    rng = np.random.default_rng(seed)
    bounds = curve.shape_bounds(TOKENS)
    return np.array([[rng.uniform(*b) for b in bounds] for _ in range(count)]).reshape(count, -1)


@pytest.mark.parametrize("curve", FREE, ids=lambda c: c.name)
def test_every_vertex_is_a_nondecreasing_accuracy(curve):
    grid = np.linspace(0, 6000, 200)
    vertices = curve.vertices(members(curve), grid)
    assert vertices.min() >= 0
    assert vertices.max() <= 1
    assert np.diff(vertices, axis=-2).min() >= -1e-12


@pytest.mark.parametrize("curve", [c for c in FREE if c.concave], ids=lambda c: c.name)
def test_curves_called_concave_are(curve):
    grid = np.linspace(0, 6000, 200)
    assert np.diff(curve.vertices(members(curve), grid), n=2, axis=-2).max() <= 1e-12


def test_curves_not_called_concave_can_bend_the_other_way():
    steep = HILL.shape(np.log([[800.0, 4.0]]), np.linspace(0, 6000, 200))
    assert np.diff(steep, n=2, axis=-1).max() > 1e-4


@pytest.mark.parametrize("curve", [SATURATING, POWER_LAW, HILL, LOGISTIC], ids=lambda c: c.name)
def test_slopes_agree_with_central_differences(curve):
    shapes = members(curve)
    exact = curve.shape_slopes(shapes, TOKENS)
    for j in range(shapes.shape[1]):
        shift = 1e-5 * np.eye(shapes.shape[1])[j]
        ahead, behind = (curve.shape(shapes + s, TOKENS) for s in (shift, -shift))
        np.testing.assert_allclose(exact[..., j], (ahead - behind) / 2e-5, atol=1e-7)


def test_the_power_law_tends_to_the_saturating_law():
    shape = np.array([[np.log(1e-3), np.log(1e7)]])
    expected = SATURATING.shape(np.array([[np.log(1e-3)]]), TOKENS)
    np.testing.assert_allclose(POWER_LAW.shape(shape, TOKENS), expected, atol=1e-5)


def test_hill_and_logistic_say_what_they_are_called_by():
    hill = HILL.named(np.log([700.0, 2.0]), np.array([0.1, 0.3, 0.6]))
    assert hill == pytest.approx(
        {"gain": 0.6, "midpoint": 700.0, "steepness": 2.0, "baseline": 0.3}
    )
    shape = np.array([0.4, 1.5])
    line = LOGISTIC.named(shape, np.ones(1))
    logit = line["intercept"] + line["slope"] * np.log1p(TOKENS)
    np.testing.assert_allclose(LOGISTIC.shape(shape, TOKENS), 1 / (1 + np.exp(-logit)), atol=1e-14)
