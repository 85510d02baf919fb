"""Arrivals that are not Poisson sent through the queue, and the best budgets for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import stdtrit

from thinkqueue.arrays import Array, Index
from thinkqueue.arrivals.markov import MarkovModulated
from thinkqueue.arrivals.trace import Trace
from thinkqueue.checks import check_count
from thinkqueue.delay import mean_waiting_time, only_fifo, service_moments, service_time
from thinkqueue.objective import mean_accuracy
from thinkqueue.simulation.estimates import Estimate
from thinkqueue.simulation.simulate import check_levels
from thinkqueue.solve import solve
from thinkqueue.workload import Workload, tokens_array

NEARLY_FULL = 1e-4


@dataclass(frozen=True)
class Records:
    """Arrivals with types, drawn once: what several allocations are compared on.

    Attributes
    ----------
    workload : Workload
        Whose types, shares and arrival rate they have.
    gaps : ndarray, (1, n) or (R, n)
        Time from each query to the next, in s.
    kinds : ndarray of int64, (R, n)
        The types in each record.
    """

    workload: Workload
    gaps: Array
    kinds: Index

    @classmethod
    def draw(
        cls,
        workload: Workload,
        arrivals: Trace | MarkovModulated,
        *,
        seed: int,
        replications: int = 20,
        jobs: int = 10_000,
    ) -> Records:
        """Draw what :func:`thinkqueue.simulate` draws for the same seed and arrivals.

        Parameters
        ----------
        workload : Workload
            Its arrival rate is the one that the arrivals are brought to.
        arrivals : Trace or MarkovModulated
            A trace is used as it is in every record, and only the types differ; a model gives new
            arrivals to every record.
        seed : int
            Of a ``numpy.random.SeedSequence``.
        replications : int, optional
            How many records.
        jobs : int, optional
            How many queries a record has, or as many as the trace has.
        """
        only_fifo(workload, "The queue on given arrivals")
        check_count("replications", replications)
        check_count("jobs", jobs)
        check_count("seed", seed, least=0)
        from thinkqueue.simulation.alias import alias_table
        from thinkqueue.simulation.queries import queries_of

        table = alias_table(np.ascontiguousarray(workload.share))
        records = [
            queries_of(table, workload.arrival_rate, arrivals, jobs, child).all()
            for child in np.random.SeedSequence(seed).spawn(replications)
        ]
        kinds, gaps = (np.stack(part) for part in zip(*records, strict=True))
        return cls(workload, gaps[:1] if isinstance(arrivals, Trace) else gaps, kinds)

    def waiting(self, tokens: ArrayLike) -> tuple[Array, Array]:
        """Return the mean waiting time of each record and the slope of the mean system time.

        Parameters
        ----------
        tokens : array_like, (N,)
            Thinking tokens of each type.

        Returns
        -------
        waiting : ndarray, (R,)
            In s.
        slope : ndarray, (N,)
            In s per token.
        """
        from thinkqueue.simulation.lindley import waiting_and_slope

        service = np.ascontiguousarray(service_time(self.workload, tokens))
        waiting, slope = waiting_and_slope(self.kinds, self.gaps, service)
        return waiting, slope * self.workload.time_per_token

    def mean_waiting_time(self, tokens: ArrayLike, *, level: float = 0.95) -> Estimate:
        """Return the mean waiting time with a t interval over the records.

        Parameters
        ----------
        tokens : array_like, (N,)
            Thinking tokens of each type.
        level : float, optional
            Of the interval. With a trace it speaks of the types alone: what another hour of the
            same service would have brought, one hour cannot tell.
        """
        check_levels(level)
        waiting, _ = self.waiting(tokens)
        mean, count = float(waiting.mean()), waiting.size
        error = waiting.std(ddof=1) / np.sqrt(count) if count > 1 else np.inf
        wide = float(stdtrit(max(count - 1, 1), (1 + level) / 2) * error)
        return Estimate(mean, mean - wide, mean + wide, level)

    def mean_system_time(self, tokens: ArrayLike) -> float:
        """Return the mean system time over all records, in s.

        The waiting times are those of the records; the mean service time is the exact one.

        Parameters
        ----------
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        return float(service_moments(self.workload, tokens)[0] + self.waiting(tokens)[0].mean())

    def objective(self, tokens: ArrayLike) -> float:
        """Return J with the mean system time of these records, in s.

        Parameters
        ----------
        tokens : array_like, (N,)
            Thinking tokens of each type.
        """
        worth = self.workload.accuracy_weight * float(mean_accuracy(self.workload, tokens))
        return worth - self.mean_system_time(tokens)

    def solve(self, *, start: ArrayLike | None = None) -> Budgets:
        r"""Find the budgets that are best on these records.

        The mean system time of fixed records is convex in the tokens (``simulation/lindley.py``),
        so there is one optimal value, and the tangent bound of the Poisson queue certifies it here
        as well.

        Parameters
        ----------
        start : array_like, (N,), optional
            Where to begin; the Poisson optimum by default.
        """
        # the share of a type in the records differs a little from its share of all queries, of
        # which the service term is taken
        w = self.workload
        drawn = np.bincount(self.kinds.ravel(), minlength=len(w)) / self.kinds.size

        def time(tokens: Array) -> tuple[float, Array]:
            waiting, slope = self.waiting(tokens)
            service = float(service_moments(w, tokens)[0])
            return service + waiting.mean(), slope + (w.share - drawn) * w.time_per_token

        return maximise(w, time, start)


