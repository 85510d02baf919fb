"""What no file says, and what would supply it."""

from __future__ import annotations

from dataclasses import dataclass

from thinkqueue.errors import ThinkQueueError
from thinkqueue.names import listed


@dataclass(frozen=True)
class Missing:
    """Something that no file says.

    Attributes
    ----------
    what : str
        What it is.
    supply : str
        What would supply it.
    tasks : tuple of str
        Which tasks it is missing for; empty where it is for all.
    """

    what: str
    supply: str
    tasks: tuple[str, ...] = ()

    def __str__(self) -> str:
        whose = f" of {listed(self.tasks)}" if self.tasks else ""
        return f"Not known: {self.what}{whose}. {self.supply}"


class MissingError(ThinkQueueError):
    """What was asked cannot be told from these files.

    Attributes
    ----------
    missing : Missing
        What is missing, and what would supply it.
    """

    def __init__(self, missing: Missing) -> None:
        super().__init__(str(missing))
        self.missing = missing
