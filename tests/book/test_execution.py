"""A build that is stopped stops at once, and leaves nobody working for nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from thinkqueue.book.layout import Book

ENDLESS = """\
import os, re

Path("{mark}").write_text(str(os.getpid()))
re.match("(a*)*b", "a" * 60)  # holds the interpreter, and hears nothing
"""


def until(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def working(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL", "a cell"])
def test_whoever_stops_a_build_stops_its_kernels(small_book: Book, how: str) -> None:
    root, mark = small_book.root, small_book.root / "kernel"
    chapter = small_book.source("chapters/page")
    text = chapter.read_text(encoding="utf-8")
    endless = root / "chapters" / "endless.md"
    endless.write_text(
        text.replace("number + 1", ENDLESS.format(mark=mark)).replace("small_number", "other"),
        encoding="utf-8",
    )
    waiting = f"import time\nwhile not __import__('os').path.exists('{mark}'): time.sleep(0.1)\n"
    chapter.write_text(text.replace("number + 1", f"{waiting}1 / 0" if how == "a cell" else "1"))
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/page\nchapters:\n- file: chapters/endless\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(root / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    build = subprocess.Popen(
        [sys.executable, "-m", "thinkqueue.book", "build", "--root", str(root)],
        env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert until(lambda: mark.is_file() and mark.read_text(), 60), build.communicate()[1]
    family = psutil.Process(build.pid).children(recursive=True)
    assert int(mark.read_text()) in [process.pid for process in family]
    if how == "Ctrl-C":  # a terminal tells the whole group
        os.killpg(build.pid, signal.SIGINT)
    elif how != "a cell":
        build.send_signal(signal.Signals[how])
    stderr = build.communicate(timeout=20)[1]
    if how == "a cell":
        assert build.returncode == 1
        assert "ZeroDivisionError" in stderr
    elif how == "SIGKILL":
        assert build.returncode == -signal.SIGKILL
    else:
        assert build.returncode == 130
        assert stderr == "Interrupted; the chapters that ran through need not run again.\n"
    assert until(lambda: not any(map(working, family)), 5), [*filter(working, family)]
