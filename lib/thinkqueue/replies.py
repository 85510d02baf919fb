"""The best budgets at prices that rise along a line."""

from __future__ import annotations

import numpy as np
from scipy.special import wrightomega

from thinkqueue.arrays import Array
from thinkqueue.workload import Curve, Saturating
from thinkqueue.workload.accuracy import bisect

LOWEST, HIGHEST = -700.0, 1e300
"""Exponents and arguments beyond which Wright's function is 0 or its argument."""


def best_replies(
    curves: Curve, value: Array, linear: Array, quadratic: Array | float, caps: Array
) -> Array:
    r"""Return the maximisers of :math:`v_kp_k(\ell) - P_k\ell - \tfrac12Q_k\ell^2`.

    For saturating curves :math:`v_kA_kb_ke^{-b_k\ell} = P_k + Q_k\ell` is solved by Wright's omega
    function, and a step of Newton's method restores what cancelled.

    Parameters
    ----------
    curves : Curve
        The accuracy of all types; concave where Q is positive.
    value : ndarray, (N,)
        v.
    linear : ndarray, (N,)
        P.
    quadratic : float or ndarray, (N,)
        Q, not negative.
    caps : ndarray, (N,)
        The largest budgets.
    """
    nothing = np.zeros(len(caps))
    if not np.any(quadratic):
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where(value > 0, np.maximum(linear, 0) / value, np.inf)
        return np.asarray(curves.reply(price, nothing, caps))

    def excess(tokens: Array) -> Array:
        return np.asarray(value * curves.slope(tokens) - linear - quadratic * tokens)

    if not isinstance(curves, Saturating):
        return bisect(excess, nothing, nothing, caps)
    beta = curves.rate
    with np.errstate(divide="ignore"):
        log_ratio = np.log(value * curves.gain) + np.log(beta * beta / quadratic)
    z = np.clip(log_ratio + beta * linear / quadratic, LOWEST, HIGHEST)
    tokens = np.maximum(log_ratio, LOWEST) - np.log(wrightomega(z))
    tokens = np.clip(tokens / beta, 0, caps)
    tokens += excess(tokens) / (value * curves.bend(tokens) + quadratic)
    return np.asarray(np.clip(tokens, 0, caps))
