"""Commands of a chapter: what one types, and what the program prints in 75 columns."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

WIDTH = 75
COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""What makes programs write colours where there is no terminal; a notebook's kernel sets some."""


def command(line: str, folder: str | os.PathLike[str]) -> str:
    """Run a command in a folder and return what a terminal would show, prompt and all.

    Parameters
    ----------
    line : str
        Such as ``thinkqueue solve workload.toml``; ``*`` in a name stands for all files like it.
    folder : path-like
        Where it is typed.
    """
    from thinkqueue.cli import app

    program, *words = shlex.split(line)
    if program != "thinkqueue":
        message = f"only thinkqueue can be run here, not {program!r}"
        raise ValueError(message)
    shown = io.StringIO()
    status = 0
    with _in(Path(folder)), redirect_stdout(shown), redirect_stderr(shown):
        arguments = [name for word in words for name in _matching(word)]
        try:
            app(arguments, prog_name=program)
        except SystemExit as ended:
            status = int(ended.code or 0)
    lines = [f"$ {line}", *shown.getvalue().rstrip().splitlines()]
    if status:
        lines.append(f"[ended with status {status}]")
    return "\n".join(text.rstrip() for text in lines)


def _matching(word: str) -> list[str]:
    found = sorted(str(path) for path in Path().glob(word)) if "*" in word else []
    return found or [word]


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    """Work in a folder, at a terminal of a known width."""
    folder_before, before = Path.cwd(), dict(os.environ)
    os.chdir(folder)
    os.environ["COLUMNS"] = str(WIDTH)
    for name in COLOURS:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.chdir(folder_before)
        os.environ.clear()
        os.environ.update(before)
