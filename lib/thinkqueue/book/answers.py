"""An answer with its numbers: one click from the question to both.

The cell behind a folded answer, hidden like it, moves into the answer, and shows its output there;
its code stays folded.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform


def join_answers(document: nodes.document) -> None:
    """Move hidden cells into the folded answer that they follow.

    Parameters
    ----------
    document
        A page before hidden cells get their handles.
    """
    for answer in list(document.findall(nodes.admonition)):
        if "dropdown" not in answer["classes"]:
            continue
        parent = answer.parent
        while (at := parent.index(answer) + 1) < len(parent):
            cell = parent[at]
            if not isinstance(cell, nodes.container) or cell.get("hide_mode") != "all":
                break
            parent.remove(cell)
            cell["hide_mode"] = "input"
            answer += cell


class JoinAnswers(SphinxPostTransform):
    """Join answers and their cells on every page."""

    default_priority = 140  # before code moves to the foot of the page
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Do it."""
        join_answers(self.document)
