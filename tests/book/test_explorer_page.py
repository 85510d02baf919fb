"""The explorer as its visitors use it: by hand, by keyboard, on a phone, from an address."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.workloads import DATA, QWEN

import thinkqueue as tq
from thinkqueue.book.explorer import SCRIPT, STYLE, explorer_place

STATIC = Path(__file__).parents[2] / "chapters" / "_static"
BUSY = 0.1
Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """A function that opens the explorer alone on a page, from disk."""
    files = sorted((DATA / "workloads").glob("*.toml"), key=lambda file: file.stem)
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    texts["for the library"] = texts["qwen3-8b"] + '\n[server]\nkind = "processor sharing"\n'
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><html lang='en' data-theme='light'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>x</title>"
        f"<link rel='stylesheet' href='{(STATIC / STYLE).as_uri()}'>"
        f"<script defer src='{(STATIC / SCRIPT).as_uri()}'></script></head>"
        f"<body><h1>x</h1>{explorer_place(texts, 'qwen3-8b', BUSY)}"
        "<p style='height: 2000px'>below</p></body></html>",
        encoding="utf-8",
    )
    faults: list[str] = []
    contexts = []

    def opened(fragment: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        made = context.new_page()
        made.on("pageerror", lambda error: faults.append(str(error)))
        made.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        made.goto(page.as_uri() + fragment)
        made.wait_for_selector(".xp-ready")
        return made

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def tokens(page: Page) -> list[int]:
    return [int(text.replace(",", "")) for text in page.locator(".xp-tokens").all_inner_texts()]


def number(page: Page, which: str) -> str:
    return page.locator(f".xp-{which} .xp-value").inner_text()


def busy_hour() -> tq.Workload:
    return tq.Workload.from_toml(QWEN).replace(arrival_rate=BUSY)


def test_it_opens_with_a_line_without_end_and_best_ends_it(visit: Open) -> None:
    page = visit()
    assert tokens(page) == [1000] * 5
    assert number(page, "wait") == "∞"
    assert float(number(page, "load")) == round(
        float(tq.utilization(busy_hour(), np.full(5, 1000.0))), 2
    )
    assert "never catches up" in page.locator(".xp-gap").inner_text()
    expect(page.locator(".xp-rest")).to_have_text("… and no end")
    press(page, "Best")
    best = tq.solve(busy_hour())
    assert tokens(page) == [round(x) for x in best.tokens.tolist()]
    assert number(page, "right") == f"{best.mean_accuracy:.1%}"
    assert number(page, "wait") == f"{best.mean_system_time:.1f} s"
    late = float(tq.system_time_quantile(busy_hour(), best.tokens, 0.95))
    assert number(page, "late") == f"{late:.0f} s"
    assert "would lose 18.4 s" in page.locator(".xp-gap").inner_text()
    assert "No budgets whatever" in page.locator(".xp-gap").inner_text()


def test_the_sentences_around_it_are_about_what_it_opens_with() -> None:
    root = Path(__file__).parents[2]
    text = (root / "chapters" / "00_thinking_while_others_wait.md").read_text(encoding="utf-8")
    (rate,) = re.findall(r"^:arrival_rate: (\S+)$", text, re.MULTILINE)
    assert float(rate) == BUSY
    stated = json.loads(
        (root / "data" / "reference" / "00_thinking_while_others_wait.json").read_text()
    )
    assert stated["story-busy-hour"]["value"] == pytest.approx(3600 * BUSY)
    assert stated["story-same-for-all"]["value"] == 1000


def test_dragging_a_bar_says_what_is_lost_and_by_how_much(visit: Open) -> None:
    page = visit("#tokens=0")
    bar = page.get_by_role("slider", name="GSM8K", exact=True)
    bar.focus()
    bar.press("PageUp")
    bar.press("ArrowRight")
    (gsm8k, *others) = tokens(page)
    assert gsm8k > 0
    assert others == [0] * 4
    w = busy_hour()
    lost = tq.solve(w).objective - float(tq.objective(w, [gsm8k, 0, 0, 0, 0]))
    assert f"{lost:.0f} s later" in page.locator(".xp-gap").inner_text()
    assert bar.get_attribute("aria-valuetext") == (
        f"{gsm8k} tokens, {100 * float(tq.accuracy(w, [gsm8k, 0, 0, 0, 0])[0]):.0f} % right"
    ).replace(" %", "%")


def test_as_arrivals_grow_the_hard_questions_lose_all_their_tokens(visit: Open) -> None:
    page = visit("#lambda=0.02&tokens=best")
    slider = page.get_by_role("slider", name="Arrivals")
    slider.focus()
    thinking = [sum(x > 0 for x in tokens(page))]
    for _ in range(40):
        slider.press("ArrowRight", delay=0)
        slider.press("ArrowRight", delay=0)
        slider.press("ArrowRight", delay=0)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        thinking.append(sum(x > 0 for x in tokens(page)))
    assert thinking[0] == 5
    assert thinking == sorted(thinking, reverse=True)
    assert thinking[-1] == 1
    assert {5, 4, 3, 2, 1} - set(thinking) <= {3, 4}
    slider.press("End")
    assert "Even if nobody thinks" in page.locator(".xp-gap").inner_text()


def test_guessing_hides_the_best_until_it_is_asked_for(visit: Open) -> None:
    page = visit("#lambda=0.05&tokens=500")
    ghosts, named = page.locator(".xp-ghost:visible"), page.get_by_text("a tick marks the best")
    best = page.get_by_role("button", name="Best", exact=True, include_hidden=True)
    expect(best).to_be_visible()
    assert ghosts.count() == 5
    expect(named).to_be_visible()
    press(page, "Guess first")
    assert ghosts.count() == 0
    expect(named).to_be_hidden()
    expect(best).to_be_hidden()  # the guess is judged before it is gone
    assert "best" not in page.locator(".xp-numbers").inner_text()
    assert "Left" not in page.locator(".xp-gap").inner_text()
    page.get_by_role("slider", name="GSM8K", exact=True).press("ArrowRight")
    press(page, "Show the best")
    assert ghosts.count() == 5
    expect(best).to_be_visible()
    assert page.locator(".xp-gap").inner_text().lower().count("on the table") == 1


def test_the_address_is_written_on_release_and_read_again(visit: Open) -> None:
    page = visit()
    length = page.evaluate("history.length")
    assert page.evaluate("location.hash") == ""
    press(page, "Best")
    assert page.evaluate("location.hash") == "#tokens=best"
    slider = page.get_by_role("slider", name="Arrivals")
    slider.evaluate("e => { e.value = 300; e.dispatchEvent(new Event('input')); }")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.evaluate("location.hash") == "#tokens=best"  # still dragging
    slider.evaluate("e => e.dispatchEvent(new Event('change'))")
    told = page.evaluate("location.hash")
    assert told.startswith("#lambda=")
    assert page.evaluate("history.length") == length
    before = tokens(page), number(page, "load")
    again = visit(told)
    assert (tokens(again), number(again, "load")) == before
    page.locator("summary").click()
    press(page, "Start again")
    assert page.evaluate("location.hash") == ""
    strange = visit("#lambda=-3")
    expect(strange.locator(".xp-fault")).to_contain_text("not understood")
    assert tokens(strange) == [1000] * 5


HOSTILE = """
arrival_rate = 0.05
accuracy_weight = 600
[[task]]
name = "<img src=x onerror='document.title=1'><b>bold</b>"
share = 1
gain = 0.5
rate = 0.001
baseline = 0.2
base_time = 0.1
time_per_token = 0.01
"""


def test_pasted_text_is_text(visit: Open) -> None:
    page = visit()
    page.locator("summary").click()
    area = page.get_by_label("A workload file (TOML)")
    area.fill(HOSTILE.replace("gain = 0.5", "gain = 1.5"))
    press(page, "Use this text")
    expect(page.locator("textarea + .xp-fault")).to_contain_text("gain of task type")
    assert tokens(page) == [1000] * 5, "what was there stays"
    area.fill(HOSTILE)
    press(page, "Use this text")
    assert page.locator(".xp-fault").inner_text() == ""
    assert len(tokens(page)) == 1
    assert page.locator(".explorer img, .explorer b").count() == 0
    assert page.title() == "x"
    assert page.locator(".xp-type label").inner_text().startswith("<img src=x onerror=")
    told = page.evaluate("location.hash")
    assert len(tokens(visit(told))) == 1
    area.fill("x" * 100)
    press(page, "Use this text")
    expect(page.locator(".xp-fault")).to_contain_text("Line 1")
    page.get_by_label("many at once, in a batch").check()
    assert page.locator(".xp-fault").inner_text() == "", "that text is no concern of this"


def test_the_table_is_edited_and_copied(visit: Open) -> None:
    page = visit("#tokens=best")
    page.locator("summary").click()
    before = tokens(page)
    cell = page.get_by_label("gain of type 1", exact=True)
    cell.fill("0.2")
    cell.press("Tab")
    assert tokens(page) != before
    cell.fill("much")
    cell.press("Tab")
    expect(page.locator(".xp-table + .xp-fault")).to_contain_text("gain")
    assert cell.get_attribute("aria-invalid") == "true"
    press(page, "Add a type")
    assert len(tokens(page)) == 6
    page.get_by_role("button", name="Remove type 6").click()
    assert len(tokens(page)) == 5
    page.evaluate("() => { Object.defineProperty(navigator, 'clipboard', { value: undefined }); }")
    press(page, "Copy as request parameters")
    assert "thinking_token_budget" in page.get_by_label("A workload file (TOML)").input_value()
    press(page, "Copy as TOML")
    assert "[[task]]" in page.get_by_label("A workload file (TOML)").input_value()


def test_it_offers_every_workload_that_it_knows(visit: Open) -> None:
    page = visit("#tokens=best")
    page.locator("summary").click()
    offered = page.locator("#explorer-preset option").all_inner_texts()
    assert offered == sorted(file.stem for file in (DATA / "workloads").glob("*.toml"))
    for name in offered:
        page.get_by_label("Start from").select_option(name)
        workload = tq.Workload.from_toml(DATA / "workloads" / f"{name}.toml")
        if name == "qwen3-8b":
            workload = busy_hour()
        best = tq.solve(workload).tokens
        assert tokens(page) == pytest.approx(best.round(), abs=1)


def test_a_batching_server_thinks_longer(visit: Open) -> None:
    page = visit("#tokens=best")
    alone = sum(tokens(page))
    page.get_by_label("many at once, in a batch").check()
    assert sum(tokens(page)) > 5 * alone
    assert "approximate" in page.locator(".xp-gap").inner_text()
    assert "slower" in page.locator(".xp-server").inner_text(), "it says what it takes for granted"
    page.get_by_label("one query at a time").check()
    assert sum(tokens(page)) == alone
    assert "slower" not in page.locator(".xp-server").inner_text()
    page.locator("summary").click()
    area = page.get_by_label("A workload file (TOML)")
    expect(area).to_have_value(re.compile("base_time"))
    text = area.input_value()
    times = re.findall(r"(?:base_time|time_per_token) = (\S+)", text)
    assert len(times) == 10
    assert max(map(len, times)) <= 14, "there and back again leaves no trace in the last digits"


def test_a_phone_has_its_numbers_pinned_and_room_for_fingers(visit: Open) -> None:
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    low = page.evaluate(
        "[...document.querySelectorAll('.explorer button, .explorer input:not([type=radio]),"
        " .explorer select, .explorer summary, .xp-server label')]"
        ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 44)"
        ".map(e => e.outerHTML)"
    )
    assert low == []
    page.locator(".xp-sliders").scroll_into_view_if_needed()
    page.evaluate("scrollBy(0, 300)")
    assert page.locator(".xp-head").bounding_box()["y"] == pytest.approx(0, abs=1)  # type: ignore[index]


def test_dots_move_unless_motion_is_unwelcome(visit: Open) -> None:
    def moves(page: Page) -> bool:
        look = "document.querySelector('.xp-progress').getAttribute('stroke-dasharray')"
        before = page.evaluate(look)
        page.wait_for_timeout(700)
        return bool(page.evaluate(look) != before)

    page = visit()
    assert moves(page)
    press(page, "Pause")
    assert not moves(page)
    still = visit(reduced_motion="reduce")
    assert not moves(still)
    assert still.get_by_role("button", name="Pause").count() == 0


def test_it_is_quick(visit: Open) -> None:
    """A median, since the machine may be busy; the frame of a screen has 16 ms."""
    page = visit()
    times = page.evaluate(
        """() => {
          const w = thinkqueue.parseToml(JSON.parse(
            document.querySelector('#explorer script').textContent).presets['qwen3-8b']);
          const many = Array.from({ length: 200 }, (_, k) => Object.assign({}, w.tasks[k % 5],
            { name: 'type ' + k, share: 1 / 200, rate: w.tasks[k % 5].rate * (1 + k / 100) }));
          const idle = thinkqueue.measure(w, [0, 0, 0, 0, 0]).utilization;
          const median = (make) => {
            const all = [];
            for (let i = 0; i < 31; i++) {
              const asked = make(i), start = performance.now();
              thinkqueue.solve(asked);
              all.push(performance.now() - start);
            }
            return all.sort((a, b) => a - b)[15];
          };
          const at = (tasks, rate) => Object.assign({}, w, { tasks, arrival_rate: rate });
          return [median((i) => at(w.tasks, 0.02 + i / 100)),
                  median(() => at(w.tasks, w.arrival_rate / idle * (1 - 1e-9))),
                  median((i) => at(many, 0.02 + i / 100))];
        }"""
    )
    assert max(times) < 16, times
