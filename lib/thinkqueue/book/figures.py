"""The look of the book's figures: one style, a palette that colour-blind readers can tell apart.

A chapter starts with :func:`use_book_style` and then draws with Matplotlib as usual. One message a
figure, units on both axes, names written at the ends of the lines (:func:`label_line_ends`)
instead of in a legend. Figures come out as SVG with a transparent ground, byte for byte the same
from one run to the next; for the dark page `thinkqueue.book.inks` replaces their inks.

One colour a task throughout: type number k has ``line_colours(len(workload))[k]``, here and in the
explorer. What is no task type (methods, laws, cases) is drawn in `SERIES`, which is what lines get
that ask for no colour. A figure is 6 inches wide: on a phone its text is then 9 pixels high.

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

import base64
import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkqueue.book.figure_data import figure_data
from thinkqueue.book.inks import PALETTE, SERIES, spread_inks
from thinkqueue.errors import needing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = [
    "SERIES",
    "label_line_ends",
    "label_point",
    "label_regions",
    "line_colours",
    "use_book_style",
]

#: Where the output of a cell keeps the files of its figure.
FIGURE_FILES = "thinkqueue.figure_files"

#: Across and down, in pixels, what stands beside a shared link.
SHARED = (1200, 630)

#: What Matplotlib calls a line that was given no label.
_UNNAMED = re.compile(r"_child\d+")

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
    "figure.figsize": (6.0, 3.8),
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


def use_book_style(*, shared: bool = False) -> None:
    """Set Matplotlib up for the book: style, palette and, in a notebook, reproducible SVG.

    Parameters
    ----------
    shared
        Whether figures are also drawn as they stand beside a shared link.

    Raises
    ------
    MissingExtraError
        If Matplotlib is not installed; ``pip install thinkqueue[book]`` brings it.
    """
    with needing("book", "A figure"):
        import matplotlib as mpl
        from cycler import cycler

    mpl.rcParams.update(_STYLE)
    mpl.rcParams["axes.prop_cycle"] = cycler(color=SERIES)
    _draw_svg_in_notebooks(shared)


def line_colours(count: int) -> list[str]:
    """Return the colours of as many task types, in their order.

    Parameters
    ----------
    count
        How many types there are.
    """
    own = PALETTE[:-1]  # its grey is for what belongs to nobody
    return list(own[:count]) if count <= len(own) else spread_inks(count)


def label_line_ends(
    axes: Axes, lines: Sequence[Line2D] | None = None, *, pad: float = 5.0, spacing: float = 1.15
) -> None:
    """Write each line's label beside the last of its points in view, and keep labels apart.

    Call it last, when the limits and scales of the axes stand. Where there are more labels than
    the axes are high, they are written smaller.

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

    figure = axes.get_figure()
    figure.draw_without_rendering()  # type: ignore[union-attr]
    points_per_pixel = 72.0 / figure.dpi  # type: ignore[union-attr]
    labelled = [
        line
        for line in (axes.get_lines() if lines is None else lines)
        if not _UNNAMED.fullmatch(str(line.get_label()))
    ]
    ends = {line: end for line in labelled if (end := _last_point_in_view(axes, line)) is not None}
    if not ends:
        return
    heights = np.array([axes.transData.transform(end)[1] for end in ends.values()])
    heights *= points_per_pixel
    room = axes.get_window_extent().height * points_per_pixel
    font_size = min(float(mpl.rcParams["font.size"]), room / (spacing * len(ends)))
    bottom = axes.get_window_extent().y0 * points_per_pixel
    placed = _spread(heights, spacing * font_size, (bottom, bottom + room))
    for (line, end), height, label_height in zip(ends.items(), heights, placed, strict=True):
        axes.annotate(
            str(line.get_label()),
            xy=end,
            xytext=(pad, label_height - height),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
            fontsize=font_size,
            annotation_clip=False,
        )


def label_point(axes: Axes, x: float, y: float, label: str, **text: Any) -> None:
    """Write a label to the right of a point, or above it to the left where there is no room.

    Parameters
    ----------
    axes
        The axes, with their limits and scales.
    x, y
        The point.
    label
        The label.
    **text
        Properties of the text.
    """
    across = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]
    room = across < 0.65
    axes.annotate(
        label,
        (x, y),
        xytext=(8, 0) if room else (4, 7),
        textcoords="offset points",
        ha="left" if room else "right",
        va="center" if room else "bottom",
        **text,
    )


