"""The overview, and what remains of the web application without MySQL and Redis."""

from __future__ import annotations

import re
import time
from pathlib import Path
from threading import Thread

import pytest
from admin_site import AdminApp, AdminServer, HttpVisitor

from dbproxy.admin.access.roles import Role
from dbproxy.admin.statistics import DayCount, Overview
from dbproxy.admin.web.figures import tables_of
from dbproxy.models.message_statistics import TableSize
from dbproxy.testing import Stack, seed
from dbproxy.testing.waiting import poll

pytestmark = pytest.mark.watchdog(180)

HOSTILE = "<script>alert(1)</script>\u202e'\"&"


def rows(page: str, table: str) -> list[list[str]]:
    """The texts of the cells of a table."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body
    lines = re.findall(r"<tr>(.*?)</tr>", body[1], re.DOTALL)
    return [[re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[dh].*?</t[dh]>", line, re.DOTALL)] for line in lines]


def answer(visitor: HttpVisitor, status: int) -> str:
    """Ask for the overview until its status is this one; return the page."""
    found = poll(lambda: visitor.get("/overview"), lambda page: page.status == status, timeout=60)
    assert found.status == status, found.text
    return found.text


def fill(stack: Stack) -> None:
    seed.users(stack, "alice", "bob", "carol")
    seed.user(stack, 4, "dave", status=3)
    seed.group(stack, 1, [1, 2, 3], name=HOSTILE)
    seed.group(stack, 2, [1, 2], name="small")
    now = int(time.time()) - 60
    seed.messages(stack, 1, 2, ["one", "two"], relate_id=seed.relation(stack, 1, 2), created=now)
    seed.group_messages(stack, 1, 1, ["a", "b", "c"], created=now)


def test_the_overview_has_the_figures_of_the_data(stack: Stack, admin_app: AdminApp) -> None:
    fill(stack)
    page = admin_app.visitor(Role.OWNER).get("/overview").text
    assert re.search(r'id="users-active">3<', page)
    assert "and 1 disabled" in page
    assert re.search(r'id="groups">2<', page)
    assert [line[1] for line in rows(page, "biggest")] == ["3", "2"]
    group, people = rows(page, "conversations")
    assert (group[2], people[2]) == ("3", "2")
    assert {"Alice", "Bob"} <= set(re.findall(r"\w+", people[0]))
    days = rows(page, "days")
    assert len(days) == 30
    assert sum(int(line[1]) for line in days) == 2
    assert sum(int(line[2]) for line in days) == 3
    assert {"IMMessage", "IMGroupMessage", "IMUser", "IMGroup"} <= {line[0] for line in rows(page, "tables")}
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert re.search(r"<dt>(MariaDB|MySQL)</dt><dd>\d+\.", page)
    assert re.search(r"<dt>(Redis|Valkey)</dt><dd>\d+\.", page)


@pytest.mark.parametrize(
    ("role", "setting", "shown"), [(Role.VIEWER, "on", False), (Role.OPERATOR, "on", True), (Role.OWNER, "off", False)]
)
def test_who_writes_to_whom_is_shown_to_those_who_may_read(stack: Stack, tmp_path: Path, role: Role, setting: str, shown: bool) -> None:
    fill(stack)
    with AdminApp(stack, tmp_path, AdminReadMessages=setting) as app:
        assert app.site.backends.wait(30)
        titles = [line[0] for line in rows(app.visitor(role).get("/overview").text, "conversations")]
        assert "Alice" in titles[1] if shown else titles[1] == "two people"


def test_the_overview_of_an_empty_installation(admin_app: AdminApp) -> None:
    page = admin_app.visitor(Role.VIEWER, language="zh").get("/overview").text
    assert "没有群组。" in page
    assert "没有人发过消息。" in page


def test_the_growth_of_tables_follows_from_their_messages() -> None:
    tables = (TableSize("IMMessage_0", 60, 3000, 1000), TableSize("IMMessage_1", 40, 1000, 0), TableSize("IMUser", 5, 100, 100))
    overview = Overview(5, 0, 0, 0, 100, 0, tables)
    days = [DayCount("2026-11-24", 10, 0, False), DayCount("2026-11-25", 30, 0, False), DayCount("2026-11-26", 999, 0, False)]
    assert [(table.name, table.rows, table.size, table.growth) for table in tables_of(overview, days)] == [
        ("IMMessage", 100, 5000, 1000),  # 50 bytes a row, 20 rows a day; today is not over
        ("IMUser", 5, 200, None),
    ]


def test_without_mysql_people_log_in_and_out_and_later_everything_works_again(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    with AdminServer(dbproxy_stack, DBConnectTimeout=1, DBPoolTimeout=1) as server:
        server.account("alice")
        visitor = server.visitor()
        visitor.log_in("alice")
        answer(visitor, 200)
        dbproxy_stack.mariadb.kill()
        lost = answer(visitor, 503)
        assert "This page needs MySQL and Redis" in lost
        assert visitor.get("/account").status == 200
        visitor.post("/logout")
        assert visitor.get("/account").status == 303
        visitor.log_in("alice")
        assert visitor.get("/audit").status == 200
        dbproxy_stack.mariadb.start()
        assert 'id="users-active"' in answer(visitor, 200)


def test_it_starts_without_redis_and_connects_when_it_is_there(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    dbproxy_stack.redis_server.kill()
    try:
        with AdminServer(dbproxy_stack, CacheConnectTimeout=1) as server:
            server.account("alice")
            visitor = server.visitor()
            visitor.log_in("alice")
            assert "Redis instance" in answer(visitor, 503)
            dbproxy_stack.redis_server.start()
            answer(visitor, 200)
    finally:
        dbproxy_stack.reset()


def test_while_mysql_hangs_people_log_in_and_pages_end(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    with AdminServer(dbproxy_stack) as server:
        server.account("alice")
        visitors = [server.visitor() for _ in range(10)]
        for visitor in visitors:
            visitor.log_in("alice")
        answer(visitors[0], 200)
        answers: list[int] = []
        threads = [Thread(target=lambda one=visitor: answers.append(one.get("/users").status)) for visitor in visitors]
        dbproxy_stack.mariadb.freeze()
        try:
            for thread in threads:
                thread.start()
            other = server.visitor()
            assert other.log_in("alice").status == 303
            assert other.get("/account").status == 200
        finally:
            dbproxy_stack.mariadb.thaw()
        for thread in threads:
            thread.join()
        assert len(answers) == len(visitors)
        assert set(answers) <= {200, 503}
        assert visitors[0].get("/users").status == 200
