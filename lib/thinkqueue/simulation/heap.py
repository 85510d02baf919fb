"""A queue in the order of a key, compiled: the smallest key first, then the older query."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import inlined

ROOM = 256
"""How many queries a heap has room for at first; it doubles when it is full."""


class Heap(NamedTuple):
    """Queries in heap order: entry i goes before entries 2 i + 1 and 2 i + 2.

    Attributes
    ----------
    key : ndarray, (room,)
        What orders them.
    serial : ndarray of int64, (room,)
        In which order they came.
    arrival : ndarray, (room,)
        When, in s.
    kind : ndarray of int64, (room,)
        Of which type they are.
    work : ndarray, (room,)
        What each asks of the server, in s.
    size : ndarray of int64, (1,)
        How many there are.
    """

    key: Array
    serial: Index
    arrival: Array
    kind: Index
    work: Array
    size: Index


def empty_heap() -> Heap:
    """Return a heap without queries."""
    reals, integers = np.zeros((3, ROOM)), np.zeros((2, ROOM), np.int64)
    size = np.zeros(1, np.int64)
    return Heap(reals[0], integers[0], reals[1], integers[1], reals[2], size)


def with_room(heap: Heap, count: int | None = None) -> Heap:
    """Return a heap that has room for one more query.

    Parameters
    ----------
    heap : Heap
        The heap.
    count : int, optional
        More than how many there has to be room for, instead of those that it holds.
    """
    if (heap.size[0] if count is None else count) < heap.key.size:
        return heap
    larger = {
        name: np.concatenate([column, np.zeros_like(column)])
        for name, column in heap._asdict().items()
        if name != "size"
    }
    return heap._replace(**larger)


@inlined
def is_full(heap: Heap) -> bool:
    """Say whether there is no room for another query."""
    return bool(heap.size[0] == heap.key.size)


@inlined
def before(heap: Heap, i: int, key: float, serial: int) -> bool:
    """Say whether entry i goes before a query with the given key and number."""
    if heap.key[i] != key:
        return bool(heap.key[i] < key)
    return bool(heap.serial[i] < serial)


@inlined
def move(heap: Heap, i: int, j: int) -> None:
    """Put entry i where entry j is."""
    heap.key[j], heap.serial[j] = heap.key[i], heap.serial[i]
    heap.arrival[j], heap.kind[j] = heap.arrival[i], heap.kind[i]
    heap.work[j] = heap.work[i]


@inlined
def push(heap: Heap, key: float, serial: int, arrival: float, kind: int, work: float) -> None:
    """Put a query in."""
    hole = heap.size[0]
    heap.size[0] += 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if before(heap, parent, key, serial):
            break
        move(heap, parent, hole)
        hole = parent
    heap.key[hole], heap.serial[hole] = key, serial
    heap.arrival[hole], heap.kind[hole], heap.work[hole] = arrival, kind, work


@inlined
def pop(heap: Heap) -> tuple[float, int, float, int, float]:
    """Take the first query out; return its key, number, arrival, type and work."""
    first = heap.key[0], heap.serial[0], heap.arrival[0], heap.kind[0], heap.work[0]
    heap.size[0] -= 1
    last = heap.size[0]
    hole, child = 0, 1
    while child < last:
        if child + 1 < last and before(heap, child + 1, heap.key[child], heap.serial[child]):
            child += 1
        if not before(heap, child, heap.key[last], heap.serial[last]):
            break
        move(heap, child, hole)
        hole = child
        child = 2 * hole + 1
    move(heap, last, hole)
    return first
