"""A Chromium, for the tests of the pages and for printing: found, or installed without asking."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from thinkqueue.book.layout import BookError

#: Where a Chromium may be.
PLACES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def browser() -> str:
    """Return the path of a Chromium; install one if there is none.

    As root, or with a sudo that asks for no password, the system's packages bring one; anywhere,
    and without any rights, Playwright brings its own.

    Raises
    ------
    BookError
        If none is there and none can be had.
    """
    found = find_browser()
    for command in [] if found else _installations():
        print(f"no Chromium yet: {' '.join(command)}", file=sys.stderr, flush=True)
        _succeeds(command, timeout=900)
        found = find_browser()
        if found:
            break
    if found is None:
        message = (
            "The pages need a Chromium; there is none, and neither apt-get nor "
            "`python -m playwright install chromium` could bring one: install "
            f"{', '.join(PLACES[:3])} or {PLACES[3]}."
        )
        raise BookError(message)
    return found


def find_browser() -> str | None:
    """Return the path of the first Chromium that starts: the system's, or Playwright's own."""
    for place in PLACES:
        path = shutil.which(place)
        if path and _succeeds([path, "--version"], timeout=60):
            return path
    own = _playwrights_own()
    return own if own and _succeeds([own, "--version"], timeout=60) else None


def _playwrights_own() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return None
    with sync_playwright() as playwright:
        return shutil.which(playwright.chromium.executable_path)


def _installations() -> list[list[str]]:
    """Commands that may bring a Chromium, the best first; none of them asks anything."""
    as_root: list[str] | None = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not (shutil.which("sudo") and _succeeds([*as_root, "true"], timeout=10)):
        as_root = None
    own = [sys.executable, "-m", "playwright", "install", "chromium"]
    if as_root is None or not shutil.which("apt-get"):
        return [own]
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    return [
        [*apt, "update"],
        [*apt, "install", "--yes", "--no-install-recommends", "chromium"],
        [*own, "--with-deps"],
        own,
    ]


def _succeeds(command: list[str], timeout: float) -> bool:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
