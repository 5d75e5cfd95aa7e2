"""dbproxy-admin and http_msg_server: changes of members go through it where it is configured, and every way in which it fails is clear."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from administering import administration_of, recorded_by
from small_http_msg_server import SmallHttpMsgServer, recorded_answer

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.groups.groups import Groups
from dbproxy.admin.groups.http_msg_server import HttpMsgServer, HttpMsgServerError, NoAnswerError
from dbproxy.admin.groups.member_changes import NOTHING, TOLD, WOULD_TELL, MemberChanges
from dbproxy.testing import InProcessProxy, Stack, seed
from dbproxy.testing.process import free_port

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]})]


@pytest.fixture
def server(dbproxy_proxy: InProcessProxy) -> Iterator[SmallHttpMsgServer]:
    with SmallHttpMsgServer((dbproxy_proxy.host, dbproxy_proxy.port)) as server:
        yield server


@pytest.fixture
def administration(stack: Stack, server: SmallHttpMsgServer) -> Iterator[Administration]:
    with administration_of(stack, {"HttpMsgServer": server.url}) as administration:
        yield administration


@pytest.fixture
def groups(administration: Administration) -> Groups:
    return Groups(administration)


@pytest.fixture
def impatient(administration: Administration, server: SmallHttpMsgServer) -> Groups:
    """Waits half a second for an answer."""
    administration.installation.http_msg_server = HttpMsgServer(server.url + "/", timeout=0.5)
    return Groups(administration)


def members(stack: Stack, group_id: int = 9) -> list[int]:
    rows = stack.rows("select userId from IMGroupMember where groupId=%s and status=0 order by userId", (group_id,))
    return [int(str(row["userId"])) for row in rows]


def test_members_are_added_and_removed_through_it(stack: Stack, groups: Groups, server: SmallHttpMsgServer) -> None:
    assert groups.add_members(9, ["dave"], dry_run=True).notice == WOULD_TELL
    assert server.requests == []
    added = groups.add_members(9, ["dave", 1])
    assert (list(added.changed), added.notice, members(stack)) == ([4], TOLD, [1, 2, 3, 4])
    removed = groups.remove_members(9, [2, 3])
    assert (list(removed.changed), removed.notice, members(stack)) == ([2, 3], TOLD, [1, 4])
    common = {"app_key": "", "req_user_id": 0, "group_id": 9}
    assert server.requests == [
        ("/query/ChangeMembers", {**common, "modify_type": 1, "user_id_list": [4]}),
        ("/query/ChangeMembers", {**common, "modify_type": 2, "user_id_list": [2, 3]}),
    ]
    assert groups.add_members(9, [1]).notice == NOTHING
    assert len(server.requests) == 2


def test_a_group_is_created_with_its_creator_and_the_others_are_added_through_it(
    stack: Stack, groups: Groups, server: SmallHttpMsgServer
) -> None:
    change = groups.create("new", 1, [2, 3])
    assert change.group is not None
    assert (change.group.creator, change.group.members, change.notice) == ("alice", 3, TOLD)
    assert [request["user_id_list"] for _, request in server.requests] == [[2, 3]]
    assert stack.rows("select userCnt,creator from IMGroup where id=%s", (change.group.group_id,)) == [{"userCnt": 3, "creator": 1}]
    groups.create("alone", 1, [])
    assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [recorded_answer(10), b"", recorded_answer(0)])
def test_a_group_is_complete_although_it_fails(stack: Stack, groups: Groups, server: SmallHttpMsgServer, answer: bytes) -> None:
    server.makes_change, server.answer = False, answer
    change = groups.create("new", 1, [2, 3])
    assert change.group is not None
    assert members(stack, change.group.group_id) == [1, 2, 3]
    assert "not told" in change.notice
    assert "http_msg_server" in change.notice


def test_the_members_of_a_dismissed_group_are_told(stack: Stack, groups: Groups, server: SmallHttpMsgServer) -> None:
    change = groups.dismiss(9)
    assert (list(change.changed), change.notice, members(stack)) == ([1, 2, 3], TOLD, [])
    assert [(request["modify_type"], request["user_id_list"]) for _, request in server.requests] == [(2, [1, 2, 3])]
    assert stack.rows("select status,userCnt from IMGroup where id=9") == [{"status": 1, "userCnt": 0}]


def test_a_group_without_members_gets_some_although_no_proxy_knows_it(stack: Stack, groups: Groups, server: SmallHttpMsgServer) -> None:
    seed.group(stack, 10, [], creator=1)
    change = groups.add_members(10, [1, 2])
    assert (members(stack, 10), server.requests) == ([1, 2], [])
    assert change.notice.startswith("http_msg_server can do nothing with a group without members: clients that are online are not told")


def test_more_users_than_it_takes_are_changed_without_it(
    stack: Stack, groups: Groups, server: SmallHttpMsgServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbproxy.admin.groups.member_changes.MAX_USERS", 2)
    assert groups.dismiss(9, dry_run=True).notice.startswith("http_msg_server is not used for more than 20,000 users at once: clients")
    assert list(groups.dismiss(9).changed) == [1, 2, 3]
    assert (members(stack), server.requests) == ([], [])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (recorded_answer(10), "error_code 10: it has no connection to a db_proxy_server; nothing has changed"),
        (recorded_answer(1), "error_code 1: it does not take the request; nothing has changed"),
        (recorded_answer(12), "error_code 12: the db_proxy_server refused the change; nothing has changed"),
    ],
)
def test_what_it_refuses_is_not_done_otherwise(
    stack: Stack, groups: Groups, server: SmallHttpMsgServer, administration: Administration, answer: bytes, text: str
) -> None:
    server.makes_change, server.answer = False, answer
    before = stack.snapshot()
    attempts: list[Callable[[], object]] = [
        lambda: groups.add_members(9, [4]),
        lambda: groups.remove_members(9, [2]),
        lambda: groups.dismiss(9),
    ]
    for attempt in attempts:
        with pytest.raises(HttpMsgServerError) as raised:
            attempt()
        assert text in str(raised.value)
        assert server.url in str(raised.value)
    assert stack.snapshot() == before
    assert len(server.requests) == 3
    assert [entry["outcome"].startswith("HttpMsgServerError") for entry in recorded_by(administration)] == [True] * 3


def test_one_that_cannot_be_reached(stack: Stack) -> None:
    before = stack.snapshot()
    text = r"cannot be reached: .*; nothing has changed. With HttpMsgServer=off"
    nowhere = {"HttpMsgServer": f"127.0.0.1:{free_port()}"}
    with administration_of(stack, nowhere) as administration, pytest.raises(HttpMsgServerError, match=text):
        Groups(administration).add_members(9, [4])
    assert stack.snapshot() == before


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nxyz", b"nonsense\r\n\r\n", recorded_answer(0)[:-9]]
)
def test_what_was_done_without_a_clear_answer_is_found_out(stack: Stack, groups: Groups, server: SmallHttpMsgServer, answer: bytes) -> None:
    server.answer = answer
    change = groups.add_members(9, [4])
    assert (list(change.changed), members(stack), len(server.requests)) == ([4], [1, 2, 3, 4], 1)
    assert "but the change is made" in change.notice
    server.makes_change = False
    with pytest.raises(NoAnswerError, match=r"0 of 1 users are no members any more; it may still make the change"):
        groups.remove_members(9, [4])
    assert (members(stack), len(server.requests)) == ([1, 2, 3, 4], 2)


def test_one_that_hangs_is_waited_for_no_longer_than_its_timeout(stack: Stack, impatient: Groups, server: SmallHttpMsgServer) -> None:
    server.makes_change, server.silent = False, True
    began = time.monotonic()
    with pytest.raises(NoAnswerError, match=r"did not answer.*0 of 1 users are members"):
        impatient.add_members(9, [4])
    assert time.monotonic() - began < 20
    assert members(stack) == [1, 2, 3]
    server.makes_change = True
    assert "but the change is made" in impatient.add_members(9, [4]).notice
    assert members(stack) == [1, 2, 3, 4]


def test_one_of_another_installation_is_noticed(stack: Stack, groups: Groups, server: SmallHttpMsgServer) -> None:
    server.makes_change = False
    with pytest.raises(AdminError, match="does it belong to the same installation"):
        groups.add_members(9, [4])
    assert members(stack) == [1, 2, 3]


def test_somebody_who_was_faster_is_no_failure(
    stack: Stack, administration: Administration, groups: Groups, server: SmallHttpMsgServer
) -> None:
    """The members have changed between the check and the request, so the proxy refuses to add nobody."""
    directory = administration.installation.group_directory
    seen = directory.members_among(9, [4])
    administration.installation.group_writer.change_members(0, 9, 1, [4])
    assert seen == set()
    assert MemberChanges(administration.installation).add(9, [4], dry_run=False) == ((), NOTHING)
    assert [request["user_id_list"] for _, request in server.requests] == [[4]]


def test_checks_come_before_the_request(groups: Groups, server: SmallHttpMsgServer) -> None:
    with pytest.raises(RefusedError, match="creator"):
        groups.remove_members(9, [1])
    with pytest.raises(AdminError, match="no user"):
        groups.add_members(9, ["nobody"])
    assert server.requests == []
