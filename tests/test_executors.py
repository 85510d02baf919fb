"""Work that is spread has the same result, bit for bit, and a lost worker loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.calibration.designs import rows
from tests.clusters import ROOT, Cluster, same_bits
from tests.workloads import QWEN

import thinkqueue as tq
from thinkqueue.executors import cluster, gather, processes

RATES = np.linspace(0.001, 0.12, 60_000)


@pytest.fixture(scope="module")
def server() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


def sweep(server: tq.Workload, executor: Executor | None, report: Any = None) -> tq.GridSolution:
    return tq.solve_grid(server, arrival_rate=RATES, executor=executor, report=report)


def check_all(server: tq.Workload, executor: Executor) -> None:
    """A sweep, replications and bootstrap draws, here and there."""
    told: list[int] = []
    spread = sweep(server, executor, told.append)
    assert same_bits(spread, sweep(server, None))
    assert len(told) > 1
    assert sum(told) >= RATES.size
    tokens = tq.solve(server).tokens
    runs = [
        tq.simulate(server, tokens, jobs=3_000, seed=3, replications=3, executor=where)
        for where in (None, executor)
    ]
    assert runs[0].mean_system_time == runs[1].mean_system_time
    table = rows({"a": (0.6, 2.5e-3, 0.3), "b": (0.6, 7e-4, 0.05)}, seed=2)
    calibration = tq.calibrate(table, simulations=39)
    terms = {"arrival_rate": 0.02, "accuracy_weight": 600.0}
    drawn = [calibration.draws(30, executor=where, **terms) for where in (None, executor)]
    for name in ("gain", "rate", "baseline", "base_time", "time_per_token"):
        assert getattr(drawn[0], name).tobytes() == getattr(drawn[1], name).tobytes()
    plans = [tq.propagate(drawn[0], executor=where).each for where in (None, executor)]
    assert same_bits(*plans)


def test_threads_and_nobody_agree_to_the_last_bit(server: tq.Workload) -> None:
    with ThreadPoolExecutor(2) as pool:
        check_all(server, pool)


@pytest.mark.slow
def test_processes_and_nobody_agree_to_the_last_bit(server: tq.Workload) -> None:
    with processes(2) as pool:
        check_all(server, pool)


def test_pieces_come_back_in_order_and_an_error_stops_the_rest() -> None:
    with ThreadPoolExecutor(2) as pool:
        for where in (None, pool):
            told: list[int] = []
            assert gather(where, pow, [(2, n) for n in range(9)], told.append) == [
                2**n for n in range(9)
            ]
            assert sum(told) == 9
            with pytest.raises(ZeroDivisionError):
                gather(where, divmod, [(1, 1), (1, 0), (1, 1)])
            assert gather(where, pow, []) == []


def test_an_empty_grid_stays_empty(server: tq.Workload) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert tq.solve_grid(server, arrival_rate=np.empty(0), executor=pool).tokens.shape == (0, 5)


# a cluster ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    running = Cluster()
    yield running
    running.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_and_nobody_agree_to_the_last_bit(
    two_workers: Cluster, server: tq.Workload
) -> None:
    with cluster(two_workers.address) as pool:
        check_all(server, pool)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_command_line_takes_a_cluster(two_workers: Cluster) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", "from thinkqueue.cli import app; app()", "simulate", QWEN,
             "--jobs", "2000", "--replications", "2", "--json", *more],
            env=os.environ | {"PYTHONPATH": str(ROOT / "lib")},
            capture_output=True, text=True, check=True,
        ).stdout
        for more in ([], ["--scheduler", two_workers.address])
    ]  # fmt: skip
    here, there = (json.loads(text) | {"seconds": 0} for text in said)
    assert here == there


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_chapters_are_executed_by_a_cluster(two_workers: Cluster, tmp_path: Path) -> None:
    pytest.importorskip("myst_nb")
    from thinkqueue.book.execution import execute, read_notebook
    from thinkqueue.book.layout import Book

    book = Book(ROOT)
    page = "chapters/01_the_server_as_a_queue"
    with cluster(two_workers.address) as pool:
        (done,) = execute(book, {page: read_notebook(book, page)}, executor=pool)
    assert done.page == page
    assert any(cell.get("outputs") for cell in done.notebook.cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_that_is_killed_midway_loses_nothing(
    two_workers: Cluster, server: tq.Workload
) -> None:
    told: list[int] = []
    victim = two_workers.workers[1]

    def tell(done: int) -> None:
        told.append(done)
        if sum(told) == 4:
            victim.send_signal(signal.SIGKILL)

    with cluster(two_workers.address) as pool:
        found = gather(pool, slow_square(), [(n,) for n in range(24)], tell)
        assert found == [n * n for n in range(24)]
        assert sum(told) == 24
        assert victim.wait(5) == -signal.SIGKILL
        assert same_bits(sweep(server, pool), sweep(server, None))


def slow_square() -> Any:
    """Return a function that goes to the workers as code, for they cannot import this file."""

    def task(number: int) -> int:
        import time

        time.sleep(0.15)
        return number * number

    return task


def test_no_scheduler_there_is_a_sentence() -> None:
    pytest.importorskip("distributed")
    from thinkqueue import executors

    before, executors.PATIENCE = executors.PATIENCE, 0.3
    try:
        with (
            pytest.raises(tq.ThinkQueueError, match="No Dask scheduler answers at"),
            cluster("tcp://127.0.0.1:9"),
        ):
            pass
    finally:
        executors.PATIENCE = before
