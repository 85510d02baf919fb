"""Files are written whole or not at all, and what is no file is left what it is."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from thinkqueue.files import write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_gets_what_the_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new", "ü")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o666 & ~mask
    assert (tmp_path / "new").read_bytes() == "ü".encode()


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    write_atomically(path, "new")
    assert (mode(path), path.read_text()) == (0o640, "new")


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "sub" / "target", tmp_path / "link", tmp_path / "dangling"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(Path("sub", "target"))
    dangling.symlink_to(Path("sub", "absent"))
    for path in (link, dangling):
        write_atomically(path, "new")
        assert path.is_symlink()
        assert path.read_text() == "new"
    assert sorted(file.name for file in target.parent.iterdir()) == ["absent", "target"]


def test_a_pipe_is_written_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "through")
    reader.join(10)
    assert received == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device() -> None:
    link = Path("/dev/null")
    write_atomically(link, "gone")
    assert stat.S_ISCHR(link.stat().st_mode)


@pytest.mark.parametrize("to", ["pipe", "file"])
def test_standard_output_is_printed_to(tmp_path: Path, to: str) -> None:
    code = (
        "from pathlib import Path; from thinkqueue.files import write_atomically;"
        "print('first'); write_atomically(Path('/dev/stdout'), 'second\\n'); print('third')"
    )
    command = [sys.executable, "-c", code]
    if to == "pipe":
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        with (tmp_path / "out").open("w") as file:
            subprocess.run(command, stdout=file, check=True)
        printed = (tmp_path / "out").read_text()
    assert printed.split() == ["first", "second", "third"]


@pytest.mark.parametrize("failing", ["fsync", "chown"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, "new")
    assert caught.value.filename == str(path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_a_file_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as root everything may be written
    with pytest.raises(PermissionError, match=path.name):
        write_atomically(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize("kind", ["folder", "in no folder", "in a file", "circle"])
def test_what_cannot_be_written_is_named(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    path = {
        "folder": tmp_path,
        "in no folder": tmp_path / "absent" / "file",
        "in a file": tmp_path / "file" / "file",
        "circle": tmp_path / "circle",
    }[kind]
    with pytest.raises(OSError, match=path.name) as caught:
        write_atomically(path, "text")
    assert caught.value.filename == str(path)
