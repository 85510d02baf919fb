"""On what the book was computed: machine, versions, and hashes of what the numbers depend on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from thinkqueue.book import fingerprint
from thinkqueue.book.layout import Book

_PACKAGES = (
    "thinkqueue",
    "numpy",
    "scipy",
    "numba",
    "python-flint",
    "sympy",
    "cvxpy",
    "clarabel",
    "pandas",
    "matplotlib",
    "seaborn",
    "papermill",
    "jupyter-book",
    "sphinx",
)


def manifest(book: Book) -> dict[str, Any]:
    """Return machine, versions and hashes, ready for JSON.

    Parameters
    ----------
    book
        The book.
    """
    return {
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "revision": _revision(book.root),
        "sha256": {
            name: digest
            for name, digest in fingerprint.computation(book).items()
            if name != "python"
        },
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _revision(root: Path) -> str | None:
    """Return the commit, marked where tracked files differ from it; None outside a checkout."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
