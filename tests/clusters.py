"""A cluster of two workers on loopback, and what it means that two results are the same."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]


def same_bits(one: Any, other: Any) -> bool:
    return all(
        np.asarray(getattr(one, f.name)).tobytes() == np.asarray(getattr(other, f.name)).tobytes()
        for f in fields(one)
    )


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'lib'}:{ROOT}"}
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, text=True,
        stderr=subprocess.PIPE if arguments[0] == "dask_scheduler" else subprocess.DEVNULL,
    )  # fmt: skip


class Cluster:
    """A scheduler and two workers of one thread each, on loopback."""

    def __init__(self) -> None:
        self.scheduler = start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        assert self.scheduler.stderr is not None
        for line in self.scheduler.stderr:
            found = re.search(r"Scheduler at:\s+(tcp://127\.0\.0\.1:\d+)", line)
            if found:
                self.address = found[1]
                break
        self.workers = [self.worker() for _ in range(2)]

    def worker(self) -> subprocess.Popen[str]:
        return start(
            "dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
            "--host", "127.0.0.1",
        )  # fmt: skip

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()
