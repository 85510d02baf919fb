"""What can go wrong, each with one clear sentence and the facts to act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thinkqueue.names import legible


class ThinkQueueError(ValueError):
    """The root of every error that this library raises on purpose.

    Errors with attributes survive pickling, and so the way home from a worker process. Whatever a
    message quotes, its lines are printable and no longer than 500 letters.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(legible(message))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args), vars(self)


class WorkloadError(ThinkQueueError):
    """A value that no workload can have.

    Attributes
    ----------
    parameter : str
        The name of the parameter at fault.
    value : Any
        The value that was given.
    task : str or int or None
        The name or the index of the task type at fault; None where no single type is.
    """

    def __init__(
        self, message: str, *, parameter: str, value: Any = None, task: str | int | None = None
    ) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.value = value
        self.task = task


class UnstableError(ThinkQueueError):
    """The queue grows without bound: the load is 1 or more.

    Attributes
    ----------
    utilization : float
        The load ρ at the tokens in question.
    max_arrival_rate : float
        The supremum of the arrival rates (1/s) that are stable at these tokens.
    """

    def __init__(self, message: str, *, utilization: float, max_arrival_rate: float) -> None:
        super().__init__(message)
        self.utilization = utilization
        self.max_arrival_rate = max_arrival_rate


class MissingExtraError(ThinkQueueError, ImportError):
    """A package is not installed that only an extra of this library brings."""


@contextmanager
def needing(extra: str, purpose: str) -> Iterator[None]:
    """Say what to install where an import in the body fails.

    Parameters
    ----------
    extra : str
        The extra that brings the package.
    purpose : str
        What needs it.

    Raises
    ------
    MissingExtraError
        If the package is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{purpose} needs {error.name}, which is not installed: "
            f"pip install 'thinkqueue[{extra}]'."
        ) from error


def sentence(error: OSError) -> str:
    """Say what the operating system would not do, and to which file.

    Parameters
    ----------
    error : OSError
        As it was raised.
    """
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."


def _restore(cls: type[ThinkQueueError], args: tuple[Any, ...]) -> ThinkQueueError:
    return cls.__new__(cls, *args)
