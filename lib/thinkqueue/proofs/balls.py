"""Ball arithmetic: every number carries a radius that surely holds the exact value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from thinkqueue.errors import ThinkQueueError

if TYPE_CHECKING:
    from flint import arb

DOUBLE = 53
"""Bits of a float64; a midpoint of this precision is a float64 without rounding."""


def import_flint() -> Any:
    """Return the module ``flint`` of python-flint, or say how to get it.

    Raises
    ------
    ThinkQueueError
        If python-flint is not installed.
    """
    try:
        import flint
    except ModuleNotFoundError:
        raise ThinkQueueError(
            "Rigorous ball arithmetic needs python-flint: pip install 'thinkqueue[certify]'."
        ) from None
    return flint


def below(x: arb) -> float:
    """Return a float64 that is certainly at most x.

    Parameters
    ----------
    x : arb
        A finite ball.
    """
    guess = float(x.mid()) - float(x.rad())
    while not x >= guess:
        guess = math.nextafter(guess, -math.inf) - 1e-16 * abs(guess)
    return guess


def above(x: arb) -> float:
    """Return a float64 that is certainly at least x.

    Parameters
    ----------
    x : arb
        A finite ball.
    """
    return -below(-x)
