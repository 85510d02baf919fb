"""Every built page in a browser: served and from disk, on a phone and on a desk."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser
from tests.book.visits import DESK, PAGES, PHONE, Silent, Visit, serving

from thinkqueue.book.figures import SHARED
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[2]
CHAPTERS = tuple(page for page in Book(ROOT).pages if "/library/" not in page)


def downloaded(link: str, start: str, book: Book) -> str:
    """Return the text that a link of a page leads to."""
    path = unquote(urlsplit(link).path).removeprefix(unquote(urlsplit(start).path))
    return (book.html / path.lstrip("/")).read_text(encoding="utf-8")


@pytest.fixture(params=["served", "disk"])
def start(request: pytest.FixtureRequest, book: Book) -> str:
    if request.param == "served":
        return str(request.getfixturevalue("served"))
    return book.html.as_uri()


def test_the_index_goes_on_to_the_first_chapter(start: str, book: Book, browser: Browser) -> None:
    page = browser.new_page()
    try:
        page.goto(f"{start}/index.html")
        page.wait_for_url(f"{start}/{book.pages[0]}.html")
    finally:
        page.close()


#: What is wider than where it stands, folded or not; on a phone, code and tables may scroll.
CUT = """(phone) => {
  for (const fold of document.querySelectorAll('.bd-article details')) fold.open = true;
  for (const fold of document.querySelectorAll('.bd-article .toggle-hidden'))
    fold.classList.remove('toggle-hidden');
  const wide = "mjx-container[display='true'], div.math" + (phone ? "" : ", pre, table");
  return [...document.querySelectorAll('.bd-article :is(' + wide + ')')]
    .filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.scrollWidth} > ${box.clientWidth} px: ${(box.closest('[id]') || box).id} `
      + box.textContent.trim().slice(0, 60));
}"""

#: Formulas whose full stop or comma begins the next line.
TORN = """() =>
  [...document.querySelectorAll(".bd-article mjx-container:not([display='true'])")].filter(set => {
    const next = set.closest('.math').nextSibling;
    if (!next || next.nodeType !== 3 || !/^[.,;:!?)]/.test(next.data)) return false;
    const range = document.createRange();
    range.setStart(next, 0);
    range.setEnd(next, 1);
    const mark = range.getBoundingClientRect();
    return mark.width && mark.left < set.getBoundingClientRect().right - 3;
  }).map(set => set.closest('p, li, td, dd').textContent.slice(0, 60))
"""


#: What a first visit may fetch, in bytes, without MathJax: fonts, styles, scripts, figures, text.
LIGHT_ENOUGH = 1_000_000


def weights(visit: Visit) -> dict[str, int]:
    """Return what a page has fetched; a server that packs what it sends sends a third of it."""
    visit.page.wait_for_load_state("networkidle")
    fetched = visit.page.evaluate(
        "[...performance.getEntriesByType('navigation'),"
        " ...performance.getEntriesByType('resource')].map(e => [e.name, e.decodedBodySize])"
    )
    return {link: size for link, size in fetched if "/mathjax/" not in link}


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, start: str, book: Book, browser: Browser) -> None:
    """Each page in one visit; on a phone, displays of the generated library may scroll."""
    on_phone = start.startswith("http")
    size, scheme = (PHONE, "light") if on_phone else (DESK, "dark")
    visit = Visit(browser, f"{start}/{name}.html", size, scheme)
    page = visit.page
    try:
        assert visit.faults == []
        assert page.title()
        if on_phone:
            assert 0 < sum(weights(visit).values()) < LIGHT_ENOUGH, weights(visit)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{name} is {width} px wide on a screen of {size[0]} px"
        unset = page.evaluate(
            "[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))"
            ".map(e => e.textContent.slice(0, 80))"
        )
        assert unset == [], "formulas were not set"
        assert page.locator("mjx-merror, [data-mjx-error]").count() == 0
        bare = page.evaluate(
            "async () => { const bare = [];"
            " for (const e of document.querySelectorAll('.bd-article img')) {"
            "  e.loading = 'eager'; await e.decode().catch(() => 0);"
            "  if (!(e.alt.trim() && e.naturalWidth)) bare.push(e.src); }"
            " return bare; }"
        )
        assert bare == [], "figures that do not show, or have no text for who cannot see them"
        if name in book.pages:
            links = page.evaluate(
                "[...document.querySelectorAll('.dropdown-menu a[download]')].map(e => e.href)"
            )
            texts = {Path(link).suffix: downloaded(link, start, book) for link in links}
            assert set(texts) == {".md", ".ipynb"}
            assert texts[".md"] == book.source(name).read_text(encoding="utf-8")
            cells = json.loads(texts[".ipynb"])["cells"]
            assert cells
            if any(cell["cell_type"] == "code" for cell in cells):
                assert any(cell.get("outputs") for cell in cells), "it was not executed"
        if name in CHAPTERS:
            assert page.evaluate(TORN) == []
        if name in CHAPTERS or (name in book.pages and not on_phone):
            assert page.evaluate(CUT, on_phone) == [], "cut off"
    finally:
        visit.context.close()


@pytest.mark.parametrize("suffix", [".md", ".ipynb"])
def test_download(suffix: str, start: str, book: Book, browser: Browser) -> None:
    """Follow the entry of the download menu, as a reader would."""
    name = book.pages[0]
    visit = Visit(browser, f"{start}/{name}.html", DESK, "light")
    page = visit.page
    try:
        page.locator(".dropdown-download-buttons > button").click()
        link = page.locator(f"a[href$='{suffix}'][download]").first
        file = book.html / "_sources" / f"{name}{suffix}"
        if start.startswith("http"):
            with page.expect_download() as download:
                link.click()
            assert Path(download.value.path()).read_bytes() == file.read_bytes()
        else:  # from disk, the browser shows the file that lies there already
            with visit.context.expect_page() as opened:
                link.click()
            assert opened.value.url == file.as_uri()
    finally:
        visit.context.close()


def test_only_the_first_page_carries_the_explorer(book: Book) -> None:
    pages = {p: (book.html / f"{p}.html").read_text(encoding="utf-8") for p in book.pages}
    assert [page for page, text in pages.items() if "explorer.js" in text] == [book.pages[0]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_shows_and_fetches_the_figures_of_its_theme(
    scheme: str, served: str, book: Book, browser: Browser
) -> None:
    visit = Visit(browser, f"{served}/{book.pages[1]}.html", DESK, scheme)
    try:
        figures = visit.page.locator(".cell_output img")
        assert figures.count() > 2
        for figure in figures.all():
            figure.evaluate("e => e.scrollIntoView()")
            right = f"on-{scheme}" in str(figure.get_attribute("class"))
            assert figure.is_visible() == right
            assert figure.evaluate("e => getComputedStyle(e).filter") == "none"
            if right:
                ground = figure.evaluate("e => getComputedStyle(e).backgroundColor")
                assert ground == "rgba(0, 0, 0, 0)"
                figure.evaluate("e => e.decode()")
        other = [n for n in visit.figures if n.endswith(".dark.svg") != (scheme == "dark")]
        assert visit.figures
        assert other == [], "the first screen was drawn before the theme was known"
    finally:
        visit.context.close()


def test_a_table_in_the_dark_is_on_the_dark_ground(
    served: str, book: Book, browser: Browser
) -> None:
    visit = Visit(browser, f"{served}/{book.pages[1]}.html", DESK, "dark")
    try:
        grounds = visit.page.evaluate(
            "[...document.querySelectorAll('.book-table')]"
            ".map(e => getComputedStyle(e.closest('.text_html')).backgroundColor)"
        )
        assert grounds
        assert set(grounds) == {"rgba(0, 0, 0, 0)"}
    finally:
        visit.context.close()


def test_a_request_that_fails_is_noticed(served: str, book: Book, browser: Browser) -> None:
    """The negative control: a page that asks for what is not there, and for another host."""
    visit = Visit(browser, f"{served}/{book.pages[0]}.html", DESK, "light")
    try:
        visit.page.route("http://elsewhere.invalid/**", lambda route: route.abort())
        visit.page.evaluate(
            "async () => { await fetch('nothing-here.js');"
            " await fetch('http://elsewhere.invalid/x').catch(() => 0); }"
        )
        text = "\n".join(visit.faults)
        assert "404" in text
        assert "asks another host" in text
    finally:
        visit.context.close()


INLINE = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


def strict_policy(page: bytes) -> str:
    """Return the strictest Content-Security-Policy under which a page can work.

    Scripts: those of the book and, by their hash, those in the page; no code in attributes, no
    eval. Styles must be allowed in the page: MathJax writes the measures of each formula there.
    """
    hashes = {base64.b64encode(hashlib.sha256(text).digest()) for text in INLINE.findall(page)}
    scripts = " ".join(f"'sha256-{code.decode()}'" for code in sorted(hashes))
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class Strict(Silent):
    """Serves pages with a strict policy."""

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix == ".html" and path.is_file():
            self.send_header("Content-Security-Policy", strict_policy(path.read_bytes()))
        super().end_headers()


@pytest.fixture(scope="module")
def strictly_served(book: Book) -> Iterator[str]:
    yield from serving(Strict, book)


@pytest.mark.parametrize("name", [Book(ROOT).pages[0], Book(ROOT).pages[4], "search", "genindex"])
def test_pages_work_under_a_strict_policy(
    name: str, strictly_served: str, browser: Browser
) -> None:
    visit = Visit(browser, f"{strictly_served}/{name}.html", DESK, "light")
    try:
        assert visit.faults == []
        assert visit.page.locator(".math:not(:has(mjx-container))").count() == 0
        visit.page.locator("[data-calls=toggleFullScreen]").first.click()
        visit.page.wait_for_function("() => document.fullscreenElement")
        visit.page.evaluate(
            "const s = document.createElement('script'); s.text = 'window.ran = 1';"
            "document.head.append(s)"
        )  # the negative control
        assert visit.page.evaluate("window.ran") is None
        assert len(visit.faults) == 1
        assert "Content Security Policy" in visit.faults[0]
    finally:
        visit.context.close()


COLUMNS = 75


def test_each_line_of_code_fits(book: Book) -> None:
    """Also where it is folded; the library reference quotes its sources as they are."""
    long = []
    for name in CHAPTERS:
        text = (book.html / f"{name}.html").read_text(encoding="utf-8")
        for block in BeautifulSoup(text, "html.parser").select(".bd-article pre"):
            long += [
                f"{name}: {len(line)} columns: {line.strip()[:60]}"
                for line in block.get_text().splitlines()
                if len(line.rstrip()) > COLUMNS
            ]
    assert not long, f"{len(long)} lines:\n" + "\n".join(long)


def test_what_is_cut_or_torn_is_seen(served: str, book: Book, browser: Browser) -> None:
    """The negative control."""
    visit = Visit(browser, f"{served}/{book.pages[1]}.html", PHONE, "light")
    page = visit.page
    try:
        page.evaluate(
            "const wide = document.createElement('div'); wide.className = 'math'; wide.id = 'wide';"
            "wide.textContent = 'x'.repeat(500);"
            "document.querySelector('.bd-article h1').after(wide)"
        )
        assert any("wide" in text for text in page.evaluate(CUT, True))
        page.evaluate(
            "document.querySelectorAll('.bound').forEach(e => e.replaceWith(...e.childNodes))"
        )
        torn = []
        for width in range(320, 420, 4):
            page.set_viewport_size({"width": width, "height": 844})
            torn += page.evaluate(TORN)
        assert torn
    finally:
        visit.context.close()


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_tables_of_sentences_do_not_scroll(
    size: tuple[int, int], served: str, browser: Browser
) -> None:
    visit = Visit(browser, f"{served}/chapters/what_is_new.html", size, "light")
    try:
        rows = visit.page.locator(".bd-article tbody tr")
        assert rows.count() > 30
        across = rows.first.locator("td").first.evaluate(
            "cell => cell.offsetWidth / cell.closest('table').offsetWidth"
        )
        assert (across > 0.9) == (size == PHONE), "on a phone a cell is a line of a card"
        assert (
            visit.page.evaluate(
                "[...document.querySelectorAll('.bd-article table')]"
                ".filter(table => table.scrollWidth > table.clientWidth + 1).length"
            )
            == 0
        )
    finally:
        visit.context.close()


def test_a_page_in_the_dark_is_as_light(served: str, book: Book, browser: Browser) -> None:
    for name in book.pages[:2]:
        visit = Visit(browser, f"{served}/{name}.html", DESK, "dark")
        fetched = weights(visit)
        visit.context.close()
        assert any(link.endswith(".woff2") and size for link, size in fetched.items())
        assert sum(fetched.values()) < LIGHT_ENOUGH, fetched


def test_a_shared_link_shows_the_first_figure(book: Book) -> None:
    for name in book.pages:
        text = (book.html / f"{name}.html").read_text(encoding="utf-8")
        said = {
            str(tag.get("property", tag.get("name"))): str(tag.get("content"))
            for tag in BeautifulSoup(text, "html.parser").select("head meta")
        }
        assert said["twitter:card"] == "summary_large_image"
        picture = (book.html / name).parent / said["og:image"]  # no address is configured here
        head = picture.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        assert struct.unpack(">II", head[16:]) == SHARED
        assert (said["og:image:width"], said["og:image:height"]) == tuple(map(str, SHARED))


def test_each_figure_can_be_taken_away(book: Book) -> None:
    """As a drawing, for paper, and as the points that it shows, unless it is a sketch."""
    sketches = []
    for name in book.pages:
        text = (book.html / f"{name}.html").read_text(encoding="utf-8")
        for figure in BeautifulSoup(text, "html.parser").select("figure:has(img.on-light)"):
            links = {str(link["download"]): link["href"] for link in figure.select("a[download]")}
            kinds = [".svg", ".pdf", ".csv"]
            if f"{figure['id']}.csv" not in links:
                sketches.append(figure["id"])
                del kinds[-1]
            assert list(links) == [f"{figure['id']}{kind}" for kind in kinds]
            at = book.html / name
            svg, pdf, *points = ((at.parent / str(link)).read_bytes() for link in links.values())
            assert b"<svg" in svg
            assert pdf.startswith(b"%PDF")
            if not points:
                continue
            rows = list(csv.DictReader(points[0].decode().splitlines()))
            assert len(rows) > 1, figure["id"]
            assert all(row["x"] or row["y"] for row in rows), figure["id"]
    assert sketches == ["fig-live-apparatus"]
