"""Accuracy curves: their shape, and their value where a naive formula loses it."""

from __future__ import annotations

import numpy as np
import pytest

from thinkqueue import Saturating


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
