r"""Laws of how long queries would think if nobody stopped them, and what a cap leaves of that.

Under a cap :math:`\ell` a query of length X uses :math:`\min(X, \ell)`. With the survival function
:math:`\bar F`,

.. math:: \mu(\ell) = \mathbb{E}\min(X,\ell) = \int_0^\ell \bar F(t)\,dt, \qquad
          \mathbb{E}\min(X,\ell)^2 = 2\int_0^\ell t\,\bar F(t)\,dt.

Arrays have an entry for each task type on their last axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import LARGEST, floats
from thinkqueue.errors import WorkloadError

RAREST = 1e-9
"""A cap that so few queries exceed is as good as none: a workload allows no larger one."""

_PANELS, _POINTS = 16, 16
_unit, _weight = np.polynomial.legendre.leggauss(_POINTS)
NODES = ((np.arange(_PANELS)[:, None] + (1 + _unit) / 2) / _PANELS).ravel()
WEIGHTS = np.tile(_weight / 2 / _PANELS, _PANELS)
"""Gauss and Legendre's rule on [0, 1], 16 times 16 points."""

_STEPS = 500


class ByValue:
    """What is equal where its fields are, arrays among them."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        return hash(type(self))


class Lengths(ByValue, ABC):
    """A law of lengths for each task type."""

    @abstractmethod
    def survival(self, cap: Array) -> Array:
        r"""Return :math:`\bar F(\ell) = P(X \ge \ell)`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """

    @abstractmethod
    def mean_under(self, cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}\min(X,\ell)`, the tokens used in the mean.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """

    @abstractmethod
    def square_under(self, cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}\min(X,\ell)^2`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """

    @property
    @abstractmethod
    def longest(self) -> Array:
        """The cap that a query in 10⁹ exceeds, (N,)."""

    @abstractmethod
    def expect(self, value: Callable[[Array], Array], cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}\,p(\min(X,\ell))`.

        Parameters
        ----------
        value : callable
            The function p, from tokens (..., N) to values of that shape.
        cap : ndarray, (..., N)
            In tokens.
        """

    @abstractmethod
    def draw(self, kinds: Index, random: Generator) -> Array:
        """Draw lengths, (n,).

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """

    def cap_of(self, used: Array) -> Array:
        r"""Return the cap under which so many tokens are used in the mean.

        Parameters
        ----------
        used : ndarray, (..., N)
            :math:`\mu`, between 0 and what is used under :attr:`longest`.

        Notes
        -----
        Newton's method from the left on a concave increasing function, which never overshoots.
        """
        cap = np.minimum(used, self.longest) + 0.0
        for _ in range(_STEPS):
            step = (used - self.mean_under(cap)) / self.survival(cap)
            further = np.minimum(cap + np.maximum(step, 0.0), self.longest)
            if (further <= cap * (1 + 1e-15)).all():
                break
            cap = further
        return cap

    def pick(self, place: int | Index | slice) -> Self:
        """Return the law of one type, or of some.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which.
        """
        parts = {f.name: getattr(self, f.name)[..., place] for f in fields(self)}  # type: ignore[arg-type]
        return type(self)(**parts)


@dataclass(frozen=True, eq=False)
class Exponential(Lengths):
    r"""Lengths that stop with the same probability at every token.

    Parameters
    ----------
    mean : array_like, (N,)
        :math:`\theta = \mathbb{E}X` in tokens.
    """

    mean: Array

    def __post_init__(self) -> None:
        _positive(self, "mean")

    def survival(self, cap: Array) -> Array:
        r"""Return :math:`e^{-\ell/\theta}`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        return np.asarray(np.exp(-cap / self.mean))

    def mean_under(self, cap: Array) -> Array:
        r"""Return :math:`\theta\,(1 - e^{-\ell/\theta})`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        return np.asarray(-self.mean * np.expm1(-cap / self.mean))

    def square_under(self, cap: Array) -> Array:
        r"""Return :math:`2\theta^2\,(1 - e^{-r}(1 + r))` with :math:`r = \ell/\theta`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        from scipy.special import gammainc

        return np.asarray(2 * self.mean**2 * gammainc(2, cap / self.mean))

    @property
    def longest(self) -> Array:
        """The cap that a query in 10⁹ exceeds, (N,)."""
        return np.asarray(-self.mean * np.log(RAREST))

    def cap_of(self, used: Array) -> Array:
        r"""Return :math:`-\theta\ln(1 - \mu/\theta)`.

        Parameters
        ----------
        used : ndarray, (..., N)
            :math:`\mu`, the tokens used in the mean.
        """
        part = np.minimum(used / self.mean, 1 - RAREST)
        return np.minimum(-self.mean * np.log1p(-part), self.longest)

    def expect(self, value: Callable[[Array], Array], cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}\,p(\min(X,\ell))` by a rule in :math:`\ln X`.

        Parameters
        ----------
        value : callable
            The function p.
        cap : ndarray, (..., N)
            In tokens.

        Notes
        -----
        For curves like those of this library the error is below 1e-12.
        """
        low, high = -42.0, np.log(42.0)
        with np.errstate(divide="ignore"):
            end = np.clip(np.log(cap / self.mean), low, high)
        z = low + (end - low) * _column(NODES, end)
        density = np.exp(z - np.exp(z)) * _column(WEIGHTS, end)
        within = np.sum(density * value(self.mean * np.exp(z)), axis=0) * (end - low)
        return np.asarray(within + self.survival(cap) * value(cap))

    def draw(self, kinds: Index, random: Generator) -> Array:
        """Draw lengths, (n,).

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """
        return np.asarray(self.mean[kinds] * random.standard_exponential(kinds.size))

    def hazard(self, cap: Array) -> Array:
        r"""Return :math:`1/\theta`, the rate at which those that still think stop.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        return np.asarray(1 / self.mean + 0 * cap)

    def hazard_slope(self, cap: Array) -> Array:
        """Return the derivative of the hazard, 0.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        return np.asarray(0 * cap)

    @property
    def turn(self) -> Array:
        """Where the hazard is highest, (N,): everywhere, and so at 0."""
        return np.zeros_like(self.mean)


@dataclass(frozen=True, eq=False)
class Lognormal(Lengths):
    r"""Lengths whose logarithm is normal, as those of real reasoning traffic nearly are.

    Parameters
    ----------
    mean : array_like, (N,)
        :math:`\mathbb{E}X` in tokens.
    variation : array_like, (N,)
        The coefficient of variation of X.
    """

    mean: Array
    variation: Array

    def __post_init__(self) -> None:
        _positive(self, "mean", "variation")

    @property
    def _spread(self) -> Array:
        return np.asarray(np.sqrt(np.log1p(self.variation**2)))

    @property
    def _middle(self) -> Array:
        return np.asarray(np.log(self.mean) - self._spread**2 / 2)

    def _z(self, cap: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.asarray((np.log(cap) - self._middle) / self._spread)

    def survival(self, cap: Array) -> Array:
        r"""Return :math:`\Phi(-z)` with :math:`z = (\ln\ell - m)/\sigma`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        from scipy.special import ndtr

        return np.asarray(ndtr(-self._z(cap)))

    def mean_under(self, cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}X\,\Phi(z-\sigma) + \ell\,\Phi(-z)`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        from scipy.special import ndtr

        z = self._z(cap)
        return np.asarray(self.mean * ndtr(z - self._spread) + cap * ndtr(-z))

    def square_under(self, cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}X^2\,\Phi(z-2\sigma) + \ell^2\,\Phi(-z)`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        from scipy.special import ndtr

        z, second = self._z(cap), self.mean**2 * (1 + self.variation**2)
        return np.asarray(second * ndtr(z - 2 * self._spread) + cap**2 * ndtr(-z))

    @property
    def longest(self) -> Array:
        """The cap that a query in 10⁹ exceeds, (N,)."""
        from scipy.special import ndtri

        return np.asarray(np.exp(self._middle - self._spread * ndtri(RAREST)))

    def expect(self, value: Callable[[Array], Array], cap: Array) -> Array:
        r"""Return :math:`\mathbb{E}\,p(\min(X,\ell))` by a rule in the normal variable.

        Parameters
        ----------
        value : callable
            The function p.
        cap : ndarray, (..., N)
            In tokens.

        Notes
        -----
        For curves like those of this library the error is below 1e-12.
        """
        low, high = -9.0, 9.0
        end = np.clip(self._z(cap), low, high)
        z = low + (end - low) * _column(NODES, end)
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * _column(WEIGHTS, end)
        lengths = np.exp(self._middle + self._spread * z)
        within = np.sum(density * value(lengths), axis=0) * (end - low)
        return np.asarray(within + self.survival(cap) * value(cap))

    def draw(self, kinds: Index, random: Generator) -> Array:
        """Draw lengths, (n,).

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """
        normal = random.standard_normal(kinds.size)
        return np.asarray(np.exp(self._middle[kinds] + self._spread[kinds] * normal))

    def hazard(self, cap: Array) -> Array:
        r"""Return :math:`\varphi(z)/(\sigma\ell\,\Phi(-z))`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        z = self._z(cap)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.exp(_log_mills(z) - np.log(self._spread * cap))
        return np.where(cap > 0, found, 0.0)

    def hazard_slope(self, cap: Array) -> Array:
        r"""Return the derivative :math:`h\,(\sigma\ell h - z - \sigma)/(\sigma\ell)` of the hazard.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        z, sigma = self._z(cap), self._spread
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.hazard(cap) * (np.exp(_log_mills(z)) - z - sigma) / (sigma * cap)
        return np.where(cap > 0, found, 0.0)

    @property
    def turn(self) -> Array:
        r"""Where the hazard is highest, (N,): :math:`\varphi(z)/\Phi(-z) - z = \sigma`."""
        low, high = -self._spread, 1 / self._spread + 1
        for _ in range(200):
            middle = (low + high) / 2
            rises = np.exp(_log_mills(middle)) - middle > self._spread
            low, high = np.where(rises, middle, low), np.where(rises, high, middle)
        return np.asarray(np.exp(self._middle + self._spread * low))


@dataclass(frozen=True, eq=False)
class Empirical(Lengths):
    """Lengths that were measured, each as likely as any other of its type.

    Parameters
    ----------
    sample : ndarray, (K, N)
        Sorted lengths of each type in tokens; see :meth:`of` for samples of several sizes.
    weight : ndarray, (K, N)
        The probability of each.
    """

    sample: Array
    weight: Array

    @classmethod
    def of(cls, samples: Sequence[ArrayLike]) -> Empirical:
        """Return the law of samples, one for each task type.

        Parameters
        ----------
        samples : sequence of array_like
            Lengths in tokens, any number of each type.

        Raises
        ------
        WorkloadError
            If a sample is empty, or a length is negative, or none is positive.
        """
        each = [np.sort(np.ravel(floats("samples", sample))) for sample in samples]
        for k, one in enumerate(each):
            if not one.size or not (0 <= one[0] <= one[-1] <= LARGEST) or one[-1] == 0:
                raise WorkloadError(
                    f"The sample of type {k + 1} must hold lengths in tokens, none negative and "
                    "not all 0.",
                    parameter="samples",
                    value=one,
                    task=k,
                )
        size = max((one.size for one in each), default=0)
        pads = [(0, size - one.size) for one in each]
        padded = [np.pad(one, pad, mode="edge") for one, pad in zip(each, pads, strict=True)]
        weights = [
            np.pad(np.full(one.size, 1 / one.size), pad)
            for one, pad in zip(each, pads, strict=True)
        ]
        return cls(np.stack(padded, axis=1), np.stack(weights, axis=1))

    def _over(self, cap: Array) -> tuple[Array, Array]:
        shape = (-1, *(1,) * (np.ndim(cap) - 1), self.sample.shape[1])
        return self.sample.reshape(shape), self.weight.reshape(shape)

    def survival(self, cap: Array) -> Array:
        r"""Return the share of lengths that are :math:`\ell` or more.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        sample, weight = self._over(cap)
        return np.asarray(np.sum(weight * (sample >= cap * (1 - 1e-14)), axis=0))

    def mean_under(self, cap: Array) -> Array:
        r"""Return the mean of the lengths, each cut at :math:`\ell`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        return self.expect(lambda x: x, cap)

    def square_under(self, cap: Array) -> Array:
        r"""Return the mean square of the lengths, each cut at :math:`\ell`.

        Parameters
        ----------
        cap : ndarray, (..., N)
            In tokens.
        """
        return self.expect(lambda x: x * x, cap)

    @property
    def longest(self) -> Array:
        """The longest length of each type, (N,)."""
        return np.asarray(self.sample[-1])

    def expect(self, value: Callable[[Array], Array], cap: Array) -> Array:
        r"""Return the mean of :math:`p(\min(X,\ell))` over the sample, exactly.

        Parameters
        ----------
        value : callable
            The function p.
        cap : ndarray, (..., N)
            In tokens.
        """
        sample, weight = self._over(cap)
        return np.asarray(np.sum(weight * value(np.minimum(sample, cap)), axis=0))

    def draw(self, kinds: Index, random: Generator) -> Array:
        """Draw lengths, (n,).

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """
        sizes = np.count_nonzero(self.weight, axis=0)[kinds]
        return np.asarray(self.sample[(random.random(kinds.size) * sizes).astype(np.int64), kinds])


def _positive(law: Any, *names: str) -> None:
    values = np.broadcast_arrays(*(np.atleast_1d(floats(n, getattr(law, n))) for n in names))
    for name, value in zip(names, values, strict=True):
        good = (value > 0) & (value <= LARGEST)
        if not good.all():
            raise WorkloadError(
                f"{name} of lengths is {value[~good].flat[0]:.12g}; it must be positive and at "
                f"most {LARGEST:g}.",
                parameter=name,
                value=float(value[~good].flat[0]),
            )
        object.__setattr__(law, name, value)


def _column(values: Array, like: Array) -> Array:
    return values.reshape(-1, *(1,) * np.ndim(like))


def _log_mills(z: Array) -> Array:
    r"""Return :math:`\ln(\varphi(z)/\Phi(-z))`."""
    from scipy.special import log_ndtr

    return np.asarray(-(z**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(-z))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
