"""Queues that the tests of the waiting time share."""

from __future__ import annotations

from math import factorial

import numpy as np

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.waiting_time.mixture import ServiceMixture

MIXTURES = {
    "one duration": ([1.0], [1.0]),
    "three": ([0.3, 0.5, 0.2], [0.37, 1.1, 2.3]),
    "a very short one": ([0.5, 0.3, 0.2], [0.05, 1.0, 3.0]),
    "incommensurable": ([0.4, 0.6], [1.0, 2**0.5]),
    "a rare long one": ([0.99, 0.01], [1.0, 30.0]),
    "common multiples": ([0.2, 0.3, 0.4, 0.1], [1.0, 2.0, 3.0, 6.0]),
}


def mixture(name: str, load: float) -> ServiceMixture:
    share, service = (np.array(part) for part in MIXTURES[name])
    return ServiceMixture(load / float(share @ service), share, service)


def single(load: float) -> tuple[tq.Workload, Array]:
    """M/D/1 with a service time of one second."""
    return tq.Workload.from_arrays(
        share=[1.0],
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=0.5,
        time_per_token=0.01,
        arrival_rate=load,
        accuracy_weight=100.0,
    ), np.array([50.0])


def small() -> tuple[tq.Workload, Array]:
    """Three types at a load of 0.7."""
    w = tq.Workload.from_arrays(
        share=[0.3, 0.5, 0.2],
        gain=0.5,
        rate=1e-3,
        baseline=0.0,
        base_time=[0.2, 0.6, 0.3],
        time_per_token=0.01,
        arrival_rate=0.7 / 1.121,
        accuracy_weight=100.0,
    )
    return w, np.array([17.0, 50.0, 200.0])


def erlang_cdf(load: float, t: float) -> float:
    """P(W ≤ t) of M/D/1 with service time 1: Erlang's series, safe in doubles for small t only."""
    return (1 - load) * sum(
        (-load * (t - n)) ** n / factorial(n) * np.exp(load * (t - n)) for n in range(int(t) + 1)
    )
