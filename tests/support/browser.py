"""A real browser for tests: Chromium without a window, driven by Playwright, and a page that remembers what went wrong in it."""

from __future__ import annotations

import mimetypes
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, Playwright, Request, Response, Route

import dbproxy

DASHBOARD = Path(dbproxy.__file__).parent / "ops" / "dashboard"
FILES = "http://dashboard.test/"
"""Where :func:`from_files` serves the page; no such host exists."""

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium(playwright: Playwright) -> str:
    """Return the program to run: DBPROXY_CHROMIUM, one of the system, or the one that Playwright has downloaded.

    Raises:
        RuntimeError: there is none.

    """
    for name in filter(None, (os.environ.get("DBPROXY_CHROMIUM"), *PROGRAMS)):
        path = shutil.which(name)
        if path is not None:
            return path
    downloaded = playwright.chromium.executable_path
    if not Path(downloaded).exists():
        raise RuntimeError("no Chromium found; scripts/prepare test installs it, or set DBPROXY_CHROMIUM")
    return downloaded


class Watched:
    """A page with the errors in its console and what it has asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)
        page.on("response", self._response)

    def text(self, selector: str) -> str:
        """Return the text of the first element that fits."""
        return self.page.locator(selector).first.inner_text()

    def wait(self, expression: str, timeout: float = 30) -> None:
        """Wait until a JavaScript expression is true; playwright's TimeoutError after so many seconds."""
        # not wait_for_function: it evaluates a text inside of the page, which the page's content security policy forbids
        wait_until(lambda: bool(self.page.evaluate(expression)), self.page, timeout, expression)

    def asked(self, path: str) -> int:
        """How often an address with this path was asked for."""
        return sum(f"/{path}" in url for url in self.requests)

    def forget(self) -> None:
        """Begin anew with no errors and no requests."""
        self.errors.clear()
        self.requests.clear()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"{response.status} {response.url}")


OpenPage = Callable[..., Watched]
"""The fixture ``open_page``."""


def wait_until(check: Callable[[], bool], page: Page, timeout: float, what: str) -> None:
    """Call ``check`` until it is true, letting the browser's events through in between; AssertionError after ``timeout`` seconds."""
    for _ in range(int(timeout * 20)):
        if check():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not so after {timeout:g} s: {what}")


def from_files(page: Page, answers: dict[str, Callable[[], object]] | None = None) -> None:
    """Serve the page's files without a proxy; ``answers`` has what an address with this path returns as JSON.

    An answer of None breaks the connection, as a proxy does that is not there.
    """

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix(FILES).partition("?")[0]
        if answers is not None and path in answers:
            answer = answers[path]()
            if answer is None:
                route.abort("connectionrefused")
            else:
                route.fulfill(json=answer)
            return
        file = DASHBOARD / (path or "index.html")
        headers = {"Content-Security-Policy": "default-src 'self'", "Content-Type": mimetypes.guess_type(file.name)[0] or "text/plain"}
        route.fulfill(body=file.read_bytes(), headers=headers)

    page.route(FILES + "**", serve)
