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


#: What axe is asked: WCAG 2.2, levels A and AA; of a dark page only what its colours can change.
ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}

#: Folds are open, nothing fades; the strokes of formulas, half of a page, are nothing to axe. Of a
#: page's thousands of coloured words three of each kind stay elements; the others become text.
PREPARE = """() => {
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  for (const fold of document.querySelectorAll('.toggle-hidden'))
    fold.classList.remove('toggle-hidden');
  for (const formula of document.querySelectorAll('mjx-container svg, mjx-assistive-mml'))
    formula.replaceChildren();
  const seen = new Map();
  const words = document.querySelectorAll('.bd-article :is(pre, dl, table) :is(span, em, strong)');
  for (const word of [...words].reverse()) {  // what is within another before that
    const kind = [word, word.parentElement].map(e => e.tagName + '.' + e.className).join(' in ');
    seen.set(kind, (seen.get(kind) || 0) + 1);
    if (seen.get(kind) > 3 && !word.children.length) word.replaceWith(word.textContent);
  }
  document.body.normalize();
}"""


def findings(page: Page, rules: dict[str, Any]) -> list[str]:
    """Return what axe calls critical or serious: its rule, the element, and what is wrong."""
    found = page.evaluate("rules => axe.run({runOnly: rules, resultTypes: ['violations']})", rules)
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


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(name: str, served: str, browser: Browser) -> None:
    visit = prepared(browser, f"{served}/{name}.html")
    page, found = visit.page, []
    try:
        for size in (DESK, PHONE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.wait_for_timeout(300)  # until book.js has marked what scrolls
            for theme, rules in (("light", ALL), ("dark", COLOURS)):
                page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
                found += [f"{name} {size[0]} {theme}: {text}" for text in findings(page, rules)]
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
        rules = {text.split(": ")[1] for text in findings(visit.page, ALL)}
        assert rules == {"color-contrast", "button-name"}
    finally:
        visit.context.close()
