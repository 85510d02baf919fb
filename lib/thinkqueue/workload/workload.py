"""What is asked of the server: task types, their mix, the arrival rate, the value of accuracy."""

from __future__ import annotations

import os
import reprlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import tomli_w
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import LARGEST, floats
from thinkqueue.errors import WorkloadError
from thinkqueue.files import write_atomically
from thinkqueue.workload.accuracy import Saturating
from thinkqueue.workload.file import task_types
from thinkqueue.workload.parameters import FIELDS, RANGES, check_ranges
from thinkqueue.workload.task_type import DEFAULT_MAX_TOKENS, TaskType

T = TypeVar("T")


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
                task_types(document),
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
        for field, *_ in RANGES:
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
            f"tokens of task type {workload.name(k)!r} is {ell[where]:.12g}; "
            f"it must lie between 0 and {limit}.",
            parameter="tokens",
            value=float(ell[where]),
            task=workload.name(k),
        )
    return ell


def _restore(cls: type[Workload], fields: dict[str, Any], names: Any) -> Workload:
    return cls.from_arrays(**fields, names=names)


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
