"""Every figure as a phone shows it: its text can be read, and nothing lies on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from thinkqueue.book.browser import find_browser
from thinkqueue.book.layout import Book

ROOT = Path(__file__).parents[2]
PAGES = [page for page in Book(ROOT).pages if re.match(r"chapters/\d", page)]
PHONE = {"width": 390, "height": 844}

#: The lowest letters that a phone may show, in pixels.
LEAST = 9.0

#: Each text of a drawing, its size in pixels of its own page, and what it meets.
LOOK = r"""() => {
  const svg = document.documentElement;
  const texts = [...svg.querySelectorAll("g[id^='text_']")].map(g => {
    const said = [...g.childNodes].filter(n => n.nodeType === 8).map(n => n.data.trim()).join(" ");
    const scales = [...g.querySelectorAll("use")].map(u => u.getCTM())
      .map(m => Math.hypot(m.c, m.d));
    const box = g.getBoundingClientRect();
    return {said, size: 100 * Math.max(0, ...scales), box};
  }).filter(text => text.size > 0);
  const meets = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;
  const met = [];
  texts.forEach((one, i) => texts.slice(0, i).forEach(other => {
    if (meets(one.box, other.box)) met.push(`${other.said} / ${one.said}`);
  }));
  const lines = [...svg.querySelectorAll(
    "g[id^='line2d_'] > path, g[id^='LineCollection'] path, g[id^='QuadContourSet'] path")]
    .filter(p => !p.closest("g[id^='matplotlib.axis'], defs"))
    .filter(p => getComputedStyle(p).stroke !== "none");
  const struck = [];
  for (const line of lines) {
    const to = line.getScreenCTM(), length = line.getTotalLength();
    const id = (line.getAttribute("clip-path") || "").match(/#(\w+)/);
    const seen = id && svg.getElementById(id[1]).querySelector("rect").getBBox();
    const points = [];
    for (let at = 0; at <= length; at += 1) {
      const p = line.getPointAtLength(at);
      if (seen && (p.x < seen.x || p.x > seen.x + seen.width ||
                   p.y < seen.y || p.y > seen.y + seen.height)) continue;
      points.push(p.matrixTransform(to));
    }
    for (const {said, box} of texts)
      if (points.some(p => p.x > box.left + 1 && p.x < box.right - 1 &&
                           p.y > box.top + 1 && p.y < box.bottom - 1))
        struck.push(said);
  }
  const wide = svg.getBoundingClientRect().width;
  return {texts: texts.map(t => [t.said, t.size]), wide, met, struck};
}"""


@pytest.fixture(scope="module")
def browser() -> Any:
    executable = find_browser()
    if executable is None:
        pytest.fail(
            "figures are looked at in a Chromium, which `make test` installs", pytrace=False
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


def faults(page: Page, drawing: str, shown: float) -> list[str]:
    """Return what a reader of a drawing could not read, where it is shown so wide."""
    page.goto(drawing)
    seen = page.evaluate(LOOK)
    small = [
        f"{size * shown / seen['wide']:.1f} px: {said}"
        for said, size in seen["texts"]
        if size * shown / seen["wide"] < LEAST
    ]
    unset = [f"no comma: {said}" for said, _ in seen["texts"] if re.fullmatch(r"\d{4,}", said)]
    in_brackets = [
        f"unit in brackets: {said}"
        for said, _ in seen["texts"]
        if re.search(r"\((s|ms|µs|ns|%|1/s|tokens|queries/s)\)$", said)
    ]
    met = [f"meet: {pair}" for pair in seen["met"]]
    return [*small, *unset, *in_brackets, *met, *(f"struck: {said}" for said in seen["struck"])]


@pytest.mark.parametrize("name", PAGES)
def test_figures_can_be_read_on_a_phone(name: str, book: Book, browser: Browser) -> None:
    context = browser.new_context(viewport=PHONE)
    try:
        page = context.new_page()
        page.goto((book.html / f"{name}.html").as_uri(), wait_until="load")
        figures = page.evaluate(
            "[...document.querySelectorAll('.cell_output img.on-light')].map(e => {"
            " for (let p = e; p; p = p.parentElement) {"
            " if (p.tagName === 'DETAILS') p.open = true; p.classList.remove('toggle-hidden'); }"
            " return [e.src, e.getBoundingClientRect().width]; })"
        )
        assert all(width > 300 for _, width in figures)
        found = {
            Path(drawing).name[:8]: wrong
            for drawing, width in figures
            if (wrong := faults(page, drawing, width))
        }
        assert found == {}
    finally:
        context.close()


def test_what_cannot_be_read_is_seen(tmp_path: Path, browser: Browser) -> None:
    """The negative control."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "path"}):
        figure = Figure(figsize=(6, 4))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1])
        axes.text(0.4, 0.5, "on the curve", fontsize=14)
        axes.text(0.1, 0.8, "one text", fontsize=14)
        axes.text(0.12, 0.8, "another", fontsize=14)
        axes.text(0.6, 0.2, "small", fontsize=8)
        axes.set_xticks([0, 1], ["0", "1000"], fontsize=14)
        axes.set_yticks([])
        axes.set_xlabel("time (s)", fontsize=14)
        file = tmp_path / "figure.svg"
        figure.savefig(file)
    page = browser.new_page()
    try:
        found = faults(page, file.as_uri(), 342)
        assert [fault.split(":")[0].split(" ")[-1] for fault in found] == [
            "px",
            "comma",
            "brackets",
            "meet",
            "struck",
        ]
    finally:
        page.close()
