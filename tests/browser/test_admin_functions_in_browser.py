"""The pages of dbproxy-admin for users, departments, groups, conversations, devices, imports and the archive, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from admin_pages import EMOJI, HOSTILE, RIGHT_TO_LEFT, SCRIPT, fill, paths_of
from admin_site import AdminApp, AdminServer
from browser import Watched, wait_until
from playwright.sync_api import expect

from dbproxy.admin.access.roles import Role
from dbproxy.testing import Stack

pytestmark = pytest.mark.watchdog(300)

SignIn = Callable[..., Watched]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1440, "height": 900}
LOCALES = ("en-US", "zh-CN")

TITLES = {
    "/users": ("Users", "用户"),
    "/users/add": ("Add a user", "添加用户"),
    "/users/1/disable": ("Disable alice?", "停用 alice？"),
    "/imports": ("Import users", "导入用户"),
    "/departments": ("Departments", "部门"),
    "/departments/1/edit": ("Change a department", "更改部门"),
    "/groups": ("Groups", "群组"),
    "/groups/9/rename": ("Rename a group", "重命名群组"),
    "/messages": ("Conversations", "会话"),
    "/messages/group/9/hide?msg_id=1": ("Hide message 1?", "隐藏消息 1？"),
    "/devices": ("Devices", "设备"),
    "/prune": ("Archive old messages", "归档旧消息"),
}
"""The headings of some pages, English and Chinese."""


@pytest.fixture
def data(admin_server: AdminServer, dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    fill(dbproxy_stack)


@pytest.fixture(scope="module")
def paths(dbproxy_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every page that exists, with a message for the pages that need one: a new page cannot be forgotten here."""
    queries = {"messages.hide": "?msg_id=1", "messages.unhide": "?msg_id=1"}
    left_out = (
        "assets.",
        "accounts.",
        "login.",
        "home.",
        "imports.show",
        "imports.refused",
        "imports.remove_",
        "users.export",
        "messages.export",
    )
    with AdminApp(dbproxy_stack, tmp_path_factory.mktemp("paths")) as app:
        rules = list(paths_of(app.app, "GET"))
    found = [path + queries.get(rule.endpoint, "") for rule, path in rules if not rule.endpoint.startswith(left_out)]
    assert len(found) > 25
    assert set(TITLES) <= set(found)
    return found


