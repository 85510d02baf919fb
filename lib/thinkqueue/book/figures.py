"""The look of the book's figures: one style, a palette that colour-blind readers can tell apart.

A chapter starts with :func:`use_book_style` and then draws with Matplotlib as usual. One message a
figure, units on both axes, names written at the ends of the lines (:func:`label_line_ends`)
instead of in a legend. Figures come out as SVG with a transparent ground, so that they follow the
page into its dark mode, and byte for byte the same from one run to the next.

Caption and alternative text belong to the code cell, in its ``---`` block::

    ---
    mystnb:
      image:
        alt: Budget of each task against the arrival rate; all fall, GSM8K to zero first.
      figure:
        name: fig-budgets-against-load
        caption: Budgets shrink as the server fills.
    ---
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkqueue.errors import needing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

#: The colours of Okabe and Ito, ordered so that the first few differ most, also in lightness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")

_STYLE: Any = {
    "axes.edgecolor": "#444444",
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "figure.figsize": (6.5, 4.0),
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "grid.alpha": 0.35,
    "grid.color": "#999999",
    "grid.linewidth": 0.6,
    "image.cmap": "viridis",
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "mathtext.fontset": "dejavusans",
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "thinkqueue",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


def use_book_style() -> None:
    """Set Matplotlib up for the book: style, palette and, in a notebook, reproducible SVG.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed; ``pip install thinkqueue[book]`` brings it.
    """
    with needing("book", "A figure"):
        import matplotlib as mpl
        from cycler import cycler

    mpl.rcParams.update(_STYLE)
    mpl.rcParams["axes.prop_cycle"] = cycler(color=PALETTE)
    _draw_svg_in_notebooks()


def label_line_ends(
    axes: Axes, lines: Sequence[Line2D] | None = None, *, pad: float = 5.0, spacing: float = 1.15
) -> None:
    """Write each line's label beside its last point, in its colour, and keep labels apart.

    Call it last, when the limits and scales of the axes stand.

    Parameters
    ----------
    axes
        The axes that hold the lines.
    lines
        The lines to label; by default all lines of `axes` that were given a label.
    pad
        Distance from the end of the line to its label, in points.
    spacing
        Smallest distance between two labels, in heights of the font.
    """
    import matplotlib as mpl

    chosen = [
        line
        for line in (axes.get_lines() if lines is None else lines)
        if not str(line.get_label()).startswith("_")
    ]
    ends = [_last_finite_point(line) for line in chosen]
    if not ends:
        return
    axes.get_figure().draw_without_rendering()  # type: ignore[union-attr]
    points_per_pixel = 72.0 / axes.get_figure().dpi  # type: ignore[union-attr]
    heights = axes.transData.transform(np.asarray(ends))[:, 1] * points_per_pixel
    font_size = float(mpl.rcParams["font.size"])
    placed = _spread(heights, spacing * font_size)
    for line, end, height, label_height in zip(chosen, ends, heights, placed, strict=True):
        axes.annotate(
            str(line.get_label()),
            xy=end,
            xytext=(pad, label_height - height),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
            annotation_clip=False,
        )


def _last_finite_point(line: Line2D) -> tuple[float, float]:
    x = np.asarray(line.get_xdata(), dtype=float)
    y = np.asarray(line.get_ydata(), dtype=float)
    last = np.flatnonzero(np.isfinite(x) & np.isfinite(y))[-1]
    return float(x[last]), float(y[last])


def _spread(heights: np.ndarray, distance: float) -> np.ndarray:
    """Move heights as little as possible, in the mean square, until `distance` parts neighbours.

    Shifting the i-th height down by i distances turns "apart" into "nondecreasing", and the nearest
    nondecreasing sequence comes from pooling adjacent violators.
    """
    order = np.argsort(heights, kind="stable")
    steps = distance * np.arange(len(heights))
    pools: list[tuple[float, int]] = []
    for value in heights[order] - steps:
        mean, size = float(value), 1
        while pools and pools[-1][0] > mean:
            other, other_size = pools.pop()
            mean = (mean * size + other * other_size) / (size + other_size)
            size += other_size
        pools.append((mean, size))
    placed = np.empty_like(heights)
    placed[order] = np.repeat([m for m, _ in pools], [n for _, n in pools]) + steps
    return placed


def _draw_svg_in_notebooks() -> None:
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        metadata = {"Date": None, "Creator": None}
        set_matplotlib_formats("svg", bbox_inches="tight", metadata=metadata)
