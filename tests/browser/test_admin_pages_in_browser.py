"""What every page of dbproxy-admin has, in a real browser: login, languages, keyboard, small screens; the overview, accounts, audit log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from admin_site import PASSWORD, AdminServer
from browser import OpenPage, Watched, wait_until

from dbproxy.admin.access.roles import Role
from dbproxy.testing import Stack, seed

pytestmark = pytest.mark.watchdog(240)

SignIn = Callable[..., Watched]
HOSTILE = '<img src=x onerror="document.title=1">\u202e\U0001f469\u200d\U0001f680 שלום \x01'
PHONE = {"width": 360, "height": 740}
FRAME_PAGES = ("/overview", "/account", "/accounts", "/accounts/owner/disable", "/audit", "/nothing")

LANGUAGES = [("en-US", "Log in", "Overview", "Log out"), ("zh-CN", "登录", "概览", "退出登录")]


@pytest.fixture
def data(admin_server: AdminServer, dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob", "carol")
    seed.group(dbproxy_stack, 1, [1, 2, 3], name=HOSTILE.replace("\x01", ""))
    now = int(time.time()) - 60
    seed.messages(dbproxy_stack, 1, 2, ["one", HOSTILE], relate_id=seed.relation(dbproxy_stack, 1, 2), created=now)
    seed.group_messages(dbproxy_stack, 1, 1, ["a", "b", "c"], created=now)


def fresh_overview(watched: Watched) -> None:
    """Reload until the figures are those of now: they are kept for some seconds."""

    def is_fresh() -> bool:
        watched.page.goto("/overview")
        return watched.text("#users-active") == "3"

    wait_until(is_fresh, watched.page, 60, "three users")


def is_within(watched: Watched) -> bool:
    """Whether nothing stands beyond the right edge of the window."""
    within: bool = watched.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return within


@pytest.mark.parametrize(("locale", "log_in", "overview", "log_out"), LANGUAGES)
def test_people_log_in_and_out_in_their_language(
    sign_in: SignIn, open_page: OpenPage, admin_server: AdminServer, locale: str, log_in: str, overview: str, log_out: str
) -> None:
    stranger = open_page(base_url=admin_server.url, locale=locale)
    stranger.page.goto("/audit")
    assert stranger.page.url.endswith("/login?next=/audit")
    assert stranger.text("h1") == log_in
    assert stranger.errors == []
    watched = sign_in(locale=locale)
    assert watched.text("h1") == overview
    watched.page.get_by_role("button", name=log_out).click()
    assert watched.text("h1") == log_in
    watched.page.goto("/overview")
    assert watched.text("h1") == log_in
    assert watched.errors == []


def test_a_wrong_password_is_said_and_the_name_stays(open_page: OpenPage, admin_server: AdminServer) -> None:
    watched = open_page(base_url=admin_server.url)
    watched.page.goto("/login")
    watched.page.get_by_label("Name").fill("nobody")
    watched.page.get_by_label("Password").fill("wrong password")
    watched.page.keyboard.press("Enter")
    assert "Wrong name or password" in watched.text("[role=alert]")
    assert watched.page.get_by_label("Name").input_value() == "nobody"
    assert watched.page.get_by_label("Password").input_value() == ""
    assert watched.page.evaluate("document.activeElement.name") == "password"


def test_the_language_can_be_changed_on_every_page_and_stays(sign_in: SignIn) -> None:
    watched = sign_in(locale="en-US")
    watched.page.goto("/audit")
    watched.page.get_by_role("button", name="中文").click()
    assert watched.page.url.endswith("/audit")
    assert watched.text("h1") == "审计日志"
    watched.page.goto("/account")
    assert watched.text("h1") == "我的账号"
    assert watched.page.locator("html").get_attribute("lang") == "zh-CN"
    watched.page.get_by_role("button", name="English").click()
    assert watched.text("h1") == "Your account"
    assert watched.errors == []


def test_the_overview_draws_what_its_table_says(sign_in: SignIn, data: None) -> None:
    watched = sign_in()
    fresh_overview(watched)
    drawn = """() => {
        const canvas = document.querySelector("[data-chart] canvas");
        if (!canvas) return [];
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const colors = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) colors.add([data[at], data[at + 1], data[at + 2]].join());
        return ["31,95,196", "194,117,0"].map((color) => colors.has(color));
    }"""  # --line-1 and --line-3 of the light theme
    wait_until(lambda: watched.page.evaluate(drawn) == [True, True], watched.page, 30, "bars in both colors")
    watched.page.get_by_text("As a table").click()
    last = watched.page.locator("#days tbody tr").last
    shown = watched.page.locator("#days td").all_inner_texts()
    assert sum(int(text) for text in shown) == 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\s+\d\s+\d", last.inner_text())
    assert watched.text("#biggest tbody td.number").strip() == "3"
    assert "Alice" in watched.text("#conversations")
    assert watched.errors == []


def test_hostile_names_are_texts(sign_in: SignIn, data: None) -> None:
    watched = sign_in()
    fresh_overview(watched)
    assert "<img src=x" in watched.text("#biggest")
    assert watched.page.evaluate("document.querySelectorAll('main img').length") == 0
    assert watched.page.title().startswith("Overview")
    assert watched.page.evaluate("getComputedStyle(document.querySelector('#biggest bdi')).unicodeBidi") == "isolate"
    watched.page.locator("#biggest a").click()
    assert "<img src=x" in watched.text("h1")
    assert watched.errors == []


def test_without_javascript_everything_is_there(sign_in: SignIn, data: None) -> None:
    watched = sign_in(java_script_enabled=False)
    fresh_overview(watched)
    assert not watched.page.locator(".canvas").is_visible()
    watched.page.get_by_text("As a table").click()
    assert watched.page.locator("#days").is_visible()
    watched.page.get_by_role("link", name="Accounts").click()
    watched.page.locator("#field-name").fill("plain")
    watched.page.get_by_role("button", name="Make the account").click()
    assert re.fullmatch(r"\w{20}", watched.text("#password"))


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_pages_fit_on_a_phone(sign_in: SignIn, data: None, locale: str) -> None:
    watched = sign_in(viewport=PHONE, locale=locale, has_touch=True)
    fresh_overview(watched)
    for path in FRAME_PAGES:
        watched.page.goto(path)
        assert is_within(watched), path
    watched.page.goto("/overview")
    small = """() => [...document.querySelectorAll("main input:not([type=hidden]), main button, main select")]
        .filter((one) => one.getBoundingClientRect().height < 30).map((one) => one.outerHTML)"""
    watched.page.goto("/accounts")
    assert watched.page.evaluate(small) == []


def test_the_keyboard_is_enough(open_page: OpenPage, admin_server: AdminServer, sign_in: SignIn) -> None:
    sign_in()  # makes the account
    watched = open_page(base_url=admin_server.url)
    page = watched.page
    page.goto("/login")
    watched.wait("document.activeElement.name === 'name'")
    page.keyboard.type("owner")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/overview")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto("/accounts")
    seen: list[str] = []
    for _ in range(60):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", page.evaluate("document.activeElement.outerHTML")
        seen.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
        if seen[-1] == "Make the account":
            break
    assert {"Overview", "Log out", "language", "role", "Change", "New password", "Remove", "name"} <= set(seen)


def test_the_dark_theme_is_dark_and_readable(sign_in: SignIn, data: None) -> None:
    watched = sign_in(color_scheme="dark")
    watched.page.goto("/accounts")
    background, text = (watched.page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    assert sum(map(int, re.findall(r"\d+", background)[:3])) < 150
    assert sum(map(int, re.findall(r"\d+", text)[:3])) > 600


def test_every_control_has_a_name(sign_in: SignIn) -> None:
    watched = sign_in()
    nameless = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a")]
        .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim())).map((one) => one.outerHTML)"""
    for path in FRAME_PAGES:
        watched.page.goto(path)
        assert watched.page.evaluate(nameless) == [], path
        assert watched.page.locator("h1").count() == 1, path


