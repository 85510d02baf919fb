"""The hidden code of a figure stands below it, and that of anything else where it was."""

from docutils import nodes
from docutils.utils import new_document

from thinkqueue.book.page_code import PlaceCode


def cell(hide_mode: str, *output: nodes.Node) -> nodes.container:
    source = nodes.literal_block(text="code")
    return nodes.container("", source, nodes.container("", *output), hide_mode=hide_mode)


def test_the_code_of_a_figure_goes_below_it() -> None:
    drawn, printed = cell("input", nodes.image(uri="a.svg")), cell("input", nodes.paragraph())
    hidden = cell("all", nodes.image(uri="b.svg"))
    document = new_document("a page")
    document += [drawn, printed, hidden]
    PlaceCode(document).run()
    output, opened, source, closed = drawn.children
    assert isinstance(output, nodes.container)
    assert next(output.findall(nodes.image))["uri"] == "a.svg"
    assert "<summary>Code of this figure</summary>" in opened.astext()
    assert source.astext() == "code"
    assert closed.astext() == "</details>"
    assert drawn["hide_mode"] == "", "its handle would be written twice"
    assert [isinstance(cell[0], nodes.literal_block) for cell in (printed, hidden)] == [True, True]
    assert (printed["hide_mode"], hidden["hide_mode"]) == ("input", "all")
