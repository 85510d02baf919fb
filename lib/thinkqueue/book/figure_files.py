"""The figures of a built page: for the light page, for the dark one, and for those who cite.

Each figure is there in two renderings, of which a page fetches the one that it shows; below its
caption it can be taken away as SVG, as PDF and as a table of its points.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from thinkqueue.book.figures import FIGURE_FILES
from thinkqueue.book.inks import dark_svg

_IMAGE = re.compile(r'<img ([^>]*)src="([^"]*_images/)([^"/]+)\.svg"([^>]*?) ?/?>')
_FIGURE = re.compile(
    r'(<figure [^>]*id="([^"]+)">\s*<img [^>]*>\s*<figcaption>.*?)</figcaption>', re.S
)
_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"')

#: What the links to the files of a figure say, by the ending of a file.
_WORDS = {"svg": "SVG", "pdf": "PDF", "csv": "data (CSV)"}


def write_figure_files(images: Path, notebooks: Iterable[Any]) -> None:
    """Put beside each figure its counterpart for the dark page, its PDF and its points.

    Parameters
    ----------
    images
        The folder of the figures.
    notebooks
        The executed notebooks that drew them.

    Raises
    ------
    ValueError
        If a figure has a colour that cannot be read.
    """
    files = {
        output["data"]["image/svg+xml"].strip(): output["metadata"].get(FIGURE_FILES, {})
        for notebook in notebooks
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/svg+xml" in output.get("data", {})
    }
    for path in [path for path in images.glob("*.svg") if path.suffixes == [".svg"]]:
        svg = path.read_text(encoding="utf-8")
        path.with_suffix(".dark.svg").write_text(dark_svg(svg), encoding="utf-8")
        if found := files.get(svg.strip()):
            path.with_suffix(".pdf").write_bytes(base64.b64decode(found["pdf"]))
            if found["csv"].count("\n") > 1:  # a sketch has no points
                path.with_suffix(".csv").write_text(found["csv"], encoding="utf-8")


def write_shared_picture(target: Path, notebook: Any) -> bool:
    """Write what stands beside a shared link, the first figure drawn for it; say if there is one.

    Parameters
    ----------
    target
        Where the PNG goes.
    notebook
        The executed notebook of the page.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            drawn = output.get("metadata", {}).get(FIGURE_FILES, {})
            if "png" in drawn:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(base64.b64decode(drawn["png"]))
                return True
    return False


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
        links = " · ".join(
            f'<a href="{folder}{stem}.{kind}" download="{name}.{kind}">{words}</a>'
            for kind, words in _WORDS.items()
            if (images / f"{stem}.{kind}").is_file()
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
