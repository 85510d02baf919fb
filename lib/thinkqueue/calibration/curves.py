r"""Accuracy curves to choose from, with one interface.

Each curve is a mixture :math:`p(x) = \sum_v a_v g_v(x)` of known vertex curves on the simplex,
whose shape depends on at most two numbers :math:`\varphi`. Given :math:`\varphi` the binomial
likelihood is concave in the weights, so only the shape has to be searched for. Baseline :math:`D`
and gain :math:`A` of a curve :math:`D + A\,g(x)` are the weights of the constant 1 and of
:math:`g`; the weight left over is that of the constant 0, which is how :math:`A, D \ge 0` and
:math:`A + D \le 1` hold by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import expit

from thinkqueue.arrays import Array
from thinkqueue.calibration.mixture import ramp_vertices, step_vertices

Bounds = tuple[tuple[float, float], ...]


class Family:
    r"""A family of curves :math:`D + A\,g(x)`; the exceptions override :meth:`vertices`.

    Attributes
    ----------
    name : str
        The word for it in tables.
    concave : bool
        Whether every member is concave in the tokens.
    parameters : tuple of str
        The free parameters; empty where there are none to speak of.
    """

    name: ClassVar[str]
    concave: ClassVar[bool]
    parameters: ClassVar[tuple[str, ...]]

    def shape_bounds(self, tokens: Array) -> Bounds:
        """Return the range of each shape number that data at these tokens could tell apart.

        Parameters
        ----------
        tokens : ndarray, (n,)
            Measured points.
        """
        return ()

    def shape(self, shape: Array, tokens: Array) -> Array:
        """Return g, from 0 to 1, with the axis of the points last.

        Parameters
        ----------
        shape : ndarray, (..., S)
            Shape numbers.
        tokens : ndarray, (n,)
            Points.
        """
        return np.zeros((*shape.shape[:-1], tokens.size))

    def shape_slopes(self, shape: Array, tokens: Array) -> Array:
        """Return the derivatives of g in each shape number, (..., n, S).

        Parameters
        ----------
        shape : ndarray, (..., S)
            Shape numbers.
        tokens : ndarray, (n,)
            Points.
        """
        return np.zeros((*shape.shape[:-1], tokens.size, shape.shape[-1]))

    def vertices(self, shape: Array, tokens: Array) -> Array:
        """Return the vertex curves, (..., n, V): here the constants 0 and 1, and g.

        Parameters
        ----------
        shape : ndarray, (..., S)
            Shape numbers.
        tokens : ndarray, (n,)
            Points.
        """
        g = self.shape(shape, tokens)
        return np.stack([np.zeros_like(g), np.ones_like(g), g], axis=-1)

    def named(self, shape: Array, weights: Array) -> dict[str, float]:
        """Return one member's parameters by name.

        Parameters
        ----------
        shape : ndarray, (S,)
            Shape numbers.
        weights : ndarray, (V,)
            Weights of the vertex curves.
        """
        values = (weights[-1], *np.exp(shape), weights[1])
        return {name: float(value) for name, value in zip(self.parameters, values, strict=True)}


class ConstantCurve(Family):
    r""":math:`p(x) = D`: thinking buys nothing."""

    name = "constant"
    concave = True
    parameters = ("baseline",)

    def vertices(self, shape: Array, tokens: Array) -> Array:
        """Return the constants 0 and 1."""
        ones = np.ones((*shape.shape[:-1], tokens.size))
        return np.stack([np.zeros_like(ones), ones], axis=-1)

    def named(self, shape: Array, weights: Array) -> dict[str, float]:
        """Return the baseline."""
        return {"baseline": float(weights[1])}


class SaturatingCurve(Family):
    r""":math:`p(x) = D + A(1 - e^{-bx})`, the law of the model; shape number :math:`\ln b`."""

    name = "saturating"
    concave = True
    parameters = ("gain", "rate", "baseline")

    def shape_bounds(self, tokens: Array) -> Bounds:
        """Return from "a straight line to the last point" to "all gained before the first"."""
        return (_logarithms(tokens, 0.01, 30.0),)

    def shape(self, shape: Array, tokens: Array) -> Array:
        r"""Return :math:`1 - e^{-bx}`."""
        return np.asarray(-np.expm1(-np.exp(shape) * tokens))

    def shape_slopes(self, shape: Array, tokens: Array) -> Array:
        r"""Return :math:`b x e^{-bx}`."""
        steps = np.exp(shape) * tokens
        return np.asarray(steps * np.exp(-steps))[..., None]


class PowerLawCurve(Family):
    r""":math:`p(x) = D + A\,(1 - (1 + bx/\gamma)^{-\gamma})`, a power law of the error left.

    Shape numbers :math:`\ln b, \ln\gamma`.

    The error left falls like a power of the tokens. Its slope at 0 is :math:`Ab`, and the
    saturating law is its limit as :math:`\gamma \to \infty`.
    """

    name = "power law"
    concave = True
    parameters = ("gain", "rate", "exponent", "baseline")

    def shape_bounds(self, tokens: Array) -> Bounds:
        """Return wide bounds; an exponent beyond 30 is the saturating law."""
        low, high = _logarithms(tokens, 0.01, 300.0)
        return ((low, high), (float(np.log(0.05)), float(np.log(30.0))))

    def shape(self, shape: Array, tokens: Array) -> Array:
        r"""Return :math:`1 - (1 + bx/\gamma)^{-\gamma}`."""
        rate, exponent = np.exp(shape[..., :1]), np.exp(shape[..., 1:])
        return np.asarray(-np.expm1(-exponent * np.log1p(rate * tokens / exponent)))

    def shape_slopes(self, shape: Array, tokens: Array) -> Array:
        """Return the derivatives in ln b and ln γ."""
        rate, exponent = np.exp(shape[..., :1]), np.exp(shape[..., 1:])
        ratio = rate * tokens / exponent
        logarithm = np.log1p(ratio)
        left = exponent * np.exp(-exponent * logarithm)
        saturation = ratio / (1 + ratio)
        return np.stack([left * saturation, left * (logarithm - saturation)], axis=-1)


class HillCurve(Family):
    r""":math:`p(x) = D + A\,x^h / (x^h + m^h)`; shape numbers :math:`\ln m, \ln h`.

    Concave for :math:`h \le 1`, S-shaped beyond. It is also the logistic curve in :math:`\ln x`
    with a free floor and a free ceiling.
    """

    name = "Hill"
    concave = False
    parameters = ("gain", "midpoint", "steepness", "baseline")

    def shape_bounds(self, tokens: Array) -> Bounds:
        """Return midpoints around the measured points and steepness from 1/3 to 12."""
        low, high = _logarithms(tokens, 1 / 30, 100.0)
        return ((-high, -low), (float(np.log(1 / 3)), float(np.log(12.0))))

    def shape(self, shape: Array, tokens: Array) -> Array:
        r"""Return :math:`x^h / (x^h + m^h)`, which is 0 at 0."""
        return np.asarray(expit(self._argument(shape, tokens)))

    def shape_slopes(self, shape: Array, tokens: Array) -> Array:
        """Return the derivatives in ln m and ln h."""
        argument = self._argument(shape, tokens)
        bell = expit(argument) * expit(-argument)
        steepness = np.exp(shape[..., 1:])
        return np.stack([-steepness * bell, argument * bell], axis=-1)

    @staticmethod
    def _argument(shape: Array, tokens: Array) -> Array:
        # the floor of the logarithm stands for 0 tokens: e^{-700 h} is nothing, yet finite
        logarithm = np.log(np.maximum(tokens, 1e-300))
        return np.asarray(np.exp(shape[..., 1:]) * (logarithm - shape[..., :1]))


class LogisticCurve(Family):
    r""":math:`\operatorname{logit} p(x) = \beta_0 + \beta_1 \ln(1 + x)`, from 0 to 1.

    Logistic regression on log-tokens, :math:`\beta_1 \ge 0`: S-shaped in the tokens for
    :math:`\beta_1 > 1`. The likelihood is concave in both numbers.
    """

    name = "logistic"
    concave = False
    parameters = ("intercept", "slope")

    _CENTRE: ClassVar[float] = 7.0
    """The first shape number is the logit at e⁷ ≈ 1,100 tokens, which data pin down far better than
    the logit at 0."""

    def shape_bounds(self, tokens: Array) -> Bounds:
        """Return bounds that no data with a likelihood maximum inside would reach."""
        return ((-30.0, 30.0), (0.0, 12.0))

    def shape(self, shape: Array, tokens: Array) -> Array:
        """Return the curve itself."""
        return np.asarray(expit(shape[..., :1] + shape[..., 1:] * self._logarithm(tokens)))

    def shape_slopes(self, shape: Array, tokens: Array) -> Array:
        """Return the derivatives in the logit at the centre and the slope."""
        p = self.shape(shape, tokens)
        directions = np.stack([np.ones_like(tokens), self._logarithm(tokens)], axis=-1)
        return np.asarray((p * (1 - p))[..., None] * directions)

    def _logarithm(self, tokens: Array) -> Array:
        return np.log1p(tokens) - self._CENTRE

    def vertices(self, shape: Array, tokens: Array) -> Array:
        """Return the curve as the only vertex."""
        return self.shape(shape, tokens)[..., None]

    def named(self, shape: Array, weights: Array) -> dict[str, float]:
        """Return intercept and slope."""
        return {
            "intercept": float(shape[0] - self._CENTRE * shape[1]),
            "slope": float(shape[1]),
        }


@dataclass(frozen=True)
class ConcaveCurve(Family):
    """Every concave nondecreasing curve on [0, ∞): a mixture of ramps to the knots.

    Parameters
    ----------
    knots : tuple of float
        The measured points, distinct and ascending.
    """

    knots: tuple[float, ...]
    name: ClassVar[str] = "any concave"
    concave: ClassVar[bool] = True
    parameters: ClassVar[tuple[str, ...]] = ()

    def vertices(self, shape: Array, tokens: Array) -> Array:
        """Return the constants 0 and 1, and a ramp to each knot."""
        return np.broadcast_to(
            ramp_vertices(tokens, np.asarray(self.knots)),
            (*shape.shape[:-1], tokens.size, 2 + sum(k > 0 for k in self.knots)),
        )

    def named(self, shape: Array, weights: Array) -> dict[str, float]:
        """Return nothing: the curve is its values."""
        return {}


@dataclass(frozen=True)
class MonotoneCurve(Family):
    """Every nondecreasing curve: a mixture of steps at the knots.

    Parameters
    ----------
    knots : tuple of float
        The measured points, distinct and ascending.
    """

    knots: tuple[float, ...]
    name: ClassVar[str] = "any monotone"
    concave: ClassVar[bool] = False
    parameters: ClassVar[tuple[str, ...]] = ()

    def vertices(self, shape: Array, tokens: Array) -> Array:
        """Return the constant 0, and a step at each knot."""
        return np.broadcast_to(
            step_vertices(tokens, np.asarray(self.knots)),
            (*shape.shape[:-1], tokens.size, 1 + len(self.knots)),
        )

    def named(self, shape: Array, weights: Array) -> dict[str, float]:
        """Return nothing: the curve is its values."""
        return {}


CONSTANT, SATURATING = ConstantCurve(), SaturatingCurve()
POWER_LAW, HILL, LOGISTIC = PowerLawCurve(), HillCurve(), LogisticCurve()
PARAMETRIC: tuple[Family, ...] = (CONSTANT, SATURATING, POWER_LAW, LOGISTIC, HILL)
"""The curves that are compared by AICc."""


def _logarithms(tokens: Array, low: float, high: float) -> tuple[float, float]:
    """Return ln(low / last point) and ln(high / first positive point)."""
    positive = tokens[tokens > 0]
    if positive.size == 0:
        return (np.log(low), np.log(high))
    return float(np.log(low / positive.max())), float(np.log(high / positive.min()))
