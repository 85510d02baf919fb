"""The pytest plugin that writes down how much CPU time each test took that passed."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

TOOK: dict[str, float] = defaultdict(float)
FAILED: set[str] = set()
MARK = [0.0]


def pytest_runtest_logstart() -> None:
    """Begin with a test."""
    MARK[0] = time.process_time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put CPU time in the place of the wall's: others work at the same time."""
    report = yield
    now = time.process_time()
    report.duration, MARK[0] = now - MARK[0], now
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the phases of a test."""
    TOOK[report.nodeid] += report.duration
    if not report.passed:
        FAILED.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Write, unless this is a worker, which hears of its own tests only."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        passed = {name: round(t, 3) for name, t in TOOK.items() if name not in FAILED}
        Path(os.environ["SECONDS"]).write_text(json.dumps(passed), encoding="utf-8")
