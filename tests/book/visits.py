"""A built page in a browser, and what went wrong on the way there."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from thinkqueue.book.layout import Book

_BOOK = Book(Path(__file__).parents[2])

#: What is written from chapters, and what from them all.
PAGES = (*_BOOK.pages, "search", "genindex", "py-modindex")
PHONE, DESK = (390, 844), (1280, 900)


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def serving(kind: type[Silent], book: Book) -> Iterator[str]:
    handler = functools.partial(kind, directory=str(book.html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Visit:
    """A page that was opened and has settled, with what went wrong on the way."""

    def __init__(self, browser: Browser, address: str, size: tuple[int, int], scheme: str) -> None:
        self.faults: list[str] = []
        self.figures: list[str] = []
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            accept_downloads=True,
        )
        self.home = urlsplit(address)
        self.page: Page = self.context.new_page()
        self.page.on("request", self._request)
        self.page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on(
            "response",
            lambda reply: (
                self.faults.append(f"{reply.status}: {reply.url}") if reply.status >= 400 else None
            ),
        )
        self.page.goto(address, wait_until="load")
        self.page.wait_for_function(
            "() => !window.MathJax || (MathJax.startup && MathJax.startup.promise)"
        )
        self.page.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise; }")

    def _request(self, request: Request) -> None:
        target = urlsplit(request.url)
        if "/_images/" in target.path:
            self.figures.append(target.path)
        if target.scheme not in ("data", "blob") and (target.scheme, target.netloc) != (
            self.home.scheme,
            self.home.netloc,
        ):
            self.faults.append(f"asks another host: {request.url}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text}")
