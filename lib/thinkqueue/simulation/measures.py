"""From the rows of all replications to every number that a simulation reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.simulation.estimates import Estimate, Estimates, Method, PerType, ratio
from thinkqueue.simulation.replication import Replication
from thinkqueue.simulation.rows import QUERIES, ROWS
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
    """What all replications have seen; intervals are made by one method.

    Attributes
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

    runs: Sequence[Replication[Tally]]
    method: Method
    servers: float
    level: float

    def mean(self, *above: int) -> Estimate:
        """Return the mean of what some of the sums add up to.

        Parameters
        ----------
        *above : int
            Their places.
        """
        sums = self._sums
        return self._ratio(sums[:, above].sum(1), sums[:, QUERIES])[()]

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

    @property
    def utilization(self) -> Estimate:
        """The busy fraction of the servers."""
        sums = self._sums
        return self._ratio(sums[:, BUSY], self.servers * sums[:, LENGTH])[()]

    def quantiles(self, probabilities: Sequence[float]) -> dict[float, Estimate]:
        """Return the quantiles of the system time by their probabilities.

        Parameters
        ----------
        probabilities : sequence of float
            Between 0 and 1.
        """
        return self._quantiles(probabilities, "system")

    def waiting_quantiles(self, probabilities: Sequence[float]) -> dict[float, Estimate]:
        """Return the quantiles of the waiting time by their probabilities.

        Parameters
        ----------
        probabilities : sequence of float
            Between 0 and 1.
        """
        return self._quantiles(probabilities, "waiting")

    def per_type(self, service: Array) -> PerType:
        """Return what each type saw; a type that never came is given the mean wait of all.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in s.
        """
        of_type = self._rows("of_type")
        queries = of_type[..., TYPE_QUERIES]
        came = queries.sum(0) > 0
        wait = self._ratio(of_type[..., TYPE_WAITING], queries)
        value = np.where(came, wait.value, self.mean_waiting_time.value)
        wait = Estimates(value, wait.low, wait.high, self.level, wait.observations)
        time = Estimates(
            wait.value + service,
            wait.low + service,
            wait.high + service,
            self.level,
            wait.observations,
        )
        late = self._ratio(of_type[..., TYPE_LATE], queries)
        return PerType(queries.sum(0).astype(np.int64), time, wait, late)

    @property
    def _sums(self) -> Array:
        sums: Array = self._rows("sums")
        return sums

    @property
    def independent(self) -> float:
        r"""At most how many independent observations the run is worth.

        A queue of load ρ forgets what was in some :math:`(1 - ρ)^{-2}` queries. What a run has
        measured cannot tell this alone, because one that happens to miss the longest busy cycles
        finds its errors small.
        """
        if self.method == "replications":
            return np.inf
        queries, busy, length = self._sums[:, (QUERIES, BUSY, LENGTH)].sum(0)
        load = busy / (self.servers * length) if length > 0 else 0.0
        return float(queries * max(1 - load, 0.0) ** 2)

    def _rows(self, name: str) -> Any:
        """Return the rows that have ended, (K, ...); for batch means joined, less the warm-up."""
        parts = []
        for run in self.runs:
            rows = getattr(run.tally, name)
            ended = rows[: -(-run.rows * len(rows) // ROWS)]
            if self.method == "batch means":
                if len(ended) > BATCHES:
                    begins = np.linspace(0, len(ended), BATCHES + 1).astype(int)[:-1]
                    ended = np.add.reduceat(ended, begins, axis=0)
                ended = ended[1:]
            parts.append(ended)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _ratio(self, above: Array, below: Array) -> Estimates:
        skewed = self.method == "regenerative cycles"
        found = ratio(above, below, self.level, skewed=skewed)
        worth = np.minimum(found.observations, LONGEST * self.independent)
        return replace(found, observations=worth)

    def _quantiles(self, probabilities: Sequence[float], name: str) -> dict[float, Estimate]:
        found = quantile_estimates(
            np.array(probabilities),
            np.sum([getattr(run.tally, name) for run in self.runs], axis=0),
            self._rows(f"{name}_rows"),
            self.level,
            skewed=self.method == "regenerative cycles",
        )
        most = self.independent
        return {
            p: replace(one, observations=min(one.observations, most * min(p, 1 - p)))
            for p, one in zip(probabilities, found, strict=True)
        }
