"""Numbers lie in the answer that they belong to."""

from docutils import nodes
from docutils.utils import new_document

from thinkqueue.book.answers import join_answers


def cell(hide_mode: str, text: str) -> nodes.container:
    return nodes.container("", nodes.paragraph(text=text), hide_mode=hide_mode)


def test_hidden_cells_move_into_the_answer_before_them() -> None:
    answer = nodes.admonition("", nodes.title(text="Answer"), classes=["dropdown"])
    first, second, shown = cell("all", "one"), cell("all", "two"), cell("input", "a figure")
    later, note = cell("all", "no answer's"), nodes.admonition("", classes=["note"])
    document = new_document("a page")
    document += [answer, first, second, shown, note, later]
    join_answers(document)
    assert document.children == [answer, shown, note, later]
    assert answer.children[1:] == [first, second]
    assert [c["hide_mode"] for c in (first, second, shown, later)] == ["input"] * 3 + ["all"]
