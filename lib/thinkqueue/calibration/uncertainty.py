r"""From uncertain parameters to uncertain budgets, and to budgets that allow for it.

Each draw is what another experiment like this one would have estimated: a whole workload with its
own best budgets. What planning by such an estimate loses is what these budgets lose where the
estimate in hand is true, which stands for the truth as the draws stand for estimates of it. Whoever
takes the draws for what may be true instead, as a belief, asks which one set of budgets is best on
average,

.. math:: \max_{\ell}\ \bar J(\ell) = \frac1B\sum_{i=1}^B J_i(\ell).

Each :math:`J_i` is strictly concave where its queue is stable, a mean of concave functions is
concave, and the intersection of the stable regions is convex; so there is one best set, and the
tangent bound holds for it as it does for one workload (our own derivation).
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay import State, delay_of, utilization
from thinkqueue.grid import solve_grid
from thinkqueue.objective import objective
from thinkqueue.solution import GridSolution, Solution
from thinkqueue.solve import solve
from thinkqueue.solvers.quasi_newton import QuasiNewton
from thinkqueue.workload import (
    Affine,
    Curve,
    Grid,
    Parameters,
    Saturating,
    Varying,
    Workload,
    tokens_array,
)


@dataclass(frozen=True, eq=False)
class Draws:
    """Workloads as new experiments would have estimated them, beside the one that was estimated.

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
        w, times = self.workload, (self.base_time, self.time_per_token)
        varies = isinstance(w.service, Varying)
        return Grid(
            share=w.share[None],
            max_tokens=w.max_tokens[None],
            weight=w.weight[None],
            curves=Saturating(self.gain, self.rate, self.baseline),
            service=Varying(*times, w.variation) if varies else Affine(*times),
            arrival_rate=np.full((1, 1), w.arrival_rate),
            accuracy_weight=np.full((1, 1), w.accuracy_weight),
            server=w.server,
        )

    def average(self) -> Workload:
        """Return the workload whose J is the mean of J over all draws."""
        return self.workload.replace(
            accuracy=AverageCurve(self.grid.curves), server=AverageDelay(self.grid)
        )

    def solve(self, executor: Executor | None = None) -> GridSolution:
        """Return the best budgets of every draw, with their certificates.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Where, as in :func:`~thinkqueue.solve_grid`.
        """
        return solve_grid(
            self.workload, executor=executor, gain=self.gain, rate=self.rate,
            baseline=self.baseline, base_time=self.base_time, time_per_token=self.time_per_token,
        )  # fmt: skip

    def objective(self, tokens: ArrayLike) -> Array:
        """Return J of one allocation in every draw, (B,), minus infinity where it is unstable.

        Parameters
        ----------
        tokens : array_like, (N,)
            The budgets in use.
        """
        w, ell = self.workload, tokens_array(self.workload, tokens, single=True)
        answers = w.accuracy_weight * (self.grid.curves.value(ell) @ (w.weight * w.share))
        return np.asarray(answers - self.mean_system_time(ell))

    def mean_system_time(self, tokens: ArrayLike) -> Array:
        """Return the latency of one allocation in every draw, (B,), infinite where it is unstable.

        Parameters
        ----------
        tokens : array_like, (N,)
            The budgets in use.
        """
        ell = tokens_array(self.workload, tokens, single=True)
        with np.errstate(all="ignore"):
            state = delay_of(self.workload.server).at(self.grid, ell)
        return np.where(state.slack > 0, state.time, np.inf)[:, 0]


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

    @property
    def regret(self) -> Array:
        r"""What planning by such an estimate loses, (B,), in s.

        .. math:: J(\hat\ell) - J(\ell_i), \qquad \ell_i = \arg\max J_i,

        with J that of the estimate: the bootstrap's image of what the truth loses to the estimate.
        Infinite where the budgets of a draw are unstable.
        """
        w, plans = self.draws.workload, self.each.tokens
        carried = utilization(w, plans) < 1
        regret = np.full(len(self.draws), np.inf)
        regret[carried] = self.plug_in.objective - objective(w, plans[carried])
        return regret

    def loss(self, tokens: ArrayLike) -> Array:
        """Return what an allocation loses in each draw to the best one for it, (B,), in s.

        Parameters
        ----------
        tokens : array_like, (N,)
            The budgets in use; where they are unstable the loss is infinite.
        """
        return np.asarray(self.each.objective - self.draws.objective(tokens))

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


def propagate(draws: Draws, *, executor: Executor | None = None) -> Propagation:
    """Solve every draw, the estimate, and the mean of all draws.

    Parameters
    ----------
    draws : Draws
        From :meth:`thinkqueue.Calibration.draws`.
    executor : concurrent.futures.Executor, optional
        Where the draws are solved, as in :func:`~thinkqueue.solve_grid`.

    Raises
    ------
    UnstableError
        If some draw is unstable even without thinking.
    """
    return Propagation(draws, draws.solve(executor), solve(draws.workload), best_on_average(draws))


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
        Latency and accuracy are means over the draws, the utilization is the highest of them.

    Raises
    ------
    UnstableError
        If some draw is unstable even without thinking.
    NotConvergedError
        If the gap was not reached.

    Notes
    -----
    The mean of concave curves is a concave curve and the mean of convex delays a convex delay, so
    this is :func:`~thinkqueue.solve` on the :meth:`Draws.average` of all draws.
    """
    # a start that is stable in every draw, and an error in words if there is none
    start = draws.solve().tokens.min(axis=0)
    return solve(draws.average(), QuasiNewton(), start=start, gap=gap)


@dataclass(frozen=True)
class AverageCurve(Curve):
    """The mean of the curves of all draws, type by type.

    Parameters
    ----------
    draws : Curve
        With arrays (B, N) for fields.
    """

    draws: Curve

    def value(self, tokens: Array) -> Array:
        """Return the mean accuracy.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.draws.value(tokens[..., None, :]).mean(axis=-2))

    def slope(self, tokens: Array) -> Array:
        """Return the mean slope.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.draws.slope(tokens[..., None, :]).mean(axis=-2))

    def bend(self, tokens: Array) -> Array:
        """Return the mean bend.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.draws.bend(tokens[..., None, :]).mean(axis=-2))


@dataclass(frozen=True)
class AverageDelay:
    """A server that is each of the draws with the same probability.

    Parameters
    ----------
    grid : Grid
        All draws.
    """

    grid: Grid
    convex = True

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return the mean of time and prices, and the least slack.

        Parameters
        ----------
        problem : Parameters
            Not looked at: the draws know all of it.
        tokens : ndarray, (N,)
            Thinking tokens.
        """
        each = delay_of(self.grid.server).at(self.grid, tokens)
        return State(
            time=float(np.mean(each.time)),
            slack=float(np.min(each.slack)),
            price=each.price.mean(axis=0),
            magnified=float(np.mean(each.magnified)),
        )
