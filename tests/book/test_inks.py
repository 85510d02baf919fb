"""The inks: readable on both grounds, the same as the explorer's, and none lost in the dark."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from thinkqueue.book.figures import line_colours, use_book_style
from thinkqueue.book.inks import (
    DARK_GROUND,
    LIGHT_GROUND,
    PALETTE,
    READABLE,
    SERIES,
    contrast,
    dark_svg,
    in_the_dark,
    spread_inks,
)
from thinkqueue.book.layout import Book
from thinkqueue.calibration import figures as calibration

ROOT = Path(__file__).parents[2]
MARKS = {colour for _, colour in calibration._MARKS.values()}
INKS = sorted({*PALETTE, *SERIES, *calibration.COLOURS.values(), *MARKS, *spread_inks(17)})


@pytest.mark.parametrize("ink", INKS)
def test_every_ink_is_readable_on_both_grounds(ink: str) -> None:
    assert contrast(ink, LIGHT_GROUND) >= READABLE
    assert contrast(in_the_dark(ink), DARK_GROUND) >= READABLE


@pytest.mark.parametrize("what", ["axes.labelcolor", "xtick.color", "ytick.color", "text.color"])
def test_what_stands_at_the_axes_is_readable_on_both_grounds(what: str) -> None:
    with mpl.rc_context():
        use_book_style()
        ink = mpl.colors.to_hex(mpl.rcParams[what])
    assert contrast(ink, LIGHT_GROUND) >= READABLE
    assert contrast(in_the_dark(ink), DARK_GROUND) >= READABLE


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.005)
    assert contrast("#d55e00", LIGHT_GROUND) < READABLE  # the negative control


def test_the_explorer_draws_in_the_same_inks() -> None:
    script = (ROOT / "chapters" / "_static" / "explorer.js").read_text(encoding="utf-8")
    for name, inks in (("LIGHT", PALETTE[:6]), ("DARK", tuple(map(in_the_dark, PALETTE[:6])))):
        (listed,) = re.findall(rf"const {name} = \[(.*?)\]", script)
        assert tuple(re.findall(r'"(#\w{6})"', listed)) == inks


def test_the_pages_have_these_grounds(book: Book) -> None:
    styles = "".join(path.read_text() for path in (book.html / "_static/styles").glob("*.css"))
    assert f"--pst-color-background:{DARK_GROUND}" in styles
    assert LIGHT_GROUND == "#ffffff"
    assert "--pst-color-background:#fff;" in styles


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_colour_stands_from_the_dark_as_it_stood_from_white(rgb: tuple[int, int, int]) -> None:
    ink = "#" + bytes(rgb).hex()
    if ink in PALETTE:
        return
    wanted = min(contrast(ink, LIGHT_GROUND), contrast("#ffffff", DARK_GROUND))
    got = contrast(in_the_dark(ink), DARK_GROUND)
    assert got == pytest.approx(wanted, rel=0.02)  # colours have 8 bits


@pytest.mark.parametrize("count", [1, 5, 6, 7, 17])
def test_types_have_colours_of_their_own(count: int) -> None:
    colours = line_colours(count)
    assert len(set(colours)) == count
    assert len({in_the_dark(colour) for colour in colours}) == count


DRAWING = (
    '<svg width="1pt"><path style="fill: #ffffff; stroke: #0072b2"/><path style="fill: none"/>'
)


def test_a_drawing_changes_its_inks_and_nothing_else() -> None:
    dark = dark_svg(DRAWING)
    assert f"fill: {DARK_GROUND}; stroke: #5cb4ea" in dark
    assert '<svg style="fill: #ffffff" width="1pt">' in dark  # what is black is not written there
    assert "fill: none" in dark


@pytest.mark.parametrize("colour", ["red", "rgb(1, 2, 3)", "#fff"])
def test_a_colour_of_another_spelling_is_refused(colour: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(colour))):
        dark_svg(DRAWING.replace("#ffffff", colour))


def test_a_raster_follows_and_stays_transparent() -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[[0, 0, 0, 255], [255, 255, 255, 0]]], np.uint8)).save(file, "png")
    image = '<image xlink:href="data:image/png;base64,{}"/>'
    found = re.search(
        r"base64,(.*?)\"", dark_svg(image.format(base64.b64encode(file.getvalue()).decode()))
    )
    assert found is not None
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    assert pixels.tolist() == [[[255, 255, 255, 255], [0x12, 0x12, 0x12, 0]]]


def test_every_figure_is_there_for_both_pages(book: Book) -> None:
    images = book.html / "_images"
    shown = [
        (page, image)
        for page in book.pages
        for image in re.findall(
            r"<img [^>]*_images/[^>]*>", (book.html / f"{page}.html").read_text(encoding="utf-8")
        )
    ]
    assert len(shown) > 80
    for kind, suffix in (("on-light", ".svg"), ("on-dark", ".dark.svg")):
        names = [
            re.search(r'_images/(\w+)(\.[\w.]+)"', image) for _, image in shown if kind in image
        ]
        assert len(names) == len(shown) / 2
        assert {name[2] for name in names if name is not None} == {suffix}
        assert all((images / f"{name[1]}{name[2]}").is_file() for name in names if name is not None)
    for path in images.glob("*.dark.svg"):
        light = images / path.name.replace(".dark.", ".")
        before, after = (
            set(re.findall(r"(?:fill|stroke): ?(#\w{6})", file.read_text(encoding="utf-8")))
            for file in (light, path)
        )
        assert {in_the_dark(ink) for ink in before} <= after, path.name
