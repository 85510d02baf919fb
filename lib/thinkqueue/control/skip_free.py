r"""Gain and relative values of a chain that never falls by more than one level at a step.

A semi-Markov chain on the levels 0 … L earns :math:`r_i` and takes :math:`\tau_i` on a visit to i.
Its gain g and its relative values solve

.. math:: V_i = r_i - g\tau_i + \sum_j P_{ij}V_j, \qquad V_{\text{ref}} = 0.

Levels are eliminated one after the other until the reference is left, as W. K. Grassmann, M. I.
Taksar and D. P. Heyman (1985) do for stationary laws: every divisor is a sum of probabilities and
never one minus something. A level above the reference leads down one level only, so that it costs
no matrix to eliminate; the reference should be where the chain mostly is.
"""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array


def gain_and_values(
    moves: Array, earned: Array, worth: Array, taken: Array, reference: int
) -> tuple[Array, Array]:
    r"""Return the gains of several quantities and the relative values of what they are worth.

    Parameters
    ----------
    moves : ndarray, (L + 1, L + 1)
        Probabilities, a row a level; zero below the first subdiagonal. The diagonal is not used.
    earned : ndarray, (L + 1, K)
        Several quantities that are gathered on a visit.
    worth : ndarray, (K,)
        What one unit of each is worth: :math:`r = \text{earned}\cdot\text{worth}`.
    taken : ndarray, (L + 1,)
        Mean times.
    reference : int
        The level whose value is 0.

    Returns
    -------
    gains : ndarray, (K,)
        Each quantity over the time, in the long run.
    values : ndarray, (L + 1,)
        Relative values.
    """
    p, last = moves.copy(), len(taken) - 1
    kinds = earned.shape[1]
    due = np.column_stack([earned, taken])  # quantities and time, eliminated together
    for n in range(last, reference, -1):
        through = p[:n, n].copy()
        due[:n] += np.outer(through, due[n] / p[n, n - 1])
        p[:n, n - 1] += through
    for n in range(reference):
        out = p[n, n + 1 : reference + 1].sum()
        through = p[n + 1 : reference + 1, n] / out
        due[n + 1 : reference + 1] += np.outer(through, due[n])
        p[n + 1 : reference + 1, n + 1 : reference + 1] += np.outer(
            through, p[n, n + 1 : reference + 1]
        )
    gains = due[reference, :kinds] / due[reference, kinds]
    surplus = (due[:, :kinds] - due[:, kinds:] * gains) @ worth
    values = np.zeros(last + 1)
    for n in range(reference - 1, -1, -1):
        ahead = p[n, n + 1 : reference + 1]
        values[n] = (surplus[n] + ahead @ values[n + 1 : reference + 1]) / ahead.sum()
    for n in range(reference + 1, last + 1):
        values[n] = values[n - 1] + surplus[n] / p[n, n - 1]
    return gains, values
