"""The points of a figure are those that were drawn, and nothing that only helps the eye."""

from __future__ import annotations

import base64
import csv

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from thinkqueue.book.figure_data import FIELDS, figure_data
from thinkqueue.book.figures import FIGURE_FILES, _for_those_who_cite


def rows(figure: Figure) -> list[dict[str, str]]:
    found = list(csv.DictReader(figure_data(figure).splitlines()))
    plt.close(figure)
    return [{field: text for field, text in row.items() if text} for row in found]


def test_lines_bands_bars_and_intervals() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([1, 2], [0.1 + 0.2, 4], label="a, b")
    left.fill_between([0, 1], [1, 2], [2, 3], label="band")
    left.axvspan(0, 1)
    left.annotate("here", (0, 0))
    right.barh([5], [2], left=[1])
    right.errorbar([1], [2], yerr=[[0.5], [1]], fmt="o", label="interval")
    right.axhline(7)
    assert rows(figure) == [
        {"panel": "1", "series": "a, b", "x": "1", "y": "0.3"},
        {"panel": "1", "series": "a, b", "x": "2", "y": "4"},
        {"panel": "1", "series": "band", "x": "0", "low": "1", "high": "2"},
        {"panel": "1", "series": "band", "x": "1", "low": "2", "high": "3"},
        {"panel": "2", "series": "1", "y": "5", "low": "1", "high": "3"},
        {"panel": "2", "series": "interval", "x": "1", "y": "2"},
        {"panel": "2", "series": "interval", "x": "1", "low": "1.5", "high": "3"},
        {"panel": "2", "series": "3", "y": "7"},
    ]


def test_points_strokes_and_maps() -> None:
    figure, axes = plt.subplots()
    axes.scatter([1], [2], label="dots")
    axes.vlines([1], 0, 3)
    mesh = axes.pcolormesh([0, 1], [0], np.array([[5.0, np.nan]]), shading="nearest")
    figure.colorbar(mesh)
    assert rows(figure) == [
        {"panel": "1", "series": "dots", "x": "1", "y": "2"},
        {"panel": "1", "series": "2", "x": "1", "low": "0", "high": "3"},
        {"panel": "1", "series": "3", "x": "0", "y": "0", "value": "5"},
    ]


@pytest.mark.parametrize("empty", [True, False])
def test_each_file_is_the_same_every_time(empty: bool) -> None:
    figure, axes = plt.subplots()
    if not empty:
        axes.plot([1, 2], [3, 4], label="$x$")
    once, again = _for_those_who_cite(figure), _for_those_who_cite(figure)
    plt.close(figure)
    assert once == again
    nothing, along = once
    assert not nothing
    assert along[FIGURE_FILES]["csv"].splitlines()[0] == ",".join(FIELDS)
    assert base64.b64decode(along[FIGURE_FILES]["pdf"]).startswith(b"%PDF")
