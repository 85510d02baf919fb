"""A log file as JSON, as lines of JSON or as a table, before it is known which tool wrote it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from thinkqueue.calibration.tables import MeasurementError, refuse_size
from thinkqueue.names import brief, shown

_MISSING = {"", "null", "none", "nan", "na", "n/a"}


@dataclass(frozen=True, eq=False)
class Document:
    """What a file holds.

    Attributes
    ----------
    path : Path
        The file.
    kind : {"json", "lines", "table"}
        One JSON value, a JSON object a line, or rows under a header.
    content : Any
        The value, the list of objects, or the list of rows as mappings.
    """

    path: Path
    kind: Literal["json", "lines", "table"]
    content: Any

    @property
    def source(self) -> str:
        """The file's name in messages."""
        return str(self.path)

    @property
    def first(self) -> Mapping[str, Any]:
        """The first object, by which a format is recognised; empty where there is none."""
        content = self.content
        if isinstance(content, Sequence) and not isinstance(content, str):
            content = content[0] if content else {}
        return content if isinstance(content, Mapping) else {}

    def error(
        self, message: str, *, row: int | None = None, field: str | None = None
    ) -> MeasurementError:
        """Return an error that says where it is.

        Parameters
        ----------
        message : str
            What is wrong.
        row : int, optional
            Which request, from 0.
        field : str, optional
            The name that the field has in the file.
        """
        return MeasurementError(
            message, source=self.source, line=None if row is None else row + 1, column=field
        )

    def number(self, value: Any, *, row: int | None = None, field: str | None = None) -> float:
        """Return a number, NaN where there is none.

        Parameters
        ----------
        value : Any
            What the file holds.
        row, field : optional
            Where, as in :meth:`error`.

        Raises
        ------
        MeasurementError
            If it is something else.
        """
        if value is None or (isinstance(value, str) and value.strip().casefold() in _MISSING):
            return math.nan
        if isinstance(value, Real | str):
            try:
                found = float(value)
            except (ValueError, OverflowError):
                pass
            else:
                if not math.isinf(found):
                    return found
        raise self.error(f"{shown(value)} is not a number.", row=row, field=field)

    def moment(self, value: Any, *, row: int | None = None, field: str | None = None) -> float:
        """Return a time of day, written as ISO 8601 or in seconds, in seconds.

        Parameters
        ----------
        value : Any
            What the file holds.
        row, field : optional
            Where, as in :meth:`error`.

        Raises
        ------
        MeasurementError
            If it is something else.
        """
        if isinstance(value, str) and ("-" in value[1:] or ":" in value):
            try:
                when = datetime.fromisoformat(value.strip())
            except ValueError:
                message = f"{shown(value)} is no time; it must be in ISO 8601."
                raise self.error(message, row=row, field=field) from None
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        return self.number(value, row=row, field=field)

    def column(self, owner: Mapping[str, Any], field: str, length: int | None = None) -> list[Any]:
        """Return one of several parallel lists.

        Parameters
        ----------
        owner : mapping
            The object that has it.
        field : str
            Its name.
        length : int, optional
            How long it must be; a list that is not there has so many missing values.

        Raises
        ------
        MeasurementError
            If it is no list, or of another length.
        """
        values = owner.get(field)
        if values is None and length is not None:
            return [None] * length
        if not isinstance(values, list):
            raise self.error(f"{shown(values)} is not a list.", field=field)
        if length is not None and len(values) != length:
            raise self.error(
                f"the list has {len(values):,} entries and others have {length:,}.", field=field
            )
        return values

    def objects(
        self, values: Any, field: str | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the objects of a list with their places.

        Parameters
        ----------
        values : Any
            The list.
        field : str, optional
            Its name in the file.

        Raises
        ------
        MeasurementError
            If it is no list, or holds something else.
        """
        if not isinstance(values, list):
            raise self.error(f"{shown(values)} is not a list of requests.", field=field)
        for row, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.error(f"{shown(value)} is not an object.", row=row, field=field)
            yield row, value


def open_document(path: Path) -> Document:
    """Read a file as JSON, lines of JSON, or a table with a header.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MeasurementError
        If it is none of them.
    OSError
        If it cannot be read.
    """
    refuse_size(path)
    data = path.read_bytes()
    if data.startswith(b"PK"):
        raise MeasurementError(
            "this is a zip archive. If it is a log of inspect_ai, write it as JSON first: "
            "inspect log dump FILE.eval > FILE.json.",
            source=str(path),
        )
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise MeasurementError(
            f"this is not text in UTF-8: {brief(str(error), 100)}.", source=str(path)
        ) from None
    if not text:
        raise MeasurementError("the file is empty.", source=str(path))
    if text[0] not in "{[":
        return Document(path, "table", list(_rows(path, text)))
    try:
        return Document(path, "json", json.loads(text))
    except (ValueError, RecursionError):
        return Document(path, "lines", list(_lines(path, text)))


def _lines(path: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:  # or an integer of too many digits
            raise MeasurementError(
                f"this is neither JSON nor JSON line by line: {brief(str(error), 80)}.",
                source=str(path),
                line=number,
            ) from None


def _rows(path: Path, text: str) -> Iterator[dict[str, str]]:
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    csv.field_size_limit(1 << 24)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise MeasurementError(
                    f"there are not as many cells as the {len(reader.fieldnames or ())} of the "
                    "header.",
                    source=str(path),
                    line=reader.line_num,
                )
            yield {name.strip(): cell for name, cell in row.items()}
    except csv.Error as error:
        raise MeasurementError(
            f"this is no table: {brief(str(error), 80)}.", source=str(path), line=reader.line_num
        ) from None
