r"""What a token buys: accuracy curves, one or many at once.

The fields of a curve may be numbers, or arrays with an entry for each task type: then it is the
curves of all types at once, and every method works on the last axis. A curve is asked for its
value, its slope and its bend, whether it is concave, and for its *reply* to a price, the global
maximiser of :math:`p(x) - \text{price}\cdot x` on an interval. A reader's own curve derives from
:class:`Curve` and needs a value, a slope and a bend; see the page "Extending the library".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import LARGEST, floats
from thinkqueue.errors import WorkloadError

BISECTIONS = 200
"""Halvings of an interval of tokens: more than doubles have digits, from any cap to any root."""


class Reply(NamedTuple):
    r"""How a type answers a price, seen from the tokens that it has.

    Attributes
    ----------
    step : ndarray, (..., N)
        From the present tokens to the maximiser of :math:`v\,p(x) - \text{price}\cdot x` on
        :math:`[0, \text{cap}]`.
    gain : ndarray, (..., N)
        How much better it is than the present tokens; not negative.
    slope : ndarray, (..., N)
        :math:`v\,p'(\ell) - \text{price}` at the present tokens.
    bend : ndarray, (..., N)
        The curvature, not negative, of the parabola with this slope here and its top at the reply
        (beyond the interval where the curve goes on): with frozen prices its top is exact.
    """

    step: Array
    gain: Array
    slope: Array
    bend: Array


class Curve:
    r"""Accuracy as a function of the thinking tokens, with diminishing returns or without.

    Attributes
    ----------
    concave : bool
        Whether every curve of this kind is concave. Where it is not, bounds stay valid and optima
        are local ones (``Status.LOCAL``).
    """

    concave: ClassVar[bool] = True

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`p(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        raise TypeError(f"{type(self).__name__} has no value; define it.")

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`p'(\ell)`, per token.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        raise TypeError(f"{type(self).__name__} has no slope; define it.")

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-p''(\ell)`, per token².

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        raise TypeError(f"{type(self).__name__} has no bend; define it.")

    def __call__(self, tokens: ArrayLike) -> Array:
        r"""Return the accuracy :math:`p(\ell)` at these tokens, an array of their shape.

        Parameters
        ----------
        tokens : array_like
            Thinking tokens :math:`\ell \ge 0`.
        """
        return np.asarray(self.value(np.asarray(tokens, dtype=np.float64)))

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        r"""Return the global maximiser of :math:`p(x) - \text{price}\cdot x` on an interval.

        For a concave curve the root of :math:`p'(x) = \text{price}`, by bisection; a curve that
        has it in closed form, or is not concave, defines its own.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token; infinite where tokens are worth nothing.
        low, high : ndarray, (..., N)
            The ends of the interval.
        """
        if not self.concave:
            raise TypeError(f"{type(self).__name__} is not concave; define its global reply.")
        return bisect(self.slope, price, low, high)

    def respond(self, worth: Array, price: Array, tokens: Array, cap: Array) -> Reply:
        r"""Answer a price from where the tokens are now; see :class:`Reply`.

        Parameters
        ----------
        worth : ndarray, (..., N)
            :math:`v`, what one unit of accuracy is worth, in s.
        price : ndarray, (..., N)
            Seconds a token.
        tokens : ndarray, (..., N)
            The present tokens, within the caps.
        cap : ndarray, (..., N)
            The largest tokens allowed.
        """
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            asked = np.where(worth > 0, price / worth, np.inf)
            best = self.reply(asked, np.zeros_like(tokens), cap + np.zeros_like(tokens))
            step = best - tokens
            gain = worth * (self.value(best) - self.value(tokens)) - price * step
            slope = worth * self.slope(tokens) - price
            own = worth * self.bend(tokens)
            secant = slope / step
            inside = (best > 0) & (best < cap) & np.isfinite(secant) & (secant > 0)
        # where the reply is an end of the interval the curve's own bend says more
        bend = np.where(inside, secant, np.maximum(own, 0.0))
        moves = gain > 0
        return Reply(np.where(moves, step, 0.0), np.where(moves, gain, 0.0), slope, bend)

    def pick(self, place: int | Index | slice) -> Self:
        """Return the curve of one type, or the curves of some.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which types.
        """
        if not is_dataclass(self):
            return self
        return type(self)(**{f.name: _at(getattr(self, f.name), place) for f in fields(self)})


def _demand(curve: Curve, **least: float) -> None:
    """Refuse a curve whose parameters are not above these numbers, or are beyond all measure."""
    for name, floor in least.items():
        values = floats(name, getattr(curve, name))
        possible = (abs(values) <= LARGEST) & (values > floor)
        if not possible.all():
            bad = np.ravel(values)[np.argmin(np.ravel(possible))]
            raise WorkloadError(
                f"{name} of a {type(curve).__name__} is {bad:g}; it must be "
                f"{'positive' if floor == 0 else 'a number'}, and at most {LARGEST:g}.",
                parameter=name,
                value=float(bad),
            )


def _at(value: Any, place: int | Index | slice) -> Any:
    if not np.ndim(value):
        return value
    chosen = np.asarray(value)[..., place]
    return chosen if chosen.ndim else float(chosen)


def bisect(slope: Any, price: Array, low: Array, high: Array) -> Array:
    r"""Return where a falling slope meets a price, or the end of the interval nearer to that.

    Parameters
    ----------
    slope : callable
        Nonincreasing, from tokens (..., N) to (..., N).
    price : ndarray, (..., N)
        What it should be.
    low, high : ndarray, (..., N)
        The ends of the interval.
    """
    low, high = np.broadcast_arrays(low, high)
    low, high = low.astype(np.float64), high.astype(np.float64)
    high = np.where(slope(low) <= price, low, high)
    low = np.where(slope(high) >= price, high, low)
    for _ in range(BISECTIONS):
        # geometric while the ends are decades apart, so that any cap takes few steps
        middle = np.where(high > 4 * low + 1, np.sqrt((low + 1) * (high + 1)) - 1, (low + high) / 2)
        if ((middle <= low) | (middle >= high)).all():
            break
        more = slope(middle) > price
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.asarray(low)


@dataclass(frozen=True)
class Saturating(Curve):
    r"""Accuracy that saturates exponentially in the thinking tokens.

    .. math:: p(\ell) = D + A\,(1 - e^{-b\ell}), \qquad A \ge 0,\; b > 0,\; D \ge 0,\; A + D \le 1.

    Parameters
    ----------
    gain : float
        :math:`A`, the accuracy that unlimited thinking adds.
    rate : float
        :math:`b` in 1/token; a share :math:`1 - 1/e` of the gain is reached at :math:`1/b` tokens.
    baseline : float, optional
        :math:`D`, the accuracy without thinking.

    Notes
    -----
    The ranges are checked where a :class:`~thinkqueue.Workload` is built, with the name of the
    task type in the message. The law is that of arXiv:2601.10274.
    """

    gain: float | Array
    rate: float | Array
    baseline: float | Array = 0.0

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`D + A(1 - e^{-b\ell})`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.baseline - self.gain * np.expm1(-self.rate * tokens))

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`A b e^{-b\ell}`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.gain * self.rate * np.exp(-self.rate * tokens))

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`A b^2 e^{-b\ell}`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return self.rate * self.slope(tokens)

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        r"""Return :math:`\ln(Ab/\text{price})/b`, clipped.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval.
        """
        with np.errstate(divide="ignore"):
            best = (np.log(self.gain) + np.log(self.rate) - np.log(price)) / self.rate
        return np.asarray(np.minimum(np.maximum(best, low), high))


@dataclass(frozen=True)
class PowerLaw(Curve):
    r"""Accuracy whose error falls like a power of the tokens.

    .. math:: p(\ell) = D + A\bigl(1 - (1 + b\ell/\gamma)^{-\gamma}\bigr)

    The slope at 0 is :math:`Ab`; the saturating law is the limit :math:`\gamma \to \infty`.

    Parameters
    ----------
    gain, rate, exponent : float
        :math:`A`, :math:`b` in 1/token, :math:`\gamma > 0`.
    baseline : float, optional
        :math:`D`.
    """

    gain: float | Array
    rate: float | Array
    exponent: float | Array
    baseline: float | Array = 0.0

    def __post_init__(self) -> None:
        _demand(self, gain=-np.inf, rate=0, exponent=0, baseline=-np.inf)

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`p(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        left = -self.exponent * np.log1p(self.rate * tokens / self.exponent)
        return np.asarray(self.baseline - self.gain * np.expm1(left))

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`Ab\,(1 + b\ell/\gamma)^{-\gamma-1}`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        fall = (self.exponent + 1) * np.log1p(self.rate * tokens / self.exponent)
        return np.asarray(self.gain * self.rate * np.exp(-fall))

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-p''(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        stretch = (self.exponent + 1) / (self.exponent + self.rate * tokens)
        return np.asarray(self.slope(tokens) * self.rate * stretch)

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        r"""Return :math:`\gamma\bigl((Ab/\text{price})^{1/(\gamma+1)} - 1\bigr)/b`, clipped.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval.
        """
        with np.errstate(divide="ignore", over="ignore"):
            ratio = (np.log(self.gain) + np.log(self.rate) - np.log(price)) / (self.exponent + 1)
            best = self.exponent / self.rate * np.expm1(ratio)
        return np.asarray(np.minimum(np.maximum(best, low), high))


class _SShaped(Curve):
    """A curve with at most one inflection: convex before it, concave beyond."""

    concave = False

    def inflection(self) -> Array | float:
        """Return the tokens beyond which the curve is concave, 0 where it is so throughout."""
        raise TypeError(f"{type(self).__name__} has no inflection; define it.")

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        """Return the better of the lower end and the best on the concave part.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval.
        """
        turn = np.minimum(np.maximum(self.inflection(), low), high)
        late = bisect(self.slope, price, turn, high)
        dear = np.where(np.isfinite(price), price, 0.0)
        rise = self.value(late) - self.value(low + np.zeros_like(late)) - dear * (late - low)
        return np.asarray(np.where(np.isfinite(price) & (rise > 0), late, low))


@dataclass(frozen=True)
class Hill(_SShaped):
    r"""Accuracy that sets in around a midpoint: S-shaped for :math:`h > 1`, concave for
    :math:`h \le 1`.

    .. math:: p(\ell) = D + A\,\frac{\ell^h}{\ell^h + m^h}

    Parameters
    ----------
    gain, midpoint, steepness : float
        :math:`A`, :math:`m > 0` in tokens, :math:`h > 0`.
    baseline : float, optional
        :math:`D`.
    """

    gain: float | Array
    midpoint: float | Array
    steepness: float | Array
    baseline: float | Array = 0.0

    def __post_init__(self) -> None:
        _demand(self, gain=-np.inf, midpoint=0, steepness=0, baseline=-np.inf)

    def _part(self, tokens: Array) -> tuple[Array, Array]:
        """Return x = ℓ kept from 0, and the share of the gain that is reached."""
        x = np.maximum(tokens, 1e-300)
        reached = 1 / (1 + np.exp(np.clip(-self.steepness * np.log(x / self.midpoint), -700, 700)))
        return x, reached

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`p(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.baseline + self.gain * self._part(tokens)[1])

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`A h g (1 - g)/\ell`, with g the share of the gain reached.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        x, g = self._part(np.maximum(tokens, 1e-12 * np.asarray(self.midpoint)))
        return np.asarray(self.gain * self.steepness * g * (1 - g) / x)

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-p''(\ell)`, negative before the inflection.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        x, g = self._part(np.maximum(tokens, 1e-12 * np.asarray(self.midpoint)))
        h = self.steepness
        return np.asarray(self.gain * h * g * (1 - g) * (1 - h * (1 - 2 * g)) / x**2)

    def inflection(self) -> Array | float:
        r"""Return :math:`m\bigl(\tfrac{h-1}{h+1}\bigr)^{1/h}`, 0 for :math:`h \le 1`."""
        h = np.asarray(self.steepness)
        return np.asarray(self.midpoint * (np.maximum(h - 1, 0) / (h + 1)) ** (1 / h))


@dataclass(frozen=True)
class Logistic(_SShaped):
    r"""Logistic regression on log-tokens: S-shaped for :math:`\beta_1 > 1`.

    .. math:: \operatorname{logit} p(\ell) = \beta_0 + \beta_1 \ln(1 + \ell), \qquad \beta_1 > 0

    Parameters
    ----------
    intercept, steepness : float
        :math:`\beta_0` and :math:`\beta_1`.
    """

    intercept: float | Array
    steepness: float | Array

    def __post_init__(self) -> None:
        _demand(self, intercept=-np.inf, steepness=0)

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`p(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        argument = self.intercept + self.steepness * np.log1p(tokens)
        return np.asarray(1 / (1 + np.exp(np.clip(-argument, -700, 700))))

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`\beta_1 p(1-p)/(1+\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        p = self.value(tokens)
        return np.asarray(self.steepness * p * (1 - p) / (1 + tokens))

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-p''(\ell)`, negative before the inflection.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        p = self.value(tokens)
        return self.slope(tokens) * (1 - self.steepness * (1 - 2 * p)) / (1 + tokens)

    def inflection(self) -> Array | float:
        r"""Return where :math:`p = (\beta_1 - 1)/(2\beta_1)`, 0 for :math:`\beta_1 \le 1`."""
        b = np.asarray(self.steepness, dtype=np.float64)
        share = np.where(b > 1, (b - 1) / (2 * np.maximum(b, 1.0)), 0.5)
        logit = np.log(np.maximum(share, 1e-300) / (1 - share))
        turn = np.expm1(np.clip((logit - self.intercept) / np.maximum(b, 1e-300), -700, 700))
        return np.asarray(np.where(b > 1, np.maximum(turn, 0.0), 0.0))


@dataclass(frozen=True)
class Interpolated(Curve):
    r"""A measured curve as it is: straight between its points, constant before and beyond.

    What an isotonic or a concave fit gives. It may rise and fall; its reply is a point of it.

    Parameters
    ----------
    tokens : tuple of float
        :math:`0 \le x_1 < x_2 < \dots`
    accuracy : tuple of float
        The values there.
    """

    tokens: tuple[float, ...]
    accuracy: tuple[float, ...]

    def __post_init__(self) -> None:
        x, p = floats("tokens", self.tokens), floats("accuracy", self.accuracy)
        if x.ndim != 1 or x.shape != p.shape or x.size < 2:
            raise WorkloadError(
                f"A curve of {x.size} tokens and {p.size} accuracies is none; it must have as many "
                "of each, and two at least.",
                parameter="tokens",
                value=x.size,
            )
        if not (x[0] >= 0 and np.isfinite(x).all() and (np.diff(x) > 0).all()):
            raise WorkloadError(
                "The tokens of a curve must ascend, from 0 or more.", parameter="tokens", value=x
            )

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether these very points lie on a concave curve."""
        steps = np.diff(self.accuracy) / np.diff(self.tokens)
        before = [0.0] if self.tokens[0] > 0 else []  # flat before the first point, and after all
        return bool((np.diff([*before, *steps, 0.0]) <= 1e-15).all())

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`p(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(np.interp(tokens, self.tokens, self.accuracy))

    def slope(self, tokens: Array) -> Array:
        """Return the slope to the right.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        steps = np.append(np.diff(self.accuracy) / np.diff(self.tokens), 0.0)
        place = np.searchsorted(self.tokens, tokens, side="right") - 1
        return np.asarray(np.where(place < 0, 0.0, steps[np.maximum(place, 0)]))

    def bend(self, tokens: Array) -> Array:
        """Return 0: between its points the curve is straight.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.zeros_like(tokens)

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        """Return the best point of the curve, or of the ends.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval.
        """
        price, low, high = np.broadcast_arrays(price, low, high)
        knots = np.broadcast_to(np.asarray(self.tokens), (*price.shape, len(self.tokens)))
        tried = np.clip(knots, low[..., None], high[..., None])
        tried = np.concatenate([low[..., None], tried, high[..., None]], axis=-1)
        dear = np.where(np.isfinite(price), price, 0.0)[..., None]
        worth = np.where(np.isfinite(price)[..., None], self.value(tried), 0.0) - dear * tried
        best = np.argmax(worth, axis=-1)[..., None]
        return np.asarray(np.take_along_axis(tried, best, axis=-1)[..., 0])

    def pick(self, place: int | Index | slice) -> Self:
        """Return the curve itself, which is that of one type.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which types.
        """
        return self


@dataclass(frozen=True)
class Mixed(Curve):
    """Types whose curves are of different kinds.

    Parameters
    ----------
    parts : tuple of (ndarray of int, Curve)
        For each kind the places of its types, and their curves.
    """

    parts: tuple[tuple[Index, Curve], ...]

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether all of them are."""
        return all(curve.concave for _, curve in self.parts)

    def _gather(self, method: str, *arrays: Array) -> Array:
        arrays = tuple(np.broadcast_arrays(*arrays))
        result = np.empty(arrays[0].shape)
        for place, curve in self.parts:
            result[..., place] = getattr(curve, method)(*(a[..., place] for a in arrays))
        return result

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`p_k(\ell_k)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return self._gather("value", tokens)

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`p_k'(\ell_k)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return self._gather("slope", tokens)

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-p_k''(\ell_k)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return self._gather("bend", tokens)

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        """Return the reply of each type.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval.
        """
        return self._gather("reply", price, low, high)

    def pick(self, place: int | Index | slice) -> Any:
        """Return the curve of one type, or the curves of some.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which types.
        """
        size = sum(places.size for places, _ in self.parts)
        chosen = np.arange(size)[place]
        curves = [self._one(int(k)) for k in np.atleast_1d(chosen)]
        return curves[0] if np.ndim(chosen) == 0 else together(curves)

    def _one(self, k: int) -> Curve:
        for places, curve in self.parts:
            found = np.flatnonzero(places == k)
            if found.size:
                return curve.pick(int(found[0]))
        raise IndexError(k)


def together(curves: Sequence[Curve]) -> Curve:
    """Return the curves of several types as one object.

    Parameters
    ----------
    curves : sequence of Curve
        One a type. Those of one kind with numbers for fields become arrays; any other stands alone.
    """
    groups: dict[Any, list[int]] = {}
    for k, curve in enumerate(curves):
        groups.setdefault(type(curve) if _stackable(curve) else (type(curve), k), []).append(k)
    parts = []
    for places in groups.values():
        first = curves[places[0]]
        if _stackable(first) and is_dataclass(first):
            columns = {f.name: _column(curves, places, f.name) for f in fields(first)}
            parts.append((np.array(places), type(first)(**columns)))
        else:
            parts.append((np.array(places), first))
    if len(parts) == 1 and _stackable(curves[0]):
        return parts[0][1]
    return Mixed(tuple(parts))


def _column(curves: Sequence[Curve], places: list[int], field: str) -> Array:
    return np.array([getattr(curves[k], field) for k in places], dtype=np.float64)


def _stackable(curve: Curve) -> bool:
    if not is_dataclass(curve) or not fields(curve):
        return False
    return all(
        isinstance(getattr(curve, f.name), int | float | np.floating | np.integer)
        for f in fields(curve)
    )
