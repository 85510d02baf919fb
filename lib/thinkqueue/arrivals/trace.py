"""When queries came: a recorded stream of arrivals, read from a file and set to a chosen rate."""

from __future__ import annotations

import csv
import datetime
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import LARGEST, SMALLEST, floats, one_number
from thinkqueue.errors import WorkloadError
from thinkqueue.files import fault_of_size
from thinkqueue.names import listed, shown

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
            If there are too few times, one of them is not a number or beyond 10³⁰ s, or all come
            within so little time that their rate is beyond 10³⁰/s.
        """
        values = np.sort(floats("times", times).ravel())
        if values.size < 3 or not (abs(values) <= LARGEST).all() or values[0] == values[-1]:
            raise WorkloadError(
                "An arrival trace needs at least three times that are not all equal, none beyond "
                f"{LARGEST:g} s; {shown(name)} has {values.size}.",
                parameter="times",
                value=values.size,
            )
        if values[-1] - values[0] < values.size * SMALLEST:
            raise WorkloadError(
                f"All times of {shown(name)} lie within {values[-1] - values[0]:g} s; is their "
                "unit the second?",
                parameter="times",
                value=float(values[-1] - values[0]),
            )
        values -= values[0]
        values.setflags(write=False)
        return cls(values, name)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], *, column: str | None = None) -> Trace:
        """Read a trace from a CSV file with a header.

        One column holds the time of each arrival: seconds as a number, or a date and time such as
        ``2023-11-16 18:17:03.9799600+01:00`` (any number of decimals; without an offset it is UTC).
        Numbers beyond 10¹¹ are moments since 1970 in milli-, micro- or nanoseconds, by their
        size. Other columns are not looked at, so the Azure LLM inference traces (``TIMESTAMP,
        ContextTokens, GeneratedTokens``) can be read as they are.

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
            If there is no such column, or a time cannot be read: the message names the line; if
            some times are numbers and others dates; if the file is not text in UTF-8.
        """
        if (fault := fault_of_size(Path(path), "measurements")) is not None:
            raise WorkloadError(
                f"{path}: {fault}; cut the trace.", parameter="path", value=str(path)
            )
        try:
            return cls._read(Path(path), column)
        except UnicodeDecodeError as error:
            raise WorkloadError(
                f"{path}: this is not a text file in UTF-8 (byte {error.start} is not); save the "
                "trace as CSV in UTF-8.",
                parameter="path",
                value=str(path),
            ) from None
        except csv.Error as error:
            raise WorkloadError(
                f"{path}: this is not a CSV file ({error}).", parameter="path", value=str(path)
            ) from None

    @classmethod
    def _read(cls, path: Path, column: str | None) -> Trace:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            known = [name.strip() for name in rows.fieldnames or []]
            wanted = (column,) if column is not None else TIME_COLUMNS
            found = next((name for name in wanted if name in known), None)
            if found is None:
                raise WorkloadError(
                    f"{path}: no column {' or '.join(wanted)}; the header has {listed(known)}.",
                    parameter="column",
                    value=column,
                )
            field = (rows.fieldnames or [])[known.index(found)]
            moments = [_moment(row[field], f"{path}, line {rows.line_num}") for row in rows]
        kinds = {kind for kind, _, _ in moments}
        if len(kinds) > 1:
            raise WorkloadError(
                f"{path}: the times are {' and '.join(sorted(kinds))}; they must all be alike.",
                parameter="time",
                value=sorted(kinds),
            )
        # whole seconds and decimals apart: a moment since 1970 has no room for both
        first = min((whole for _, whole, _ in moments), default=0)
        return cls.of([whole - first + part for _, whole, part in moments], path.stem)

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

        Raises
        ------
        WorkloadError
            If it is not a positive, finite number.
        """
        rate = one_number("arrival_rate", arrival_rate, least=SMALLEST)
        if rate > LARGEST:
            raise WorkloadError(
                f"arrival_rate is {arrival_rate!r}; it must be at most {LARGEST:g}.",
                parameter="arrival_rate",
                value=arrival_rate,
            )
        times = self.times * (self.arrival_rate / rate)
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


UNITS = {1e17: 10**9, 1e14: 10**6, 1e11: 10**3}
"""Beyond each of these a number counts units of which so many are a second, since 1970.

In seconds 10¹¹ is the year 5138, in milliseconds it is March 1973.
"""

DATE = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d+))? ?(Z|z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?"
)
_NUMBER, _DATE = "numbers", "dates"


def _moment(text: str | None, where: str) -> tuple[str, int, float]:
    """Read a time: of which kind it is, whole seconds, and the part of a second beyond them."""
    value = (text or "").strip()
    date = DATE.fullmatch(value)
    try:
        if date is not None:
            day, decimals, offset = date.groups()
            zone = "+00:00" if offset is None else offset.upper().replace("Z", "+00:00")
            moment = datetime.datetime.fromisoformat(day + zone)
            return _DATE, int(moment.timestamp()), float(f"0.{decimals or 0}")
        number = float(value)
        unit = next((per for beyond, per in UNITS.items() if number > beyond), 1)
        # a whole number of nanoseconds since 1970 is more than a float holds
        exact = int(value) if value.isdecimal() and len(value) < 30 else number
        return _NUMBER, int(exact // unit), float(exact % unit / unit)
    except (ValueError, OverflowError):
        raise WorkloadError(
            f"{where}: {shown(value)} is neither a finite number of seconds nor a date and "
            "time like 2023-11-16 18:17:03.98+01:00.",
            parameter="time",
            value=value,
        ) from None
