"""The explorer of the first page: its place, the workloads that it offers, and its two files.

``{explorer} WORKLOAD`` marks the place. Script and style are one classic file each, loaded by that
page alone; they work from a disk too, where the files of a module would not load.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SCRIPT, STYLE = "explorer.js", "explorer.css"
"""In ``chapters/_static``."""

_MARK = "thinkqueue_explorer"


def explorer_place(
    presets: Mapping[str, str], opening: str, arrival_rate: float | None = None
) -> str:
    """Return the element that the script turns into the explorer.

    Parameters
    ----------
    presets
        The texts of workload files, by name.
    opening
        Which of them it opens with.
    arrival_rate
        The arrival rate that it opens with, in 1/s, where that is not the file's.
    """
    data = {"presets": dict(presets), "opening": opening, "arrival_rate": arrival_rate}
    # no text of a file can end the script that carries it
    text = json.dumps(data).replace("<", "\\u003c")
    return (
        '<div id="explorer" class="explorer" role="region" '
        'aria-label="Explorer: thinking tokens and who waits for them">'
        f'<script type="application/json">{text}</script></div>'
    )


class ExplorerDirective(SphinxDirective):
    """A place for the explorer, which opens with the workload that is its argument.

    The option ``arrival_rate`` replaces that of the file; the content is what readers without
    JavaScript see in its place.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"arrival_rate": float}

    def run(self) -> list[nodes.Node]:
        """Put the place, the texts of all workload files, and the words for where it fails."""
        folder = Path(self.env.srcdir, "data", "workloads")
        files = sorted(folder.glob("*.toml"), key=lambda file: file.stem)
        for file in files:
            self.env.note_dependency(str(file))
        self.env.metadata[self.env.docname][_MARK] = "yes"
        texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
        opening = self.arguments[0]
        if opening not in texts:
            raise self.error(f"{folder} has no workload called {opening!r}.")
        place = explorer_place(texts, opening, self.options.get("arrival_rate"))
        fallback = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, fallback)
        return [
            nodes.raw("", place, format="html"),
            nodes.raw("", "<noscript>", format="html"),
            *fallback.children,
            nodes.raw("", "</noscript>", format="html"),
        ]


def load_explorer(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load script and style on the page that has the explorer, and on no other.

    Parameters
    ----------
    app, page, template, context, doctree
        As Sphinx gives them.
    """
    if doctree is not None and _MARK in app.env.metadata.get(page, {}):
        app.add_css_file(STYLE)
        app.add_js_file(SCRIPT, loading_method="defer")
