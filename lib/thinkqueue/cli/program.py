"""The program as a whole: its options, its exit statuses, and how it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

import thinkqueue as tq
from thinkqueue.errors import sentence
from thinkqueue.names import legible, shown
from thinkqueue.printing import print_anywhere

NOT_REACHED, BAD_INPUT, INFEASIBLE, INTERRUPTED = 1, 2, 3, 130


class Program(TyperGroup):
    """The program as a whole: however it ends, it says why in a sentence."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run it.

        Parameters
        ----------
        *args, **options
            As :class:`typer.core.TyperGroup` has them.
        """
        print_anywhere()
        with kind_exit():
            return super().main(*args, **options)


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

WorkloadFile = Annotated[Path, typer.Argument(metavar="FILE", help="The workload, in TOML.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
ArrivalRate = Annotated[
    float | None, typer.Option(help="Queries per second, instead of the file's.", metavar="RATE")
]
AccuracyWeight = Annotated[
    float | None,
    typer.Option(help="Seconds that one unit of accuracy is worth, instead.", metavar="SECONDS"),
]
Plot = Annotated[bool, typer.Option("--plot", help="Draw it too, in letters.")]
Workers = Annotated[
    int | None,
    typer.Option(metavar="COUNT", help="Processes of this machine to spread the work over.", min=1),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Dask scheduler to spread the work over its workers."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"thinkqueue {version('thinkqueue')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """How many thinking tokens should each type of query get?

    Exit status: 0 well, 1 not as near as asked for, 2 bad input or a file that
    cannot be read or written, 3 no stable allocation or none that meets the
    target, 130 interrupted.
    """


def examples(*lines: str) -> str:
    """Return the end of a help text: commands that can be typed as they stand.

    Parameters
    ----------
    *lines : str
        Arguments of the program.
    """
    return "\b\nExamples:\n" + "\n".join(f"  thinkqueue {line}" for line in lines)


@contextmanager
def executor_for(workers: int | None, scheduler: str | None) -> Iterator[Executor | None]:
    """Yield where parallel work runs: processes here, a Dask cluster, or nowhere else.

    Parameters
    ----------
    workers : int, optional
        Processes on this machine.
    scheduler : str, optional
        The address of a Dask scheduler.
    """
    if workers is not None and scheduler is not None:
        fail("--workers is for this machine and --scheduler for a cluster; choose one.", BAD_INPUT)
    if workers is None and scheduler is None:
        yield None
        return
    from thinkqueue.executors import cluster, processes

    with cluster(scheduler) if scheduler is not None else processes(workers or 1) as pool:
        yield pool


@contextmanager
def kind_exit() -> Iterator[None]:
    """Turn whatever a user can mend into one sentence and an exit status."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # a full disk says so now or never
    except tq.ThinkQueueError as error:
        fail(str(error), _status(error))
    except KeyboardInterrupt:
        fail("interrupted.", INTERRUPTED)
    except OSError as error:
        if error.filename is None:
            _close_output()
        if error.errno == errno.EPIPE:  # nobody reads on, as with `| head`
            raise SystemExit(NOT_REACHED) from None
        fail(("standard output: " if error.filename is None else "") + sentence(error), BAD_INPUT)


def read_workload(
    file: Path, arrival_rate: float | None = None, accuracy_weight: float | None = None
) -> tq.Workload:
    """Read a workload and replace what the options say.

    Parameters
    ----------
    file : Path
        The workload.
    arrival_rate, accuracy_weight : float, optional
        Values to use in place of the file's.
    """
    options = {"arrival_rate": arrival_rate, "accuracy_weight": accuracy_weight}
    given = {name: value for name, value in options.items() if value is not None}
    return tq.Workload.from_toml(file).replace(**given)


def fail(message: str, status: int) -> NoReturn:
    """End with a sentence and an exit status.

    Parameters
    ----------
    message : str
        The sentence.
    status : int
        The status.
    """
    with suppress(OSError):
        print(f"thinkqueue: {legible(message)}", file=sys.stderr)
    raise SystemExit(status)


def _status(error: tq.ThinkQueueError) -> int:
    if isinstance(error, tq.UnstableError | tq.InfeasibleTargetError):
        return INFEASIBLE
    return NOT_REACHED if isinstance(error, tq.NotConvergedError) else BAD_INPUT


def pairs(texts: list[str] | None, option: str) -> list[tuple[str, str]]:
    """Return what NAME=VALUE options say.

    Parameters
    ----------
    texts : list of str or None
        The values of the option.
    option : str
        Its name.
    """
    texts = texts or []
    found = [text.rpartition("=") for text in texts]
    for name, equals, _ in found:
        if not (name and equals):
            message = f"{option} takes NAME=VALUE; it is {shown(texts[0])}."
            raise tq.CalibrationError(message)
    return [(name, value) for name, _, value in found]


def _close_output() -> None:
    """Drop what could not be printed, so that Python does not try once more at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def numbers(text: str, option: str) -> list[float]:
    """Return numbers that are separated by commas.

    Parameters
    ----------
    text : str
        The value of an option.
    option : str
        Its name.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        fail(f"{option} takes numbers separated by commas; it is {shown(text)}.", BAD_INPUT)
