"""What a figure shows, as a table: taken from what Matplotlib draws, not written again by chapters.

One row a point: the panel (counted from 1), the series (its label, or a number where it has none),
``x`` and ``y``, for an interval or a bar ``low`` and ``high``, for a map ``value``. What is drawn
for orientation alone (grid, annotations, shaded backgrounds) is no data.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIELDS = ("panel", "series", "x", "y", "low", "high", "value")

_Row = dict[str, Any]


def figure_data(figure: Figure) -> str:
    """Return the points of a figure as comma-separated values.

    Parameters
    ----------
    figure
        The figure, drawn.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
    writer.writeheader()
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    for panel, axes in enumerate(panels, 1):
        for number, (label, rows) in enumerate(_series(axes), 1):
            series = label if label and not label.startswith("_") else number
            for row in rows:
                numbers = {name: f"{float(value):.9g}" for name, value in row.items()}
                writer.writerow({"panel": panel, "series": series, **numbers})
    return file.getvalue()


def _series(axes: Axes) -> Iterator[tuple[str, list[_Row]]]:
    from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.contour import ContourSet

    told: set[Any] = set()
    for container in axes.containers:
        if isinstance(container, BarContainer):
            told.update(container.patches)
            upright = container.orientation == "vertical"
            yield str(container.get_label()), [_bar(bar, upright) for bar in container.patches]
        elif isinstance(container, ErrorbarContainer):
            line, caps, bars = cast("Any", container.lines)
            told.update([line, *caps, *bars])
            ends = [row for bar in bars for row in _segments(bar.get_segments())]
            middle = [] if line is None else _points(line.get_xydata())
            yield str(container.get_label()), middle + ends
    for line in axes.get_lines():
        if line not in told:
            yield str(line.get_label()), _line(axes, line)
    for artist in axes.collections:
        if artist in told:
            continue
        label = str(artist.get_label())
        if isinstance(artist, ContourSet):
            yield label, _contours(artist)
        elif isinstance(artist, QuadMesh):
            yield label, _cells(artist)
        elif isinstance(artist, PathCollection):
            yield label, _points(np.ma.filled(artist.get_offsets(), np.nan))
        elif isinstance(artist, LineCollection):
            yield label, list(_segments(artist.get_segments()))
        elif isinstance(artist, PolyCollection):
            yield label, _band(artist.get_paths())


def _line(axes: Axes, line: Any) -> list[_Row]:
    x, y = (np.asarray(data, float) for data in line.get_data(orig=False))
    across, up = line.get_transform().contains_branch_seperately(axes.transData)
    rows = [
        ({"x": a} if across else {}) | ({"y": b} if up else {}) for a, b in zip(x, y, strict=True)
    ]
    return rows if across and up else [row for row in rows[:1] if row]


def _points(points: Any) -> list[_Row]:
    return [{"x": x, "y": y} for x, y in np.asarray(points, float).reshape(-1, 2)]


def _bar(bar: Any, upright: bool) -> _Row:
    if upright:
        return {
            "x": bar.get_x() + bar.get_width() / 2,
            "low": bar.get_y(),
            "high": bar.get_y() + bar.get_height(),
        }
    return {
        "y": bar.get_y() + bar.get_height() / 2,
        "low": bar.get_x(),
        "high": bar.get_x() + bar.get_width(),
    }


def _segments(segments: Iterable[Any]) -> Iterator[_Row]:
    for segment in segments:
        x, y = np.asarray(segment, float).T
        if len(x) == 2 and x[0] == x[1]:
            yield {"x": x[0], "low": y.min(), "high": y.max()}
        elif len(x) == 2 and y[0] == y[1]:
            yield {"y": y[0], "low": x.min(), "high": x.max()}
        else:
            yield from _points(segment)


def _band(paths: Iterable[Any]) -> list[_Row]:
    """Return what lies between two curves over the same x."""
    rows = []
    for path in paths:
        x, y = path.vertices.T
        for at in np.unique(x[np.isfinite(x)]):
            here = y[x == at]
            rows.append({"x": at, "low": here.min(), "high": here.max()})
    return rows


def _cells(mesh: Any) -> list[_Row]:
    corners = np.asarray(mesh.get_coordinates(), float)
    centres = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    values = np.ma.filled(mesh.get_array().astype(float), np.nan).reshape(centres.shape[:2])
    return [
        {"x": x, "y": y, "value": value}
        for (x, y), value in zip(centres.reshape(-1, 2), values.ravel(), strict=True)
        if np.isfinite(value)
    ]


def _contours(contours: Any) -> list[_Row]:
    return [
        {"x": x, "y": y, "value": level}
        for level, path in zip(contours.levels, contours.get_paths(), strict=False)
        for x, y in path.vertices
    ]
