"""The figures of a built page: for the light page, for the dark one, and for those who cite.

Each figure is there in two renderings, of which a page fetches the one that it shows; below its
caption it can be taken away as SVG, as PDF and as a table of its points.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from thinkqueue.book.inks import dark_svg

_IMAGE = re.compile(r'<img ([^>]*)src="([^"]*_images/)([^"/]+)\.svg"([^>]*?) ?/?>')
_FIGURE = re.compile(
    r'(<figure [^>]*id="([^"]+)">\s*<img [^>]*>\s*<figcaption>.*?)</figcaption>', re.S
)
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')

#: What a notebook keeps beside a drawing, the ending of its file, and what its link says.
KINDS = {"application/pdf": (".pdf", "PDF"), "text/csv": (".csv", "data (CSV)")}


def write_figure_files(images: Path, executed: Iterable[dict[str, Any]]) -> None:
    """Put beside each figure its counterpart for the dark page, its PDF and its points.

    Parameters
    ----------
    images
        The folder of the figures.
    executed
        The executed notebooks.

    Raises
    ------
    ValueError
        If a figure has a colour that cannot be read.
    """
    others = {}
    for notebook in executed:
        for data in _outputs(notebook):
            others[_text(data.get("image/svg+xml", "")).strip()] = data
    for path in [path for path in images.glob("*.svg") if path.suffixes == [".svg"]]:
        svg = path.read_text(encoding="utf-8")
        path.with_suffix(".dark.svg").write_text(dark_svg(svg), encoding="utf-8")
        data = others.get(svg.strip(), {})
        for kind, (suffix, _) in KINDS.items():
            if kind in data:
                content = _text(data[kind])
                text = content.encode() if kind.startswith("text/") else base64.b64decode(content)
                path.with_suffix(suffix).write_bytes(text)


def leave_drawings_alone(notebook: dict[str, Any]) -> None:
    """Take the PDF and the points of figures, which have files of their own, out of a notebook.

    Parameters
    ----------
    notebook
        An executed notebook.
    """
    for data in _outputs(notebook):
        for kind in KINDS:
            data.pop(kind, None)


def dressed(page: str, images: Path) -> str:
    """Let a page show each figure as its theme asks, and offer its files.

    Parameters
    ----------
    page
        Its HTML.
    images
        The folder of the figures.
    """

    def offered(match: re.Match[str]) -> str:
        inside, name = match.groups()
        image = _IMAGE.search(inside)
        if image is None:
            return match[0]
        _, folder, stem, _ = image.groups()
        found = [(".svg", "SVG"), *KINDS.values()]
        links = " · ".join(
            f'<a href="{folder}{stem}{suffix}" download="{name}{suffix}">{words}</a>'
            for suffix, words in found
            if (images / f"{stem}{suffix}").is_file()
        )
        return f'{inside}<p class="figure-files">{links}</p>\n</figcaption>'

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

    return _IMAGE.sub(both, _FIGURE.sub(offered, page))


def _outputs(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "data" in output:
                yield output["data"]


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
