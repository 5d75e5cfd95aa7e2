"""The pages of conversations: found, read, searched, exported, and messages hidden."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest
from admin_pages import EMOJI, HOSTILE, RIGHT_TO_LEFT, SCRIPT, fill, text_of
from admin_site import AdminApp, Visitor

from dbproxy.admin.access.roles import Role
from dbproxy.testing import Stack, seed

DAY = 86400


@pytest.fixture
def operator(admin_app: AdminApp, stack: Stack) -> Visitor:
    fill(stack)
    return admin_app.visitor(Role.OPERATOR)


def recorded(app: AdminApp, action: str) -> list[dict[str, Any]]:
    return [entry for entry in app.log.newest(100)[0] if entry["action"] == action]


def shown(page: str) -> list[int]:
    """The numbers of the messages of a page, in their order."""
    return [int(number) for number in re.findall(r"No\. (\d+)", page)]


@pytest.mark.parametrize(
    ("query", "location"),
    [
        ("user=alice&peer=bob", "/messages/people/1"),
        ("user=2&peer=alice", "/messages/people/1"),
        ("group=9", "/messages/group/9"),
    ],
)
def test_a_conversation_is_found_by_its_people_or_its_group(operator: Visitor, query: str, location: str) -> None:
    assert operator.get(f"/messages?{query}").location == location


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("user=alice&peer=nobody", "there is no user with this id or login name: 'nobody'"),
        ("user=alice&peer=", "there is no user with this id or login name: ''"),
        ("user=alice&peer=carol", "have no conversation"),
        ("user=alice&peer=1", "are the same user"),
        ("group=77", "there is no group 77"),
        ("group=abc", "0 is no group id"),
    ],
)
def test_what_is_not_found_is_said_above_the_form(operator: Visitor, query: str, said: str) -> None:
    answer = operator.get(f"/messages?{query}")
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert "Used last" in answer.text


def test_messages_are_shown_newest_first_and_reading_is_recorded(operator: Visitor, admin_app: AdminApp) -> None:
    page = operator.get("/messages/group/9").text
    assert shown(page) == [6, 5, 4, 3, 2, 1]
    said = text_of(operator.get("/messages/people/1"))
    assert "hello bob" in said
    assert EMOJI in said
    (entry, *_) = recorded(admin_app, "messages.read")
    assert (entry["actor"], entry["target"], entry["details"]["messages"]) == ("operator", "users 1 and 2", 6)
    assert "hello" not in admin_app.log.path.read_text(encoding="utf-8")


def test_a_long_conversation_is_paged(operator: Visitor, stack: Stack) -> None:
    relation = seed.relation(stack, 2, 3)
    seed.messages(stack, 2, 3, [f"text {number}" for number in range(1, 121)], relate_id=relation)
    seen: list[int] = []
    address = f"/messages/people/{relation}"
    for _ in range(5):
        page = operator.get(address).text
        seen += shown(page)
        following = re.findall(r'rel="next" href="([^"]+)"', page)
        if not following:
            break
        address = html.unescape(following[0])
    assert seen == list(range(120, 0, -1))


def test_a_text_is_found_whatever_its_case_and_pages_keep_it(operator: Visitor, stack: Stack, admin_app: AdminApp) -> None:
    relation = seed.relation(stack, 2, 3)
    seed.messages(stack, 2, 3, ["50% of ÄPFEL & pears" if number % 2 else "none" for number in range(120)], relate_id=relation)
    page = operator.get(f"/messages/people/{relation}", query_string={"text": "% of äpfel & P"}).text
    assert len(shown(page)) == 50
    following = html.unescape(re.findall(r'rel="next" href="([^"]+)"', page)[0])
    assert len(shown(operator.get(following).text)) == 10
    assert "apfel" not in admin_app.log.path.read_text(encoding="utf-8").casefold().replace("ä", "a")
    assert "No message fits." in operator.get(f"/messages/people/{relation}?text=cherries").text


def test_a_span_of_days_includes_both(operator: Visitor, stack: Stack) -> None:
    relation = seed.relation(stack, 2, 3)
    for number, created in enumerate((seed.T0 - DAY, seed.T0, seed.T0 + DAY), 1):
        seed.messages(stack, 2, 3, [f"day {number}"], relate_id=relation, first_msg_id=number, created=created)
    rows = stack.rows("select from_unixtime(%s, '%%Y-%%m-%%d') as day", (seed.T0,))
    day = rows[0]["day"]  # the database and this process have the same time zone
    assert shown(operator.get(f"/messages/people/{relation}?since={day}&until={day}").text) == [2]
    assert shown(operator.get(f"/messages/people/{relation}?since={day}").text) == [3, 2]
    assert shown(operator.get(f"/messages/people/{relation}?until={day}").text) == [2, 1]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "9999-12-31", "0001-01-01"])
def test_a_day_that_is_none_is_said(operator: Visitor, day: str) -> None:
    answer = operator.get(f"/messages/people/1?until={day}")
    assert answer.status_code in (200, 400)
    assert (answer.status_code == 400) == (f"the last day is '{day}'" in text_of(answer))
    if day in ("yesterday", "2026-13-01", "2026-02-30"):
        assert answer.status_code == 400


def test_an_export_is_complete_and_recorded(operator: Visitor, admin_app: AdminApp) -> None:
    answer = operator.get("/messages/people/1/export.jsonl")
    assert answer.headers["Content-Disposition"] == "attachment; filename=people-1.jsonl"
    assert [json.loads(line)["content"] for line in answer.data.decode().splitlines()] == ["hello bob", *HOSTILE]
    page = operator.get("/messages/group/9/export.html")
    assert page.headers["Content-Disposition"] == "attachment; filename=group-9.html"
    assert "<script" not in page.text
    assert SCRIPT in html.unescape(page.text)
    assert RIGHT_TO_LEFT in page.text
    assert [entry["details"]["messages"] for entry in recorded(admin_app, "messages.export")] == [6, 6]


def test_a_message_is_hidden_after_a_question_and_shown_again(operator: Visitor, stack: Stack) -> None:
    asked = text_of(operator.get("/messages/people/1/hide?msg_id=3"))
    assert "Hide message 3?" in asked
    assert "whoever has the message still sees it" in asked
    status = "select status from IMMessage_1 where msgId=3"
    assert stack.rows(status) == [{"status": 0}]
    assert operator.post("/messages/people/1/hide", {"msg_id": "3"}).location == "/messages/people/1"
    assert stack.rows(status) == [{"status": 1}]
    assert "hidden from clients" in operator.get("/messages/people/1").text
    operator.post("/messages/people/1/unhide", {"msg_id": "3"})
    assert stack.rows(status) == [{"status": 0}]


@pytest.mark.parametrize(
    "address",
    ["/messages/people/77", "/messages/group/77", "/messages/people/1/hide?msg_id=77", "/messages/people/1/hide", "/messages/other/1"],
)
def test_what_does_not_exist_is_not_found(operator: Visitor, address: str) -> None:
    assert operator.get(address).status_code == 404


def test_a_conversation_that_is_split_says_so(operator: Visitor, stack: Stack) -> None:
    other = seed.relation(stack, 1, 2)
    seed.messages(stack, 2, 1, ["lost"], relate_id=other)
    said = operator.get("/messages?user=1&peer=2", follow_redirects=True)
    assert "dbproxy-audit --merge mends that" in text_of(said)
    links = re.findall(r'href="/messages/people/(\d+)"', said.text)
    assert len(links) == 1
    parts = {text_of(operator.get(f"/messages/people/{number}")).count("lost") for number in (1, other)}
    assert parts == {0, 1}
