r"""The small problem that is solved over and over: saturating gains under linear constraints.

.. math:: \max_{0\le v\le h}\; \sum_k g_k\bigl(1 - e^{-r_k v_k}\bigr) + q\cdot v
          \quad\text{subject to}\quad C v \le d .

Its Lagrangian falls apart into one problem a variable, each with a closed form, so that *any*
multipliers give an upper bound. An interior-point method finds good ones; whatever its rounding
does to them, the bound stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array

MOST_STEPS = 60
CLOSE = 1e-13
"""Merit at which the interior point rests, relative to the largest gain."""

UNEVEN = 1e-3
"""What a broken equation counts beside the gap: what it does to the bound is of second order."""

PATIENCE = 3
HALVINGS = 10
REFINEMENTS = 2

AHEAD = 30
"""How much larger than the gap a broken equation may be before the gap has to wait."""

ROUGH = 1e-6
"""Residuals below this are no reason to shorten a step."""

SATURATED = 45.0
"""Beyond this many 1/r nothing is gained that double precision could hold."""


@dataclass(frozen=True)
class Gains:
    r"""What is maximised, and within which box.

    Attributes
    ----------
    gain, rate : ndarray, (V,)
        :math:`g_k \ge 0` and :math:`r_k`; 0 where a variable has no curve.
    linear : ndarray, (V,)
        :math:`q_k`.
    most : ndarray, (V,)
        :math:`h_k`, finite.
    """

    gain: Array
    rate: Array
    linear: Array
    most: Array


@dataclass(frozen=True)
class Optimum:
    """Where the interior point came to rest, and what its multipliers prove.

    Attributes
    ----------
    point : ndarray, (V,)
        The variables, inside the box; the constraints hold nearly.
    multipliers : ndarray, (C,)
        One for each constraint, none negative.
    upper_bound : float
        No point that keeps the constraints is worth more.
    """

    point: Array
    multipliers: Array
    upper_bound: float


def dual_value(gains: Gains, matrix: Array, limit: Array, multipliers: Array) -> float:
    r"""Return :math:`\max_{0\le v\le h} \bigl[\text{gain}(v) - \mu\cdot(Cv - d)\bigr]`.

    Parameters
    ----------
    gains : Gains
        What is maximised.
    matrix, limit : ndarray, (C, V) and (C,)
        C and d.
    multipliers : ndarray, (C,)
        :math:`\mu \ge 0`.
    """
    price = multipliers @ matrix - gains.linear
    worth = gains.gain * gains.rate
    free = (price > 0) & (worth > 0)
    with np.errstate(over="ignore"):
        ratio = np.where(free, worth, 1.0) / np.where(free, price, 1.0)
        stop = np.log(ratio) / np.where(free, gains.rate, 1.0)
    stop = np.where(free, stop, np.where(price > 0, 0.0, np.inf))
    at = np.clip(stop, 0.0, gains.most)
    return float(gains.gain @ -np.expm1(-gains.rate * at) - price @ at + multipliers @ limit)


def maximise(gains: Gains, matrix: Array, limit: Array) -> Optimum:
    r"""Solve the problem by Mehrotra's predictor and corrector, in variables scaled to [0, 1].

    Parameters
    ----------
    gains : Gains
        What is maximised.
    matrix, limit : ndarray, (C, V) and (C,)
        C and d; the constraints have a solution.
    """
    with np.errstate(divide="ignore"):
        enough = np.where(gains.gain > 0, SATURATED / gains.rate, gains.most)
    idle = (gains.gain == 0) & (gains.rate > 0)
    most = np.where(idle, 0.0, np.minimum(gains.most, enough))
    rows = np.abs(matrix * most).max(axis=1, initial=0.0)
    rows = np.where(rows > 0, rows, 1.0)
    g, r, q = gains.gain, gains.rate * most, gains.linear * most
    size = max(float(g @ -np.expm1(-r)), float(np.abs(q).max(initial=0.0)), 1e-300)
    inner = _Interior(g / size, r, q / size, matrix * most / rows[:, None], limit / rows)
    inner.run()
    multipliers = inner.mu * size / rows
    bound = dual_value(gains, matrix, limit, multipliers)
    return Optimum(inner.v * most, multipliers, bound)


class _Interior:
    """The iterates: v in (0, 1), slacks w > 0, multipliers of constraints and of both bounds."""

    def __init__(self, gain: Array, rate: Array, linear: Array, matrix: Array, limit: Array):
        self.gain, self.rate, self.linear = gain, rate, linear
        self.matrix, self.limit = matrix, limit
        self.v = np.minimum(0.5, 1 / np.maximum(rate, 1.0))
        self.w = np.maximum(limit - matrix @ self.v, 0.1)
        self.mu = np.full(len(limit), 0.1)
        self.low, self.high = np.full(len(gain), 0.1), np.full(len(gain), 0.1)

    def complementarity(self) -> float:
        return float(self.mu @ self.w + self.low @ self.v + self.high @ (1 - self.v))

    def merit(self) -> float:
        """What separates an iterate from the optimum: its gap and its broken equations."""
        broken = np.concatenate([self._primal(), self._dual()])
        return self.complementarity() + float(np.abs(broken).max(initial=0.0)) * UNEVEN

    def _primal(self) -> Array:
        return np.asarray(self.matrix @ self.v + self.w - self.limit)

    def _dual(self) -> Array:
        fading = self.gain * self.rate * np.exp(-self.rate * self.v)
        return np.asarray(self.mu @ self.matrix - fading - self.linear - self.low + self.high)

    def run(self) -> None:
        """Step until the merit is that of rounding or no longer falls, and keep the best."""
        best, kept, worse = np.inf, (self.v, self.mu), 0
        with np.errstate(all="ignore"):
            for _ in range(MOST_STEPS):
                merit = self.merit()
                worse = 0 if merit < best else worse + 1
                if merit < best:
                    best, kept = merit, (self.v, self.mu)
                if best < CLOSE or worse > PATIENCE or not self._step():
                    break
        self.v, self.mu = kept

    def _step(self) -> bool:
        v, w, mu, low, high = self.v, self.w, self.mu, self.low, self.high
        fading = self.gain * self.rate * np.exp(-self.rate * v)
        dual, primal = self._dual(), self._primal()
        curved = (self.matrix.T * (mu / w)) @ self.matrix
        curved[np.diag_indices(len(v))] += fading * self.rate + low / v + high / (1 - v)
        scale = np.sqrt(np.diag(curved))
        try:
            scaled = curved / scale[:, None] / scale
            inverse = np.linalg.inv(scaled)
        except np.linalg.LinAlgError:
            return False

        def direction(w_goal: Array, low_goal: Array, high_goal: Array) -> tuple[Array, ...]:
            cw, cl, cu = w_goal - mu * w, low_goal - low * v, high_goal - high * (1 - v)
            side = -dual - ((cw + mu * primal) / w) @ self.matrix + cl / v - cu / (1 - v)
            side /= scale
            dv = inverse @ side
            for _ in range(REFINEMENTS):
                dv += inverse @ (side - scaled @ dv)
            dv /= scale
            dw = -primal - self.matrix @ dv
            return dv, dw, (cw - mu * dw) / w, (cl - low * dv) / v, (cu + high * dv) / (1 - v)

        def longest(d: tuple[Array, ...]) -> float:
            pairs = ((v, d[0]), (1 - v, -d[0]), (w, d[1]), (mu, d[2]), (low, d[3]), (high, d[4]))
            return min(float((-a[s < 0] / s[s < 0]).min(initial=np.inf)) for a, s in pairs)

        nothing = 0.0 * v
        gap = self.complementarity() / (len(w) + 2 * len(v))
        guess = direction(0.0 * w, nothing, nothing)
        part = min(1.0, longest(guess))
        left = (mu + part * guess[2]) @ (w + part * guess[1])
        left += (low + part * guess[3]) @ (v + part * guess[0])
        left += (high + part * guess[4]) @ (1 - v - part * guess[0])
        goal = gap * float(left / (len(w) + 2 * len(v)) / gap) ** 3
        behind = float(np.abs(dual).max()) > max(AHEAD * self.complementarity(), ROUGH)
        if behind:
            # the equations first: they are curved, and the gap would run away from them
            step = direction(0 * w + gap / 2, nothing + gap / 2, nothing + gap / 2)
        else:
            step = direction(
                goal - guess[1] * guess[2],
                goal - guess[0] * guess[3],
                goal + guess[0] * guess[4],
            )
        part = min(1.0, 0.995 * longest(step))
        # the curves are not linear: shorten the step until the equations hold better than before
        before = max(float(np.abs(dual).max()), self.complementarity() / 10, ROUGH)
        for _ in range(HALVINGS):
            self.v, self.w, self.mu = v + part * step[0], w + part * step[1], mu + part * step[2]
            self.low, self.high = low + part * step[3], high + part * step[4]
            if float(np.abs(self._dual()).max()) <= before * (1 - 0.01 * part):
                break
            part /= 2
        return True
