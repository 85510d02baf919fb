"""Piecewise polynomials of one fixed degree, in Legendre form: the arithmetic of the solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from thinkqueue.arrays import Array

NODES: Final = 14
"""Gauss points in a panel; a function is held there by a polynomial of degree NODES."""

POINTS: Final[Array] = legendre.leggauss(NODES)[0]
"""The Gauss points on [-1, 1]."""


def _values_to_integral() -> Array:
    r"""The map from values at the Gauss points to the coefficients of :math:`\int_{-1}^x`."""
    to_coefficients = np.linalg.inv(legendre.legvander(POINTS, NODES - 1))
    return np.asarray(legendre.legint(to_coefficients, lbnd=-1, axis=0))


INTEGRAL: Final[Array] = _values_to_integral()
"""Coefficients of the antiderivative that vanishes at -1, shape (NODES + 1, NODES)."""

INTEGRAL_AT_POINTS: Final[Array] = legendre.legvander(POINTS, NODES) @ INTEGRAL
"""That antiderivative at the Gauss points, (NODES, NODES): Gauss collocation."""


@dataclass(frozen=True)
class Panels:
    """A function on consecutive intervals, a polynomial on each.

    Attributes
    ----------
    edges : ndarray, (P + 1,)
        Where the intervals begin and end, ascending.
    coefficients : ndarray, (P, NODES + 1)
        Legendre coefficients on each interval, scaled to [-1, 1].
    """

    edges: Array
    coefficients: Array

    def __call__(self, t: Array) -> Array:
        """Evaluate at times that lie between the first and the last edge.

        Parameters
        ----------
        t : ndarray
            Times, of any shape.
        """
        panel = np.clip(np.searchsorted(self.edges, t, side="right") - 1, 0, len(self.edges) - 2)
        return self.on(panel, t)

    def on(self, panel: NDArray[np.intp], t: Array) -> Array:
        """Evaluate the polynomials of the given panels at the given times.

        Parameters
        ----------
        panel : ndarray of int
            Numbers of panels.
        t : ndarray
            Times, of the same shape.
        """
        left, right = self.edges[panel], self.edges[panel + 1]
        x = (2 * t - left - right) / (right - left)
        # Clenshaw's recurrence, for all points at once
        c = self.coefficients.T[:, panel]
        b1, b2 = np.zeros_like(x), np.zeros_like(x)
        for n in range(NODES, 0, -1):
            b1, b2 = c[n] + (2 * n + 1) / (n + 1) * x * b1 - (n + 1) / (n + 2) * b2, b1
        return np.asarray(c[0] + x * b1 - b2 / 2)
