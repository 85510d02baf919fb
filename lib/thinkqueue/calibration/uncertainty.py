r"""From uncertain parameters to uncertain budgets, and to budgets that allow for it.

Each draw of the parameters is a whole workload with its own best budgets. The budgets in use are
one set for all, so two questions are left: how far from the best they are in each draw, and which
set is best on average,

.. math:: \max_{\ell}\ \bar J(\ell) = \frac1B\sum_{i=1}^B J_i(\ell).

Each :math:`J_i` is strictly concave where its queue is stable, a mean of concave functions is
concave, and the intersection of the stable regions is convex; so there is one best set, and the
tangent bound holds for it as it does for one workload (our own derivation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay.fifo import Queue, queue
from thinkqueue.grid import solve_grid
from thinkqueue.objective import answered_right, price
from thinkqueue.solution import GridSolution, NotConvergedError, Solution, Status, Step
from thinkqueue.solve import solve
from thinkqueue.workload import Grid, Workload, tokens_array

_MOST_STEPS = 200
_BISECTIONS = 60
_ARMIJO = 1e-4


@dataclass(frozen=True, eq=False)
class Draws:
    """Workloads that might be true, beside the one that was estimated.

    Attributes
    ----------
    workload : Workload
        The estimate; gives everything that does not vary.
    gain, rate, baseline, base_time, time_per_token : ndarray, (B, N)
        The parameters of each draw.
    """

    workload: Workload
    gain: Array
    rate: Array
    baseline: Array
    base_time: Array
    time_per_token: Array

    def __len__(self) -> int:
        return int(self.gain.shape[0])

    @property
    def grid(self) -> Grid:
        """All draws as arrays that the formulas of the library take."""
        w = self.workload
        return Grid(
            share=w.share, gain=self.gain, rate=self.rate, baseline=self.baseline,
            base_time=self.base_time, time_per_token=self.time_per_token, max_tokens=w.max_tokens,
            weight=w.weight, arrival_rate=w.arrival_rate, accuracy_weight=w.accuracy_weight,
        )  # fmt: skip

    def solve(self) -> GridSolution:
        """Return the best budgets of every draw, with their certificates."""
        return solve_grid(
            self.workload, gain=self.gain, rate=self.rate, baseline=self.baseline,
            base_time=self.base_time, time_per_token=self.time_per_token,
        )  # fmt: skip

    def objective(self, tokens: ArrayLike) -> Array:
        """Return J of one allocation in every draw, (B,), minus infinity where it is unstable.

        Parameters
        ----------
        tokens : array_like, (N,)
            The budgets in use.
        """
        ell = tokens_array(self.workload, tokens)
        grid = self.grid
        state = queue(grid, ell)
        value = np.full(len(self), -np.inf)
        stable = state.y[:, 0] > 0
        value[stable] = (_worth(grid, ell) - _mean_system_time(grid, state))[stable]
        return value

    def mean_system_time(self, tokens: ArrayLike) -> Array:
        """Return the latency of one allocation in every draw, (B,), infinite where it is unstable.

        Parameters
        ----------
        tokens : array_like, (N,)
            The budgets in use.
        """
        state = queue(self.grid, tokens_array(self.workload, tokens))
        stable = state.y[:, 0] > 0
        return np.where(stable, _mean_system_time(self.grid, state), np.inf)


@dataclass(frozen=True, eq=False)
class Propagation:
    """What uncertain parameters mean for the budgets.

    Attributes
    ----------
    draws : Draws
        The workloads that might be true.
    each : GridSolution
        The best budgets of each of them.
    plug_in : Solution
        The best budgets of the estimate, taken for the truth.
    robust : Solution
        The budgets that are best on average over the draws; ``objective`` is that average.
    """

    draws: Draws
    each: GridSolution
    plug_in: Solution
    robust: Solution

    def regret(self, tokens: ArrayLike) -> Array:
        """Return what an allocation loses in each draw to the best one for it, (B,), in s.

        Parameters
        ----------
        tokens : array_like, (N,)
            The budgets in use; where they are unstable the regret is infinite.
        """
        return np.maximum(self.each.objective - self.draws.objective(tokens), 0.0)

    def interval(self, values: Array, level: float = 0.95) -> Array:
        """Return the central interval of values over the draws: low and high on the first axis.

        Parameters
        ----------
        values : ndarray, (B, ...)
            One entry a draw.
        level : float, optional
            Its probability.
        """
        return np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)


def propagate(draws: Draws) -> Propagation:
    """Solve every draw, the estimate, and the mean of all draws.

    Parameters
    ----------
    draws : Draws
        From :meth:`thinkqueue.Calibration.draws`.

    Raises
    ------
    UnstableError
        If some draw is unstable even without thinking.
    """
    return Propagation(draws, draws.solve(), solve(draws.workload), best_on_average(draws))


def best_on_average(draws: Draws, *, gap: float = 1e-9) -> Solution:
    r"""Find the budgets that maximise the mean objective over the draws.

    .. math:: \max_{0\le\ell\le\ell_{\max}} \frac1B\sum_i J_i(\ell)
              \quad\text{subject to}\quad \rho_i(\ell) < 1 \text{ for all } i.

    Parameters
    ----------
    draws : Draws
        The workloads that might be true.
    gap : float, optional
        The certified gap at which to stop, in s and relative to the objective beyond 1 s.

    Returns
    -------
    Solution
        Utilization, latency and accuracy are means over the draws.

    Raises
    ------
    UnstableError
        If some draw is unstable even without thinking.
    NotConvergedError
        If the gap was not reached.

    Notes
    -----
    A projected Newton step with a line search that stays stable in every draw; where that does not
    climb, a conditional-gradient step. The curvature is formed densely: there is one type for each
    task that was measured, which is a handful.
    """
    grid = draws.grid
    # a start that is stable in every draw, and an error in words if there is none
    tokens = draws.solve().tokens.min(axis=0)
    history: list[Step] = []
    while True:
        look = _look(grid, tokens)
        history.append(Step(look.objective, look.gap, float(1 - look.state.y.min())))
        if look.gap <= gap * max(1.0, abs(look.objective)) or len(history) > _MOST_STEPS:
            break
        step = _newton_direction(grid, look, tokens)
        moved = _line_search(grid, look, tokens, step)
        if moved is None:
            moved = _line_search(grid, look, tokens, look.vertex - tokens)
        if moved is None:
            break
        tokens = moved
    reached = look.gap <= gap * max(1.0, abs(look.objective))
    tokens.flags.writeable = False
    accuracy = answered_right(grid, tokens)
    solution = Solution(
        tokens=tokens,
        objective=look.objective,
        upper_bound=look.objective + look.gap,
        gap=look.gap,
        utilization=float(1 - look.state.y.mean()),
        mean_system_time=float(_mean_system_time(grid, look.state).mean()),
        mean_accuracy=float((accuracy @ (grid.weight * grid.share)).mean()),
        steps=len(history) - 1,
        status=Status.CONVERGED if reached else Status.STALLED,
        history=tuple(history),
    )
    if not reached:
        raise NotConvergedError(
            f"The mean over {len(draws)} draws stopped at a certified gap of {look.gap:.3g} s; "
            f"{gap:.3g} s was asked for. {solution.status.value}",
            solution=solution,
        )
    return solution


@dataclass(frozen=True, eq=False)
class _Look:
    """Value, slope and certificate of the mean objective at one allocation."""

    objective: float
    slope: Array
    vertex: Array
    gap: float
    state: Queue


def _look(grid: Grid, tokens: Array) -> _Look:
    state = queue(grid, tokens)
    cost = np.mean(grid.share * grid.time_per_token * price(grid, state), axis=0)
    slope = _marginal_worth(grid, tokens) - cost
    vertex = _best_at_prices(grid, cost)
    gain = np.mean(_worth(grid, vertex)) - np.mean(_worth(grid, tokens))
    return _Look(
        objective=float(np.mean(_worth(grid, tokens) - _mean_system_time(grid, state))),
        slope=slope,
        vertex=vertex,
        gap=max(0.0, float(gain - cost @ (vertex - tokens))),
        state=state,
    )


def _worth(grid: Grid, tokens: Array) -> Array:
    """Return α Σ w π p in every draw, (B,)."""
    accuracy = answered_right(grid, tokens)
    return np.asarray(grid.accuracy_weight * (accuracy @ (grid.weight * grid.share)))


def _mean_system_time(grid: Grid, state: Queue) -> Array:
    stable = np.where(state.y > 0, state.y, 1.0)
    held = Queue(state.s, state.m, state.M, stable)
    return held.mean_system_time(grid.arrival_rate)[:, 0]


def _marginal_worth(grid: Grid, tokens: Array) -> Array:
    """Return the mean slope of the worth, (N,)."""
    slope = np.mean(grid.gain * grid.rate * np.exp(-grid.rate * tokens), axis=0)
    return np.asarray(grid.accuracy_weight * grid.weight * grid.share * slope)


def _best_at_prices(grid: Grid, cost: Array) -> Array:
    """Return the maximiser of the mean worth less a linear cost, by bisection on its slope."""
    low, high = np.zeros_like(cost), grid.max_tokens.astype(float)
    high = np.where(_marginal_worth(grid, low) <= cost, low, high)
    low = np.where(_marginal_worth(grid, high) >= cost, high, low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        more = _marginal_worth(grid, middle) > cost
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.asarray((low + high) / 2)


def mean_curvature(draws: Draws, tokens: ArrayLike) -> Array:
    r"""Return the negative Hessian of the mean objective, (N, N).

    Parameters
    ----------
    draws : Draws
        The workloads that might be true.
    tokens : array_like, (N,)
        An allocation that is stable in every draw.
    """
    grid, ell = draws.grid, tokens_array(draws.workload, tokens)
    return _curvature(grid, ell, queue(grid, ell))


def _curvature(grid: Grid, tokens: Array, state: Queue) -> Array:
    pressure = np.asarray(grid.arrival_rate / state.y)
    u = grid.share * grid.time_per_token
    v = u * state.s
    u, v = np.broadcast_arrays(u, v)
    bend = grid.gain * grid.rate**2 * np.exp(-grid.rate * tokens)
    diagonal = grid.accuracy_weight * grid.weight * grid.share * bend
    diagonal = diagonal + pressure * grid.share * grid.time_per_token**2
    cross = (u * pressure**2).T @ v
    square = (u * pressure**3 * state.M).T @ u
    return np.asarray(np.diag(diagonal.mean(axis=0)) + (cross + cross.T + square) / u.shape[0])


def _newton_direction(grid: Grid, look: _Look, tokens: Array) -> Array:
    """Return the Newton step on the coordinates that are free to move."""
    held = ((tokens <= 0) & (look.slope <= 0)) | ((tokens >= grid.max_tokens) & (look.slope >= 0))
    free = np.flatnonzero(~held)
    step = np.zeros_like(tokens)
    if free.size:
        matrix = _curvature(grid, tokens, look.state)[np.ix_(free, free)]
        unit = 1 / np.sqrt(np.diag(matrix))
        scaled = matrix * np.outer(unit, unit)
        step[free] = unit * np.linalg.solve(scaled, unit * look.slope[free])
    return step


def _line_search(grid: Grid, look: _Look, tokens: Array, step: Array) -> Array | None:
    """Return the first point on the projected path that is stable and climbs enough."""
    length = 1.0
    for _ in range(50):
        trial = np.clip(tokens + length * step, 0.0, grid.max_tokens)
        state = queue(grid, trial)
        if state.y.min() > 0:
            value = float(np.mean(_worth(grid, trial) - _mean_system_time(grid, state)))
            if value > look.objective + _ARMIJO * max(0.0, float(look.slope @ (trial - tokens))):
                return trial
        length /= 2
    return None
