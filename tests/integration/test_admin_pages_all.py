"""What all pages have in common: nobody changes what their role does not allow, and none fails, whatever is stored and whatever is down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_pages import CONTROL, HOSTILE, QUOTES, SCRIPT, fill, paths_of, text_of
from admin_site import AdminApp, Visitor

from dbproxy.admin.access.roles import Permission, Role
from dbproxy.admin.web.pages import inputs
from dbproxy.admin.web.pages.users import LABELS
from dbproxy.admin.web.views import requirement_of
from dbproxy.testing import Stack
from dbproxy.testing.waiting import eventually

SOURCE = "".join(path.read_text(encoding="utf-8") for path in (Path(inputs.__file__).parent).glob("*.py"))

READ_FROM_ADDRESS = r'query_\w+\("(\w+)"'
READ_FROM_FORM = r'form_(?:text|id)\("(\w+)"'

WITH_QUERY = (
    *("/users", "/users/add", "/groups", "/groups/9", "/groups/add", "/groups/9/transfer", "/departments/add"),
    *("/messages", "/messages/people/1", "/messages/group/9/hide", "/messages/people/1/export.jsonl", "/devices"),
)
"""Pages that read something from their address."""

ASKED_WITH_QUERY = {"messages.hide": "?msg_id=1", "messages.unhide": "?msg_id=1"}
"""Pages that say which message they are about in their query."""


@pytest.fixture
def app(admin_app: AdminApp, stack: Stack) -> AdminApp:
    fill(stack)
    return admin_app


def pages_of(app: AdminApp) -> Iterator[tuple[str, str, Permission | None]]:
    """Every page that can be looked at: its endpoint, an address and the permission."""
    with app.app.app_context():
        for rule, path in paths_of(app.app, "GET"):
            if not rule.endpoint.startswith(("assets.", "accounts.", "login.", "imports.show", "imports.refused", "imports.remove_")):
                yield rule.endpoint, path + ASKED_WITH_QUERY.get(rule.endpoint, ""), requirement_of(rule.endpoint).permission


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_shown_in_both_languages(app: AdminApp, language: str) -> None:
    visitor = app.visitor(Role.OWNER, language=language)
    seen = 0
    for endpoint, path, _ in pages_of(app):
        answer = visitor.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, text_of(answer))
        if answer.mimetype == "text/html" and not endpoint.endswith("export"):
            assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in answer.text
            assert not re.search(r"<script(?! src=)|<img|%\((?!x\))\w+\)s|&amp;lt;", answer.text), path
            seen += 1
    assert seen > 25


def test_a_viewer_changes_nothing_whatever_is_sent(app: AdminApp, stack: Stack) -> None:
    visitor = app.visitor(Role.VIEWER)
    token = visitor.token("/account")
    own = {"login.log_in", "login.log_out", "login.log_out_everywhere", "login.choose_language", "own_account.show"}
    before, asked = stack.snapshot(), 0
    for rule, path in paths_of(app.app, "POST"):
        if rule.endpoint not in own:
            form = {"csrf_token": token, "name": "x", "msg_id": "1", "user": "2", "users": "3", "confirmed": "1", "how": "generated"}
            answer = visitor.post_without_token(path, form)
            assert answer.status_code == 403, path
            asked += 1
    assert asked > 25
    assert stack.snapshot() == before


def test_an_operator_without_the_token_of_a_form_changes_nothing(app: AdminApp, stack: Stack) -> None:
    visitor = app.visitor(Role.OWNER)
    before = stack.snapshot()
    for _, path in paths_of(app.app, "POST"):
        answer = visitor.post_without_token(path, {"name": "x", "msg_id": "1", "user": "2", "users": "3", "confirmed": "1"})
        assert answer.status_code == 400, path
    assert stack.snapshot() == before


def test_a_viewer_has_no_links_to_what_is_forbidden(app: AdminApp) -> None:
    visitor = app.visitor(Role.VIEWER)
    for _, path, permission in pages_of(app):
        if permission in (Permission.VIEW, Permission.SIGNED_IN):
            page = visitor.get(path, follow_redirects=True).text
            for address in re.findall(r'href="(/[^"]*)"', page):
                assert visitor.get(address.replace("&amp;", "&")).status_code in (200, 303), (path, address)


def test_a_page_for_looking_changes_nothing(app: AdminApp, stack: Stack) -> None:
    visitor = app.visitor(Role.OWNER)
    before = stack.snapshot()
    for _, path, _ in pages_of(app):
        visitor.get(path)
    assert stack.snapshot() == before


@pytest.mark.parametrize(
    "address", ["/users", "/groups", "/departments", "/messages/people/1", "/messages/group/9", "/groups/9", "/devices"]
)
def test_hostile_texts_are_shown_and_do_nothing(app: AdminApp, address: str) -> None:
    answer = app.visitor(Role.OWNER).get(address)
    assert answer.status_code == 200
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", answer.text)
    if address.startswith("/messages/"):
        said = text_of(answer)
        for text in HOSTILE[:3]:
            assert re.sub(r"\s+", " ", text) in said


def test_where_reading_is_off_nobody_gets_a_conversation_or_a_link_to_one(stack: Stack, tmp_path: Path) -> None:
    fill(stack)
    with AdminApp(stack, tmp_path, AdminReadMessages="off") as app:
        assert app.site.backends.wait(30)
        visitor = app.visitor(Role.OWNER)
        for path in (
            "/messages",
            "/messages/people/1",
            "/messages/group/9",
            "/messages/group/9/export.html",
            "/messages/group/9/hide?msg_id=1",
        ):
            answer = visitor.get(path)
            assert answer.status_code == 403, path
            assert "AdminReadMessages" in text_of(answer)
            assert "good morning" not in answer.text
        for _, path, permission in pages_of(app):
            if permission is not Permission.READ:
                assert 'href="/messages' not in visitor.get(path, follow_redirects=True).text, path


NONSENSE = (SCRIPT + QUOTES, CONTROL, "\x00", "-1", "4294967295", "4294967296", "9" * 40, "１２", "x" * 3000)


@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
def test_no_page_fails_whatever_is_sent(app: AdminApp, text: str) -> None:
    """What is refused is refused with 4xx; nothing is a defect, and nothing asks the database for what it cannot do."""
    visitor = app.visitor(Role.OWNER)
    token = visitor.token("/account")
    asked, sent = (sorted(set(re.findall(pattern, SOURCE))) for pattern in (READ_FROM_ADDRESS, READ_FROM_FORM))
    assert {"text", "department", "creator", "msg_id"} <= set(asked)
    assert {"made_with", "move_users_to", "before", "day"} <= set(sent)
    for path in WITH_QUERY:
        for name in [*asked, "after", "user", "peer", "group", "since", "until"]:
            answer = visitor.get(path, query_string={name: text})
            assert answer.status_code < 500, (path, name, text_of(answer))
    form = dict.fromkeys([*sent, *LABELS, "user", "users", "name", "members"], text)
    for rule, path in paths_of(app.app, "POST"):
        if not rule.endpoint.startswith(("login.", "accounts.", "own_account.")):
            answer = visitor.post_without_token(path, {**form, "csrf_token": token, "confirmed": "1"})
            assert answer.status_code < 500, (path, text_of(answer))


def test_bytes_that_are_no_text_are_no_defect(app: AdminApp) -> None:
    visitor = app.visitor(Role.OWNER)
    for path in WITH_QUERY:
        assert visitor.get(f"{path}?text=%ED%A0%80%FF&user=%FF&creator=%FE&status=%FF").status_code < 500


def ask_all(visitor: Visitor, paths: list[str]) -> set[int]:
    return {visitor.get(path).status_code for path in paths}


@pytest.mark.watchdog(240)
def test_pages_say_that_mysql_or_redis_is_gone_and_come_back(app: AdminApp, stack: Stack) -> None:
    visitor = app.visitor(Role.OWNER, language="zh")
    paths = ["/users", "/users/1", "/departments", "/groups", "/groups/9", "/messages/people/1"]
    assert ask_all(visitor, paths) == {200}
    stack.mariadb.kill()
    answer = visitor.get("/users")
    assert answer.status_code == 503
    assert "MySQL" in text_of(answer)
    assert ask_all(visitor, paths) == {503}
    assert visitor.post("/users/1/disable", form="/account").status_code == 503
    assert visitor.get("/account").status_code == 200  # what needs no backend goes on
    stack.mariadb.start()
    assert eventually(lambda: ask_all(visitor, paths), {200}, 60) == {200}
    stack.redis_server.kill()
    assert visitor.get("/devices").status_code == 503
    assert visitor.get("/users").status_code == 200  # it needs no Redis
    stack.redis_server.start()
    assert eventually(lambda: ask_all(visitor, ["/devices"]), {200}, 60) == {200}
    assert stack.rows("select status from IMUser where id=1") == [{"status": 0}]
