import numpy as np
import pytest
from scipy.optimize import isotonic_regression, minimize

from calibration.designs import TOKENS, TOTAL, simulated
from thinkqueue.calibration.mixture import (
    log_likelihood,
    maximise_mixture,
    ramp_vertices,
    step_vertices,
)


def test_steps_give_the_pooled_proportions_of_isotonic_regression():
    counts = simulated(3, size=50, probability=np.array([0.5, 0.3, 0.6, 0.55, 0.9, 0.7]))
    found = maximise_mixture(step_vertices(TOKENS, TOKENS), counts, TOTAL)
    fitted = found.weights @ step_vertices(TOKENS, TOKENS).T
    for row, k in zip(fitted, counts, strict=True):
        pooled = isotonic_regression(k / TOTAL, weights=TOTAL).x
        np.testing.assert_allclose(row, pooled, atol=2e-6)


# an older SciPy says so of its own steps
@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")
def test_ramps_agree_with_slsqp_on_the_concave_cone():
    counts = simulated(4, probability=np.array([0.2, 0.25, 0.5, 0.52, 0.8, 0.81]))
    ramps = ramp_vertices(TOKENS, TOKENS)
    found = maximise_mixture(ramps, counts, TOTAL)
    slopes = np.diff(np.eye(6), axis=0) / np.diff(TOKENS)[:, None]
    constraints = [
        {"type": "ineq", "fun": lambda p: slopes[-1] @ p * 1e3},
        {"type": "ineq", "fun": lambda p: (slopes[:-1] - slopes[1:]) @ p * 1e3},
    ]
    other = minimize(
        lambda p: -log_likelihood(p, counts, TOTAL),
        np.linspace(0.3, 0.7, 6),
        method="SLSQP",
        bounds=[(1e-6, 1 - 1e-6)] * 6,
        constraints=constraints,
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    np.testing.assert_allclose(ramps @ found.weights, other.x, atol=2e-4)
    assert found.log_likelihood >= -other.fun - 1e-6


def test_the_gap_is_a_certificate_and_is_small():
    rng = np.random.default_rng(5)
    vertices = rng.uniform(size=(200, 5, 4))
    counts = rng.integers(0, 41, size=(200, 5)).astype(float)
    found = maximise_mixture(vertices, counts, np.full(5, 40.0))
    assert found.gap.max() < 1e-6
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1.0, atol=1e-12)
    assert found.weights.min() >= 0
    for _ in range(50):
        other = rng.dirichlet(np.ones(4), size=200)
        value = log_likelihood(np.einsum("bpv,bv->bp", vertices, other), counts, 40.0)
        assert (value <= found.log_likelihood + found.gap + 1e-9).all()


def test_a_wrong_weight_has_a_gap_that_shows_it():
    # negative control: one vertex alone is far from the maximum, and its slope says so
    vertices = np.array([[0.1, 0.9], [0.2, 0.8]])
    found = maximise_mixture(vertices, np.array([20.0, 20.0]), np.array([40.0, 40.0]))
    alone = log_likelihood(vertices[:, 0], np.array([20.0, 20.0]), 40.0)
    assert found.log_likelihood - alone > 10


@pytest.mark.parametrize(("correct", "expected"), [(0.0, 0.0), (40.0, 1.0)])
def test_all_wrong_and_all_right_sit_in_a_corner(correct, expected):
    vertices = np.stack([np.zeros(4), np.ones(4), np.linspace(0.1, 0.9, 4)], axis=-1)
    found = maximise_mixture(vertices, np.full(4, correct), np.full(4, 40.0))
    np.testing.assert_allclose(vertices @ found.weights, expected, atol=1e-9)
    assert abs(found.log_likelihood) < 1e-6
