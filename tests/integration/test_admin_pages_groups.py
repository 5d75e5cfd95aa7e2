"""The pages of groups and of devices, with a proxy running: what they change is what its clients see."""

from __future__ import annotations

import html
import re

import pytest
from admin_pages import EMOJI, SCRIPT, fill, hidden, text_of
from admin_site import AdminApp, Visitor

from dbproxy.admin.access.roles import Role
from dbproxy.audit import audit, open_stores
from dbproxy.config import load_config
from dbproxy.testing import Client, Stack, seed

pytestmark = pytest.mark.watchdog(90)


@pytest.fixture
def operator(dbproxy_client: Client, admin_app: AdminApp, stack: Stack) -> Visitor:
    fill(stack)
    return admin_app.visitor(Role.OPERATOR)


def group(stack: Stack, group_id: int) -> dict[str, object]:
    return stack.rows("select * from IMGroup where id=%s", (group_id,))[0]


def members(stack: Stack, group_id: int) -> list[int]:
    return sorted(int(user) for user in stack.redis("group_member").hkeys(f"group_member_{group_id}"))


def is_clean(stack: Stack) -> bool:
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        return not audit(backends).entries


def test_groups_are_found_by_name_and_id(operator: Visitor) -> None:
    assert re.findall(r'href="/groups/(\d+)"', operator.get("/groups").text) == ["9", "10"]
    assert re.findall(r'href="/groups/(\d+)"', operator.get("/groups?text=<SCRIPT>").text) == ["9"]
    assert re.findall(r'href="/groups/(\d+)"', operator.get("/groups?text=10").text) == ["10"]
    assert "No group fits." in operator.get("/groups?status=dismissed").text


def test_members_are_paged(operator: Visitor, stack: Stack) -> None:
    seed.group(stack, 11, range(1000, 1150))
    page = operator.get("/groups/11").text
    assert len(re.findall(r'name="user" value="\d+"', page)) == 100
    following = html.unescape(re.findall(r'rel="next" href="([^"]+)"', page)[0])
    assert len(re.findall(r'name="user" value="\d+"', operator.get(following).text)) == 50


def test_a_group_is_created_with_members_by_id_and_name(operator: Visitor, stack: Stack) -> None:
    form = {"name": f"new {EMOJI}", "kind": "normal", "creator": "alice", "members": "bob, 3\n3；2", "avatar": ""}
    answer = operator.post("/groups/add", form)
    assert re.fullmatch(r"/groups/\d+", answer.location)
    group_id = int(answer.location.rpartition("/")[2])
    assert (group(stack, group_id)["name"], group(stack, group_id)["creator"]) == (f"new {EMOJI}", 1)
    assert members(stack, group_id) == [1, 2, 3]
    said = text_of(operator.get(answer.location))
    assert "was created." in said
    assert is_clean(stack)


def test_a_group_of_one_is_created_without_further_members(operator: Visitor, stack: Stack) -> None:
    answer = operator.post("/groups/add", {"name": "alone", "kind": "temporary", "creator": "2", "members": "", "avatar": ""})
    group_id = int(answer.location.rpartition("/")[2])
    assert (members(stack, group_id), group(stack, group_id)["type"]) == ([2], 2)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"creator": "nobody"}, "there is no user with this id or login name: 'nobody'"),
        ({"members": "2 4711"}, "there is no user with this id or login name: '4711'"),
        ({"name": " "}, "is empty"),
        ({"kind": "secret"}, "the kind is 'secret'"),
    ],
)
def test_what_is_not_accepted_is_said_and_creates_nothing(operator: Visitor, stack: Stack, form: dict[str, str], said: str) -> None:
    before = stack.snapshot()
    answer = operator.post("/groups/add", {"name": "new", "kind": "normal", "creator": "1", "members": "2", "avatar": ""} | form)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert stack.snapshot() == before


def test_members_are_added_and_the_notice_is_shown(operator: Visitor, stack: Stack) -> None:
    assert operator.post("/groups/10/members/add", {"users": "alice"}).status_code == 303
    assert members(stack, 10) == [1, 2, 3]
    said = text_of(operator.get("/groups/10"))
    assert "1 user was added to the group." in said
    assert "online" in said  # whether clients were told
    refused = operator.post("/groups/10/members/add", {"users": "alice nobody"})
    assert (refused.status_code, ">\nalice nobody</textarea>" in refused.text) == (400, True)


