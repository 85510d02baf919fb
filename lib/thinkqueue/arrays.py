"""Arrays and the one sum that every formula of the model uses."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Scalar = float | Array
"""One number for one workload; an array of shape (..., 1) for many."""


def total(left: Array, right: Array) -> Scalar:
    """Sum a product over the task types: a number for one workload, (..., 1) for many.

    Parameters
    ----------
    left, right : ndarray, (..., N)
        The factors; they broadcast.
    """
    if left.ndim == right.ndim == 1:
        return float(left.dot(right))
    return cast(Array, np.einsum("...k,...k->...", left, right))[..., None]


def first(value: Scalar) -> float:
    """Return the only number of a scalar.

    Parameters
    ----------
    value : float or ndarray of one entry
        The scalar.
    """
    return value if isinstance(value, float) else float(np.ravel(value)[0])


def column(value: Scalar) -> Array:
    """Return a scalar of many workloads as a vector of theirs.

    Parameters
    ----------
    value : ndarray, (R, 1)
        The scalar.
    """
    return np.reshape(value, -1)
