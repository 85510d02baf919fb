"""Files and tables in memory as columns of cells, before anything is believed of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from thinkqueue.errors import ThinkQueueError
from thinkqueue.files import fault_of_size
from thinkqueue.names import brief, listed, shown

COLUMNS = ("task", "budget", "tokens", "correct", "total", "accuracy", "latency", "sent")
IN_MEMORY = "the data"
_SEPARATORS = ",;\t"
_ROWS_AT_ONCE = 10_000


class MeasurementError(ThinkQueueError):
    """A measurement that cannot be read, or says something impossible.

    Attributes
    ----------
    source : str
        The file, or "the data".
    line : int or None
        The line of the file (the header is line 1), or the row of a frame from 1.
    column : str or None
        The column at fault.
    """

    def __init__(
        self, message: str, *, source: str, line: int | None = None, column: str | None = None
    ) -> None:
        where = brief(source, 120) + ("" if line is None else f", line {line}")
        super().__init__(f"{where if column is None else f'{where}, column {column!r}'}: {message}")
        self.source, self.line, self.column = source, line, column


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by column.

    Attributes
    ----------
    source : str
        Where they come from.
    header : tuple of str
        Every column of the source, by the name it has there.
    lines : sequence of int
        Where each row stands in the source.
    cells : mapping of sequence
        The columns that mean something here, by the name they have here.
    decimal_comma : bool
        Whether a comma in a number is its decimal sign.
    """

    source: str
    header: tuple[str, ...]
    lines: Sequence[int]
    cells: Mapping[str, Sequence[Any]]
    decimal_comma: bool = False

    def error(
        self, message: str, *, row: int | None = None, column: str | None = None
    ) -> MeasurementError:
        """Return an error that says where it is.

        Parameters
        ----------
        message : str
            What is wrong.
        row : int, optional
            Index of the row.
        column : str, optional
            Name of the column.
        """
        line = None if row is None else self.lines[row]
        return MeasurementError(message, source=self.source, line=line, column=column)


