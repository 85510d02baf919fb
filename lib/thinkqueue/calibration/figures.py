"""Pictures of a calibration: every series with its intervals and all fitted curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

from thinkqueue.arrays import Array
from thinkqueue.calibration.fit import Series
from thinkqueue.calibration.verdicts import AccuracyFit, Verdict
from thinkqueue.errors import needing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "saturating": "#7a3fb0",
    "power law": "#222222",
    "logistic": "#b3123c",
    "Hill": "#222222",
    "any concave": "#6b6b6b",
}
#: What is written, in points; 9 px on a phone 390 px wide.
_SIZE = 12
_DASHES = {"power law": ":", "any concave": "-."}
_REJECTED = ("✗", "#b3123c")
_MARKS = {
    Verdict.ADEQUATE: ("✓", "#222222"),
    Verdict.NOT_IDENTIFIED: ("?", "#6b6b6b"),
    Verdict.NOT_EXPONENTIAL: _REJECTED,
    Verdict.S_SHAPED: _REJECTED,
    Verdict.NOT_MONOTONE: _REJECTED,
}
"""A sign and a colour for the title; the sign alone says enough."""


def proportion_intervals(series: Series, level: float = 0.95) -> Array:
    """Return the Clopper-Pearson intervals of the observed proportions, (2, n).

    Parameters
    ----------
    series : Series
        The counts; fractional ones are taken as they are.
    level : float, optional
        Coverage, at least.
    """
    tail = (1 - level) / 2
    wins, losses = series.correct, series.total - series.correct
    low = np.where(wins > 0, betaincinv(np.maximum(wins, 1e-9), losses + 1, tail), 0.0)
    high = np.where(losses > 0, betaincinv(wins + 1, np.maximum(losses, 1e-9), 1 - tail), 1.0)
    return np.stack([low, high])


def draw_series(tasks: Mapping[str, AccuracyFit], columns: int = 2) -> Figure:
    """Draw small multiples, one panel a task: data, intervals, every curve, and the verdict.

    Parameters
    ----------
    tasks : mapping of AccuracyFit
        By the name that stands over the panel.
    columns : int, optional
        Panels side by side.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed; ``pip install thinkqueue[book]`` brings it.
    """
    with needing("book", "A figure"):
        from matplotlib.figure import Figure

    rows = -(-len(tasks) // columns)
    figure = Figure(figsize=(6.0, 1.0 + 2.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for panel, (name, fitted) in zip(panels, tasks.items(), strict=False):
        draw_panel(panel, name, fitted)
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    handles = [panels[0].plot([], [], label=name, **_line(name))[0] for name in COLOURS]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, fontsize=_SIZE, frameon=False,
        handlelength=1.6, columnspacing=1.0,
    )  # fmt: skip
    figure.supxlabel("thousand thinking tokens", fontsize=_SIZE)
    figure.supylabel("accuracy", fontsize=_SIZE)
    return figure


def draw_panel(axes: Axes, name: str, fitted: AccuracyFit) -> None:
    """Draw one task: points with intervals, the fitted curves, and the verdict in the title.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    name : str
        The title.
    fitted : AccuracyFit
        What to draw.
    """
    series = fitted.series
    proportion = series.correct / series.total
    low, high = proportion_intervals(series)
    reach = max(float(series.tokens[-1]) * 1.08, 1.0)
    grid = np.linspace(0.0, reach, 400)
    for curve in COLOURS:
        if curve not in fitted.fits:
            continue
        axes.plot(grid / 1000, fitted.fits[curve].predict(grid), **_line(curve))
    bars = np.maximum(np.stack([proportion - low, high - proportion]), 0.0)
    axes.errorbar(
        series.tokens / 1000, proportion, yerr=bars, fmt="o", ms=3.5, lw=1.1, color="#111111",
        zorder=4,
    )  # fmt: skip
    mark, colour = _MARKS[fitted.verdict]
    axes.set_title(f"{name}\n{mark} {fitted.verdict}", fontsize=_SIZE, loc="left", color=colour)
    axes.set_xlim(-0.025 * reach / 1000, reach / 1000)
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(labelsize=_SIZE)
    axes.grid(alpha=0.3, lw=0.5)


def _line(curve: str) -> dict[str, Any]:
    """How a curve is drawn: the law wide and below, so that a rival on top of it is seen."""
    law = curve == "saturating"
    return {
        "color": COLOURS[curve],
        "lw": {"saturating": 5.0, "power law": 2.2}.get(curve, 1.4),
        "alpha": 0.45 if law else 1.0,
        "ls": "-" if law else _DASHES.get(curve, "--"),
        "zorder": 2 if law else 3,
    }
