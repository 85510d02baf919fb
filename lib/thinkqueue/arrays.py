"""Arrays and the one sum that every formula of the model uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def total(left: Array, right: Array) -> Array:
    """Sum a product over the task types and keep the axis, so that the result broadcasts.

    Parameters
    ----------
    left, right : ndarray, (..., N)
        The factors; they broadcast.

    Returns
    -------
    ndarray, (..., 1)
    """
    if left.ndim == right.ndim == 1:
        return np.asarray(np.vecdot(left, right))[..., None]
    return np.asarray(np.einsum("...k,...k->...", left, right))[..., None]