def label_regions(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    regions: np.ndarray,
    labels: Mapping[int, str],
    colours: Mapping[int, str] | None = None,
) -> None:
    """Write a label into each region of a map, where it is widest, clear of what is there already.

    A region in which its label has no room at all goes without.

    Parameters
    ----------
    axes
        The axes, with their limits, scales, points and other texts.
    x, y
        The coordinates of columns and rows, increasing.
    regions
        One whole number for each row and column.
    labels
        The label of each number.
    colours
        The colour of a label where it is not black.
    """
    from scipy.ndimage import distance_transform_edt, minimum_filter

    figure = axes.get_figure()
    figure.draw_without_rendering()  # type: ignore[union-attr]
    frame = axes.get_window_extent()
    across, up = int(frame.width), int(frame.height)
    pixels = np.stack(
        np.meshgrid(np.arange(across) + frame.x0 + 0.5, np.arange(up) + frame.y0 + 0.5), axis=-1
    )
    where = axes.transData.inverted().transform(pixels.reshape(-1, 2)).reshape(up, across, 2)
    column = np.clip(np.searchsorted(x, where[..., 0]), 0, len(x) - 1)
    row = np.clip(np.searchsorted(y, where[..., 1]), 0, len(y) - 1)
    shown = np.asarray(regions)[row, column]
    free = np.ones_like(shown, dtype=bool)

    def occupy(left: float, bottom: float, right: float, top: float, margin: int = 4) -> None:
        rows = slice(max(int(bottom - frame.y0) - margin, 0), max(int(top - frame.y0) + margin, 0))
        columns = slice(
            max(int(left - frame.x0) - margin, 0), max(int(right - frame.x0) + margin, 0)
        )
        free[rows, columns] = False

    for line in axes.get_lines():
        for px, py in axes.transData.transform(np.column_stack(line.get_data())):
            occupy(px, py, px, py, margin=8)
    for text in axes.texts:
        occupy(*text.get_window_extent().extents)
    for value in sorted(labels, key=lambda number: -int((shown == number).sum())):
        colour = (colours or {}).get(value, "#111111")
        written = axes.text(0, 0, labels[value], ha="center", va="center", color=colour)
        box = written.get_window_extent()
        inside = (shown == value) & free
        size = (int(box.height) + 4, int(box.width) + 8)
        roomy = minimum_filter(inside, size=size, mode="constant", cval=0)
        if not roomy.any():
            written.remove()
            continue
        depth = distance_transform_edt(np.pad(roomy, 1))[1:-1, 1:-1]
        r, c = np.unravel_index(int(np.argmax(depth)), depth.shape)
        written.set_position((float(where[r, c, 0]), float(where[r, c, 1])))
        occupy(*written.get_window_extent().extents)


def _last_point_in_view(axes: Axes, line: Line2D) -> tuple[float, float] | None:
    """Return the last point of a line that lies between the lower and the upper end of the axes."""
    x = np.asarray(line.get_xdata(), dtype=float)
    y = np.asarray(line.get_ydata(), dtype=float)
    low, high = sorted(axes.get_ylim())
    last = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (low <= y) & (y <= high))
    return (float(x[last[-1]]), float(y[last[-1]])) if last.size else None


def _spread(heights: np.ndarray, distance: float, ends: tuple[float, float]) -> np.ndarray:
    """Move heights as little as possible, in the mean square, until `distance` parts neighbours.

    The centres stay half a distance away from both ends, if all of them fit.

    Shifting the i-th height down by i distances turns "apart" into "nondecreasing", and the nearest
    nondecreasing sequence comes from pooling adjacent violators; limits on it merely cut it.
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
    pooled = np.repeat([m for m, _ in pools], [n for _, n in pools])
    low, high = ends[0] + distance / 2, ends[1] - distance / 2 - steps[-1]
    placed[order] = np.clip(pooled, low, max(low, high)) + steps
    return placed


def _draw_svg_in_notebooks(shared: bool) -> None:
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if (shell := get_ipython()) is not None:
        from matplotlib.figure import Figure

        metadata = {"Date": None, "Creator": None}
        set_matplotlib_formats("svg", bbox_inches="tight", metadata=metadata)
        files = partial(_for_those_who_cite, shared=shared)
        shell.display_formatter.mimebundle_formatter.for_type(Figure, files)


def _for_those_who_cite(
    figure: Figure, *, shared: bool = False, **_: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return nothing else to show, and what goes along: for paper, as points, for a shared link."""
    file = io.BytesIO()
    figure.savefig(file, format="pdf", bbox_inches="tight", metadata={"CreationDate": None})
    files = {
        "pdf": base64.b64encode(file.getvalue()).decode(),
        "csv": figure_data(figure),
    }
    if shared:
        files["png"] = base64.b64encode(shared_picture(figure)).decode()
    return {}, {FIGURE_FILES: files}


def shared_picture(figure: Figure) -> bytes:
    """Draw a figure on a white ground of the shape in which a shared link is shown, as PNG.

    Parameters
    ----------
    figure
        The figure, of any shape; it is drawn whole.
    """
    from matplotlib.transforms import Bbox

    across, down = SHARED
    drawn = figure.get_tightbbox().padded(0.2)
    width = max(drawn.width, drawn.height * across / down)
    height = width * down / across
    left = (drawn.x0 + drawn.x1 - width) / 2
    bottom = (drawn.y0 + drawn.y1 - height) / 2
    frame = Bbox.from_bounds(left, bottom, width, height)
    file = io.BytesIO()
    # a thousandth of a pixel more, since sizes are cut to whole ones
    figure.savefig(
        file, format="png", bbox_inches=frame, dpi=(across + 1e-3) / width, facecolor="white",
        metadata={"Software": None},
    )  # fmt: skip
    return file.getvalue()
