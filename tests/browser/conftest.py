"""Pages in a real browser: the dashboard of the daemon, and the web application of dbproxy-admin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import pytest
from admin_site import PASSWORD, AdminServer
from browser import OpenPage, Watched, find_chromium
from playwright.sync_api import Browser, sync_playwright

from dbproxy.admin.access.roles import Role
from dbproxy.admin.errors import RefusedError
from dbproxy.testing import Stack


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


@pytest.fixture(scope="module")
def admin_server(dbproxy_stack: Stack) -> Iterator[AdminServer]:
    """``dbproxy-admin serve`` on empty backends, for the tests of a module."""
    dbproxy_stack.reset()
    with AdminServer(dbproxy_stack) as server:
        yield server


class SignIn(Protocol):
    """The fixture ``sign_in``."""

    def __call__(self, role: Role = Role.OWNER, **options: Any) -> Watched:
        """Open a page of somebody with an account of this role (its name is the role's); ``options`` are those of ``open_page``."""


@pytest.fixture
def sign_in(open_page: OpenPage, admin_server: AdminServer) -> SignIn:
    """Open the web application and log in, as people do."""

    def sign_in(role: Role = Role.OWNER, **options: Any) -> Watched:
        with suppress(RefusedError):  # the account of a former test
            admin_server.account(role.value, role)
        watched = open_page(base_url=admin_server.url, **options)
        watched.page.goto("/login")
        watched.page.locator("[name=name]").fill(role.value)
        watched.page.locator("[name=password]").fill(PASSWORD)
        watched.page.locator("main button").click()
        watched.page.wait_for_url("**/overview")
        return watched

    return sign_in
