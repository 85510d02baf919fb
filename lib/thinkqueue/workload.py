"""What is asked of the server: task types, their mix, the arrival rate, the value of accuracy."""

from __future__ import annotations

import os
import reprlib
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import tomli_w
from numpy.typing import ArrayLike, NDArray

from thinkqueue.accuracy import Saturating
from thinkqueue.errors import WorkloadError

Array = NDArray[np.float64]
T = TypeVar("T")

DEFAULT_MAX_TOKENS = 32768
LARGEST, SMALLEST = 1e30, 1e-30
"""No quantity of the model lies beyond these: squares and cubes of what is left stay finite."""

SHARE_TOLERANCE = 1e-9
"""How far from 1 the shares may add up."""


class Parameters(Protocol):
    """The symbols of the model, for one workload or for many.

    One workload has scalars λ, α and arrays of shape (N,); a grid of workloads has arrays that
    broadcast against (..., N).
    """

    @property
    def share(self) -> Array:
        """π."""
        ...

    @property
    def gain(self) -> Array:
        """A."""
        ...

    @property
    def rate(self) -> Array:
        """b, 1/token."""
        ...

    @property
    def baseline(self) -> Array:
        """D."""
        ...

    @property
    def base_time(self) -> Array:
        """t₀, s."""
        ...

    @property
    def time_per_token(self) -> Array:
        """c, s/token."""
        ...

    @property
    def max_tokens(self) -> Array:
        """ℓ_max."""
        ...

    @property
    def weight(self) -> Array:
        """The weight w of the type's accuracy."""
        ...

    @property
    def arrival_rate(self) -> float | Array:
        """λ, 1/s."""
        ...

    @property
    def accuracy_weight(self) -> float | Array:
        """α, s."""
        ...


@dataclass(frozen=True)
class Grid:
    """Many workloads at once: arrays that broadcast against (..., N), unchecked."""

    share: Array
    gain: Array
    rate: Array
    baseline: Array
    base_time: Array
    time_per_token: Array
    max_tokens: Array
    weight: Array
    arrival_rate: float | Array
    accuracy_weight: float | Array


@dataclass(frozen=True)
class TaskType:
    r"""One type of query.

    Parameters
    ----------
    name : str
        What the type is called in tables and messages.
    share : float
        :math:`\pi_k`, the probability that a query is of this type.
    accuracy : Saturating
        What its thinking tokens buy.
    base_time : float
        :math:`t_{0,k} \ge 0` in s, the service time without thinking.
    time_per_token : float
        :math:`c_k > 0` in s/token.
    max_tokens : float, optional
        :math:`\ell_{\max,k} \ge 0`, the largest budget allowed.
    weight : float, optional
        :math:`w_k \ge 0`, how much the accuracy of this type counts.
    """

    name: str
    share: float
    accuracy: Saturating
    base_time: float
    time_per_token: float
    max_tokens: float = DEFAULT_MAX_TOKENS
    weight: float = 1.0


# (parameter, smallest value, largest value)
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("share", 0.0, 1.0),
    ("gain", 0.0, 1.0),
    ("rate", SMALLEST, LARGEST),
    ("baseline", 0.0, 1.0),
    ("base_time", 0.0, LARGEST),
    ("time_per_token", SMALLEST, LARGEST),
    ("max_tokens", 0.0, LARGEST),
    ("weight", 0.0, LARGEST),
)
_SCALARS = {
    "arrival_rate": ("arrival_rate", SMALLEST, LARGEST),
    "accuracy_weight": ("accuracy_weight", 0.0, LARGEST),
}
FIELDS = tuple(name for name, *_ in _RANGES)
"""The parameters that each task type has one value of."""


