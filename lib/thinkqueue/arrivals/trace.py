"""When queries came: a recorded stream of arrivals, read from a file and set to a chosen rate."""

from __future__ import annotations

import csv
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.errors import WorkloadError

TIME_COLUMNS = ("TIMESTAMP", "timestamp", "time", "arrival_time")


@dataclass(frozen=True)
class Trace:
    """A recorded stream of arrivals.

    Attributes
    ----------
    times : ndarray, (n,)
        Seconds since the first arrival, which is at 0; never decreasing.
    name : str
        What it is called.
    """

    times: Array
    name: str

    @classmethod
    def of(cls, times: ArrayLike, name: str = "trace") -> Trace:
        """Take arrival times in any order and start the clock at the first.

        Parameters
        ----------
        times : array_like, (n,)
            In seconds; at least three, not all equal.
        name : str, optional
            What the trace is called.

        Raises
        ------
        WorkloadError
            If there are too few times or one of them is not a finite number.
        """
        values = np.sort(np.asarray(times, dtype=np.float64).ravel())
        if values.size < 3 or not np.isfinite(values).all() or values[0] == values[-1]:
            raise WorkloadError(
                "An arrival trace needs at least three finite times that are not all equal; "
                f"{name} has {values.size}.",
                parameter="times",
                value=values.size,
            )
        values -= values[0]
        values.setflags(write=False)
        return cls(values, name)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], *, column: str | None = None) -> Trace:
        """Read a trace from a CSV file with a header.

        One column holds the time of each arrival: seconds as a number, or a date and time such as
        ``2023-11-16 18:17:03.9799600`` (any number of decimals). Other columns are not looked at,
        so the Azure LLM inference traces (``TIMESTAMP, ContextTokens, GeneratedTokens``) can be
        read as they are.

        Parameters
        ----------
        path : path
            The file.
        column : str, optional
            The name of the column; by default ``TIMESTAMP``, ``timestamp``, ``time`` or
            ``arrival_time``, whichever comes first.

        Raises
        ------
        WorkloadError
            If there is no such column, or a time cannot be read: the message names the line.
        """
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            known = [name.strip() for name in rows.fieldnames or []]
            wanted = (column,) if column is not None else TIME_COLUMNS
            found = next((name for name in wanted if name in known), None)
            if found is None:
                raise WorkloadError(
                    f"{path}: no column {' or '.join(wanted)}; the header has {', '.join(known)}.",
                    parameter="column",
                    value=column,
                )
            field = (rows.fieldnames or [])[known.index(found)]
            times = [_seconds(row[field], f"{path}, line {rows.line_num}") for row in rows]
        return cls.of(times, Path(path).stem)

    @property
    def gaps(self) -> Array:
        """Times between arrivals, (n − 1,), in seconds."""
        return np.diff(self.times)

    @property
    def arrival_rate(self) -> float:
        """Arrivals per second."""
        return float((self.times.size - 1) / self.times[-1])

    def at_rate(self, arrival_rate: float) -> Trace:
        """Return the same stream, slower or faster, so that it has the given rate.

        Parameters
        ----------
        arrival_rate : float
            In 1/s.
        """
        times = self.times * (self.arrival_rate / arrival_rate)
        times.setflags(write=False)
        return Trace(times, self.name)

    def gaps_at(self, arrival_rate: float, jobs: int, seed: np.random.SeedSequence) -> Array:
        """Return the time from each arrival to the next, in s; nothing comes after the last.

        Parameters
        ----------
        arrival_rate : float
            The rate to bring the stream to, in 1/s.
        jobs : int
            How many arrivals at most.
        seed : SeedSequence
            Not used: a record is what it is.
        """
        return np.append(self.at_rate(arrival_rate).gaps, 0.0)[:jobs]


def _seconds(text: str | None, where: str) -> float:
    """Read a number of seconds, or a date and time."""
    value = (text or "").strip()
    try:
        return float(value)
    except ValueError:
        pass
    try:
        whole, _, decimals = value.partition(".")
        digits = decimals.rstrip("Z")
        moment = datetime.datetime.fromisoformat(whole.rstrip("Z"))
        fraction = float(f"0.{digits}") if digits else 0.0
    except ValueError:
        raise WorkloadError(
            f"{where}: {value!r} is neither a number of seconds nor a date and time like "
            "2023-11-16 18:17:03.98.",
            parameter="time",
            value=value,
        ) from None
    return moment.replace(tzinfo=datetime.UTC).timestamp() + fraction
