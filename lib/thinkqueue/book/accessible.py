"""Small faults of the theme's markup that keep readers of other senses out, mended in each page."""

from __future__ import annotations

import re

_REPAIRS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # what is said aloud must hold what is written; without a label that is what is written
        (r'<summary aria-label="[^"]*">', "<summary>"),
        # an arrow is not a name: the fold of a chapter's pages has that of the chapter
        (
            r'(<a [^>]*>([^<]*)</a><details[^>]*><summary)>(<span class="toctree-toggle")',
            r'\1 aria-label="Within \2">\3',
        ),
        (
            r'(<button class="[^"]*search-button-field[^"]*" title="Search") aria-label="Search"',
            r"\1",
        ),
        (r'(<i class="theme-switch [^>]*data-mode="\w+") *title="[^"]*"', r'\1 aria-hidden="true"'),
        # a list may hold nothing but its items, and a citation is none
        (r'<div role="list" class="citation-list">', '<div class="citation-list">'),
        (r' role="doc-biblioentry"', ""),
    )
)


def accessible(page: str) -> str:
    """Return a page without these faults.

    Parameters
    ----------
    page
        Its HTML.
    """
    for pattern, replacement in _REPAIRS:
        page = pattern.sub(replacement, page)
    return page
