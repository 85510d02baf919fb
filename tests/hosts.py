"""What hosts do with this repository, done here: the steps of the workflow, and those of Binder.

This is what ``make check-hosts`` runs. Each host gets a fresh clone of the last commit, an empty
home, and a PATH with a Python 3.11 and the system, on which a Chromium appears when a step installs
one: where this machine has one already, that is not tried. An action of the workflow is stood in
for by what it leaves: the checkout by the clone, the Python by one on the PATH, an upload by
looking whether there is anything to load up. Binder's image begins with an environment in which
a notebook server is installed already; after its last step a chapter is opened and run in it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
#: What an image of Binder holds before it looks at a repository.
IMAGE = ("jupyterhub", "jupyterlab", "notebook", "nbclassic", "jupyter-resource-usage")
#: Where the system's packages put a Chromium.
CHROMIUM = Path("/usr/bin/chromium")
CHAPTER = "chapters/01_the_server_as_a_queue.md"


def environment(folder: Path, *first: Path) -> dict[str, str]:
    """Make a home and a PATH without what this machine happens to have."""
    hidden, home = folder / "bin", folder / "home"
    hidden.mkdir()
    home.mkdir()
    for place in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for program in sorted(Path(place).iterdir()):
            link = hidden / program.name
            if "chrom" not in program.name and "python" not in program.name and not link.exists():
                link.symlink_to(program)
    if CHROMIUM.exists():
        print(f"{CHROMIUM} is here already, so that no step installs one", flush=True)
    (hidden / CHROMIUM.name).symlink_to(CHROMIUM)
    for name in ("python", "python3", "python3.11"):
        (hidden / name).symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_"))}
    path = os.pathsep.join(map(str, (*first, hidden)))
    return kept | {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "CI": "true"}


def run(command: str, root: Path, told: dict[str, str]) -> float:
    """Run a step as a host does and return how long it took; stop at the first that fails."""
    print(f"$ {command}", flush=True)
    begun = time.monotonic()
    subprocess.run(["bash", "-eo", "pipefail", "-c", command], cwd=root, env=told, check=True)
    return time.monotonic() - begun


def cloned(folder: Path) -> Path:
    """Clone the last commit."""
    root = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(root)], check=True)
    return root


def workflow(folder: Path) -> None:
    """Run the steps of the job that builds, in their order."""
    root, told = cloned(folder), environment(folder)
    output = folder / "output"
    told["GITHUB_OUTPUT"] = str(output)
    text = (root / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
    for step in yaml.safe_load(text)["jobs"]["build"]["steps"]:
        if "run" in step:
            print(f"  {run(step['run'], root, told):.0f} s", flush=True)
        elif "upload" in step["uses"]:
            assert any((root / step["with"]["path"]).iterdir()), step
    assert output.read_text(encoding="utf-8").startswith("set="), output.read_text("utf-8")


def binder(folder: Path) -> None:
    """Run the last step of Binder's image, open a chapter as its visitor does, and run it."""
    root, place = cloned(folder), folder / "image"
    told = environment(folder, place / "bin")
    run(f"python3.11 -m venv {shlex.quote(str(place))}", root, told)
    run(f"python -m pip install --quiet {' '.join(IMAGE)}", root, told)
    print(f"  {run('.binder/postBuild', root, told):.0f} s", flush=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["jupyter", "lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
               "--allow-root", "--IdentityProvider.token=visitor"]  # fmt: skip
    command[0] = str(shutil.which("jupyter", path=told["PATH"]))
    server = subprocess.Popen(command, cwd=root, env=told, stderr=subprocess.DEVNULL)
    try:
        cells = opened(f"http://127.0.0.1:{port}/api/contents/{CHAPTER}?type=notebook")
    finally:
        server.terminate()
        server.wait()
    assert cells > 10, cells
    command = ["python", "-m", "jupytext", "--to", "ipynb", "--execute", "--output",
               str(folder / "run.ipynb"), "--run-path", str(Path(CHAPTER).parent),
               CHAPTER]  # fmt: skip
    print(f"  {cells} cells open; {run(shlex.join(command), root, told):.0f} s", flush=True)


def opened(address: str, patience: float = 60.0) -> int:
    """Ask the notebook server for a chapter, as soon as it answers; return how many cells it has.

    The address is on this machine and names no proxy.
    """
    request = urllib.request.Request(address, headers={"Authorization": "token visitor"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + patience
    while True:
        try:
            with opener.open(request) as answer:
                return len(json.load(answer)["content"]["cells"])
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def main(*hosts: str) -> None:
    """Do what the hosts do that are named, or both."""
    for name in hosts or ("binder", "workflow"):
        with tempfile.TemporaryDirectory() as folder:
            {"binder": binder, "workflow": workflow}[name](Path(folder))
        print(f"{name}: all steps ran", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
