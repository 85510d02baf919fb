r"""The least concave function above an accuracy curve, over the *logarithm* of the service time.

With :math:`u = \ln s` and :math:`\beta = b/c`, :math:`g(u) = G\,(1 - e^{-\beta(e^u - t_0)})` is
convex up to :math:`s = 1/\beta` and concave beyond. On an interval its envelope is the chord from
the left end to the point where it touches the curve, and the curve from there on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import lambertw

from thinkqueue.arrays import Array


@dataclass(frozen=True)
class Envelope:
    """The envelopes of all types on a box of service times.

    Parameters
    ----------
    worth : ndarray, (N,)
        G, in s.
    beta, base : ndarray, (N,)
        β and t₀.
    low, high : ndarray, (N,)
        The box, in u.
    """

    worth: Array
    beta: Array
    base: Array
    low: Array
    high: Array

    def __post_init__(self) -> None:
        touch = self._touch()
        width = touch - self.low
        rise = self.curve(touch) - self.curve(self.low)
        chord = np.where(width > 0, rise / np.where(width > 0, width, 1.0), np.inf)
        object.__setattr__(self, "touch", touch)
        object.__setattr__(self, "chord", chord)

    touch: Array = None  # type: ignore[assignment]
    chord: Array = None  # type: ignore[assignment]

    def curve(self, u: Array) -> Array:
        """Return g.

        Parameters
        ----------
        u : ndarray, (N,)
            Logarithms of service times.
        """
        return np.asarray(-self.worth * np.expm1(-self.beta * (np.exp(u) - self.base)))

    def slope(self, u: Array) -> Array:
        """Return g'.

        Parameters
        ----------
        u : ndarray, (N,)
            Logarithms of service times.
        """
        z = self.beta * np.exp(u)
        return np.asarray(self.worth * z * np.exp(self.beta * self.base - z))

    def value(self, u: Array) -> Array:
        """Return the envelope.

        Parameters
        ----------
        u : ndarray, (N,)
            Inside the box.
        """
        flat = u >= self.touch
        chord = np.where(flat, 0.0, self.chord)
        line = self.curve(self.low) + chord * (u - self.low)
        return np.where(flat, self.curve(u), line)

    def reply(self, price: Array) -> Array:
        """Return where the envelope less a linear price is largest.

        Parameters
        ----------
        price : ndarray, (N,)
            Not negative.
        """
        # beyond the touching point g' = price: z exp(−z) = price exp(−βt₀)/G, the larger root
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.exp(np.log(price) - self.beta * self.base - np.log(self.worth))
            z = -np.real(lambertw(-np.minimum(ratio, np.exp(-1.0)), -1))
            inner = np.log(z / self.beta)
        inner = np.where(np.isnan(inner), self.high, inner)
        inner = np.clip(inner, self.touch, self.high)
        return np.where((price >= self.chord) | (self.worth <= 0), self.low, inner)

    def _touch(self) -> Array:
        """Find by halving where the chord from the left end touches the curve from above."""
        low = np.clip(-np.log(self.beta), self.low, self.high)
        high, start = self.high.copy(), self.curve(self.low)
        for _ in range(50):
            middle = (low + high) / 2
            above = self.slope(middle) * (middle - self.low) > self.curve(middle) - start
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        # rounded outwards, so that what is below the touching point is on the chord
        return np.where(-np.log(self.beta) <= self.low, self.low, high)
