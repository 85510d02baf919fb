"""Where the code of a page stands: below what it draws, or in one fold.

A cell with the tag ``fold`` keeps its output where it stands; its source goes to the next
``{page-code}`` below it, together with that of the others.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

TAG = "fold"


class PageCode(nodes.General, nodes.Element):
    """Stands for the sources that were taken out above it."""


class PageCodeDirective(SphinxDirective):
    """The place of the fold; the argument is what its handle says."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Leave a mark."""
        return [PageCode(handle=self.arguments[0])]


class FoldCode(SphinxPostTransform):
    """Move sources of tagged cells into the fold."""

    default_priority = 150  # before hidden inputs get their own handles
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Go through the page in its order."""
        sources: list[nodes.Node] = []
        places = (nodes.container, PageCode)
        for node in list(self.document.findall(lambda n: isinstance(n, places))):
            assert isinstance(node, nodes.Element)
            if isinstance(node, PageCode):
                handle = f'<details class="page-code"><summary>{node["handle"]}</summary>'
                node.replace_self(
                    [
                        nodes.raw("", handle, format="html"),
                        *sources,
                        nodes.raw("", "</details>", format="html"),
                    ]
                )
                sources = []
                continue
            metadata: dict[str, Any] = node.get("cell_metadata") or {}
            if TAG in metadata.get("tags", []):
                source = node.children[0]
                assert isinstance(source, nodes.Element)
                if source.get("nb_element") == "cell_code_source":
                    node.remove(source)
                    sources.append(nodes.container("", source, classes=["cell"]))
                if not node.children:
                    node.parent.remove(node)


class PlaceCode(SphinxPostTransform):
    """Put the hidden code of a figure, a table or another output below it."""

    default_priority = 160  # when the cells of answers are where they belong
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Go through all cells."""
        for cell in list(self.document.findall(nodes.container)):
            what = _shown(cell)
            if cell.get("hide_mode") != "input" or what is None:
                continue
            source, *outputs = cell.children
            fold = f'<details class="output-code hide"><summary>Code of this {what}</summary>'
            cell["hide_mode"] = ""
            cell.children = [
                *outputs,
                nodes.raw("", fold, format="html"),
                source,
                nodes.raw("", "</details>", format="html"),
            ]


def _shown(cell: nodes.Element) -> str | None:
    if next(cell.findall(nodes.image), None) is not None:
        return "figure"
    if any("<table" in raw.astext() for raw in cell.findall(nodes.raw)):
        return "table"
    return "output" if any(part.astext().strip() for part in cell.children[1:]) else None
