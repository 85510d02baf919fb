"""Numbers at the door: what a parameter must be, said in one sentence where it is not."""

from __future__ import annotations

import operator
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown

LARGEST, SMALLEST = 1e30, 1e-30
"""No quantity of the model lies beyond these: squares and cubes of what is left stay finite."""


def floats(parameter: str, values: ArrayLike) -> Array:
    """Check that something is numbers and return it as floats.

    Parameters
    ----------
    parameter : str
        What it is called in the message.
    values : array_like
        Real numbers; texts, truth values and None are none.

    Raises
    ------
    WorkloadError
        If it is something else.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(x, Real) for x in array.flat):
            array = array.astype(np.float64)  # integers that no machine word holds, fractions
        if array.dtype.kind in "iuf" or not array.size:
            return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise WorkloadError(
        f"{parameter} is {shown(values)}; it must be a number or an array of numbers.",
        parameter=parameter,
        value=values,
    )


def one_number(parameter: str, value: float, *, least: float) -> float:
    """Check that something is one number, not NaN and not too small, and return it as a float.

    Parameters
    ----------
    parameter : str
        What it is called in the message.
    value : float
        The number.
    least : float
        The smallest value allowed.

    Raises
    ------
    WorkloadError
        If it is something else.
    """
    number = floats(parameter, value)
    if number.ndim or not number >= least:
        raise WorkloadError(
            f"{parameter} is {shown(value)}; it must be one number of at least {least:g}.",
            parameter=parameter,
            value=value,
        )
    return float(number)


def check_count(name: str, value: int, *, least: int = 1, most: int | None = None) -> None:
    """Refuse what is not a whole number, or is too small or too large a one.

    Parameters
    ----------
    name : str
        The parameter.
    value : int
        Its value.
    least : int, optional
        The smallest value allowed.
    most : int, optional
        The largest.

    Raises
    ------
    WorkloadError
        If it is not.
    """
    try:
        whole = operator.index(value)
    except TypeError:
        whole = least - 1
    if whole < least or (most is not None and whole > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most:,}"
        raise WorkloadError(
            f"{name} must be a whole number {bounds}; it is {shown(value)}.",
            parameter=name,
            value=value,
        )