def test_an_owner_makes_disables_and_removes_an_account(sign_in: SignIn, open_page: OpenPage, admin_server: AdminServer) -> None:
    watched = sign_in()
    page = watched.page
    page.get_by_role("link", name="Accounts").click()
    page.locator("#field-name").fill("操作员一")
    page.locator("#field-role").select_option("operator")
    page.get_by_role("button", name="Make the account").click()
    password = watched.text("#password")
    other = open_page(base_url=admin_server.url)
    other.page.goto("/login")
    other.page.get_by_label("Name").fill("操作员一")
    other.page.get_by_label("Password").fill(password)
    other.page.get_by_role("button", name="Log in").click()
    other.page.wait_for_url("**/overview")
    assert other.page.get_by_role("link", name="Accounts").count() == 0
    page.get_by_role("link", name="Done").click()
    row = page.locator("tbody tr", has_text="操作员一")
    row.get_by_role("link", name="Disable").click()
    assert watched.text("h1") == "Disable the account 操作员一?"
    page.get_by_role("button", name="Disable").click()
    assert watched.text("[role=status]") == "操作员一 is disabled."
    other.page.reload()
    assert "Your session is over" in other.text("[role=alert]")
    page.locator("tbody tr", has_text="操作员一").get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    assert "操作员一" not in watched.text("main table")
    page.get_by_role("link", name="Audit log").click()
    actions = page.locator("tbody code").all_inner_texts()[:4]
    assert actions == ["accounts.remove", "accounts.disable", "web.login", "accounts.add"]
    assert watched.errors == []


def test_everything_comes_from_the_server_itself(sign_in: SignIn, admin_server: AdminServer) -> None:
    watched = sign_in()
    for path in FRAME_PAGES[:-1]:
        watched.page.goto(path)
    assert len(watched.requests) > 10
    assert [url for url in watched.requests if not url.startswith(admin_server.url)] == []
    assert watched.errors == []


def test_mysql_and_redis_may_go_and_come_back(sign_in: SignIn, dbproxy_stack: Stack, data: None) -> None:
    watched = sign_in(Role.VIEWER)
    fresh_overview(watched)

    def shows(text: str) -> bool:
        watched.page.goto("/overview")
        return watched.text("h1") == text

    try:
        for server in (dbproxy_stack.mariadb, dbproxy_stack.redis_server):
            server.kill()
            watched.page.goto("/account")
            assert watched.text("h1") == "Your account"
            if server is dbproxy_stack.mariadb:
                wait_until(lambda: shows("No connection to the data"), watched.page, 90, "the page that says it")
            server.start()
            wait_until(lambda: shows("Overview"), watched.page, 90, "the overview again")
    finally:
        dbproxy_stack.reset()
