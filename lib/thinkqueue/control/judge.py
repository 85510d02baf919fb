"""Tables and rules sent through the queue, on any arrivals: what judges the theory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import check_count
from thinkqueue.control.batch import BatchStoppingRule, batch_stopping_rule
from thinkqueue.control.rule import StoppingRule
from thinkqueue.control.table import When, check_when, check_workload, table_array
from thinkqueue.objective import saturating
from thinkqueue.workload import Workload, tokens_array

if TYPE_CHECKING:
    from thinkqueue.simulation.estimates import Estimate
    from thinkqueue.simulation.queries import Arrivals

BATCHES = 20


@dataclass(frozen=True)
class Record:
    """Queries that come one after the other, drawn once: what several tables are compared on.

    Attributes
    ----------
    workload : Workload
        Whose types they are of.
    kinds : ndarray of int64, (n,)
        The type of each.
    times : ndarray, (n,)
        When it comes, in s.
    """

    workload: Workload
    kinds: Index
    times: Array

    @classmethod
    def draw(
        cls, workload: Workload, *, jobs: int, seed: int, arrivals: Arrivals | None = None
    ) -> Record:
        """Draw queries.

        Parameters
        ----------
        workload : Workload
            Its types and its arrival rate.
        jobs : int
            How many.
        seed : int
            Of a ``numpy.random.SeedSequence``.
        arrivals : Trace or MarkovModulated, optional
            When they come; a Poisson stream where not given.
        """
        check_count("jobs", jobs)
        check_count("seed", seed, least=0)
        from thinkqueue.simulation.alias import alias_table
        from thinkqueue.simulation.queries import queries_of
        from thinkqueue.simulation.work import Certain

        idle = Certain(np.zeros(len(workload)))  # a record holds no times: tables make them
        table = alias_table(np.ascontiguousarray(workload.share))
        child = np.random.SeedSequence(seed)
        queries = queries_of(table, workload.arrival_rate, arrivals, jobs, lambda _: idle, child)
        kinds, gaps, left = [], [], jobs
        while left and (ahead := queries.ahead(left))[0].size:
            kinds.append(ahead[0].copy())
            gaps.append(ahead[1].copy())
            queries.take(ahead[0].size)
            left -= ahead[0].size
        times = np.cumsum(np.concatenate([[0.0], *gaps]))[:-1]
        return cls(workload, np.concatenate(kinds), times)

    def serve(self, thresholds: ArrayLike, *, when: When = "any time") -> Served:
        """Serve the record by a table.

        Parameters
        ----------
        thresholds : array_like, (R, N)
            Tokens, a row a number waiting; one row alone is a fixed allocation.
        when : {"start", "any time"}, optional
            When a budget is read.
        """
        check_when(when)
        check_workload(self.workload)
        table = table_array(self.workload, thresholds, when)
        return self.serve_by(table[None], np.zeros(self.kinds.size, np.int64), when)

    def serve_by(self, tables: Array, which: Index, when: When = "any time") -> Served:
        """Serve the record by several tables, each query by one of them.

        Parameters
        ----------
        tables : ndarray, (H, R, N)
            Tokens.
        which : ndarray of int64, (n,)
            Which table serves a query.
        when : {"start", "any time"}, optional
            When a budget is read.
        """
        from thinkqueue.simulation.stopping import by_table

        limits = np.ascontiguousarray(self.workload.service.mean(tables))
        return self._served(by_table(self.kinds, self.times, limits, which, when == "start"))

    def serve_by_price(
        self, *, per_query: ArrayLike = 0.0, per_second: ArrayLike = 0.0, work: ArrayLike = 0.0
    ) -> Served:
        r"""Serve the record at the price :math:`1 + un + vU` of a second.

        Parameters
        ----------
        per_query : array_like, () or (n,), optional
            u.
        per_second : array_like, () or (n,), optional
            v.
        work : array_like, () or (N,), optional
            What each waiting query adds to U, in s.
        """
        from thinkqueue.simulation.stopping import by_price

        w, n = self.workload, self.kinds.size
        curves = saturating(w)
        worth = w.accuracy_weight * w.weight / w.time_per_token
        parts = (
            worth * np.asarray(curves.gain * curves.rate),
            w.time_per_token / np.asarray(curves.rate),
            w.base_time,
            w.time_per_token * w.max_tokens,
        )
        first, fall, base, most = (_column(part, len(w)) for part in parts)
        each = [
            np.array(np.broadcast_to(np.asarray(x, np.float64), size))
            for x, size in ((work, len(w)), (per_query, n), (per_second, n))
        ]
        return self._served(by_price(self.kinds, self.times, (first, fall, base, most), *each))

    def serve_by_work(self, rule: StoppingRule) -> Served:
        """Serve the record by a rule that is told the seconds of work that wait, and no number.

        Parameters
        ----------
        rule : StoppingRule
            The rule.
        """
        from thinkqueue.solve import solve

        seconds = self.workload.service.mean(solve(rule.workload).tokens)
        return self.serve_by_price(per_second=1 / (rule.mean_service * rule.slack), work=seconds)

    def serve_in_batch(self, budgets: BatchStoppingRule | ArrayLike) -> Served:
        """Serve the record at a batching server.

        Parameters
        ----------
        budgets : BatchStoppingRule or array_like, (N,)
            The rule by the number in the batch, or fixed tokens.
        """
        from thinkqueue.simulation.crowd import serve_crowd

        w, curves = self.workload, saturating(self.workload)
        line = batch_stopping_rule(w)
        time, one = w.server.token_time, float(line.price(1))
        first = w.accuracy_weight * w.weight * np.asarray(curves.gain * curves.rate)
        fall, most, price = 1 / np.asarray(curves.rate), w.max_tokens, (one, line.crowd_price)
        if isinstance(budgets, BatchStoppingRule):
            price = (one, budgets.crowd_price)
        else:  # a worth that no price reaches, up to the budget
            most = tokens_array(w, budgets, capped=True, single=True)
            first, fall, price = np.full(len(w), 2.0), np.full(len(w), 1e30), (1.0, 0.0)
        first, fall, most = (_column(part, len(w)) for part in (first, fall, most))
        system, tokens = serve_crowd(
            self.kinds,
            self.times,
            (first, fall, most),
            w.answer_tokens,
            (time.base, time.per_query),
            price,
        )
        return Served(w, self._answers(tokens), system, tokens)

    def _answers(self, tokens: Array) -> Array:
        w, answers = self.workload, np.zeros(tokens.size)
        for k in range(len(w)):
            mine = self.kinds == k
            answers[mine] = w.weight[k] * w.curves.pick(k).value(tokens[mine])
        return answers

    def _served(self, found: tuple[Array, Array]) -> Served:
        w, (system, service) = self.workload, found
        tokens = np.maximum(service - w.base_time[self.kinds], 0.0) / w.time_per_token[self.kinds]
        return Served(w, self._answers(tokens), system, service)


def _column(part: ArrayLike, types: int) -> Array:
    return np.array(np.broadcast_to(part, types), np.float64)


@dataclass(frozen=True)
class Served:
    """A record that has been served.

    Attributes
    ----------
    workload : Workload
        Whose it is.
    answers : ndarray, (n,)
        The weighted accuracy of each query.
    system, service : ndarray, (n,)
        Its time from arrival to answer, and of work, in s; in a batch, the tokens thought.
    """

    workload: Workload
    answers: Array
    system: Array
    service: Array

    @property
    def worth(self) -> Array:
        """What each query adds to J, (n,), in s."""
        return np.asarray(self.workload.accuracy_weight * self.answers - self.system)

    @property
    def objective(self) -> Estimate:
        """J in s, with an interval of 95% from batch means."""
        return batch_means(self.worth)

    def difference(self, worth: Array) -> Estimate:
        """Return how much more J is than that of the same record served in another way.

        Parameters
        ----------
        worth : ndarray, (n,)
            What each query added there.
        """
        return batch_means(self.worth - worth)

    @property
    def mean_system_time(self) -> Estimate:
        """E[T] in s, likewise."""
        return batch_means(self.system)

    @property
    def mean_accuracy(self) -> Estimate:
        """The mean weighted accuracy, likewise."""
        return batch_means(self.answers)


def batch_means(values: Array, *, level: float = 0.95) -> Estimate:
    """Return a mean with a t interval over batches of what comes one after the other.

    Parameters
    ----------
    values : ndarray, (n,)
        In their order.
    level : float, optional
        Of the interval.
    """
    from thinkqueue.simulation.estimates import Estimate

    means = np.array([part.mean() for part in np.array_split(values, min(BATCHES, values.size))])
    mean, count = float(values.mean()), means.size
    error = means.std(ddof=1) / np.sqrt(count) if count > 1 else np.inf
    wide = float(stdtrit(max(count - 1, 1), (1 + level) / 2) * error)
    return Estimate(mean, mean - wide, mean + wide, level)
