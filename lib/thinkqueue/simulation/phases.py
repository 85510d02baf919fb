"""The value of going on with a thought where arrivals have phases, backwards in small steps."""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.simulation.compiled import compiled


@compiled
def think_backwards(
    after: Array,
    answers: Array,
    move: Array,
    crowd: Array,
    step: float,
    eta: float,
    stops: Array,
    decide: bool,
) -> Array:
    r"""Return the value at the start of a thought, with each phase and number in the system.

    Parameters
    ----------
    after : ndarray, (S, L + 1)
        The value when the service has ended, with 0 … L in the system.
    answers : ndarray, (K + 1,)
        What the answer is worth after so many steps; the last step must stop.
    move : ndarray, (I, S, S)
        Probabilities of i arrivals and a phase during one step.
    crowd : ndarray, (S,)
        The time that those who come during one step are there in it.
    step : float
        In s.
    eta : float
        What a second costs those who are not there yet.
    stops : ndarray of bool, (K, S, L + 1)
        Whether to stop; written if ``decide``, read if not.
    decide : bool
        Whether to choose the better.
    """
    phases, last = after.shape[0], after.shape[1] - 1
    value, new = np.zeros_like(after), np.zeros_like(after)
    for f in range(phases):
        for j in range(1, last + 1):
            value[f, j] = answers[-1] + after[f, j - 1]
    for n in range(answers.size - 2, -1, -1):
        for f in range(phases):
            for j in range(1, last + 1):
                stop = answers[n] + after[f, j - 1]
                if not decide and stops[n, f, j]:
                    new[f, j] = stop
                    continue
                go = -(j + eta) * step - crowd[f]
                for i in range(move.shape[0]):
                    to = min(j + i, last)
                    for g in range(phases):
                        go += move[i, f, g] * value[g, to]
                if decide:
                    stops[n, f, j] = stop >= go
                    go = max(go, stop)
                new[f, j] = go
        value, new = new, value
    return value


@compiled
def moved_backwards(after: Array, steps: int, move: Array, stops: Array) -> Array:
    r"""Return where a thought leads, as a linear map: the same without any worth or cost.

    Parameters
    ----------
    after : ndarray, (S, L + 1, C)
        C values when the service has ended.
    steps : int
        The step that must stop.
    move : ndarray, (I, S, S)
        As in :func:`think_backwards`.
    stops : ndarray of bool, (K, S, L + 1)
        Whether to stop.
    """
    phases, last = after.shape[0], after.shape[1] - 1
    value, new = np.zeros_like(after), np.zeros_like(after)
    value[:, 1:] = after[:, :-1]
    for n in range(steps - 1, -1, -1):
        for f in range(phases):
            for j in range(1, last + 1):
                if stops[n, f, j]:
                    new[f, j] = after[f, j - 1]
                    continue
                new[f, j] = 0.0
                for i in range(move.shape[0]):
                    to = min(j + i, last)
                    for g in range(phases):
                        weight = move[i, f, g]
                        if weight > 0.0:
                            for c in range(after.shape[2]):
                                new[f, j, c] += weight * value[g, to, c]
        value, new = new, value
    return value