class Workload:
    r"""The task types, the rate at which queries come, and what accuracy is worth.

    Queries arrive as a Poisson stream of rate :math:`\lambda`; each is of type :math:`k` with
    probability :math:`\pi_k`; its service takes :math:`s_k(\ell) = t_{0,k} + c_k \ell` seconds and
    its answer is right with probability :math:`p_k(\ell) = D_k + A_k(1 - e^{-b_k\ell})`.

    Parameters
    ----------
    tasks : iterable of TaskType
        The types; their shares add up to 1.
    arrival_rate : float
        :math:`\lambda > 0` in queries per second.
    accuracy_weight : float
        :math:`\alpha \ge 0`: the seconds of mean system time that one unit of accuracy is worth.

    Attributes
    ----------
    share, gain, rate, baseline, base_time, time_per_token, max_tokens, weight : ndarray, (N,)
        The symbols :math:`\pi, A, b, D, t_0, c, \ell_{\max}, w`, read-only.
    arrival_rate, accuracy_weight : float
        :math:`\lambda` and :math:`\alpha`.

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
    gain: Array
    rate: Array
    baseline: Array
    base_time: Array
    time_per_token: Array
    max_tokens: Array
    weight: Array
    arrival_rate: float
    accuracy_weight: float
    _names: tuple[str, ...] | None

    def __init__(
        self, tasks: Iterable[TaskType], *, arrival_rate: float, accuracy_weight: float
    ) -> None:
        types = _sequence("tasks", tasks)
        for index, task in enumerate(types):
            if not isinstance(task, TaskType):
                raise WorkloadError(
                    f"tasks[{index}] is {task!r}; it must be a TaskType.",
                    parameter="tasks",
                    value=task,
                    task=index,
                )
            if not isinstance(task.accuracy, Saturating):
                raise WorkloadError(
                    f"accuracy of task type {task.name!r} is {task.accuracy!r}; "
                    "it must be a Saturating.",
                    parameter="accuracy",
                    value=task.accuracy,
                    task=task.name,
                )
        curves = [task.accuracy for task in types]
        self._fill(
            {
                "share": [t.share for t in types],
                "gain": [p.gain for p in curves],
                "rate": [p.rate for p in curves],
                "baseline": [p.baseline for p in curves],
                "base_time": [t.base_time for t in types],
                "time_per_token": [t.time_per_token for t in types],
                "max_tokens": [t.max_tokens for t in types],
                "weight": [t.weight for t in types],
            },
            arrival_rate=arrival_rate,
            accuracy_weight=accuracy_weight,
            names=[t.name for t in types],
        )

    @classmethod
    def from_arrays(
        cls,
        *,
        share: ArrayLike,
        gain: ArrayLike,
        rate: ArrayLike,
        baseline: ArrayLike,
        base_time: ArrayLike,
        time_per_token: ArrayLike,
        max_tokens: ArrayLike = DEFAULT_MAX_TOKENS,
        arrival_rate: float,
        accuracy_weight: float,
        weight: ArrayLike | None = None,
        names: Sequence[str] | None = None,
    ) -> Self:
        r"""Build a workload from arrays; a scalar stands for the same value in every type.

        Parameters
        ----------
        share : array_like, (N,)
            :math:`\pi_k`; its length is the number of types.
        gain, rate, baseline : array_like
            :math:`A_k, b_k, D_k`.
        base_time, time_per_token : array_like
            :math:`t_{0,k}` in s and :math:`c_k` in s/token.
        max_tokens : array_like, optional
            :math:`\ell_{\max,k}`.
        arrival_rate, accuracy_weight : float
            :math:`\lambda` and :math:`\alpha`.
        weight : array_like, optional
            :math:`w_k`, 1 where not given.
        names : sequence of str, optional
            Names of the types; "type 1", "type 2", … where not given.

        Raises
        ------
        WorkloadError
            As the constructor does.
        """
        self = cls.__new__(cls)
        self._fill(
            {
                "share": share,
                "gain": gain,
                "rate": rate,
                "baseline": baseline,
                "base_time": base_time,
                "time_per_token": time_per_token,
                "max_tokens": max_tokens,
                "weight": 1.0 if weight is None else weight,
            },
            arrival_rate=arrival_rate,
            accuracy_weight=accuracy_weight,
            names=names,
        )
        return self

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Read a workload from a TOML file.

        The file has ``arrival_rate`` and ``accuracy_weight`` at its top and one ``[[task]]`` table
        a type with ``name``, ``share``, ``gain``, ``rate``, ``baseline``, ``base_time``,
        ``time_per_token`` and, if wanted, ``max_tokens`` and ``weight``.

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
        try:
            document = tomllib.loads(source.read_text(encoding="utf-8"))
            return cls(
                [_task(table, index) for index, table in enumerate(_tables(document))],
                arrival_rate=document["arrival_rate"],
                accuracy_weight=document["accuracy_weight"],
            )
        except WorkloadError as error:
            raise WorkloadError(
                f"{source}: {error}",
                parameter=error.parameter,
                value=error.value,
                task=error.task,
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise WorkloadError(
                f"{source} is not a TOML file: {error}.", parameter="path", value=str(source)
            ) from None

    def to_toml(self, path: str | os.PathLike[str]) -> None:
        """Write the workload as a TOML file that :meth:`from_toml` reads back unchanged.

        Parameters
        ----------
        path : path-like
            The file; it is replaced as a whole or not at all.
        """
        document = {
            "arrival_rate": self.arrival_rate,
            "accuracy_weight": self.accuracy_weight,
            "task": [
                {"name": name} | {field: float(getattr(self, field)[k]) for field in FIELDS}
                for k, name in enumerate(self.names)
            ],
        }
        write_atomically(Path(path), tomli_w.dumps(document))

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
        current: dict[str, Any] = {field: getattr(self, field) for field in FIELDS}
        current |= {
            "arrival_rate": self.arrival_rate,
            "accuracy_weight": self.accuracy_weight,
            "names": self._names,
        }
        for name in changes:
            if name not in current:
                raise WorkloadError(
                    f"A workload has no parameter {name!r}; it has {', '.join(current)}.",
                    parameter=name,
                    value=changes[name],
                )
        return self.from_arrays(**(current | changes))

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
        return tuple(
            TaskType(
                name,
                share=float(self.share[k]),
                accuracy=Saturating(
                    float(self.gain[k]), float(self.rate[k]), float(self.baseline[k])
                ),
                base_time=float(self.base_time[k]),
                time_per_token=float(self.time_per_token[k]),
                max_tokens=float(self.max_tokens[k]),
                weight=float(self.weight[k]),
            )
            for k, name in enumerate(self.names)
        )

    def __len__(self) -> int:
        return int(self.share.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Workload):
            return NotImplemented
        return (
            self.arrival_rate == other.arrival_rate
            and self.accuracy_weight == other.accuracy_weight
            and self.names == other.names
            and all(np.array_equal(getattr(self, f), getattr(other, f)) for f in FIELDS)
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
        fields = {field: getattr(self, field) for field in FIELDS}
        fields |= {"arrival_rate": self.arrival_rate, "accuracy_weight": self.accuracy_weight}
        return _restore, (type(self), fields, self._names)

    def _fill(
        self,
        columns: Mapping[str, ArrayLike],
        *,
        arrival_rate: float,
        accuracy_weight: float,
        names: Sequence[str] | None,
    ) -> None:
        """Check everything and set it: the one door by which values come in."""
        put = object.__setattr__
        size = np.size(floats("share", columns["share"]))
        if not size:
            raise WorkloadError("A workload needs at least one task type.", parameter="tasks")
        for field, *_ in _RANGES:
            values = floats(field, columns[field])
            if values.ndim > 1 or values.size not in (1, size):
                raise WorkloadError(
                    f"{field} has shape {values.shape}; it must be one number, "
                    f"or one for each of the {size} task types.",
                    parameter=field,
                    value=values.shape,
                )
            values = np.array(np.broadcast_to(values, (size,)))
            values.flags.writeable = False
            put(self, field, values)
        put(self, "_names", _checked_names(names, size))
        for name, value in (("arrival_rate", arrival_rate), ("accuracy_weight", accuracy_weight)):
            number = floats(name, value)
            if number.ndim:
                raise WorkloadError(
                    f"{name} has shape {number.shape}; it must be one number. For many values at "
                    "once there is solve_grid.",
                    parameter=name,
                    value=number.shape,
                )
            put(self, name, float(number))
        check_ranges(self, self.name)


def check_ranges(parameters: Parameters, name: Callable[[int], str]) -> None:
    """Refuse values that no workload can have.

    Parameters
    ----------
    parameters : Parameters
        One workload, or arrays whose last axis is that of the types.
    name : callable
        Gives the name of the type at an index.

    Raises
    ------
    WorkloadError
        With the first parameter, value and task type at fault.
    """

    def refuse(parameter: str, values: Array, good: NDArray[np.bool_], demand: str) -> None:
        if good.all():
            return
        where = np.unravel_index(int(np.argmin(good)), good.shape)
        task = name(int(where[-1])) if parameter not in _SCALARS else None
        of = f" of task type {task!r}" if task is not None else ""
        raise WorkloadError(
            f"{parameter}{of} is {values[where]:.12g}; it must be {demand}.",
            parameter=parameter,
            value=float(values[where]),
            task=task,
        )

    for field, smallest, largest in (*_RANGES, *_SCALARS.values()):
        values = np.atleast_1d(np.asarray(getattr(parameters, field), dtype=np.float64))
        low = "positive" if smallest == SMALLEST else f"at least {smallest:g}"
        within = (values >= smallest) & (values <= largest)
        refuse(field, values, within, f"{low} and at most {largest:g}")
    top = np.asarray(parameters.gain + parameters.baseline)
    refuse("gain + baseline", top, top <= 1 + 1e-12, "at most 1, as an accuracy must be")
    mass = parameters.share.sum(axis=-1)
    if (np.abs(mass - 1) > SHARE_TOLERANCE).any():
        worst = float(np.ravel(mass)[np.argmax(np.abs(mass - 1))])
        remedy = f"divide each by {worst:.12g}" if worst > 0 else "give some type a share"
        raise WorkloadError(
            f"The shares add up to {worst:.12g} and not to 1; {remedy}.",
            parameter="share",
            value=worst,
        )


def tokens_array(workload: Workload, tokens: ArrayLike, *, capped: bool = False) -> Array:
    r"""Check a token allocation at the door of a public function.

    Parameters
    ----------
    workload : Workload
        The workload that it is for.
    tokens : array_like, (..., N)
        Thinking tokens of each type, finite and not negative.
    capped : bool, optional
        Whether :math:`\ell_k \le \ell_{\max,k}` is demanded too.

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
    top = workload.max_tokens if capped else LARGEST
    bad = ~((ell >= 0) & (ell <= top))
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), bad.shape)
        k = int(where[-1])
        limit = f"{workload.max_tokens[k]:g}, its max_tokens" if capped else f"{LARGEST:g}"
        raise WorkloadError(
            f"tokens of task type {workload.name(k)!r} is {ell[where]:.12g}; "
            f"it must lie between 0 and {limit}.",
            parameter="tokens",
            value=float(ell[where]),
            task=workload.name(k),
        )
    return ell


