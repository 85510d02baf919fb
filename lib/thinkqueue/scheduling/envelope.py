r"""The least concave function above what a type is worth, over the *logarithm* of its service time.

With :math:`u = \ln s` and :math:`\beta = b/c` a type is worth

.. math:: g(u) = G\,(1 - e^{-\beta(e^u - t_0)}) - P e^u - Q e^{2u},

the accuracy less what a service costs whatever the others do. It is convex up to a point where its
bend changes sign, and concave beyond. On an interval its envelope is the chord from the left end
to the point where it touches the curve, and the curve from there on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array

HALVINGS = 26
"""Of the interval in which a point is looked for; it is then rounded to the safe side."""


class Envelope:
    """The envelopes of all types on a box of service times.

    Parameters
    ----------
    worth, beta, base : ndarray, (N,)
        G, β and t₀.
    linear, square : ndarray, (N,)
        P and Q.
    low, high : ndarray, (N,)
        The box, in u.
    """

    def __init__(
        self,
        worth: Array,
        beta: Array,
        base: Array,
        linear: Array,
        square: Array,
        low: Array,
        high: Array,
    ) -> None:
        self.worth, self.beta, self.base = worth, beta, base
        self.linear, self.square, self.low, self.high = linear, square, low, high
        self.start = self.curve(low)
        self.touch = self._touch()
        width = self.touch - low
        rise = self.curve(self.touch) - self.start
        with np.errstate(divide="ignore", invalid="ignore"):
            self.chord = np.where(width > 0, rise / width, np.inf)

    def curve(self, u: Array) -> Array:
        """Return g.

        Parameters
        ----------
        u : ndarray, (N,)
            Logarithms of service times.
        """
        s = np.exp(u)
        right = -self.worth * np.expm1(-self.beta * (s - self.base))
        return np.asarray(right - s * (self.linear + self.square * s))

    def slope(self, u: Array) -> Array:
        """Return g'.

        Parameters
        ----------
        u : ndarray, (N,)
            Logarithms of service times.
        """
        s = np.exp(u)
        gain = self.worth * self.beta * np.exp(-self.beta * (s - self.base))
        return np.asarray(s * (gain - self.linear - 2 * self.square * s))

    def value(self, u: Array) -> Array:
        """Return the envelope.

        Parameters
        ----------
        u : ndarray, (N,)
            Inside the box.
        """
        flat = u >= self.touch
        line = self.start + np.where(flat, 0.0, self.chord) * (u - self.low)
        return np.where(flat, self.curve(u), line)

    def tilt(self, u: Array) -> Array:
        """Return the slope of the envelope.

        Parameters
        ----------
        u : ndarray, (N,)
            Inside the box.
        """
        return np.where(u >= self.touch, self.slope(u), self.chord)

    def reply(self, price: Array) -> Array:
        """Return where the envelope less a linear price is largest.

        Parameters
        ----------
        price : ndarray, (N,)
            In s for each unit of u.
        """
        inner = _last(lambda u: self.slope(u) > price, self.touch, self.high)
        return np.where(price >= self.chord, self.low, inner)

    def _touch(self) -> Array:
        """Find where the chord from the left end touches the curve from above."""

        def convex(u: Array) -> NDArray[np.bool_]:
            s = np.exp(u)
            z = self.beta * s
            gain = self.worth * self.beta * (1 - z) * np.exp(self.beta * self.base - z)
            return np.asarray(gain - self.linear - 4 * self.square * s > 0)

        def above(u: Array) -> NDArray[np.bool_]:
            return np.asarray(self.slope(u) * (u - self.low) > self.curve(u) - self.start)

        bend = _last(convex, self.low, self.high)
        touch = _last(above, bend, self.high)
        return np.where(convex(self.low), touch, self.low)


def _last(holds: Callable[[Array], NDArray[np.bool_]], low: Array, high: Array) -> Array:
    """Return where a condition that holds first and then no more stops to hold."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        yes = holds(middle)
        low, high = np.where(yes, middle, low), np.where(yes, high, middle)
    return high