def table_in(path: Path, called: Mapping[str, str]) -> Table:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : Path
        The file; Parquet if it ends in ``.parquet`` or ``.pq``.
    called : mapping of str to str
        What columns are called in it, where that is not what they are called here.

    Raises
    ------
    MeasurementError
        If it is neither.
    OSError
        If it cannot be opened.
    """
    refuse_size(path)
    read = _parquet if path.suffix.lower() in {".parquet", ".pq"} else _csv
    try:
        return read(path, called)
    except (UnicodeDecodeError, csv.Error) as error:
        raise MeasurementError(
            f"this is not a CSV file in UTF-8: {brief(str(error), 100)}.", source=str(path)
        ) from None
    except ValueError as error:
        if isinstance(error, ThinkQueueError):
            raise
        raise MeasurementError(f"{brief(str(error), 100)}.", source=str(path)) from None


def refuse_size(path: Path) -> None:
    """Refuse a file that would fill the memory.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    MeasurementError
        If it is too large.
    """
    if (fault := fault_of_size(path, "measurements")) is not None:
        raise MeasurementError(f"{fault}; take a sample of its rows.", source=str(path))


def _csv(path: Path, called: Mapping[str, str]) -> Table:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        first = next(stream, "")
        separator = _separator_of(first, called)
        reader = csv.reader(chain([first], stream), delimiter=separator)
        header = tuple(name.strip() for name in next(reader, []))
        places = _places(header, called, str(path), line=1)
        columns: dict[str, list[str]] = {name: [] for name in places}
        lines: list[int] = []
        while rows := _rows(reader, len(header), lines, str(path)):
            for name, at in places.items():
                columns[name] += [cells[at] for cells in rows]
    return Table(str(path), header, lines, columns, decimal_comma=separator == ";")


def _rows(reader: Any, width: int, lines: list[int], source: str) -> list[list[str]]:
    """Return the next rows and add their lines: so many that no row lives long enough to weigh."""
    rows: list[list[str]] = []
    for cells in reader:
        if not (cells and cells[0].strip()) and not any(map(str.strip, cells)):
            continue
        if len(cells) != width:
            raise MeasurementError(
                f"there are {len(cells)} cells, and the header has {width}.",
                source=source, line=reader.line_num,
            )  # fmt: skip
        rows.append(cells)
        lines.append(reader.line_num)
        if len(rows) == _ROWS_AT_ONCE:
            break
    return rows


def _separator_of(line: str, called: Mapping[str, str]) -> str:
    """Return the separator that finds the most columns in a header, a comma if in doubt."""
    wanted = {*COLUMNS, *(name.casefold() for name in called.values())}

    def found(separator: str) -> int:
        names = line.split(separator)
        return len(wanted & {name.strip(' "\r\n').casefold() for name in names})

    return max(_SEPARATORS, key=found)


def _parquet(path: Path, called: Mapping[str, str]) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MeasurementError(
            "reading Parquet needs pyarrow: pip install 'thinkqueue[calibrate]'.", source=str(path)
        ) from None
    with path.open("rb") as stream:
        try:
            table = pyarrow.parquet.read_table(stream)
            places = _places(table.column_names, called, str(path))
            cells = {name: table.column(at).to_pylist() for name, at in places.items()}
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
            raise MeasurementError(
                f"this is not a Parquet file that can be read: {brief(str(error), 100)}.",
                source=str(path),
            ) from None
    return Table(str(path), tuple(table.column_names), range(1, table.num_rows + 1), cells)


def table_of(source: Any, called: Mapping[str, str]) -> Table:
    """Take columns or rows from memory.

    Parameters
    ----------
    source : data frame, mapping of columns or iterable of mappings
        The table.
    called : mapping of str to str
        What columns are called in it, where that is not what they are called here.

    Raises
    ------
    MeasurementError
        If it is something else, or its columns differ in length.
    """
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        header = list(source.columns)
    elif isinstance(source, Mapping):
        header = list(source)
    elif isinstance(source, Iterable):
        return _of_rows(list(source), called)
    else:
        raise MeasurementError(
            f"measurements are a file, a data frame, columns or rows, not {type(source).__name__}.",
            source=IN_MEMORY,
        )
    places = _places(header, called, IN_MEMORY)
    cells = {name: _list_of(source[header[at]], name) for name, at in places.items()}
    lengths = {name: len(column) for name, column in cells.items()}
    if len(set(lengths.values())) > 1:
        raise MeasurementError(f"the columns differ in length: {lengths}.", source=IN_MEMORY)
    rows = range(1, max(lengths.values(), default=0) + 1)
    return Table(IN_MEMORY, tuple(map(str, header)), rows, cells)


def _of_rows(rows: list[Any], called: Mapping[str, str]) -> Table:
    if not all(isinstance(row, Mapping) for row in rows):
        raise MeasurementError("each row must be a mapping of columns.", source=IN_MEMORY)
    header = list(dict.fromkeys(chain.from_iterable(rows)))
    cells = {
        name: [row.get(header[at]) for row in rows]
        for name, at in _places(header, called, IN_MEMORY).items()
    }
    return Table(IN_MEMORY, tuple(map(str, header)), range(1, len(rows) + 1), cells)


def _list_of(column: Any, name: str) -> list[Any]:
    if hasattr(column, "tolist"):
        column = column.tolist()
    if not isinstance(column, Iterable) or isinstance(column, str | bytes | Mapping):
        raise MeasurementError(
            f"it is {shown(column)}; it must be a list of cells.", source=IN_MEMORY, column=name
        )
    return list(column)


def _places(
    header: Sequence[Any], called: Mapping[str, str], source: str, line: int | None = None
) -> dict[str, int]:
    """Return where each column that means something here stands in a header.

    A name that the caller gives is taken as it is or, failing that, in any case; a column that has
    been given another meaning so keeps none of its own.
    """
    unknown = [name for name in called if name not in COLUMNS]
    if unknown:
        raise MeasurementError(
            f"{listed(map(shown, unknown))} is no column to look for; there are {listed(COLUMNS)}.",
            source=source,
        )
    names = [str(name).strip() for name in header]
    exact, folded = _positions(names), _positions(map(str.casefold, names))
    given = {}
    for column, name in called.items():
        given[column] = exact.get(str(name).strip()) or folded.get(str(name).strip().casefold())
        if given[column] is None:
            raise MeasurementError(
                f"there is no column {shown(name)} to take for {column!r}; found {listed(names)}.",
                source=source, line=line,
            )  # fmt: skip
    taken = {at for positions in given.values() for at in positions or ()}
    own = {
        column: [at for at in folded.get(column, ()) if at not in taken]
        for column in COLUMNS
        if column not in called
    }
    found = {column: positions for column, positions in (given | own).items() if positions}
    for column, positions in found.items():
        if len(positions) > 1:
            raise MeasurementError(
                "this column is there twice.", source=source, line=line, column=column
            )
    return {column: positions[0] for column, positions in found.items()}


def _positions(names: Iterable[str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        positions.setdefault(name, []).append(at)
    return positions
