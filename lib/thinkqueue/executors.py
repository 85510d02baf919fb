"""Where parallel work runs: processes of this machine, or the workers of a Dask cluster.

Everything that this library spreads takes a :class:`concurrent.futures.Executor` and splits its
work in the same pieces with any of them and with none, so that results are the same bit for bit.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from thinkqueue.errors import ThinkQueueError, needing

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds to wait for a scheduler to answer."""


def gather(
    executor: Executor | None,
    task: Callable[..., T],
    pieces: Sequence[tuple[Any, ...]],
    report: Callable[[int], object] | None = None,
) -> list[T]:
    """Do a task for every piece, in order, and return the results in order.

    Parameters
    ----------
    executor : Executor or None
        Where; here, one after the other, if None.
    task : callable
        What to do.
    pieces : sequence of tuple
        Its arguments, piece by piece.
    report : callable, optional
        Told after each piece, as it is done, how many more are.
    """
    say = report or (lambda done: None)
    results: list[T] = []
    if executor is None:
        for piece in pieces:
            results.append(task(*piece))
            say(1)
        return results
    futures = [executor.submit(task, *piece) for piece in pieces]
    try:
        for future in futures:
            future.add_done_callback(lambda _: say(1))
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Yield a pool of processes of this machine.

    Parameters
    ----------
    workers : int
        How many.
    """
    # processes that are forked from one with threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield pool


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """Yield the workers of a Dask cluster as an executor.

    A worker that is lost loses nothing: the scheduler gives its pieces to others, and a piece done
    twice has the same result.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises
    ------
    MissingExtraError
        If the extra ``thinkqueue[cluster]`` is not installed.
    ThinkQueueError
        If no scheduler answers there.
    """
    with needing("cluster", "A cluster"):
        from distributed import Client
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ThinkQueueError(
            f"No Dask scheduler answers at {address!r} within {PATIENCE:g} s: start one with "
            "`dask scheduler`, and workers with `dask worker ADDRESS`."
        ) from error
    with client, client.get_executor() as pool:
        yield pool
