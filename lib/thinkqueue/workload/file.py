"""The TOML form of a workload: what its tables must and may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thinkqueue.errors import WorkloadError
from thinkqueue.workload.accuracy import Saturating
from thinkqueue.workload.task_type import DEFAULT_MAX_TOKENS, TaskType


def task_types(document: Mapping[str, Any]) -> list[TaskType]:
    """Return the task types of a TOML document and see that nothing else is amiss in it.

    Parameters
    ----------
    document : mapping
        The parsed file.

    Raises
    ------
    WorkloadError
        If a key is missing or unknown.
    """
    return [_task(table, index) for index, table in enumerate(_tables(document))]


def _tables(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the [[task]] tables of a TOML document whose top level is as it should be."""
    expected = {"arrival_rate", "accuracy_weight", "task"}
    for key in sorted(expected - document.keys()):
        raise WorkloadError(f"{key!r} is missing at the top level.", parameter=key)
    for key in sorted(document.keys() - expected):
        raise WorkloadError(
            f"The top-level key {key!r} is unknown; known are {', '.join(sorted(expected))}.",
            parameter=key,
            value=document[key],
        )
    tables = document["task"]
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise WorkloadError(
            "'task' must be a list of tables, each headed [[task]].", parameter="task", value=tables
        )
    return tables


def _task(table: Mapping[str, Any], index: int) -> TaskType:
    required = {"name", "share", "gain", "rate", "baseline", "base_time", "time_per_token"}
    known = required | {"max_tokens", "weight"}
    called = f"task type {table['name']!r}" if "name" in table else f"[[task]] number {index + 1}"
    for key in sorted(required - table.keys()):
        raise WorkloadError(f"{called} has no {key!r}.", parameter=key, task=index)
    for key in sorted(table.keys() - known):
        raise WorkloadError(
            f"{called} has the unknown key {key!r}; known are {', '.join(sorted(known))}.",
            parameter=key,
            value=table[key],
            task=index,
        )
    return TaskType(
        name=table["name"],
        share=table["share"],
        accuracy=Saturating(table["gain"], table["rate"], table["baseline"]),
        base_time=table["base_time"],
        time_per_token=table["time_per_token"],
        max_tokens=table.get("max_tokens", DEFAULT_MAX_TOKENS),
        weight=table.get("weight", 1.0),
    )