def check_page(watched: Watched, path: str) -> None:
    """Nothing has gone wrong on the page, nothing was executed, and it fits."""
    page = watched.page
    assert watched.errors == [], path
    assert page.evaluate("window.attacked") is None, path
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0, path
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("locale", LOCALES)
def test_every_page_fits_speaks_one_language_and_executes_nothing(
    sign_in: SignIn, data: None, paths: list[str], locale: str, viewport: dict[str, int]
) -> None:
    watched = sign_in(locale=locale, viewport=viewport)
    for path in paths:
        watched.page.goto(path)
        check_page(watched, path)
        assert watched.page.locator("h1").count() == 1, path
        unlabelled = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button")]
            .filter((one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).map((one) => one.outerHTML)"""
        assert watched.page.evaluate(unlabelled) == [], path
        if path in TITLES:
            assert watched.text("h1") == TITLES[path][LOCALES.index(locale)]


def test_a_user_is_added_with_the_keyboard_alone(sign_in: SignIn, data: None, dbproxy_stack: Stack) -> None:
    watched = sign_in(Role.OPERATOR)
    page = watched.page

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", selector  # people see where they are
                return
        raise AssertionError(f"{selector} is not reached")

    tab_to("a[href='/users']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/users")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the content
    tab_to("a[href='/users/add']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/users/add")
    tab_to("#field-name")
    page.keyboard.type("keyboard")
    tab_to("#field-department_id")
    page.keyboard.press("End")
    tab_to("#field-sex")
    page.keyboard.press("ArrowDown")
    tab_to("main button.primary")
    page.keyboard.press("Enter")
    expect(page.locator("#password")).to_be_visible()
    stored = dbproxy_stack.rows("select sex, departId from IMUser where name='keyboard'")
    assert stored == [{"sex": 1, "departId": 3}]
    page.keyboard.press("Tab")
    assert watched.errors == []


def test_the_tree_of_departments_is_folded_with_the_keyboard(sign_in: SignIn, data: None) -> None:
    watched = sign_in(Role.VIEWER)
    watched.page.goto("/departments")
    inner = watched.page.locator("details").first
    expect(inner).to_have_attribute("open", "")
    watched.page.locator("summary").first.focus()
    watched.page.keyboard.press("Enter")
    expect(inner).not_to_have_attribute("open", "")
    expect(watched.page.locator("summary").last).not_to_be_visible()
    watched.page.keyboard.press("Space")
    expect(watched.page.locator("summary").last).to_be_visible()
    assert watched.errors == []


def test_two_operators_at_once_do_not_overwrite_each_other(sign_in: SignIn, data: None, dbproxy_stack: Stack) -> None:
    first, second = sign_in(Role.OPERATOR), sign_in(Role.OWNER)
    for watched in (first, second):
        watched.page.goto("/users/2/edit")
    first.page.get_by_label("Nick").fill("First")
    first.page.get_by_role("button", name="Save").click()
    assert first.text("h1") == "bob"
    second.page.get_by_label("Phone").fill("4711")
    second.page.get_by_role("button", name="Save").click()
    assert "Somebody else has changed this user" in second.text("#problem")
    assert second.page.get_by_role("row", name="Nick First Bob").count() == 1
    assert second.page.get_by_role("row", name="Phone 13800000002 4711").count() == 1
    assert dbproxy_stack.rows("select nick, phone from IMUser where id=2") == [{"nick": "First", "phone": "13800000002"}]
    second.page.get_by_label("Nick").fill("First")
    second.page.get_by_role("button", name="Save").click()
    assert second.text("h1") == "bob"
    assert dbproxy_stack.rows("select nick, phone from IMUser where id=2") == [{"nick": "First", "phone": "4711"}]
    assert first.errors == []
    assert [error for error in second.errors if "409" not in error] == []


@pytest.mark.parametrize("user_id", range(4, 9))
def test_a_form_that_is_saved_untouched_changes_nothing(sign_in: SignIn, data: None, dbproxy_stack: Stack, user_id: int) -> None:
    """Whatever is stored, also what would not be accepted today."""
    before = dbproxy_stack.rows("select * from IMUser")
    watched = sign_in(Role.OPERATOR)
    watched.page.goto(f"/users/{user_id}/edit")
    watched.page.get_by_role("button", name="Save").click()
    watched.page.wait_for_url(f"**/users/{user_id}")
    assert dbproxy_stack.rows("select * from IMUser") == before
    assert watched.errors == []


def test_two_operators_add_and_remove_members_at_once(sign_in: SignIn, data: None, dbproxy_stack: Stack) -> None:
    first, second = sign_in(Role.OPERATOR), sign_in(Role.OWNER)
    for watched in (first, second):
        watched.page.goto("/groups/10")
    first.page.get_by_role("link", name="Add members").click()
    first.page.get_by_label("Users", exact=True).fill("alice\n4, 5")
    second.page.get_by_label("Choose carol").check()
    second.page.get_by_role("button", name="Remove those that are chosen").click()
    first.page.locator("main button.primary").click()
    assert "3 users were added to the group." in first.text(".notice.good")
    second.page.get_by_role("button", name="Remove").click()
    assert "1 member was removed from the group." in second.text(".notice.good")
    assert sorted(dbproxy_stack.redis("group_member").hkeys("group_member_10")) == ["1", "2", "4", "5"]
    assert (first.errors, second.errors) == ([], [])


def test_messages_are_shown_as_they_were_written(sign_in: SignIn, data: None) -> None:
    watched = sign_in()
    watched.page.goto("/messages")
    watched.page.get_by_label("User (id or login name)").fill("alice")
    watched.page.get_by_label("With whom (id or login name)").fill("bob")
    watched.page.get_by_role("button", name="Open").first.click()
    watched.page.wait_for_url("**/messages/people/1")
    contents = watched.page.locator(".message .content")
    assert contents.all_inner_texts()[:3] == ["a␁b␀␛[31mc␡d\\x85e", RIGHT_TO_LEFT, EMOJI]
    assert contents.nth(4).inner_text() == SCRIPT
    assert contents.count() == len(HOSTILE) + 1
    assert contents.nth(1).evaluate("(one) => getComputedStyle(one).unicodeBidi") == "isolate"
    check_page(watched, "/messages/people/1")


def test_a_message_is_searched_hidden_and_exported(sign_in: SignIn, data: None, dbproxy_stack: Stack, tmp_path: Path) -> None:
    watched = sign_in(Role.OPERATOR)
    watched.page.goto("/messages/group/9")
    watched.page.get_by_label("Text").fill("GOOD Morning")
    watched.page.keyboard.press("Enter")
    expect(watched.page.locator(".message")).to_have_count(1)
    watched.page.get_by_role("link", name="Hide message 1").click()
    assert "whoever has the message still sees it" in watched.text("main")
    watched.page.get_by_role("button", name="Hide").click()
    assert "Message 1 is hidden." in watched.text(".notice")
    expect(watched.page.locator(".hidden-message")).to_have_count(1)
    assert dbproxy_stack.rows("select status from IMGroupMessage_1 where msgId=1") == [{"status": 1}]
    with watched.page.expect_download() as download:
        watched.page.get_by_role("link", name="JSON lines").click()
    assert download.value.suggested_filename == "group-9.jsonl"
    download.value.save_as(tmp_path / "export")
    lines = [json.loads(line) for line in (tmp_path / "export").read_text(encoding="utf-8").splitlines()]
    assert [line["content"] for line in lines] == ["good morning", *HOSTILE]
    assert watched.errors == []


def test_an_exported_page_executes_nothing(sign_in: SignIn, data: None, tmp_path: Path) -> None:
    watched = sign_in()
    watched.page.goto("/messages/people/1")
    with watched.page.expect_download() as download:
        watched.page.get_by_role("link", name="a page").click()
    download.value.save_as(tmp_path / "export.html")
    watched.page.goto((tmp_path / "export.html").as_uri())
    assert SCRIPT in watched.text("body")
    assert watched.page.evaluate("window.attacked") is None
    assert watched.page.evaluate("document.scripts.length + document.images.length") == 0


def test_a_file_is_imported_and_its_passwords_are_downloaded(sign_in: SignIn, data: None, dbproxy_stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / f"{SCRIPT[:20].replace('/', '')}.csv"
    lines = ["用户名,昵称,部门", f"li,{EMOJI},1", f'"{SCRIPT[:30]}",x,1', "alice,again,1", *(f"user{number},n,1" for number in range(3000))]
    file.write_bytes("\r\n".join(lines).encode("utf-16"))
    watched = sign_in(Role.OPERATOR)
    watched.page.goto("/users")
    watched.page.get_by_role("link", name="Import from a file").click()
    watched.page.get_by_label("File").set_input_files(file)
    watched.page.get_by_role("button", name="Upload and look").click()
    expect(watched.page.get_by_role("button", name="Import 3002 users")).to_be_visible(timeout=60_000)  # the page has reloaded itself
    assert watched.text("#refused") == "1"
    assert "is taken by the user with the id 1" in watched.text("main")
    assert "utf-16" in watched.text("main")
    check_page(watched, "the check")
    watched.page.get_by_role("button", name="Import 3002 users").click()
    expect(watched.page.get_by_role("button", name=re.compile("Download passwords-"))).to_be_visible(timeout=60_000)
    assert watched.text("#added") == "3,002"
    check_page(watched, "the report")
    with watched.page.expect_download() as download:
        watched.page.get_by_role("button", name=re.compile("Download passwords-")).click()
    download.value.save_as(tmp_path / "passwords")
    assert (tmp_path / "passwords").read_text(encoding="utf-8-sig").count("\n") == 3003
    watched.page.reload()
    assert watched.page.get_by_role("button", name=re.compile("Download passwords-")).count() == 0
    assert dbproxy_stack.rows("select count(*) as n from IMUser") == [{"n": 3002 + 8}]
    assert watched.errors == []


def test_old_messages_are_archived(sign_in: SignIn, data: None, dbproxy_stack: Stack) -> None:
    watched = sign_in()
    watched.page.goto("/prune")
    watched.page.get_by_label("Messages before the day").fill("2024-01-01")  # those of the tests are of 2023
    watched.page.get_by_role("button", name="Count them").click()
    archive = watched.page.get_by_role("button", name="Archive and remove them")
    expect(archive).to_be_visible(timeout=60_000)
    assert "10 messages before" in watched.text("#state")
    archive.click()
    expect(watched.page.locator("#removed")).to_contain_text("10 messages were removed", timeout=60_000)
    assert dbproxy_stack.rows("select count(*) as n from IMMessage_1") == [{"n": 1}]
    assert watched.errors == []


def test_without_javascript_everything_works(sign_in: SignIn, data: None, dbproxy_stack: Stack) -> None:
    watched = sign_in(java_script_enabled=False)
    watched.page.goto("/users/add")
    watched.page.locator("#field-name").fill("plain")
    watched.page.get_by_role("button", name="Add").click()
    watched.page.locator("#password").wait_for()
    watched.page.goto("/departments/add")
    watched.page.get_by_label("Name").fill("研发")
    watched.page.get_by_role("button", name="Add").click()
    assert "研发" in watched.text(".notice.good")
    watched.page.goto("/users/1/disable")
    watched.page.get_by_role("button", name="Disable").click()
    assert "cannot log in any more" in watched.text(".notice.good")
    assert dbproxy_stack.rows("select status from IMUser where id=1") == [{"status": 3}]


def test_mysql_and_redis_may_go_and_come_back(sign_in: SignIn, data: None, dbproxy_stack: Stack) -> None:
    watched = sign_in(locale="zh-CN")
    page = watched.page
    page.goto("/users/1/edit")
    page.locator("#field-nick").fill("之后")
    dbproxy_stack.mariadb.kill()
    page.locator("main button.primary").click()
    assert watched.text("h1") == "数据连接不可用" or "MySQL" in watched.text("main")
    assert "HTTP 503" in watched.text("main")
    page.goto("/account")
    assert watched.text("h1") == "我的账号"
    dbproxy_stack.mariadb.start()

    def comes_back(path: str, heading: str) -> bool:
        page.goto(path)
        return watched.text("h1") == heading

    wait_until(lambda: comes_back("/users/1", "alice"), page, 60, "the page of alice")
    dbproxy_stack.redis_server.kill()
    page.goto("/devices")
    assert "HTTP 503" in watched.text("main")
    dbproxy_stack.redis_server.start()
    wait_until(lambda: comes_back("/devices", "设备"), page, 60, "the devices")
    assert dbproxy_stack.rows("select nick from IMUser where id=1") == [{"nick": "Alice"}]
    page.goto("/users/1/edit")  # nobody had to log in again
    page.locator("#field-nick").fill("之后")
    page.locator("main button.primary").click()
    assert "更改已保存" in watched.text(".notice")
