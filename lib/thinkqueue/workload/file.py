"""The TOML form of a workload: types, curves, server, and nothing that it does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from thinkqueue.checks import LARGEST
from thinkqueue.errors import WorkloadError
from thinkqueue.names import listed, shown
from thinkqueue.workload.accuracy import (
    Curve,
    Hill,
    Interpolated,
    Logistic,
    PowerLaw,
    Saturating,
)
from thinkqueue.workload.parameters import GENERATED, SERVICE, VARYING
from thinkqueue.workload.servers import (
    Batching,
    Fifo,
    NonPreemptivePriority,
    PreemptivePriority,
    PreemptiveShortestFirst,
    ProcessorSharing,
    ShortestFirst,
    ShortestRemaining,
)
from thinkqueue.workload.task_type import DEFAULT_MAX_TOKENS, TaskType
from thinkqueue.workload.token_time import TokenTime, TokenTimeTable

CURVES: dict[str, type[Curve]] = {
    "saturating": Saturating,
    "power law": PowerLaw,
    "hill": Hill,
    "logistic": Logistic,
    "interpolated": Interpolated,
}
SERVERS: dict[str, Any] = {
    "fifo": Fifo,
    "priority": NonPreemptivePriority,
    "shortest first": ShortestFirst,
    "preemptive priority": PreemptivePriority,
    "preemptive shortest first": PreemptiveShortestFirst,
    "shortest remaining": ShortestRemaining,
    "processor sharing": ProcessorSharing,
    "batching": Batching,
}
NEEDED = {"priority": ("order",), "preemptive priority": ("order",), "batching": ("token_time",)}
TOP = ("arrival_rate", "accuracy_weight", "task")
CURVE = ("gain", "rate", "baseline")


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
    _check_keys(document, "The file", required=TOP, optional=("server",))
    tables = document["task"]
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise WorkloadError(
            "'task' must be a list of tables, each headed [[task]].", parameter="task", value=tables
        )
    return [_task(table, index) for index, table in enumerate(tables)]


def server_of(document: Mapping[str, Any], names: Sequence[str]) -> object:
    """Return the server of a TOML document, first come first served where it names none.

    Parameters
    ----------
    document : mapping
        The parsed file.
    names : sequence of str
        The task types, by which an order of priorities is written.

    Raises
    ------
    WorkloadError
        If the table is no server.
    """
    if "server" not in document:
        return Fifo()
    table = document["server"]
    kind = _kind(table, SERVERS, "The server")
    required = ("kind", *NEEDED.get(kind, ()))
    optional = tuple(f.name for f in fields(SERVERS[kind]) if f.name not in required)
    _check_keys(table, "The server", required=required, optional=optional)
    values = {key: value for key, value in table.items() if key != "kind"}
    if "order" in values:
        order = values["order"] if isinstance(values["order"], list) else [values["order"]]
        unknown = [name for name in order if name not in names]
        if unknown:
            raise WorkloadError(
                f"The server's order names {shown(unknown[0])}; the task types are "
                f"{listed(names)}.",
                parameter="order",
                value=unknown[0],
            )
        values["order"] = [names.index(name) for name in order]
    if "token_time" in values:
        values["token_time"] = _token_time(values["token_time"])
    return SERVERS[kind](**values)


def server_table(server: object, names: Sequence[str]) -> dict[str, Any]:
    """Return the TOML table of a server.

    Parameters
    ----------
    server : object
        The server.
    names : sequence of str
        The task types.

    Raises
    ------
    WorkloadError
        If it has none, being somebody's own.
    """
    for kind, known in SERVERS.items():
        if type(server) is known:
            table: dict[str, Any] = {"kind": kind} | asdict(server)  # type: ignore[call-overload]
            if "order" in table:
                table["order"] = [names[k] for k in server.order]  # type: ignore[attr-defined]
            return {key: value for key, value in table.items() if value is not None}
    raise WorkloadError(
        f"{server!r} has no form in TOML; only {', '.join(SERVERS)} have one.",
        parameter="server",
        value=server,
    )


def task_table(task: TaskType) -> dict[str, Any]:
    """Return the TOML table of a task type.

    Parameters
    ----------
    task : TaskType
        The type.

    Raises
    ------
    WorkloadError
        If its curve has no form in TOML, being somebody's own.
    """
    table: dict[str, Any] = {"name": task.name, "share": task.share}
    curve = task.accuracy
    kind = next((kind for kind, known in CURVES.items() if type(curve) is known), None)
    if kind is None:
        raise WorkloadError(
            f"accuracy of task type {shown(task.name)} is {curve!r}, which has no form in TOML; "
            f"only {', '.join(CURVES)} have one.",
            parameter="accuracy",
            value=curve,
            task=task.name,
        )
    numbers = asdict(curve)  # type: ignore[call-overload]
    table |= numbers if kind == "saturating" else {"accuracy": {"kind": kind} | numbers}
    rest = ((name, getattr(task, name)) for name in (*VARYING, *GENERATED, "max_tokens", "weight"))
    return table | {name: value for name, value in rest if value is not None}


def _task(table: Mapping[str, Any], index: int) -> TaskType:
    called = (
        f"task type {shown(table['name'])}" if "name" in table else f"[[task]] number {index + 1}"
    )
    curve = ("accuracy",) if "accuracy" in table else CURVE
    generated = GENERATED[0] in table
    times, more = (GENERATED[:1], GENERATED[1:]) if generated else (SERVICE, ("variation",))
    _check_keys(
        table,
        called,
        required=("name", "share", *curve, *times),
        optional=("max_tokens", "weight", *more),
        task=index,
    )
    return TaskType(
        name=table["name"],
        share=table["share"],
        accuracy=_curve(table, called),
        max_tokens=table.get("max_tokens", DEFAULT_MAX_TOKENS),
        weight=table.get("weight", 1.0),
        **{name: table[name] for name in (*times, *more) if name in table},
    )


def _token_time(table: Any) -> TokenTime | TokenTimeTable:
    """Return the time of a token from its table: two or three numbers, or two lists."""
    called = "The server's token_time"
    if not isinstance(table, dict):
        raise WorkloadError(
            f"{called} is {shown(table)}; it must be a table with base and per_query, or with "
            "queries and seconds.",
            parameter="token_time",
            value=table,
        )
    if "queries" in table:
        _check_keys(table, called, required=("queries", "seconds"), optional=("allow",))
        return TokenTimeTable(**table)
    _check_keys(table, called, required=("base", "per_query"), optional=("per_context",))
    return TokenTime(**table)


def _curve(table: Mapping[str, Any], called: str) -> Curve:
    if "accuracy" not in table:
        return Saturating(*(table[name] for name in CURVE))
    parts = table["accuracy"]
    kind = _kind(parts, CURVES, f"The accuracy of {called}")
    names = [f.name for f in fields(CURVES[kind])]  # type: ignore[arg-type]
    known = [name for name in names if name != "baseline"]
    optional = ("baseline",) if "baseline" in names else ()
    where = f"The accuracy of {called}"
    _check_keys(parts, where, required=("kind", *known), optional=optional)
    values = {}
    for name, value in parts.items():
        if name == "kind":
            continue
        entries = value if isinstance(value, list) else [value]
        if isinstance(value, list) != (kind == "interpolated") or not all(
            isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= LARGEST
            for x in entries
        ):
            what = "a list of numbers" if kind == "interpolated" else "a number"
            raise WorkloadError(
                f"{name} in the accuracy of {called} is {shown(value)}; it must be {what}.",
                parameter=name,
                value=value,
            )
        values[name] = tuple(map(float, value)) if isinstance(value, list) else float(value)
    try:
        return CURVES[kind](**values)
    except WorkloadError as error:
        raise WorkloadError(
            f"{where}: {error}", parameter=error.parameter, value=error.value
        ) from None


def _kind(table: Any, known: Mapping[str, Any], called: str) -> str:
    kind = table.get("kind") if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind not in known:
        raise WorkloadError(
            f"{called} is {shown(table)}; it must be a table whose kind is one of "
            f"{', '.join(repr(name) for name in known)}.",
            parameter="kind",
            value=kind,
        )
    return kind


def _check_keys(
    table: Mapping[str, Any],
    called: str,
    *,
    required: Sequence[str],
    optional: Sequence[str],
    task: int | None = None,
) -> None:
    """Refuse a table in which a key is missing or unknown."""
    for key in sorted(set(required) - table.keys()):
        raise WorkloadError(f"{called} has no {key!r}.", parameter=key, task=task)
    known = sorted({*required, *optional})
    for key in sorted(table.keys() - set(known)):
        raise WorkloadError(
            f"{called} has the unknown key {shown(key)}; known are {', '.join(known)}.",
            parameter=key,
            value=table[key],
            task=task,
        )
