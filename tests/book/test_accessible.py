"""Repairs of the theme's markup, and every built page under the rules of axe."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page
from tests.book.visits import DESK, PAGES, PHONE, Visit

from thinkqueue.book.accessible import accessible
from thinkqueue.book.layout import Book


@pytest.mark.parametrize(
    ("fault", "mended"),
    [
        ('<summary aria-label="Toggle hidden content">Show</summary>', "<summary>Show</summary>"),
        (
            '<a class="a" href="b">8. Waits</a><details><summary><span class="toctree-toggle">',
            '<a class="a" href="b">8. Waits</a><details><summary aria-label="Within 8. Waits">'
            '<span class="toctree-toggle">',
        ),
        (
            '<button class="btn search-button-field" title="Search" aria-label="Search" id="b">',
            '<button class="btn search-button-field" title="Search" id="b">',
        ),
        (
            '<i class="theme-switch fa-solid" data-mode="dark"  title="Dark"></i>',
            '<i class="theme-switch fa-solid" data-mode="dark" aria-hidden="true"></i>',
        ),
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        ('<div class="citation" role="doc-biblioentry">', '<div class="citation">'),
        (
            '<button aria-label="Search" class="other">',
            '<button aria-label="Search" class="other">',
        ),
    ],
)
def test_a_page_is_mended_where_it_is_at_fault(fault: str, mended: str) -> None:
    assert accessible(f"<p>a</p>{fault}<p>b</p>") == f"<p>a</p>{mended}<p>b</p>"


#: What axe is asked: WCAG 2.2, levels A and AA.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
#: What depends on colours, and so on the theme.
COLOURS = ["color-contrast", "link-in-text-block"]

#: Folds are open, nothing fades; the strokes of formulas, half of a page, are nothing to axe.
PREPARE = """() => {
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  for (const fold of document.querySelectorAll('.toggle-hidden'))
    fold.classList.remove('toggle-hidden');
  for (const formula of document.querySelectorAll('mjx-container svg, mjx-assistive-mml'))
    formula.replaceChildren();
}"""

#: Of texts that stand alike within elements of the same classes, three stay: the style sheets give
#: them all the same colours, and a page has thousands.
THIN = """() => {
  const seen = new Map(), gone = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.data.trim()) continue;
    let kind = '';
    for (let e = text.parentElement; e !== document.body; e = e.parentElement)
      kind += [e.tagName, e.className, e.getAttribute('style'), (e.rowIndex || 0) % 2] + ' in ';
    seen.set(kind, (seen.get(kind) || 0) + 1);
    if (seen.get(kind) > 3) gone.push(text);
  }
  for (let node of gone)
    for (let above = node.parentElement; !node.childElementCount; above = node.parentElement) {
      node.remove();
      if (above === document.body || above.textContent.trim()) break;
      node = above;
    }
}"""


def findings(page: Page, asked: dict[str, Any]) -> list[str]:
    """Return what axe calls critical or serious: its rule, the element, and what is wrong."""
    found = page.evaluate("asked => axe.run(asked)", asked | {"resultTypes": ["violations"]})
    return [
        f"{kind['impact']}: {kind['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for kind in found["violations"]
        if kind["impact"] in ("critical", "serious")
        for node in kind["nodes"]
    ]


def prepared(browser: Browser, address: str) -> Visit:
    visit = Visit(browser, address, DESK, "light")
    visit.page.add_style_tag(content="* { transition: none !important; }")
    visit.page.evaluate(PREPARE)
    visit.page.evaluate(AXE_SCRIPT)
    return visit


def examined(page: Page) -> list[str]:
    """Return what axe finds at both widths: of the page by all rules, of its colours in themes."""
    found = []
    others = {"runOnly": RULES, "rules": {rule: {"enabled": False} for rule in COLOURS}}
    for thinned in (False, True):
        if thinned:
            page.evaluate(THIN)
        for size in (DESK, PHONE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.wait_for_timeout(300)  # until book.js has marked what scrolls
            for theme in ("light", "dark") if thinned else ("light",):
                page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
                asked = {"runOnly": COLOURS} if thinned else others
                found += [f"{size[0]} {theme}: {text}" for text in findings(page, asked)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(name: str, served: str, browser: Browser) -> None:
    visit = prepared(browser, f"{served}/{name}.html")
    try:
        found = examined(visit.page)
        assert not found, "\n".join(found)
    finally:
        visit.context.close()


def test_axe_sees_a_fault(served: str, book: Book, browser: Browser) -> None:
    """The negative control."""
    visit = prepared(browser, f"{served}/{book.pages[-1]}.html")
    try:
        visit.page.evaluate(
            "document.querySelector('.bd-article h1').insertAdjacentHTML('afterend',"
            " '<p style=\"color: #888; background: #999\">grey</p><button></button>')"
        )
        found = examined(visit.page)
        assert {text.split(": ")[2] for text in found} == {"color-contrast", "button-name"}
        assert len(found) == 2 + 4  # at two widths; and in two themes each
    finally:
        visit.context.close()
