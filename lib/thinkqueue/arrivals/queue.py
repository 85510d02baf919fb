"""Arrivals that are not Poisson sent through the queue, and the best budgets for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from thinkqueue.arrays import Array, Index, Scalar, first, total
from thinkqueue.arrivals.markov import MarkovModulated
from thinkqueue.arrivals.trace import Trace
from thinkqueue.checks import check_count, one_number
from thinkqueue.delay import (
    Formula,
    State,
    TwoMoments,
    certain_service_time,
    mean_system_time,
    mean_waiting_time,
    only_fifo,
    room,
    service_moments,
)
from thinkqueue.objective import mean_accuracy
from thinkqueue.simulation.estimates import Estimate
from thinkqueue.simulation.simulate import check_levels
from thinkqueue.solution import Solution
from thinkqueue.solve import solve
from thinkqueue.solvers.quasi_newton import QuasiNewton
from thinkqueue.workload import Fifo, Parameters, Workload


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
        from thinkqueue.simulation.work import Certain

        table = alias_table(np.ascontiguousarray(workload.share))
        idle = Certain(np.zeros(len(workload)))  # a record holds no times: budgets make them
        records = [
            queries_of(table, workload.arrival_rate, arrivals, jobs, lambda _: idle, child).all()
            for child in np.random.SeedSequence(seed).spawn(replications)
        ]
        kinds, gaps, _ = (np.stack(part) for part in zip(*records, strict=True))
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

        service = certain_service_time(self.workload, tokens, "The queue on given arrivals")
        service = np.ascontiguousarray(service)
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

    def solve(self, *, start: ArrayLike | None = None) -> Solution:
        r"""Find the budgets that are best on these records.

        The mean system time of fixed records is convex in the tokens (``simulation/lindley.py``),
        so there is one optimal value, and the tangent bound certifies it here as well.

        Parameters
        ----------
        start : array_like, (N,), optional
            Where to begin; the Poisson optimum by default.

        Returns
        -------
        Solution
            What limited-memory steps reached, with its certified gap, whatever that is: the mean
            time has kinks.
        """
        w = self.workload
        start = solve(w.replace(server=Fifo())).tokens if start is None else start
        return solve(w.replace(server=OnRecord(self)), QuasiNewton(), start=start, throw=False)


@dataclass(frozen=True)
class OnRecord:
    """The server of recorded arrivals: a delay that is measured and not computed.

    Parameters
    ----------
    records : Records
        Arrivals with types.
    convex : bool, optional
        That the mean time over records is convex in the tokens.
    """

    records: Records
    convex: bool = True

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return the mean system time over the records and its slopes.

        Parameters
        ----------
        problem : Parameters
            The workload.
        tokens : ndarray, (N,)
            Thinking tokens.
        """
        records, share = self.records, problem.share
        types = problem.service.moments(tokens)
        waiting, slope = records.waiting(tokens)
        # the share of a type in the records differs a little from its share of all queries, of
        # which the service term is taken
        drawn = np.bincount(records.kinds.ravel(), minlength=share.size) / records.kinds.size
        slope = slope + (share - drawn) * types.mean_slope
        m = first(total(share, types.mean))
        price = np.where(share > 0, slope / np.where(share > 0, share, 1.0), types.mean_slope)
        return State(m + float(waiting.mean()), 1 - first(problem.arrival_rate) * m, price)


@dataclass(frozen=True)
class Corrected(TwoMoments):
    r"""First come, first served with a term for arrivals that are not Poisson.

    .. math:: \mathbb{E}[W] \approx \frac{\lambda\,(M + (v - 1)\,m^2)}{2(1 - \rho)}
              = \frac{\rho\, m}{1 - \rho}\cdot\frac{v + c_s^2}{2}

    The formula of Kingman's bound with the correction of Allen and Cunneen, exact for Poisson
    arrivals, where v = 1. In the original v is the squared coefficient of variation of the gaps.
    Convex for every :math:`v \ge 0`, since :math:`(M - m^2)/(1-\rho)` and :math:`m^2/(1-\rho)`
    are.

    Parameters
    ----------
    variability : float
        v, not negative.
    """

    variability: float

    def __post_init__(self) -> None:
        one_number("variability", self.variability, least=0)

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        r"""Return :math:`g = m + (v-1)\nu m^2/2` and :math:`f = \nu/2`, :math:`\nu = \lambda/y`.

        Parameters
        ----------
        rate : float or ndarray, (..., 1)
            :math:`\lambda`.
        m : float or ndarray, (..., 1)
            The mean service time.
        """
        slack = 1 - rate * m
        nu, more = rate / room(slack), self.variability - 1
        return Formula(
            slack=slack,
            g=m + more * nu * m * m / 2,
            g1=1 + more * (nu * m + nu * nu * m * m / 2),
            g2=more * (nu + 2 * nu * nu * m + nu * nu * nu * m * m),
            f=nu / 2,
            f1=nu * nu / 2,
            excess=0.0,
        )


def corrected_waiting_time(workload: Workload, tokens: ArrayLike, variability: float) -> float:
    r"""Return the mean waiting time that :class:`Corrected` says, in s.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    variability : float
        v, not negative.
    """
    bursty = workload.replace(server=Corrected(variability))
    return float(mean_system_time(bursty, tokens) - service_moments(workload, tokens)[0])


def solve_corrected(workload: Workload, variability: float) -> Solution:
    r"""Find the best budgets under the corrected waiting time.

    Parameters
    ----------
    workload : Workload
        The workload.
    variability : float
        v of :class:`Corrected`.
    """
    return solve(workload.replace(server=Corrected(variability)), throw=False)


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
