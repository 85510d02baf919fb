"""The service time of a query as the server sees it: a few durations with their probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay.fifo import stable_queue
from thinkqueue.delay.time import certain_service_time, refuse_unstable
from thinkqueue.workload import Workload, tokens_array


@dataclass(frozen=True)
class ServiceMixture:
    r"""A Poisson stream of queries whose service takes :math:`s_k` seconds with probability
    :math:`\pi_k`.

    Attributes
    ----------
    arrival_rate : float
        :math:`\lambda`, counting only the queries whose service takes time, in 1/s.
    share : ndarray, (K,)
        :math:`\pi_k > 0`, adding up to 1.
    service : ndarray, (K,)
        :math:`0 < s_1 < \dots < s_K` in s. K = 0 if nothing takes time; then nobody ever waits.
    """

    arrival_rate: float
    share: Array
    service: Array

    @classmethod
    def of(cls, workload: Workload, tokens: ArrayLike) -> ServiceMixture:
        r"""Return the service times of an allocation, equal ones merged.

        A type without arrivals changes nobody's wait, and neither does one whose service takes no
        time: the first are dropped, the second too, with their part of the arrival rate.

        Parameters
        ----------
        workload : Workload
            The workload.
        tokens : array_like, (N,)
            Thinking tokens of each type.

        Raises
        ------
        UnstableError
            If :math:`\rho \ge 1`.
        WorkloadError
            If the tokens are not one allocation, or the service times are random.
        """
        ell = tokens_array(workload, tokens, single=True)
        stable_queue(workload, ell)
        time = certain_service_time(workload, ell, "The distribution of the wait")
        counts = (workload.share > 0) & (time > 0)
        service, where = np.unique(time[counts], return_inverse=True)
        share = np.bincount(where, weights=workload.share[counts], minlength=len(service))
        rate = np.asarray(workload.arrival_rate * share, dtype=np.float64)
        total = float(rate.sum())
        mixture = cls(total, rate / total if total > 0 else rate, service)
        if mixture.slack <= 0:  # stable by one order of rounding, full by another
            refuse_unstable(workload, 1 - mixture.slack, "at these tokens")
        return mixture

    @property
    def longest(self) -> float:
        """The longest service time, 0 if there is none."""
        return float(self.service[-1]) if len(self.service) else 0.0

    @cached_property
    def mean(self) -> float:
        r"""The mean service time :math:`m = \sum_k \pi_k s_k` in s."""
        return float(self.share @ self.service)

    @cached_property
    def load(self) -> float:
        r"""The load :math:`\rho = \lambda m`."""
        return self.arrival_rate * self.mean

    @cached_property
    def slack(self) -> float:
        r"""What is left of the server, :math:`1-\rho`, with the terms added exactly."""
        return math.fsum([1.0, *(-self.arrival_rate * self.share * self.service).tolist()])

    @cached_property
    def mean_waiting_time(self) -> float:
        r"""The mean wait :math:`\lambda M / (2(1-\rho))` in s."""
        return self.arrival_rate * float(self.share @ self.service**2) / (2 * self.slack)
