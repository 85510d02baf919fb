"""From the rows of all replications to every number that a simulation reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.estimates import Estimate, Estimates, Method, PerType, ratio
from thinkqueue.simulation.replication import Replication
from thinkqueue.simulation.rows import QUERIES, ROWS, Counts
from thinkqueue.simulation.sketch import BINS
from thinkqueue.simulation.tails import quantile_estimates
from thinkqueue.simulation.tally import (
    BUSY,
    LENGTH,
    SYSTEM_SQUARED,
    TYPE_LATE,
    TYPE_QUERIES,
    TYPE_WAITING,
    WAITING,
    WAITING_SQUARED,
    Tally,
)

BATCHES = 32
"""Into how many batches of about equal length a run is cut."""

LONGEST = 0.1
"""A mean hangs on the longest tenth of the times as a quantile of 90 % does."""


@dataclass(frozen=True)
class Measures:
    """The rows of all replications, K in all.

    Attributes
    ----------
    sums : ndarray, (K, 6)
        As in ``tally.py``.
    of_type : ndarray, (at most K, N, 3)
        The same for each type.
    system_rows, waiting_rows : ndarray of int32, (K, COARSE_BINS)
        Histograms of each row.
    system, waiting : ndarray of int64, (BINS,)
        Histograms of all that was seen.
    skewed : bool
        Whether intervals are corrected for skewness.
    independent : float
        At most how many independent observations the run is worth: a queue of load ρ forgets what
        was in some :math:`(1 - ρ)^{-2}` queries. What a run has measured cannot tell this alone,
        because one that happens to miss the longest busy cycles finds its errors small.
    level : float
        Of all intervals.
    """

    sums: Array
    of_type: Array
    system_rows: Counts
    waiting_rows: Counts
    system: Index
    waiting: Index
    skewed: bool
    independent: float
    level: float

    @classmethod
    def of(
        cls, runs: Sequence[Replication[Tally]], method: Method, servers: float, level: float
    ) -> Measures:
        """Take the rows that have ended; for batch means join them and leave out the warm-up.

        Parameters
        ----------
        runs : sequence of Replication
            All replications.
        method : str
            How intervals are made.
        servers : float
            How many servers there were.
        level : float
            Of all intervals.
        """
        tallies = [run.tally for run in runs]
        sums, of_type, system_rows, waiting_rows = (
            np.concatenate([_ended(run, getattr(run.tally, rows), method) for run in runs])
            for rows in ("sums", "of_type", "system_rows", "waiting_rows")
        )
        queries, busy, length = sums[:, (QUERIES, BUSY, LENGTH)].sum(0)
        load = busy / (servers * length) if length > 0 else 0.0
        own = method == "replications"
        return cls(
            sums,
            of_type,
            system_rows,
            waiting_rows,
            system=sum((tally.system for tally in tallies), np.zeros(BINS, np.int64)),
            waiting=sum((tally.waiting for tally in tallies), np.zeros(BINS, np.int64)),
            skewed=method == "regenerative cycles",
            independent=np.inf if own else float(queries * max(1 - load, 0.0) ** 2),
            level=level,
        )

    def mean(self, *above: int) -> Estimate:
        """Return the mean of what some of the sums add up to.

        Parameters
        ----------
        *above : int
            Their places.
        """
        return self._ratio(self.sums[:, above].sum(1), self.sums[:, QUERIES])[()]

    @property
    def mean_system_time(self) -> Estimate:
        """In s."""
        return self.mean(WAITING, BUSY)

    @property
    def mean_waiting_time(self) -> Estimate:
        """In s."""
        return self.mean(WAITING)

    @property
    def mean_squared_system_time(self) -> Estimate:
        """In s²."""
        return self.mean(SYSTEM_SQUARED)

    @property
    def mean_squared_waiting_time(self) -> Estimate:
        """In s²."""
        return self.mean(WAITING_SQUARED)

    def utilization(self, servers: float) -> Estimate:
        """Return the busy fraction of the servers.

        Parameters
        ----------
        servers : float
            How many.
        """
        return self._ratio(self.sums[:, BUSY], servers * self.sums[:, LENGTH])[()]

    def quantiles(self, probabilities: Sequence[float]) -> dict[float, Estimate]:
        """Return the quantiles of the system time by their probabilities.

        Parameters
        ----------
        probabilities : sequence of float
            Between 0 and 1.
        """
        return self._quantiles(probabilities, self.system, self.system_rows)

    def waiting_quantiles(self, probabilities: Sequence[float]) -> dict[float, Estimate]:
        """Return the quantiles of the waiting time by their probabilities.

        Parameters
        ----------
        probabilities : sequence of float
            Between 0 and 1.
        """
        return self._quantiles(probabilities, self.waiting, self.waiting_rows)

    def per_type(self, service: Array) -> PerType:
        """Return what each type saw; a type that never came is given the mean wait of all.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in s.
        """
        queries = self.of_type[..., TYPE_QUERIES]
        came = queries.sum(0) > 0
        wait = self._ratio(self.of_type[..., TYPE_WAITING], queries)
        value = np.where(came, wait.value, self.mean_waiting_time.value)
        wait = Estimates(value, wait.low, wait.high, self.level, wait.observations)
        time = Estimates(
            wait.value + service,
            wait.low + service,
            wait.high + service,
            self.level,
            wait.observations,
        )
        late = self._ratio(self.of_type[..., TYPE_LATE], queries)
        return PerType(queries.sum(0).astype(np.int64), time, wait, late)

    def _ratio(self, above: Array, below: Array) -> Estimates:
        found = ratio(above, below, self.level, skewed=self.skewed)
        worth = np.minimum(found.observations, LONGEST * self.independent)
        return replace(found, observations=worth)

    def _quantiles(
        self, probabilities: Sequence[float], counts: Index, rows: Counts
    ) -> dict[float, Estimate]:
        found = quantile_estimates(
            np.array(probabilities), counts, rows, self.level, skewed=self.skewed
        )
        worth = (self.independent * min(p, 1 - p) for p in probabilities)
        return {
            p: replace(one, observations=min(one.observations, most))
            for p, one, most in zip(probabilities, found, worth, strict=True)
        }


def _ended(run: Replication[Tally], rows: Array, method: Method) -> Array:
    """Return the rows of a run that have ended; for batch means joined, without the warm-up."""
    ended = rows[: -(-run.rows * len(rows) // ROWS)]
    if method != "batch means":
        return ended
    if len(ended) > BATCHES:
        begins = np.linspace(0, len(ended), BATCHES + 1).astype(int)[:-1]
        ended = np.add.reduceat(ended, begins, axis=0)
    return ended[1:]
