"""The figures of a built page: each of them twice, for the light page and for the dark one."""

from __future__ import annotations

import re
from pathlib import Path

from thinkqueue.book.inks import dark_svg

_FIGURE = re.compile(r'<img ([^>]*)src="([^"]*_images/)([^"/]+)\.svg"([^>]*?) ?/?>')
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')


def draw_for_the_dark(images: Path) -> None:
    """Put beside each figure its counterpart for the dark page.

    Parameters
    ----------
    images
        The folder of the figures.

    Raises
    ------
    ValueError
        If a figure has a colour that cannot be read.
    """
    for path in images.glob("*.svg"):
        if path.suffixes != [".dark", ".svg"]:
            dark = dark_svg(path.read_text(encoding="utf-8"))
            path.with_suffix(".dark.svg").write_text(dark, encoding="utf-8")


def shown_by_theme(page: str, images: Path) -> str:
    """Let a page show each figure as its theme asks, and fetch no more than what it shows.

    Parameters
    ----------
    page
        Its HTML.
    images
        The folder of the figures.
    """

    def both(match: re.Match[str]) -> str:
        before, folder, name, after = match.groups()
        size = _SIZE.search((images / f"{name}.svg").read_text(encoding="utf-8"))
        room = ""  # kept free until a figure is there, so that no line moves
        if size is not None:
            width, height = (round(float(points) * 4 / 3) for points in size.groups())
            room = f' width="{width}" height="{height}"'
        return "".join(
            f'<img {before}src="{folder}{name}{kind}.svg"{after}{room} loading="lazy" '
            f'class="{shown} dark-light" />'
            for kind, shown in (("", "on-light"), (".dark", "on-dark"))
        )

    return _FIGURE.sub(both, page)
