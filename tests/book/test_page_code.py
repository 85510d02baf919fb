"""The hidden code of what is shown stands below it, and that of anything else where it was."""

import pytest
from docutils import nodes
from docutils.utils import new_document

from thinkqueue.book.page_code import PlaceCode


def cell(hide_mode: str, *output: nodes.Node) -> nodes.container:
    source = nodes.literal_block(text="code")
    return nodes.container("", source, nodes.container("", *output), hide_mode=hide_mode)


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("figure", nodes.image(uri="a.svg")),
        ("table", nodes.raw("", "<div><table></table></div>", format="html")),
        ("output", nodes.literal_block(text="said")),
    ],
)
def test_the_code_of_what_is_shown_goes_below_it(what: str, shown: nodes.Node) -> None:
    drawn, printed = cell("input", shown), cell("input", nodes.paragraph())
    hidden = cell("all", nodes.image(uri="b.svg"))
    document = new_document("a page")
    document += [drawn, printed, hidden]
    PlaceCode(document).run()
    output, opened, source, closed = drawn.children
    assert isinstance(output, nodes.container)
    assert output.children == [shown]
    assert f"<summary>Code of this {what}</summary>" in opened.astext()
    assert source.astext() == "code"
    assert closed.astext() == "</details>"
    assert drawn["hide_mode"] == "", "its handle would be written twice"
    assert [isinstance(cell[0], nodes.literal_block) for cell in (printed, hidden)] == [True, True]
    assert (printed["hide_mode"], hidden["hide_mode"]) == ("input", "all")