def write_atomically(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    text : str
        Its new content.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _restore(cls: type[Workload], fields: dict[str, Any], names: Any) -> Workload:
    return cls.from_arrays(**fields, names=names)


def floats(parameter: str, values: ArrayLike) -> Array:
    """Check that something is numbers and return it as floats.

    Parameters
    ----------
    parameter : str
        What it is called in the message.
    values : array_like
        Real numbers; texts, truth values and None are none.

    Raises
    ------
    WorkloadError
        If it is something else.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and all(isinstance(x, Real) for x in array.flat):
            array = array.astype(np.float64)  # integers that no machine word holds, fractions
        if array.dtype.kind in "iuf" or not array.size:
            return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise WorkloadError(
        f"{parameter} is {reprlib.repr(values)}; it must be a number or an array of numbers.",
        parameter=parameter,
        value=values,
    )


def _sequence(parameter: str, values: Iterable[T]) -> tuple[T, ...]:
    try:
        if not isinstance(values, str | bytes):
            return tuple(values)
    except TypeError:
        pass
    raise WorkloadError(
        f"{parameter} is {reprlib.repr(values)}; it must be a list.",
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
                f"The name of task type {index + 1} is {name!r}; it must be a text that is "
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
            f"Two task types are called {twice!r}; give each its own name.",
            parameter="name",
            value=twice,
            task=twice,
        )
    return names


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
