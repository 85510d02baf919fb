"""What a page says of itself where a link to it is shown, and what is drawn there."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docutils.utils import new_document
from matplotlib import pyplot as plt

from thinkqueue.book.figure_files import write_shared_picture
from thinkqueue.book.figures import SHARED, shared_picture
from thinkqueue.book.sphinx_extension import describe


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("", "../_static/shared.png"),
        ("https://owner.github.io/book/", "https://owner.github.io/book/_static/shared.png"),
    ],
)
def test_a_shared_link_has_a_picture_with_the_best_address_there_is(
    base: str, address: str
) -> None:
    app: Any = SimpleNamespace(
        config=SimpleNamespace(html_title="The book", html_baseurl=base),
        env=SimpleNamespace(
            titles={"chapters/a": SimpleNamespace(astext=lambda: "A")}, thinkqueue_shared=True
        ),
    )
    context: dict[str, Any] = {"pathto": lambda place, _: f"../{place}"}
    describe(app, "chapters/a", "page.html", context, new_document("a"))
    assert f'<meta property="og:image" content="{address}" />' in context["metatags"]
    assert '<meta name="twitter:card" content="summary_large_image" />' in context["metatags"]
    app.env.thinkqueue_shared = False
    context["metatags"] = ""
    describe(app, "chapters/a", "page.html", context, new_document("a"))
    assert "og:image" not in context["metatags"]


@pytest.mark.parametrize("size", [(6.4, 4), (9, 2), (3, 7)])
def test_the_picture_has_its_size_whatever_the_figure_has(size: tuple[float, float]) -> None:
    figure, axes = plt.subplots(figsize=size)
    axes.plot([1, 2, 3])
    picture = shared_picture(figure)
    plt.close(figure)
    assert struct.unpack(">II", picture[16:24]) == SHARED


def test_a_page_without_a_figure_has_no_picture(tmp_path: Path) -> None:
    notebook = SimpleNamespace(cells=[{"outputs": [{"metadata": {}}]}, {}])
    assert not write_shared_picture(tmp_path / "shared.png", notebook)
    assert not (tmp_path / "shared.png").exists()
