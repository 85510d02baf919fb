"""The inks of the book: readable on white paper and on the dark page, and one from the other.

A figure is drawn once, for white. For the dark page each of its colours is replaced by one of the
same hue that stands as far from the dark ground as the first stood from white, in the contrast of
WCAG 2. So what could be read can be read, and what lay behind stays behind; the colours of tasks,
of which two must stay apart, have counterparts that were chosen.

A hue is an angle in Björn Ottosson's Oklab (https://bottosson.github.io/posts/oklab/), in which
lightness does not depend on it.
"""

from __future__ import annotations

import base64
import io
import math
import re
from functools import cache

import numpy as np

from thinkqueue.arrays import Array

#: What the pages are written on.
LIGHT_GROUND, DARK_GROUND = "#ffffff", "#121212"

#: What WCAG 2 asks of text, level AA.
READABLE = 4.5

#: The inks of task types, in their order: Okabe and Ito's hues, as dark as white paper asks.
PALETTE = ("#0072b2", "#b84a00", "#00775a", "#a8467b", "#8a6100", "#23718f", "#555555")

#: The same inks on the dark page.
_DARK = ("#5cb4ea", "#ff8f57", "#3fc79c", "#eba3c8", "#eab440", "#94d5f5", "#b0b0b0")

#: Inks of what is no task type: methods, laws, one case against another.
SERIES = ("#222222", "#7a3fb0", "#b3123c", "#6b6b6b")

_FROM_RGB = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_FROM_CONES = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_COLOUR = re.compile(r"\b(fill|stroke|stop-color): ?([^;\"']+)")
_RASTER = re.compile(r'(xlink:href="data:image/png;base64,)([^"]*)"')


def contrast(ink: str, ground: str) -> float:
    """Return the contrast of two colours by WCAG 2: 1 if they are the same, 21 for black on white.

    Parameters
    ----------
    ink, ground
        Colours as ``#rrggbb``.
    """
    return _ratio(_luminance(_linear(ink)), _luminance(_linear(ground)))


@cache
def in_the_dark(ink: str) -> str:
    """Return the counterpart of a colour on the dark page.

    Parameters
    ----------
    ink
        A colour as ``#rrggbb``.

    Raises
    ------
    ValueError
        If it is written in another way.
    """
    ink = ink.lower()
    if ink in PALETTE:
        return _DARK[PALETTE.index(ink)]
    linear = _linear(ink)
    return _at_contrast(_oklab(linear)[1:], contrast(ink, LIGHT_GROUND), DARK_GROUND)


def spread_inks(count: int) -> list[str]:
    """Return readable inks of as many hues, in which neighbours differ in lightness too.

    Parameters
    ----------
    count
        How many.
    """
    angles = 2 * math.pi * (np.arange(count) / max(count, 1) + 0.08)
    return [
        _at_contrast(
            0.15 * np.array([math.cos(angle), math.sin(angle)]), (4.8, 8.5)[k % 2], LIGHT_GROUND
        )
        for k, angle in enumerate(angles)
    ]


def dark_svg(svg: str) -> str:
    """Return a drawing of Matplotlib's as it looks on the dark page.

    Parameters
    ----------
    svg
        The drawing, for a white page.

    Raises
    ------
    ValueError
        If it has a colour that is not written as ``#rrggbb``.
    """

    def inked(match: re.Match[str]) -> str:
        value = match[2].strip()
        return match[0] if value == "none" else f"{match[1]}: {in_the_dark(value)}"

    # what is black is drawn without a word about it
    black = f'<svg style="fill: {in_the_dark("#000000")}" '
    return _RASTER.sub(_dark_raster, _COLOUR.sub(inked, svg)).replace("<svg ", black, 1)


def _dark_raster(match: re.Match[str]) -> str:
    from PIL import Image

    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(match[2]))).convert("RGBA"))
    colours, which = np.unique(pixels[..., :3].reshape(-1, 3), axis=0, return_inverse=True)
    dark = np.array(
        [list(_bytes(in_the_dark("#" + bytes(row).hex()))) for row in colours], np.uint8
    )
    pixels[..., :3] = dark[which.reshape(-1)].reshape(*pixels.shape[:2], 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return f'{match[1]}{base64.b64encode(file.getvalue()).decode()}"'


def _at_contrast(chroma: Array, wanted: float, ground: str) -> str:
    """Return the colour of a hue, as strong as the screen allows, at a contrast to its ground."""
    other = _luminance(_linear(ground))
    darker = other > 0.18

    def colour(lightness: float) -> Array:
        least, most = 0.0, 1.0
        for _ in range(20):  # as much of the chroma as there is a colour for
            share = (least + most) / 2
            rgb = _rgb(np.array([lightness, *(share * chroma)]))
            inside = bool(((rgb >= 0) & (rgb <= 1)).all())
            least, most = (share, most) if inside else (least, share)
        return np.clip(_rgb(np.array([lightness, *(least * chroma)])), 0, 1)

    low, high = 0.0, 1.0
    for _ in range(20):
        lightness = (low + high) / 2
        value = _luminance(colour(lightness))
        near = value > other if darker else value < other
        enough = not near and _ratio(value, other) >= wanted
        low, high = (lightness, high) if enough == darker else (low, lightness)
    return _hex(colour(low if darker else high))


def _ratio(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def _luminance(linear: Array) -> float:
    return float(linear @ _LUMINANCE)


def _linear(ink: str) -> Array:
    value = np.array(list(_bytes(ink))) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _oklab(linear: Array) -> Array:
    return np.asarray(_FROM_CONES @ np.cbrt(_FROM_RGB @ linear))


def _rgb(oklab: Array) -> Array:
    cones = np.linalg.solve(_FROM_CONES, oklab) ** 3
    return np.linalg.solve(_FROM_RGB, cones)


def _hex(linear: Array) -> str:
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + bytes(np.rint(255 * value).astype(np.uint8).tolist()).hex()


def _bytes(ink: str) -> bytes:
    if not re.fullmatch("#[0-9a-fA-F]{6}", ink):
        message = f"a colour is written as #rrggbb, not as {ink!r}"
        raise ValueError(message)
    return bytes.fromhex(ink[1:])
