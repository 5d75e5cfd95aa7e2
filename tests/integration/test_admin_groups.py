"""dbproxy-admin: groups are listed, created and changed as a proxy does it, while one is running; its clients see it at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from administering import administration_of, recorded_by

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.groups.groups import Groups
from dbproxy.admin.groups.member_changes import NOTHING
from dbproxy.audit import audit, open_stores
from dbproxy.config import load_config
from dbproxy.models.group_writer import MAX_MEMBERS
from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2

pytestmark = [
    pytest.mark.watchdog(90),
    pytest.mark.usefixtures("dbproxy_client"),
    pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]}),
]

Unanswered = Callable[[Client, message_pb2.IMMsgData], None]


@pytest.fixture
def groups(administration: Administration) -> Groups:
    return Groups(administration)


def findings(stack: Stack) -> list[str]:
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        return [f"{entry.finding.kind}: {entry.finding.where}: {entry.finding.what}" for entry in audit(backends).entries]


@pytest.fixture(autouse=True)
def clean_afterwards(stack: Stack) -> Iterator[None]:
    """Whatever a test does, dbproxy-audit finds nothing afterwards."""
    yield
    assert findings(stack) == []


def row(stack: Stack, group_id: int = 9) -> dict[str, object]:
    return stack.rows("select * from IMGroup where id=%s", (group_id,))[0]


def sessions(stack: Stack, group_id: int) -> int:
    return len(stack.rows("select id from IMRecentSession where peerId=%s and type=2", (group_id,)))


def infos(client: Client, group_id: int, version: int = 0) -> list[tuple[int, int, str, int, list[int]]]:
    reply = client.group_info({group_id: version})
    return [(g.group_id, g.version, g.group_name, g.group_creator_id, list(g.group_member_list)) for g in reply.group_info_list]


def message(user_id: int, group_id: int) -> message_pb2.IMMsgData:
    return message_pb2.IMMsgData(
        from_user_id=user_id,
        to_session_id=group_id,
        msg_id=0,
        create_time=int(time.time()),
        msg_type=base.MSG_TYPE_GROUP_TEXT,
        msg_data=b"hello",
    )


def test_a_created_group_is_used_at_once(dbproxy_client: Client, stack: Stack, groups: Groups, administration: Administration) -> None:
    change = groups.create("开发组 😀", "dave", ["alice", "2"], avatar="http://a/b.png")
    assert change.group is not None
    group_id = change.group.group_id
    assert (list(change.changed), change.group.members, change.group.creator, change.group.kind) == ([1, 2, 4], 3, "dave", "normal")
    assert "not told" in change.notice
    assert infos(dbproxy_client, group_id) == [(group_id, 1, "开发组 😀", 4, [1, 2, 4])]
    assert [entry.group_id for entry in dbproxy_client.normal_groups(4).group_version_list] == [group_id]
    assert dbproxy_client.send_group_message(1, group_id, "hello").msg_id == 1
    assert (row(stack, group_id)["userCnt"], row(stack, group_id)["status"]) == (3, 0)
    (entry,) = recorded_by(administration)
    assert (entry["action"], entry["outcome"], entry["details"]["group"], entry["details"]["members"]) == (
        *("groups.create", "ok", group_id),
        [1, 2, 4],
    )


def test_a_temporary_group_with_its_creator_only(groups: Groups) -> None:
    change = groups.create("talk", 1, [], "temporary")
    assert change.group is not None
    assert (change.group.kind, change.group.members) == ("temporary", 1)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("", 1, [2]), RefusedError, "the name is empty; it needs 1 to 256 characters"),
        (("x" * 257, 1, [2]), RefusedError, "has 257 characters; at most 256 are accepted"),
        (("a\nb", 1, [2]), RefusedError, "control character"),
        (("a", 1, [2], "secret"), RefusedError, "the kind is 'secret'; accepted are normal, temporary"),
        (("a", 1, [2], "normal", "x" * 257), RefusedError, "the avatar"),
        (("a", "nobody", [2]), NotFoundError, "there is no user with this id or login name: 'nobody'"),
        (("a", 1, [2, 77, "eve", *range(100, 120)]), NotFoundError, "77, 'eve', 100"),
        (("a", 1, [2**40, "9" * 5000, "\udcff"]), NotFoundError, str(2**40)),
        (("a", 1, ["9" * 5000, "\udcff"]), NotFoundError, "99…', '?'"),
        (("a", 1, ["gone"]), RefusedError, "users who may not log in are not accepted: 5 (gone)"),
        (("a", "gone", [1]), RefusedError, "may not log in"),
        (("a", 1, ["twin"]), RefusedError, "several users have this login name or id; say id:ID or name:NAME: 'twin' (6 and 7)"),
        (("a", 1, range(1, MAX_MEMBERS + 2)), RefusedError, "more than 100000 users"),
    ],
)
def test_a_group_that_cannot_be_created_changes_nothing(
    stack: Stack, groups: Groups, arguments: tuple[str, int, Sequence[int]], error: type[Exception], text: str
) -> None:
    seed.user(stack, 5, "gone", status=3)
    seed.user(stack, 6, "twin")
    seed.user(stack, 7, "twin")
    before = stack.snapshot()
    with pytest.raises(error) as raised:
        groups.create(*arguments)
    assert text in str(raised.value)
    assert stack.snapshot() == before


def test_a_text_of_digits_is_an_id_or_else_a_login_name(stack: Stack, groups: Groups) -> None:
    seed.user(stack, 5, "13800001111")
    seed.user(stack, 6, "1")
    change = groups.create("a", 2, ["13800001111", "3"])
    assert list(change.changed) == [2, 3, 5]
    with pytest.raises(RefusedError, match=r"'1' \(1 and 6\)"):
        groups.create("b", 2, ["1"])
    assert list(groups.create("b", 2, ["id:1"]).changed) == [1, 2]
    assert list(groups.create("c", 2, ["name:1"]).changed) == [2, 6]


def test_an_added_member_reads_and_writes_at_once(dbproxy_client: Client, stack: Stack, groups: Groups) -> None:
    dbproxy_client.send_group_message(1, 9, "before")
    change = groups.add_members(9, ["dave", 1])
    assert (list(change.changed), change.group and change.group.members) == ([4], 4)
    assert dbproxy_client.send_group_message(4, 9, "hello").msg_id == 2
    assert infos(dbproxy_client, 9, 1) == [(9, 2, "group 9", 1, [1, 2, 3, 4])]
    assert (row(stack)["userCnt"], row(stack)["version"]) == (4, 2)
    assert dbproxy_client.unread(4).total_cnt == 0
    assert (groups.add_members(9, [4]).changed, groups.add_members(9, [4]).notice) == ((), NOTHING)
    assert row(stack)["version"] == 2


def test_a_removed_member_is_out_at_once(dbproxy_client: Client, stack: Stack, groups: Groups, unanswered: Unanswered) -> None:
    assert dbproxy_client.send_group_message(2, 9, "hello").msg_id == 1
    assert [s.session_id for s in dbproxy_client.recent_sessions(2).contact_session_list] == [9]
    change = groups.remove_members(9, ["bob", "dave"])
    assert list(change.changed) == [2]
    unanswered(dbproxy_client, message(2, 9))
    assert list(dbproxy_client.messages(2, 9, base.SESSION_TYPE_GROUP).msg_list) == []
    assert list(dbproxy_client.recent_sessions(2).contact_session_list) == []
    assert list(dbproxy_client.normal_groups(2).group_version_list) == []
    assert infos(dbproxy_client, 9, 1) == [(9, 2, "group 9", 1, [1, 3])]
    assert row(stack)["userCnt"] == 2
    assert (groups.remove_members(9, [2]).changed, groups.remove_members(9, [4]).notice) == ((), NOTHING)


def test_members_without_a_user_can_be_removed(stack: Stack, groups: Groups) -> None:
    stack.rows("delete from IMUser where id=3")
    assert [(member.user_id, member.name) for member in groups.members(9).entries] == [(1, "alice"), (2, "bob"), (3, "")]
    assert list(groups.remove_members(9, ["3"]).changed) == [3]
    with pytest.raises(NotFoundError, match="'3'"):
        groups.remove_members(9, ["3"])


def test_the_creator_stays_until_the_group_is_transferred(dbproxy_client: Client, stack: Stack, groups: Groups) -> None:
    with pytest.raises(RefusedError, match="user 1 is the creator of group 9"):
        groups.remove_members(9, [1, 2])
    assert groups.transfer(9, "bob").changed == (2,)
    assert infos(dbproxy_client, 9, 1) == [(9, 2, "group 9", 2, [1, 2, 3])]
    assert int(str(row(stack)["updated"])) >= int(time.time()) - 60
    assert list(groups.remove_members(9, [1]).changed) == [1]
    assert dbproxy_client.remove_members(1, 9, [3]).result_code == 1
    assert dbproxy_client.remove_members(2, 9, [3]).result_code == 0


@pytest.mark.parametrize(("user", "error"), [("dave", "only a member"), ("eve", "no user"), (5, "may not log in")])
def test_only_a_member_who_may_log_in_becomes_creator(stack: Stack, groups: Groups, user: str | int, error: str) -> None:
    seed.user(stack, 5, "gone", status=3)
    before = row(stack)
    with pytest.raises((RefusedError, NotFoundError), match=error):
        groups.transfer(9, user)
    assert row(stack) == before


def test_the_last_members_are_not_removed_but_dismissed(stack: Stack, groups: Groups) -> None:
    seed.group(stack, 10, [2], creator=1)
    with pytest.raises(RefusedError, match="dismiss it instead"):
        groups.remove_members(10, [2])


def test_a_renamed_group_is_newer_for_clients(dbproxy_client: Client, stack: Stack, groups: Groups) -> None:
    change = groups.rename(9, "新名字")
    assert (change.group and change.group.name, change.group and change.group.version) == ("新名字", 2)
    assert infos(dbproxy_client, 9, 1) == [(9, 2, "新名字", 1, [1, 2, 3])]
    assert infos(dbproxy_client, 9, 2) == []
    assert row(stack)["userCnt"] == 3
    for name, error in (("", "empty"), ("x" * 257, "at most 256"), ("a\x00b", "control character")):
        with pytest.raises(RefusedError, match=error):
            groups.rename(9, name)
    assert row(stack)["version"] == 2


def test_a_dismissed_group_is_gone_for_everybody_but_its_messages_stay(
    dbproxy_client: Client, stack: Stack, groups: Groups, unanswered: Unanswered
) -> None:
    for user in (1, 2, 3):
        assert dbproxy_client.send_group_message(user, 9, "hello").msg_id == user
    change = groups.dismiss(9)
    assert (list(change.changed), change.group and change.group.status) == ([1, 2, 3], "dismissed")
    stored = row(stack)
    assert (stored["status"], stored["userCnt"], stored["version"]) == (1, 0, 2)
    with stack.redis("group_member") as redis:
        assert redis.exists("group_member_9") == 0
    for user in (1, 2, 3):
        unanswered(dbproxy_client, message(user, 9))
        assert list(dbproxy_client.messages(user, 9, base.SESSION_TYPE_GROUP).msg_list) == []
        assert list(dbproxy_client.recent_sessions(user).contact_session_list) == []
        assert list(dbproxy_client.normal_groups(user).group_version_list) == []
    assert infos(dbproxy_client, 9) == []
    assert len(stack.rows("select id from IMGroupMessage_1 where groupId=9 and status=0")) == 3
    attempts: list[Callable[[], object]] = [
        lambda: groups.dismiss(9),
        lambda: groups.add_members(9, [4]),
        lambda: groups.remove_members(9, [4]),
        lambda: groups.rename(9, "x"),
        lambda: groups.transfer(9, 1),
    ]
    for attempt in attempts:
        with pytest.raises(RefusedError, match="group 9 is dismissed"):
            attempt()
    assert groups.get(9).messages == 3


@pytest.mark.dbproxy(SyncInterval=0.2)
def test_the_session_sync_leaves_a_dismissed_group_alone(dbproxy_client: Client, stack: Stack, groups: Groups) -> None:
    assert dbproxy_client.send_group_message(1, 9, "hello").msg_id == 1
    assert eventually(lambda: sessions(stack, 9), 3) == 3
    groups.dismiss(9)
    before = stack.rows("select * from IMRecentSession order by id")
    assert {entry["status"] for entry in before} == {1}
    stack.rows("update IMGroup set lastChated=lastChated+1 where id=9")
    seed.group(stack, 10, [1, 2], lastChated=int(time.time()))
    assert eventually(lambda: sessions(stack, 10), 2) == 2
    assert stack.rows("select * from IMRecentSession where peerId=9 order by id") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda groups: groups.create("x", 1, [2], dry_run=True),
        lambda groups: groups.rename(9, "x", dry_run=True),
        lambda groups: groups.transfer(9, 2, dry_run=True),
        lambda groups: groups.add_members(9, [4], dry_run=True),
        lambda groups: groups.remove_members(9, [2], dry_run=True),
        lambda groups: groups.dismiss(9, dry_run=True),
    ],
)
def test_a_dry_run_changes_nothing(
    stack: Stack, groups: Groups, administration: Administration, change: Callable[[Groups], object]
) -> None:
    before = stack.snapshot()
    assert change(groups)
    assert stack.snapshot() == before
    assert recorded_by(administration) == []


def test_what_a_dry_run_says(groups: Groups) -> None:
    assert groups.add_members(9, [4, 1], dry_run=True).changed == [4]
    assert groups.remove_members(9, [4, 2], dry_run=True).changed == [2]
    assert groups.dismiss(9, dry_run=True).changed == [1, 2, 3]
    assert groups.create("x", 1, [2], dry_run=True).group is None
    with pytest.raises(RefusedError, match="empty"):
        groups.rename(9, " ", dry_run=True)


def test_groups_are_found_by_parts_of_their_names_page_by_page(stack: Stack, groups: Groups) -> None:
    for number, name in enumerate(["Team A", "team b", "100%", "a_b", "小组", "😀", "😁"], 20):
        seed.group(stack, number, [1, 2] if number % 2 else [1], name=name)
    groups.dismiss(21)

    def found(*arguments: object, **more: object) -> list[int]:
        return [group.group_id for group in groups.find(*arguments, **more).entries]  # type: ignore[arg-type]

    assert (found("TEAM"), found("%"), found("_"), found("小"), found("😁"), found("25")) == ([20, 21], [22], [23], [24], [26], [25])
    assert (found("team", "active"), found("", "dismissed")) == ([20], [21])
    seen: list[int] = []
    after: int | None = None
    while True:
        page = groups.find(after=after, limit=3)
        seen += [group.group_id for group in page.entries]
        after = page.following
        if after is None:
            break
    assert seen == [9, *range(20, 27)]
    (found_row,) = groups.find("a_b").entries
    assert (found_row.creator, found_row.members, found_row.status, found_row.created) == ("alice", 2, "active", seed.T0)
    with pytest.raises(RefusedError, match="accepted are active, dismissed"):
        groups.find("", "x")
    with pytest.raises(RefusedError, match="1 to 500"):
        groups.find(limit=501)


def test_members_are_listed_page_by_page_each_once(stack: Stack, groups: Groups) -> None:
    seed.insert(stack, "IMGroupMember", [{"groupId": 9, "userId": 2, "status": 0, "created": 1, "updated": seed.T0}])
    first = groups.members(9, limit=2)
    assert [(member.user_id, member.nick, member.joined) for member in first.entries] == [(1, "Alice", seed.T0), (2, "Bob", seed.T0)]
    rest = groups.members(9, after=first.following, limit=2)
    assert ([member.user_id for member in rest.entries], rest.following) == ([3], None)
    with pytest.raises(NotFoundError, match="there is no group 77"):
        groups.members(77)


def test_two_operators_change_the_same_group_at_once(dbproxy_client: Client, stack: Stack) -> None:
    seed.users(stack, *(f"u{number}" for number in range(20, 60)), first_id=20)

    def work(mine: Sequence[int], others: Sequence[int]) -> None:
        with administration_of(stack) as administration:
            groups = Groups(administration)
            for number in range(6):
                groups.add_members(9, [*mine, *others[:5]])
                groups.remove_members(9, [*mine[number:], *others[:3]])
            groups.add_members(9, mine)

    one, two = list(range(20, 40)), list(range(40, 60))
    with ThreadPoolExecutor() as threads:
        operators = [threads.submit(work, *pair) for pair in ((one, two), (two, one))]
        while not all(operator.done() for operator in operators):
            dbproxy_client.add_members(1, 9, [4])
            assert dbproxy_client.send_group_message(1, 9, "meanwhile").msg_id > 0
            dbproxy_client.remove_members(1, 9, [4])
        for operator in operators:
            operator.result()
    (info,) = infos(dbproxy_client, 9)
    stored = stack.rows("select distinct userId from IMGroupMember where groupId=9 and status=0")
    assert sorted(info[4]) == sorted(int(str(entry["userId"])) for entry in stored)
    assert row(stack)["userCnt"] == len(info[4])


def test_nobody_joins_a_group_that_is_dismissed_at_the_same_time(
    dbproxy_client: Client, stack: Stack, administration: Administration
) -> None:
    """Who adds a member has seen the group before: the change notices under the lock that it is too late."""
    writer = administration.installation.group_writer
    Groups(administration).dismiss(9)
    assert writer.change_members(0, 9, 1, [4]) is None
    assert stack.rows("select * from IMGroupMember where status=0") == []
    assert infos(dbproxy_client, 9) == []


@pytest.mark.watchdog(180)
def test_a_group_of_20000_is_dismissed_in_one_transaction(dbproxy_client: Client, stack: Stack, groups: Groups) -> None:
    members = range(1000, 21000)
    now = seed.T0
    seed.insert(
        stack,
        "IMUser",
        [
            {"id": u, "name": f"u{u}", "departId": 1, "created": now, "updated": now, "domain": "", "nick": "", "password": "", "salt": ""}
            for u in members
        ],
    )
    seed.group(stack, 10, [1, *members])
    for start in range(1000, 21000, 5000):
        seed.insert(
            stack,
            "IMRecentSession",
            [{"userId": u, "peerId": 10, "type": 2, "status": 0, "created": now, "updated": now} for u in range(start, start + 5000)],
        )
    assert len(groups.dismiss(10).changed) == 20001
    assert stack.rows("select id from IMRecentSession where peerId=10 and status=0") == []
    assert (row(stack, 10)["userCnt"], row(stack, 10)["status"]) == (0, 1)
    assert infos(dbproxy_client, 10) == []