@dataclass(frozen=True)
class Budgets:
    """The best budgets for a convex mean system time, with a certificate.

    Attributes
    ----------
    tokens : ndarray, (N,)
        Thinking tokens of each type.
    objective : float
        J there, in s.
    gap : float
        No allocation is better by more than this, in s, by the tangent bound.
    """

    tokens: Array
    objective: float
    gap: float


def maximise(
    workload: Workload,
    time: Callable[[Array], tuple[float, Array]],
    start: ArrayLike | None = None,
) -> Budgets:
    r"""Maximise :math:`\alpha\sum_k w_k\pi_k p_k(\ell_k) - T(\ell)` for a convex T.

    Parameters
    ----------
    workload : Workload
        The accuracies and the caps.
    time : callable
        T and a subgradient of it.
    start : array_like, (N,), optional
        Where to begin; the Poisson optimum by default.

    Notes
    -----
    Limited-memory quasi-Newton steps (SciPy's L-BFGS-B), restarted while they help; what certifies
    the result is not the method but the bound: a subgradient g of the convex T at
    :math:`\hat\ell` gives

    .. math:: J(\ell) \le \sum_k \max_{0\le x\le\ell_{\max,k}}[\alpha w_k\pi_k p_k(x) - g_k x]
              - T(\hat\ell) + g\cdot\hat\ell .
    """
    w = workload
    worth = w.accuracy_weight * w.weight * w.share * w.gain
    scale = 1 / w.rate

    def negative(x: Array) -> tuple[float, Array]:
        tokens = np.clip(x * scale, 0, w.max_tokens)
        value, slope = time(tokens)
        decay = np.exp(-w.rate * tokens)
        return value + float(worth @ decay), (slope - worth * w.rate * decay) * scale

    x = np.asarray(solve(w).tokens if start is None else tokens_array(w, start)) / scale
    bounds = list(zip(np.zeros(x.size), w.max_tokens / scale, strict=True))
    best = np.inf
    for _ in range(20):
        found = minimize(negative, x, jac=True, bounds=bounds, method="L-BFGS-B")
        x = found.x
        if not found.fun < best - 1e-9 * abs(found.fun):
            break
        best = found.fun
    tokens = np.clip(x * scale, 0, w.max_tokens)
    value, slope = time(tokens)
    with np.errstate(divide="ignore"):
        top = np.log(worth * w.rate / np.maximum(slope, 1e-300)) / w.rate
    top = np.clip(top, 0, w.max_tokens)
    gain = worth * (np.exp(-w.rate * tokens) - np.exp(-w.rate * top)) - slope * (top - tokens)
    worth_there = w.accuracy_weight * float(mean_accuracy(w, tokens))
    return Budgets(tokens, worth_there - value, float(gain.sum()))


def corrected_waiting_time(workload: Workload, tokens: ArrayLike, variability: float) -> float:
    r"""Return the mean waiting time with a term for arrivals that are not Poisson, in s.

    .. math:: \mathbb{E}[W] \approx \frac{\lambda\,(M + (v - 1)\,m^2)}{2(1 - \rho)}
              = \frac{\rho\, m}{1 - \rho}\cdot\frac{v + c_s^2}{2}

    The formula of Kingman's bound with the correction of Allen and Cunneen, exact for Poisson
    arrivals, where v = 1. In the original v is the squared coefficient of variation of the gaps.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    variability : float
        v, not negative.
    """
    m = float(service_moments(workload, tokens)[0])
    extra = workload.arrival_rate * (variability - 1) * m**2
    return float(mean_waiting_time(workload, tokens)) + extra / (
        2 * (1 - workload.arrival_rate * m)
    )


def solve_corrected(workload: Workload, variability: float) -> Budgets:
    r"""Find the best budgets under the corrected waiting time.

    Both :math:`(M - m^2)/(1-\rho)` and :math:`m^2/(1-\rho)` are convex in the tokens, so the
    problem is as easy as the Poisson one for every :math:`v \ge 0`.

    Parameters
    ----------
    workload : Workload
        The workload.
    variability : float
        v of :func:`corrected_waiting_time`.
    """
    w = workload

    def time(tokens: Array) -> tuple[float, Array]:
        s = service_time(w, tokens)
        m, second = (float(moment) for moment in service_moments(w, tokens))
        y, top = 1 - w.arrival_rate * m, second + (variability - 1) * m**2
        # 1/y goes on along its tangent below NEARLY_FULL, so that a long step of the search finds
        # a large number there and not infinity
        edge = max(y, NEARLY_FULL)
        inverse, bend = 2 / edge - y / edge**2, 1 / edge**2
        half = w.arrival_rate / 2
        price = 1 + half * (2 * (s + (variability - 1) * m) * inverse + w.arrival_rate * top * bend)
        return m + half * top * inverse, w.share * w.time_per_token * price

    return maximise(w, time)


def fitted_variability(records: Records, tokens: ArrayLike) -> float:
    r"""Return the v with which the corrected formula says what the records say at one allocation.

    Parameters
    ----------
    records : Records
        Arrivals.
    tokens : array_like, (N,)
        The allocation to measure at.
    """
    w = records.workload
    m = float(service_moments(w, tokens)[0])
    measured = float(records.waiting(tokens)[0].mean())
    poisson = float(mean_waiting_time(w, tokens))
    y = 1 - w.arrival_rate * m
    return 1 + (measured - poisson) * 2 * y / (w.arrival_rate * m**2)
