"""Small plots in letters, as wide as a terminal of 80 columns at most."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.names import brief, printable
from thinkqueue.printing import print_lines

WIDTH, HEIGHT = 60, 12
EIGHTHS = " ▏▎▍▌▋▊▉█"
NAME = 18


def print_bars(names: Sequence[str], values: ArrayLike, title: str, format: str = ",.0f") -> None:
    """Print one bar for each value, the longest as long as there is room.

    Parameters
    ----------
    names : sequence of str
        What each is of.
    values : array_like
        Finite and not negative.
    title : str
        What is drawn, with its unit.
    format : str, optional
        How the values are written.
    """
    numbers = np.asarray(values, dtype=float)
    texts = [f"{value:{format}}" for value in numbers.tolist()]
    shown = [brief(printable(name), NAME) for name in names]
    left, right = max(map(len, shown)), max(map(len, texts))
    room = 78 - left - right - 2
    most = float(numbers.max()) or 1.0
    lines = [
        f"{name:<{left}} {text:>{right}} {_bar(room * value / most)}"
        for name, text, value in zip(shown, texts, numbers.tolist(), strict=True)
    ]
    print_lines("", title, *lines)


def print_curves(
    x: ArrayLike,
    curves: Sequence[ArrayLike],
    title: str,
    points: Sequence[tuple[ArrayLike, ArrayLike]] = (),
) -> None:
    """Print curves over a common axis, and points beside them, on a grid of letters.

    Parameters
    ----------
    x : array_like
        Where the curves are known.
    curves : sequence of array_like
        Their values; what is not finite is left out.
    title : str
        What is drawn over what.
    points : sequence of pairs of array_like
        Points measured: where and what.
    """
    across = np.asarray(x, dtype=float)
    heights = [np.asarray(curve, dtype=float) for curve in curves]
    measured = [(np.asarray(a, dtype=float), np.asarray(b, dtype=float)) for a, b in points]
    every = np.concatenate([*heights, *(b for _, b in measured)])
    every = every[np.isfinite(every)]
    low, high = min(float(every.min()), 0.0), float(every.max())
    left = min(across.min(), *(a.min() for a, _ in measured)) if measured else across.min()
    right = max(across.max(), *(a.max() for a, _ in measured)) if measured else across.max()
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    dot, ring = ("·", "o") if _can("·") else (".", "o")

    def put(a: float, b: float, letter: str) -> None:
        if np.isfinite(b):
            column = round((WIDTH - 1) * (a - left) / ((right - left) or 1.0))
            row = round((HEIGHT - 1) * (b - low) / ((high - low) or 1.0))
            grid[HEIGHT - 1 - row][column] = letter

    for height in heights:
        for a in np.linspace(across[0], across[-1], 2 * WIDTH).tolist():
            put(a, float(np.interp(a, across, height)), dot)
    for place, value in measured:
        for a, b in zip(place.tolist(), value.tolist(), strict=True):
            put(a, b, ring)
    top, bottom = f"{high:.3g}", f"{low:.3g}"
    margin = max(len(top), len(bottom))
    labels = {0: top, HEIGHT - 1: bottom}
    lines = [f"{labels.get(n, ''):>{margin}} |{''.join(row)}" for n, row in enumerate(grid)]
    ends = f"{left:,.4g}", f"{right:,.4g}"
    axis = " " * (margin + 2) + ends[0] + ends[1].rjust(WIDTH - len(ends[0]))
    print_lines("", title, *(line.rstrip() for line in lines), axis)


def _bar(length: float) -> str:
    if not _can("█"):
        return "#" * round(length)
    whole, part = divmod(round(8 * length), 8)
    return (EIGHTHS[-1] * whole + EIGHTHS[part]).rstrip()


def _can(letter: str) -> bool:
    try:
        letter.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
