"""A Chromium is found, or installed in the way that this machine allows, or asked for."""

import os
import sys
from pathlib import Path

import pytest

from thinkqueue.book import browser as finding
from thinkqueue.book.browser import browser, find_browser
from thinkqueue.book.layout import BookError


class Machine:
    """A machine with nothing on its path but what a test puts there."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin, self.log = folder / "bin", folder / "log"
        self.own = folder / "own-chromium"
        self.bin.mkdir()
        self.log.touch()
        self.put("python", "exit 1")
        os.symlink("/usr/bin/env", self.bin / "env")
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.setattr(sys, "executable", str(self.bin / "python"))
        monkeypatch.setattr(
            finding, "_playwrights_own", lambda: str(self.own) if self.own.exists() else None
        )

    def put(self, name: str, body: str) -> None:
        """Put a command there that notes its name and arguments, then does as it is told."""
        path = self.own if name == "own" else self.bin / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.log}\n{body}\n')
        path.chmod(0o755)

    def bring(self, name: str) -> str:
        """Return the body of a command that puts a Chromium there."""
        path = self.own if name == "own" else self.bin / name
        return f"echo '#!/bin/sh' > {path}; /bin/chmod 755 {path}"

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def user(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: number)


def test_a_chromium_that_does_not_start_is_none(machine: Machine) -> None:
    assert find_browser() is None
    machine.put("chromium-browser", "exit 1")  # the stub that points at a shop of applications
    assert find_browser() is None
    machine.put("google-chrome", "exit 0")
    assert find_browser() == str(machine.bin / "google-chrome")


def test_playwrights_own_will_do(machine: Machine) -> None:
    machine.put("own", "exit 0")
    assert browser() == str(machine.own)
    assert machine.asked == ["own --version"]


def test_root_installs_the_systems(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    user(0, monkeypatch)
    machine.put("apt-get", f'case "$*" in *chromium*) {machine.bring("chromium")};; esac')
    assert browser() == str(machine.bin / "chromium")
    assert [line.split()[:3] for line in machine.asked] == [
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install"],
    ]


def test_so_does_sudo_where_it_asks_no_password(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    user(1000, monkeypatch)
    machine.put("true", "exit 0")
    machine.put("sudo", 'shift; exec "$@"')
    machine.put("apt-get", f'case "$*" in *chromium*) {machine.bring("chromium")};; esac')
    assert browser() == str(machine.bin / "chromium")


@pytest.mark.parametrize("uid", [0, 1000])
def test_playwright_installs_its_own_elsewhere(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    user(uid, monkeypatch)
    machine.put("sudo", "exit 1")  # it would ask for a password
    machine.put("python", machine.bring("own"))
    machine.put("apt-get", "exit 100")  # no such package here
    assert browser() == str(machine.own)
    assert machine.asked[-1].startswith("python -m playwright install chromium")
    assert not any("-n env" in line for line in machine.asked)


def test_where_nothing_works_one_sentence_says_so(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    user(1000, monkeypatch)
    with pytest.raises(BookError, match=r"need a Chromium.*install chromium, .*chrome-stable\.$"):
        browser()
