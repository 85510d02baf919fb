"""Names in figures: hostile ones are drawn, letter for letter, without a warning."""

import io

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from thinkqueue.book.figures import label_line_ends
from thinkqueue.book.names import aligned, drawn, written

HOSTILE = ("$x_{$", "$$", r"\$", "a$b", r"\frac{", "_hidden", "😀", "中文", "文中", "a\x1bb", "%s")


def draw(names: tuple[str, ...]) -> list[str]:
    """Draw names wherever chapters put them and return what stands at the ends of the lines."""
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure()
        axes = figure.subplots()
        for k, name in enumerate(names):
            axes.plot([0, 1], [k, k], label=name)
        label_line_ends(axes)
        axes.set_yticks(range(len(names)), names)
        axes.legend()
        figure.savefig(io.BytesIO(), format="svg")
    return [text.get_text() for text in axes.texts]


def test_hostile_names_are_drawn() -> None:
    assert len(draw(drawn(HOSTILE))) == len(HOSTILE)
    assert len(set(drawn(HOSTILE))) == len(HOSTILE)


def test_bare_names_stop_a_figure() -> None:
    """The negative control."""
    with pytest.raises(ValueError, match="x_"):
        draw(("$x_{$",))
    with pytest.warns(UserWarning, match="Glyph"):
        draw(("中文",))


def test_columns_are_of_one_width() -> None:
    lines = aligned(("a", "bbb", "c" * 90))
    assert {len(line) for line in lines} == {24}
    assert written(("a", "c" * 40)) == ("a", f"{'c' * 16}…{'c' * 15}")
