"""Names of task types as chapters show them: whatever a reader calls a type, no chapter stops.

* In a figure, ``drawn(workload.names)``: no dollar sign opens a formula, no letter lacks a glyph.
* In a printed line, ``aligned(workload.names)``: padded to the width of the longest.
* In a table or a sentence, ``written(workload.names)``.

Each gives as many texts as there are names, none longer than ``width`` and no two the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from thinkqueue.names import shortened


def written(names: Sequence[str], *, width: int = 32) -> tuple[str, ...]:
    """Return names for a table or a sentence.

    Parameters
    ----------
    names
        The names of the types.
    width
        The most letters of each.
    """
    return shortened(names, width)


def aligned(names: Sequence[str], *, width: int = 24) -> tuple[str, ...]:
    """Return names for the first column of printed lines, all of one length.

    Parameters
    ----------
    names
        The names of the types.
    width
        The most letters of each.
    """
    short = shortened(names, width)
    longest = max(map(len, short), default=0)
    return tuple(name.ljust(longest) for name in short)


def drawn(names: Sequence[str], *, width: int = 18) -> tuple[str, ...]:
    r"""Return names for the labels of a figure.

    Matplotlib sets what stands between two dollar signs as a formula, so a dollar sign becomes
    ``\$``; it warns of a letter that its font lacks, so such a letter becomes a box; and it leaves
    out a label that starts with an underscore, so a space goes before.

    Parameters
    ----------
    names
        The names of the types.
    width
        The most letters of each.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    shown = (
        "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in name)
        for name in shortened(names, width)
    )
    return tuple(
        re.sub("^_", " _", name).replace("$", r"\$") for name in shortened(tuple(shown), width)
    )
