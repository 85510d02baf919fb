"""The pytest plugin that writes down how long each test took that passed."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

TOOK: dict[str, float] = defaultdict(float)
FAILED: set[str] = set()


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
