"""Files that are written as a whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

#: The name of what is being written; a kill may leave it behind, and it is nobody's content.
PART = ".*.part"

#: Larger files are refused before they are read; bytes.
LARGEST = {"workload": 64 * 2**20, "measurements": 2**30}


def fault_of_size(path: Path, kind: str) -> str | None:
    """Say what is wrong with the size of a file; None if nothing is.

    A pipe has no size before it is read, and is let through.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it should hold, a key of ``LARGEST``.

    Raises
    ------
    OSError
        If there is no such file.
    """
    size, most = path.stat().st_size, LARGEST[kind]
    if size <= most:
        return None
    return f"it has {size / 2**20:,.0f} MiB, and a file of {kind} may have {most / 2**20:,.0f} MiB"


def write_atomically(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all.

    A link is followed, and what it leads to is written. An existing file keeps its mode and, where
    that is allowed, its owner; a new one gets what the umask leaves. What is no regular file (a
    device, a pipe) or is standard output itself cannot be replaced and is written directly.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    text : str
        Its new content.

    Raises
    ------
    OSError
        If it cannot be written; the error names ``path`` and not the temporary file beside it.
    """
    content = text.encode("utf-8")
    try:
        try:
            before = path.stat()
        except FileNotFoundError:
            before = None
        if before is None or (stat.S_ISREG(before.st_mode) and not _is_standard_output(before)):
            _replace(Path(os.path.realpath(path)), content, before)
        else:
            _write_into(path, content, before)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_together(texts: Mapping[Path, str]) -> None:
    """Write several text files, none of them before all are on the disk under other names.

    What cannot be written, for want of space or of permission, leaves every file as it was.

    Parameters
    ----------
    texts : mapping of Path to str
        Regular files to write or replace, and their new content.

    Raises
    ------
    OSError
        If one cannot be written; the error names it.
    """
    asides: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            try:
                whole = Path(os.path.realpath(path))
                before = whole.stat() if whole.exists() else None
                if before is not None and not stat.S_ISREG(before.st_mode):
                    raise OSError(errno.EINVAL, "this is no regular file")
                asides[whole] = _aside(whole, text.encode("utf-8"), before)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
        for whole, aside in asides.items():
            aside.replace(whole)
    except BaseException:
        for aside in asides.values():
            aside.unlink(missing_ok=True)
        raise


def _replace(path: Path, content: bytes, before: os.stat_result | None) -> None:
    aside = _aside(path, content, before)
    try:
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _aside(path: Path, content: bytes, before: os.stat_result | None) -> Path:
    """Write what a file is to hold beside it, on the disk, and return where."""
    if before is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    aside = path.with_name(PART.replace("*", secrets.token_hex(8)))
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(handle)
        if before is not None:
            with contextlib.suppress(PermissionError):
                os.chown(aside, before.st_uid, before.st_gid)
            aside.chmod(stat.S_IMODE(before.st_mode))
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return aside


def _is_standard_output(file: os.stat_result) -> bool:
    """Whether writing here means to print: /dev/stdout leads to whatever that is."""
    try:
        return os.path.samestat(file, os.fstat(1))
    except OSError:  # it is closed
        return False


def _write_into(path: Path, content: bytes, before: os.stat_result) -> None:
    if _is_standard_output(before):
        sys.stdout.flush()  # what was printed so far comes first
        handle = os.dup(1)
    else:
        handle = os.open(path, os.O_WRONLY)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