def test_members_are_removed_after_a_question(operator: Visitor, stack: Stack) -> None:
    asked = operator.post("/groups/9/members/remove", {"user": ["2", "3"]}, form="/groups/9")
    assert asked.status_code == 200
    assert "They can neither read nor write in the group from then on: 2, 3" in text_of(asked)
    assert members(stack, 9) == list(range(1, 9))
    done = operator.post("/groups/9/members/remove", {"user": ["2", "3"], "confirmed": "1"}, form="/groups/9")
    assert done.location == "/groups/9"
    assert members(stack, 9) == [1, *range(4, 9)]
    assert is_clean(stack)


def test_the_creator_is_removed_only_after_a_transfer(operator: Visitor, stack: Stack) -> None:
    refused = operator.post("/groups/9/members/remove", {"user": ["1"]}, form="/groups/9")
    assert refused.status_code == 400
    assert "transfer the group first" in text_of(refused)
    made_with = hidden(operator, "/groups/9/transfer")
    assert operator.post("/groups/9/transfer", made_with | {"user": "4711"}).status_code == 400
    assert operator.post("/groups/9/transfer", made_with | {"user": "bob"}).status_code == 303
    assert group(stack, 9)["creator"] == 2
    assert operator.post("/groups/9/members/remove", {"user": ["1"], "confirmed": "1"}, form="/groups/9").status_code == 303
    assert 1 not in members(stack, 9)


def test_nobody_ticked_is_said(operator: Visitor) -> None:
    answer = operator.post("/groups/9/members/remove", {}, form="/groups/9")
    assert (answer.status_code, "no users are given" in text_of(answer)) == (400, True)


def test_of_two_operators_the_second_is_shown_the_name_of_the_first(operator: Visitor, stack: Stack) -> None:
    first, second = hidden(operator, "/groups/9/rename"), hidden(operator, "/groups/9/rename")
    assert operator.post("/groups/9/rename", first | {"name": "Chess"}).status_code == 303
    conflict = operator.post("/groups/9/rename", second | {"name": "Go"})
    assert conflict.status_code == 409
    said = text_of(conflict)
    assert "Somebody else has changed this group" in said
    assert "Stored now Name Chess" in said
    assert group(stack, 9)["name"] == "Chess"
    assert (
        operator.post(
            "/groups/9/rename", {"made_with": re.findall(r'"made_with" value="(\w+)"', conflict.text)[0], "name": "Go"}
        ).status_code
        == 303
    )
    assert group(stack, 9)["name"] == "Go"


def test_a_group_is_dismissed_after_a_question_and_then_only_shown(operator: Visitor, stack: Stack) -> None:
    assert "8 members are removed, for good." in text_of(operator.get("/groups/9/dismiss"))
    assert group(stack, 9)["status"] == 0
    assert operator.post("/groups/9/dismiss", {}, form="/groups/9").status_code == 200  # without having read the question
    assert group(stack, 9)["status"] == 0
    assert operator.post("/groups/9/dismiss", {"confirmed": "1"}).location == "/groups/9"
    assert (group(stack, 9)["status"], members(stack, 9)) == (1, [])
    page = operator.get("/groups/9").text
    assert "/groups/9/rename" not in page
    assert SCRIPT[:20] in html.unescape(page)
    assert operator.get("/groups/9/dismiss").status_code == 400
    assert is_clean(stack)


def test_a_phone_is_forgotten_after_a_question(operator: Visitor, stack: Stack) -> None:
    page = text_of(operator.get("/devices"))
    assert "1 alice Android 01234567… Forget" in page
    assert "0123456789abcdef" not in page
    assert "Forget the device of alice?" in text_of(operator.get("/devices/1/forget"))
    assert stack.redis("token").get("device_1") is not None
    assert operator.post("/devices/1/forget").location == "/devices"
    assert stack.redis("token").get("device_1") is None
    assert operator.get("/devices/1/forget").status_code == 404
