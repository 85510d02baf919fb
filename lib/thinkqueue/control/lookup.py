"""Tables of budgets as a router reads them: by type and number waiting, and from a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count, floats
from thinkqueue.control.table import When
from thinkqueue.errors import WorkloadError
from thinkqueue.files import write_atomically
from thinkqueue.names import listed, printable, shown
from thinkqueue.workload import Workload


class ByWaiting:
    """What a rule and an optimal policy have in common: a table, and how to look things up in it.

    Attributes
    ----------
    workload : Workload
        Whose types it is for.
    when : {"start", "any time"}
        When a budget is read from it.
    thresholds : ndarray, (R, N)
        Tokens, a row for every number waiting; the last row holds for all larger numbers.
    """

    workload: Workload
    when: When
    thresholds: Array

    def tokens(self, type: str | int, waiting: ArrayLike) -> Array:
        """Return the budget of one type, in tokens.

        Parameters
        ----------
        type : str or int
            Its name or its index.
        waiting : int or array_like of int
            How many queries wait behind the one in service.

        Raises
        ------
        WorkloadError
            If there is no such type, or a number is no number of queries.
        """
        number = whole("waiting", waiting)
        rows = np.minimum(number, len(self.thresholds) - 1)
        return np.asarray(self.thresholds[rows, type_index(self.workload, type)])

    def to_toml(self, path: str | os.PathLike[str], *, comment: str = "") -> None:
        """Write the table, in whole tokens, as a TOML file with a list for every type.

        Parameters
        ----------
        path : path-like
            The file; it is replaced as a whole or not at all.
        comment : str, optional
            What to say at its head, in lines.
        """
        head = "".join(f"# {printable(line)}\n" for line in comment.splitlines())
        write_atomically(Path(path), head + tomli_w.dumps(self.document()))

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the same as JSON.

        Parameters
        ----------
        path : path-like
            The file; it is replaced as a whole or not at all.
        """
        text = json.dumps(self.document(), indent=1, ensure_ascii=False)
        write_atomically(Path(path), text + "\n")

    def document(self) -> dict[str, Any]:
        """Return what is written: when to read it, and the tokens of every type by waiting."""
        whole_tokens = np.floor(self.thresholds).astype(np.int64)
        return {
            "when": self.when,
            "waiting": "the position in the list, from 0; the last entry holds for all beyond",
            "tokens": {
                name: whole_tokens[:, k].tolist() for k, name in enumerate(self.workload.names)
            },
        }


def type_index(workload: Workload, type: str | int) -> int:
    """Return the index of a type that is named or counted.

    Parameters
    ----------
    workload : Workload
        The workload.
    type : str or int
        The name of a type, or its index.

    Raises
    ------
    WorkloadError
        If there is no such type.
    """
    if isinstance(type, str):
        if type in workload.names:
            return workload.names.index(type)
        raise WorkloadError(
            f"type is {shown(type)}; the task types are {listed(workload.names)}.",
            parameter="type",
            value=type,
        )
    check_count("type", type, least=0, most=len(workload) - 1)
    return int(type)


def whole(parameter: str, count: ArrayLike) -> Any:
    """Return numbers of queries as integers.

    Parameters
    ----------
    parameter : str
        What they are called.
    count : int or array_like of int
        The numbers.

    Raises
    ------
    WorkloadError
        If one of them is negative or not whole.
    """
    numbers = floats(parameter, count)
    if not ((numbers >= 0) & (numbers == np.floor(numbers)) & (numbers < 2**53)).all():
        raise WorkloadError(
            f"{parameter} is {count!r}; it must be a number of queries, whole and not negative.",
            parameter=parameter,
            value=count,
        )
    return numbers.astype(np.int64)
