"""Which server a workload runs on, and whom it serves next: descriptions, without any theory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count
from thinkqueue.errors import WorkloadError


@dataclass(frozen=True)
class Fifo:
    """First come, first served.

    Parameters
    ----------
    servers : int, optional
        How many servers share the line.
    """

    servers: int = 1

    def __post_init__(self) -> None:
        check_count("servers", self.servers)

    def rank(self, service: Array) -> Array:
        """Return the rank of each type, all alike: among equal ranks the older query goes first.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.
        """
        return np.zeros_like(service)


@dataclass(frozen=True)
class NonPreemptivePriority:
    """A free server takes the waiting query of the most urgent type; nobody is interrupted.

    Parameters
    ----------
    order : sequence of int
        The indices of all types, the most urgent first.
    servers : int, optional
        How many servers share the line.
    """

    order: tuple[int, ...]
    servers: int = 1

    def __init__(self, order: Sequence[int] | ArrayLike, servers: int = 1) -> None:
        places = tuple(int(k) for k in np.asarray(order).ravel())
        if sorted(places) != list(range(len(places))):
            raise WorkloadError(
                f"order must name each type once, by its index from 0 to {len(places) - 1}; "
                f"it is {list(places)}.",
                parameter="order",
                value=list(places),
            )
        check_count("servers", servers)
        object.__setattr__(self, "order", places)
        object.__setattr__(self, "servers", servers)

    def rank(self, service: Array) -> Array:
        """Return the place of each type in the order.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.

        Raises
        ------
        WorkloadError
            If the order does not have as many types as the workload.
        """
        if len(self.order) != service.size:
            raise WorkloadError(
                f"order has {len(self.order)} types, the workload has {service.size}.",
                parameter="order",
                value=list(self.order),
            )
        rank = np.empty(service.size)
        rank[list(self.order)] = np.arange(service.size)
        return rank


@dataclass(frozen=True)
class ShortestFirst:
    """A free server takes the waiting query with the shortest service; nobody is interrupted.

    Parameters
    ----------
    servers : int, optional
        How many servers share the line.
    """

    servers: int = 1

    def __post_init__(self) -> None:
        check_count("servers", self.servers)

    def rank(self, service: Array) -> Array:
        """Return the service times themselves.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.
        """
        return service


@dataclass(frozen=True)
class ProcessorSharing:
    """All queries present are served at once and share the servers equally.

    The idealisation of continuous batching; a query never gets more than one server.

    Parameters
    ----------
    servers : int, optional
        How many servers are shared.
    """

    servers: int = 1

    def __post_init__(self) -> None:
        check_count("servers", self.servers)


Discipline = Fifo | NonPreemptivePriority | ShortestFirst | ProcessorSharing
