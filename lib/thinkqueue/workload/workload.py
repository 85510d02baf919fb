"""What is asked of the server: task types, their mix, the arrival rate, the value of accuracy."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Self, TypeVar, cast

import numpy as np
import tomli_w
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import LARGEST, floats
from thinkqueue.errors import WorkloadError
from thinkqueue.files import fault_of_size, write_atomically
from thinkqueue.names import printable, shown
from thinkqueue.workload.accuracy import Curve, Mixed, Saturating, together
from thinkqueue.workload.file import server_of, server_table, task_table, task_types
from thinkqueue.workload.parameters import (
    CURVE,
    FIELDS,
    GENERATED,
    OWN,
    SCALARS,
    SERVICE,
    VARYING,
    check_ranges,
)
from thinkqueue.workload.servers import (
    Batching,
    Fifo,
    NonPreemptivePriority,
    PreemptivePriority,
)
from thinkqueue.workload.service import Affine, Generated, Service
from thinkqueue.workload.task_type import DEFAULT_MAX_TOKENS, TaskType
from thinkqueue.workload.varying import Varying

T = TypeVar("T")


class _Part:
    """A symbol that a workload has where its curves, or its service, are of the usual kind."""

    def __init__(self, whole: str, kind: type, called: str) -> None:
        self.whole, self.kind, self.called = whole, kind, called

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, workload: Any, owner: type | None = None) -> Array:
        if workload is None:
            raise AttributeError(self.name)
        whole = getattr(workload, self.whole)
        if isinstance(whole, self.kind):
            return cast(Array, getattr(whole, self.name))
        raise WorkloadError(
            f"{self.name} belongs to {self.called}, and this workload has others: see its "
            f"{self.whole}.",
            parameter=self.name,
        )


class Workload:
    r"""The task types, the rate at which queries come, what accuracy is worth, and the server.

    Queries arrive as a Poisson stream of rate :math:`\lambda`; each is of type :math:`k` with
    probability :math:`\pi_k`; its service takes :math:`s_k(\ell) = t_{0,k} + c_k \ell` seconds and
    its answer is right with probability :math:`p_k(\ell)`.

    Parameters
    ----------
    tasks : iterable of TaskType
        The types; their shares add up to 1.
    arrival_rate : float
        :math:`\lambda > 0` in queries per second.
    accuracy_weight : float
        :math:`\alpha \ge 0`: the seconds of mean system time that one unit of accuracy is worth.
    server : server, optional
        ``Fifo()``, the default, another discipline, or any :class:`~thinkqueue.delay.Delay`.

    Attributes
    ----------
    share, max_tokens, weight : ndarray, (N,)
        The symbols :math:`\pi, \ell_{\max}, w`, read-only.
    curves : Curve
        What the tokens of each type buy, all types at once.
    service : Service
        How long a query of each type is worked on, all types at once.
    gain, rate, baseline, base_time, time_per_token : ndarray, (N,)
        The symbols :math:`A, b, D, t_0, c`, where the curves saturate and the service is affine.
    variation : ndarray, (N,)
        The symbol :math:`v`, where lengths vary at one budget.
    answer_tokens, prompt_time, prompt_tokens : ndarray, (N,)
        In place of the two times where a :class:`~thinkqueue.Batching` server generates tokens.
    arrival_rate, accuracy_weight : float
        :math:`\lambda` and :math:`\alpha`.
    server : server
        What serves them.

    Raises
    ------
    WorkloadError
        If a value is out of its range; the message names parameter, value and task type.

    Notes
    -----
    Frozen, compared by value, and held as arrays: a million types are eight arrays and no object
    each (:meth:`from_arrays`). A type of share 0 is allowed; it gets the budget that one query of
    it would deserve. Source of the model: arXiv:2601.10274.
    """

    share: Array
    max_tokens: Array
    weight: Array
    curves: Curve
    service: Service
    arrival_rate: float
    accuracy_weight: float
    server: Any
    _names: tuple[str, ...] | None

    gain = _Part("curves", Saturating, "saturating curves")
    rate = _Part("curves", Saturating, "saturating curves")
    baseline = _Part("curves", Saturating, "saturating curves")
    base_time = _Part("service", Affine, "affine service times")
    time_per_token = _Part("service", Affine, "affine service times")
    variation = _Part("service", Varying, "service times that vary")
    answer_tokens = _Part("service", Generated, "answers of a batching server")
    prompt_time = _Part("service", Generated, "answers of a batching server")
    prompt_tokens = _Part("service", Generated, "answers of a batching server")

    def __init__(
        self,
        tasks: Iterable[TaskType],
        *,
        arrival_rate: float,
        accuracy_weight: float,
        server: object = None,
    ) -> None:
        types = _sequence("tasks", tasks)
        for index, task in enumerate(types):
            if not isinstance(task, TaskType):
                raise WorkloadError(
                    f"tasks[{index}] is {shown(task)}; it must be a TaskType.",
                    parameter="tasks",
                    value=task,
                    task=index,
                )
        own: dict[str, ArrayLike] = {name: [getattr(t, name) for t in types] for name in OWN}
        self._fill(
            own | _given(types),
            accuracy=[t.accuracy for t in types],
            arrival_rate=arrival_rate,
            accuracy_weight=accuracy_weight,
            server=server,
            names=[t.name for t in types],
        )

    @classmethod
    def from_arrays(
        cls,
        *,
        share: ArrayLike,
        gain: ArrayLike | None = None,
        rate: ArrayLike | None = None,
        baseline: ArrayLike | None = None,
        accuracy: Curve | Sequence[Curve] | None = None,
        base_time: ArrayLike | None = None,
        time_per_token: ArrayLike | None = None,
        variation: ArrayLike | None = None,
        service: Service | None = None,
        answer_tokens: ArrayLike | None = None,
        prompt_time: ArrayLike | None = None,
        prompt_tokens: ArrayLike | None = None,
        max_tokens: ArrayLike = DEFAULT_MAX_TOKENS,
        arrival_rate: float,
        accuracy_weight: float,
        weight: ArrayLike | None = None,
        server: object = None,
        names: Sequence[str] | None = None,
    ) -> Self:
        r"""Build a workload from arrays; a scalar stands for the same value in every type.

        Parameters
        ----------
        share : array_like, (N,)
            :math:`\pi_k`; its length is the number of types.
        gain, rate, baseline : array_like, optional
            :math:`A_k, b_k, D_k` of saturating curves.
        accuracy : Curve or sequence of Curve, optional
            Instead of those: a curve with arrays for fields, or one curve a type.
        base_time, time_per_token : array_like, optional
            :math:`t_{0,k}` in s and :math:`c_k` in s/token.
        variation : array_like, optional
            :math:`v_k`, the coefficient of variation of the thinking length at one budget: the
            service is then :class:`~thinkqueue.Varying`. 0 where not given.
        service : Service, optional
            Instead of those: any service times.
        answer_tokens, prompt_time, prompt_tokens : array_like, optional
            Instead of those at a batching server: tokens of the answer, s and tokens of the prompt;
            the last two are 0 where not given.
        max_tokens : array_like, optional
            :math:`\ell_{\max,k}`.
        arrival_rate, accuracy_weight : float
            :math:`\lambda` and :math:`\alpha`.
        weight : array_like, optional
            :math:`w_k`, 1 where not given.
        server : server, optional
            As in the constructor.
        names : sequence of str, optional
            Names of the types; "type 1", "type 2", … where not given.

        Raises
        ------
        WorkloadError
            As the constructor does, and where a curve or a service is given twice or not at all.
        """
        self = cls.__new__(cls)
        columns = {"share": share, "max_tokens": max_tokens}
        columns["weight"] = 1.0 if weight is None else weight
        parts = (
            *zip(CURVE, (gain, rate, baseline)),
            *zip(VARYING, (base_time, time_per_token, variation)),
            *zip(GENERATED, (answer_tokens, prompt_time, prompt_tokens)),
        )
        self._fill(
            columns | {name: column for name, column in parts if column is not None},
            accuracy=accuracy,
            service=service,
            arrival_rate=arrival_rate,
            accuracy_weight=accuracy_weight,
            server=server,
            names=names,
        )
        return self

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Read a workload from a TOML file.

        The file has ``arrival_rate`` and ``accuracy_weight`` at its top and one ``[[task]]`` table
        a type with ``name``, ``share``, ``gain``, ``rate``, ``baseline``, ``base_time``,
        ``time_per_token`` and, if wanted, ``variation``, ``max_tokens`` and ``weight``. A curve of
        another kind is a table ``accuracy`` with its ``kind`` and its parameters, in place of the
        three numbers. A table ``[server]`` with a ``kind`` says what serves them; first come, first
        served without.
        For ``kind = "batching"`` a type has ``answer_tokens`` and, if wanted, ``prompt_time`` and
        ``prompt_tokens`` in place of the two times.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        WorkloadError
            If the file is no such workload; the message names the file.
        OSError
            If the file cannot be read.
        """
        source = Path(path)
        document = _document(source)
        try:
            types = task_types(document)
            return cls(
                types,
                arrival_rate=document["arrival_rate"],
                accuracy_weight=document["accuracy_weight"],
                server=server_of(document, [task.name for task in types]),
            )
        except WorkloadError as error:
            raise WorkloadError(
                f"{source}: {error}",
                parameter=error.parameter,
                value=error.value,
                task=error.task,
            ) from None

    def to_toml(self, path: str | os.PathLike[str], *, comment: str = "") -> None:
        """Write the workload as a TOML file that :meth:`from_toml` reads back unchanged.

        Parameters
        ----------
        path : path-like
            The file; it is replaced as a whole or not at all.
        comment : str, optional
            What to say at its head, in lines.
        """
        head = "".join(f"# {printable(line)}\n" for line in comment.splitlines())
        document: dict[str, Any] = {
            "arrival_rate": self.arrival_rate,
            "accuracy_weight": self.accuracy_weight,
        }
        if self.server != Fifo():
            document["server"] = server_table(self.server, self.names)
        document["task"] = [task_table(task) for task in self.tasks]
        write_atomically(Path(path), head + tomli_w.dumps(document))

    def replace(self, **changes: Any) -> Self:
        """Return a workload with some parameters changed.

        Parameters
        ----------
        **changes
            Any arguments of :meth:`from_arrays`.

        Raises
        ------
        WorkloadError
            If a name is unknown or a value is out of its range.
        """
        current = self._columns()
        parts = (*FIELDS, "variation", *GENERATED, "accuracy", "service")
        known = [*parts, *SCALARS, "server", "names"]
        for name in changes:
            if name not in known:
                raise WorkloadError(
                    f"A workload has no parameter {name!r}; it has {', '.join(known)}.",
                    parameter=name,
                    value=changes[name],
                )
        times = ("service",), VARYING, GENERATED
        rivals = [(("accuracy",), CURVE), *permutations(times, 2)]
        for new, old in rivals:
            if not changes.keys().isdisjoint(new):
                current = {key: value for key, value in current.items() if key not in old}
        return self.from_arrays(**(current | changes))

    def _columns(self) -> dict[str, Any]:
        """Return the arguments of :meth:`from_arrays` that make this workload again."""
        columns: dict[str, Any] = {field: getattr(self, field) for field in OWN}
        if isinstance(self.curves, Saturating):
            columns |= {field: getattr(self.curves, field) for field in CURVE}
        else:
            columns["accuracy"] = self.curves
        if isinstance(self.service, Affine):
            columns |= {field: getattr(self.service, field) for field in SERVICE}
        elif isinstance(self.service, Varying):
            columns |= {field: getattr(self.service, field) for field in VARYING}
        elif isinstance(self.service, Generated):
            columns |= {field: getattr(self.service, field) for field in GENERATED}
        else:
            columns["service"] = self.service
        scalars = {name: getattr(self, name) for name in SCALARS}
        return columns | scalars | {"server": self.server, "names": self._names}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the types."""
        return self._names or tuple(f"type {k + 1}" for k in range(len(self)))

    def name(self, index: int) -> str:
        """Return the name of one type.

        Parameters
        ----------
        index : int
            Its position, from 0.
        """
        return self._names[index] if self._names else f"type {index + 1}"

    @property
    def tasks(self) -> tuple[TaskType, ...]:
        """The types as objects, made anew at each call."""
        source: Any = self
        parts: tuple[str, ...] = SERVICE
        if isinstance(self.service, Generated):
            parts = GENERATED
        elif isinstance(self.service, Varying):
            source, parts = self.service, VARYING
        return tuple(
            TaskType(
                name,
                share=float(self.share[k]),
                accuracy=self.curves.pick(k),
                max_tokens=float(self.max_tokens[k]),
                weight=float(self.weight[k]),
                **{part: float(getattr(source, part)[k]) for part in parts},
            )
            for k, name in enumerate(self.names)
        )

    def __len__(self) -> int:
        return int(self.share.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Workload):
            return NotImplemented
        mine, theirs = self._columns(), other._columns()
        return (
            mine.keys() == theirs.keys()
            and all(
                np.array_equal(mine[key], theirs[key])
                if isinstance(mine[key], np.ndarray)
                else bool(mine[key] == theirs[key])
                for key in mine.keys() - {"names"}
            )
            and self.names == other.names
        )

    def __hash__(self) -> int:
        return hash((self.arrival_rate, self.accuracy_weight, self.share.tobytes()))

    def __repr__(self) -> str:
        types = "1 type" if len(self) == 1 else f"{len(self):,} types"
        return (
            f"Workload({types}, arrival_rate={self.arrival_rate:g}/s, "
            f"accuracy_weight={self.accuracy_weight:g} s)"
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A workload is frozen; use .replace({name}=...) for a changed one.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("A workload is frozen.")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._columns())

    def _fill(
        self,
        columns: Mapping[str, ArrayLike],
        *,
        arrival_rate: float,
        accuracy_weight: float,
        names: Sequence[str] | None,
        accuracy: Curve | Sequence[Curve] | None = None,
        service: Service | None = None,
        server: object = None,
    ) -> None:
        """Check everything and set it: the one door by which values come in."""
        put = object.__setattr__
        size = np.size(floats("share", columns["share"]))
        if not size:
            raise WorkloadError("A workload needs at least one task type.", parameter="tasks")
        times: tuple[str, ...] = SERVICE
        if not columns.keys().isdisjoint(GENERATED):
            times = GENERATED
            columns = {"prompt_time": 0.0, "prompt_tokens": 0.0, **columns}
            if both := [name for name in VARYING if name in columns]:
                raise WorkloadError(
                    f"{both[0]} is a service time, answer_tokens is what a batching server is "
                    "asked for; give one or the other.",
                    parameter=both[0],
                )
        for whole, given, parts in (("accuracy", accuracy, CURVE), ("service", service, times)):
            absent = [name for name in parts if name not in columns]
            if (given is None) == bool(absent):
                what = "both are given" if given is not None else f"{', '.join(absent)} missing"
                raise WorkloadError(
                    f"Give either {whole} or {', '.join(parts)}: {what}.",
                    parameter=whole,
                )
        curves = size
        if accuracy is not None and not isinstance(accuracy, Curve):
            each = _sequence("accuracy", accuracy)
            curves, accuracy = len(each), _curves(each, names)
            if isinstance(accuracy, Saturating):
                columns = {**columns, **{name: getattr(accuracy, name) for name in CURVE}}
                accuracy = None
        arrays: dict[str, Array] = {}
        for field, value in columns.items():
            values = floats(field, value)
            if values.ndim > 1 or values.size not in (1, size):
                raise WorkloadError(
                    f"{field} has shape {values.shape}; it must be one number, "
                    f"or one for each of the {size} task types.",
                    parameter=field,
                    value=values.shape,
                )
            arrays[field] = np.array(np.broadcast_to(values, (size,)))
            arrays[field].flags.writeable = False
        if isinstance(accuracy, Mixed):
            curves = sum(places.size for places, _ in accuracy.parts)
        if curves != size:
            raise WorkloadError(
                f"accuracy has {curves} curves; there are {size} task types.",
                parameter="accuracy",
                value=curves,
            )
        put(self, "_names", _checked_names(names, size))
        scalars = {"arrival_rate": arrival_rate, "accuracy_weight": accuracy_weight}
        for name, value in scalars.items():
            number = floats(name, value)
            if number.ndim:
                raise WorkloadError(
                    f"{name} has shape {number.shape}; it must be one number. For many values at "
                    "once there is solve_grid.",
                    parameter=name,
                    value=number.shape,
                )
            scalars[name] = float(number)
        check_ranges({**arrays, **scalars}, self.name)
        for field in OWN:
            put(self, field, arrays[field])
        for name, value in scalars.items():
            put(self, name, value)
        if accuracy is None:
            accuracy = Saturating(*(arrays[name] for name in CURVE))
        else:
            _check_curves(accuracy, self.max_tokens, self.name)
        put(self, "curves", accuracy)
        kind = Affine if times is SERVICE else Generated
        service = service or kind(*(arrays[name] for name in times))
        if np.any(arrays.get("variation", 0.0)):
            if not isinstance(service, Affine):
                raise WorkloadError(
                    "variation goes with base_time and time_per_token; a service of its own says "
                    "itself how it varies.",
                    parameter="variation",
                )
            service = Varying(service.base_time, service.time_per_token, arrays["variation"])
        put(self, "service", service)
        put(self, "server", Fifo() if server is None else server)
        _check_match(self.service, self.server)
        if isinstance(server, NonPreemptivePriority | PreemptivePriority):
            server.rank(np.zeros(size))  # says so where it orders another number of types


def _given(types: Sequence[TaskType]) -> dict[str, Any]:
    """Return what the types say of their service: what none of them gives is left out."""
    rows = {name: [getattr(t, name) for t in types] for name in (*VARYING, *GENERATED)}
    for name in ("variation", *GENERATED[1:]):
        if any(value is not None for value in rows[name]):
            rows[name] = [value if value is not None else 0.0 for value in rows[name]]
    return {name: row for name, row in rows.items() if any(value is not None for value in row)}


def _check_match(service: Service, server: object) -> None:
    """Refuse seconds where the server is asked for tokens, and tokens where for seconds."""
    if isinstance(server, Batching) and isinstance(service, Affine | Varying):
        raise WorkloadError(
            f"{server!r} generates tokens: give answer_tokens, and prompt_time where prompts take "
            "time, in place of base_time and time_per_token.",
            parameter="answer_tokens",
        )
    if isinstance(service, Generated) and not (
        isinstance(server, Batching) or hasattr(server, "at")
    ):
        raise WorkloadError(
            f"answer_tokens are what a Batching(...) server is asked for; {server!r} needs "
            "base_time and time_per_token.",
            parameter="server",
            value=server,
        )
    if isinstance(server, Batching):
        server.check_formula(service)


def _curves(curves: Sequence[Curve], names: Sequence[Any] | None) -> Curve:
    """Join the curves of all types; those of the usual kind become arrays for the checks to see."""
    for k, curve in enumerate(curves):
        if not isinstance(curve, Curve):
            task = names[k] if names is not None and k < len(names) else k + 1
            raise WorkloadError(
                f"accuracy of task type {shown(task)} is {curve!r}; it must be a curve such as "
                "Saturating(gain, rate, baseline).",
                parameter="accuracy",
                value=curve,
                task=task,
            )
        if isinstance(curve, Saturating) and len({*map(type, curves)}) > 1:
            _check_saturating(curve, names[k] if names is not None else f"type {k + 1}")
    if all(isinstance(curve, Saturating) for curve in curves):
        return Saturating(*([getattr(p, f) for p in curves] for f in CURVE))  # type: ignore[arg-type]
    return together(curves)


def _check_saturating(curve: Saturating, task: Any) -> None:
    """Hold a curve among others to the ranges that it is held to among its own kind."""
    numbers = {name: floats(name, getattr(curve, name)) for name in CURVE}
    if any(values.ndim for values in numbers.values()):
        raise WorkloadError(
            f"accuracy of task type {shown(task)} is {shown(curve)}; it must have one number each.",
            parameter="accuracy",
            value=curve,
            task=task,
        )
    check_ranges(numbers, lambda _: str(task))


def _check_curves(curves: Curve, caps: Array, name: Callable[[int], str]) -> None:
    """Look at curves of any kind at a few places: they must be accuracies."""
    for part in (0.0, 1e-3, 0.1, 0.5, 1.0):
        with np.errstate(all="ignore"):
            value = np.broadcast_to(curves.value(part * caps), caps.shape)
        good = (value >= -1e-12) & (value <= 1 + 1e-12)
        if not good.all():
            k = int(np.argmin(good))
            raise WorkloadError(
                f"accuracy of task type {shown(name(k))} is {value[k]:.6g} at {part * caps[k]:g} "
                "tokens; it must lie between 0 and 1.",
                parameter="accuracy",
                value=float(value[k]),
                task=name(k),
            )


def tokens_array(
    workload: Workload, tokens: ArrayLike, *, capped: bool = False, single: bool = False
) -> Array:
    r"""Check a token allocation at the door of a public function.

    Parameters
    ----------
    workload : Workload
        The workload that it is for.
    tokens : array_like, (..., N)
        Thinking tokens of each type, finite and not negative.
    capped : bool, optional
        Whether :math:`\ell_k \le \ell_{\max,k}` is demanded too.
    single : bool, optional
        Whether one allocation is demanded, of shape (N,).

    Raises
    ------
    WorkloadError
        If the shape or a value does not fit; the message names the task type.
    """
    ell = floats("tokens", tokens)
    if ell.ndim == 0 or ell.shape[-1] != len(workload):
        raise WorkloadError(
            f"tokens has shape {ell.shape}; its last axis must have one entry for each of the "
            f"{len(workload)} task types.",
            parameter="tokens",
            value=ell.shape,
        )
    if single and ell.ndim != 1:
        raise WorkloadError(
            f"tokens has shape {ell.shape}; here it must be one allocation, of shape "
            f"({len(workload)},).",
            parameter="tokens",
            value=ell.shape,
        )
    top = workload.max_tokens if capped else LARGEST
    bad = ~((ell >= 0) & (ell <= top))
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), bad.shape)
        k = int(where[-1])
        limit = f"{workload.max_tokens[k]:g}, its max_tokens" if capped else f"{LARGEST:g}"
        raise WorkloadError(
            f"tokens of task type {shown(workload.name(k))} is {ell[where]:.12g}; "
            f"it must lie between 0 and {limit}.",
            parameter="tokens",
            value=float(ell[where]),
            task=workload.name(k),
        )
    return ell


def _document(source: Path) -> dict[str, Any]:
    if (fault := fault_of_size(source, "workload")) is not None:
        raise WorkloadError(
            f"{source} is too large: {fault}; many task types are built with from_arrays.",
            parameter="path",
            value=str(source),
        )
    try:
        return tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fault = str(error)
    except RecursionError:
        fault = "its brackets nest too deep"
    except ValueError:
        fault = "a number in it has thousands of digits"
    raise WorkloadError(
        f"{source} is not a TOML file: {fault}.", parameter="path", value=str(source)
    )


def _restore(cls: type[Workload], columns: dict[str, Any]) -> Workload:
    return cls.from_arrays(**columns)


def _sequence(parameter: str, values: Iterable[T]) -> tuple[T, ...]:
    try:
        if not isinstance(values, str | bytes):
            return tuple(values)
    except TypeError:
        pass
    raise WorkloadError(
        f"{parameter} is {shown(values)}; it must be a list.",
        parameter=parameter,
        value=values,
    )


def _checked_names(names: Sequence[Any] | None, size: int) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = _sequence("names", names)
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise WorkloadError(
                f"The name of task type {index + 1} is {shown(name)}; it must be a text that is "
                "not empty.",
                parameter="name",
                value=name,
                task=index,
            )
    if len(names) != size:
        raise WorkloadError(
            f"There are {len(names)} names for {size} task types.", parameter="names", value=names
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise WorkloadError(
            f"Two task types are called {shown(twice)}; give each its own name.",
            parameter="name",
            value=twice,
            task=twice,
        )
    return names
