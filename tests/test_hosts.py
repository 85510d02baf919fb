"""What hosts run of this repository: the steps of the workflow, and those of Binder."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from thinkqueue.book.__main__ import app
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
COMMANDS = [step["run"] for step in STEPS if "run" in step]
BINDER = ROOT / ".binder"


def unknown(command: str) -> str | None:
    """Say what of a command is not here; None if all of it is."""
    program, *words = shlex.split(command.partition(">>")[0])
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    if program == "make":
        return next((word for word in words if word not in targets), None)
    if program in (".venv/bin/python", "python") and words[:2] == ["-m", "thinkqueue.book"]:
        known = {command.name for command in app.registered_commands}
        return None if words[2] in known else words[2]
    if program == "python" and words[:3] == ["-m", "pip", "install"]:
        return None
    path = ROOT / program
    return None if path.is_file() and os.access(path, os.X_OK) else program


@pytest.mark.parametrize("command", COMMANDS)
def test_each_step_of_the_workflow_is_here(command: str) -> None:
    assert unknown(command) is None


@pytest.mark.parametrize(
    "command", ["make bok", ".ci/ran", ".venv/bin/python -m thinkqueue.book publik >> $X", "npm ci"]
)
def test_a_step_that_is_not_here_is_noticed(command: str) -> None:
    assert unknown(command)


def test_the_workflow_reads_what_the_book_says() -> None:
    job = WORKFLOW["jobs"]["build"]
    (step,) = [step for step in job["steps"] if step.get("id") == "public"]
    said = CliRunner().invoke(app, ["public", "--root", str(ROOT)]).output
    name, _, value = said.strip().partition("=")
    assert value in ("true", "false")
    assert job["outputs"]["public"] == f"${{{{ steps.{step['id']}.outputs.{name} }}}}"
    uploaded = {step["with"]["path"] for step in STEPS if "path" in step.get("with", {})}
    assert uploaded == {str(Book(ROOT).html.relative_to(ROOT))}


def test_hosts_use_a_python_that_the_lock_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = project["requires-python"].removeprefix(">=")
    setups = [step["with"] for step in STEPS if "python-version" in step.get("with", {})]
    assert {setup["python-version"] for setup in setups} == {least}
    assert (ROOT / setups[0]["cache-dependency-path"]).is_file()
    assert (BINDER / "runtime.txt").read_text(encoding="utf-8").strip() == f"python-{least}"


def test_binder_installs_the_lock_and_the_library() -> None:
    steps = (BINDER / "postBuild").read_text(encoding="utf-8").splitlines()
    assert os.access(BINDER / "postBuild", os.X_OK)
    assert steps[0].startswith("#!")
    assert steps[1] == "set -euo pipefail"
    assert not (BINDER / "requirements.txt").exists(), "it has no word for --no-deps"
    commands = [step for step in steps[2:] if not step.startswith("#")]
    assert [unknown(step) for step in commands] == [None, None]
    assert "--require-hashes --no-deps --requirement requirements.lock" in commands[0]
    # built without isolation, so the lock must bring what builds
    assert re.search(r"^setuptools==", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
