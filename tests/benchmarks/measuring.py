"""How the benchmarks measure: wall and processor time, the machine, an atomic record."""

from __future__ import annotations

import datetime
import gc
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from thinkqueue.files import write_atomically

RESULTS = Path(__file__).parents[2] / "data" / "results"

T = TypeVar("T")


class Seconds(NamedTuple):
    """What one call took."""

    wall: float
    cpu: float


def timed(call: Callable[[], T]) -> tuple[T, Seconds]:
    """Call once and return what came back and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def fastest(call: Callable[[], Any], *, repeats: int, budget: float = 0.2) -> Seconds:
    """Call several times, for at most about ``budget`` seconds, and return the least of each time.

    On a machine shared with others the least is what the call itself takes.
    """
    gc.collect()
    spent: list[Seconds] = []
    while len(spent) < repeats and sum(s.wall for s in spent) < budget:
        spent.append(timed(call)[1])
    return Seconds(min(s.wall for s in spent), min(s.cpu for s in spent))


def machine(*packages: str) -> dict[str, Any]:
    """Return what a reader needs to judge the figures: processor, threads, versions, date."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in sorted(packages)]
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, {', '.join(versions)}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def record(name: str, results: dict[str, Any]) -> Path:
    """Write data/results/NAME.json as a whole or not at all."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")
    return path


def significant(value: float, digits: int = 4) -> float:
    """Round to what a timing is worth."""
    return float(f"{value:.{digits}g}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
