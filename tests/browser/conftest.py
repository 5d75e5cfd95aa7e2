"""Pages of the dashboard in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import OpenPage, Watched, find_chromium
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(playwright))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open a page: ``open_page(locale="zh-CN", color_scheme="dark")`` takes the options of Playwright's ``new_context``."""
    contexts = []

    def open_one(**options: Any) -> Watched:
        options = {"locale": "en-US", "viewport": {"width": 1440, "height": 900}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        return Watched(page)

    yield open_one
    for context in contexts:
        context.close()
