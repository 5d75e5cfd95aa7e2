"""dbproxy-audit: finds everything that should not be, changes nothing unless told to, mends under the eyes of working proxies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dbproxy.audit import Outcome, Report, Severity, audit, open_stores
from dbproxy.audit.cli import main
from dbproxy.config import load_config
from dbproxy.stores.mysql.slices import slices
from dbproxy.testing import InProcessProxy, Stack, seed
from devtools.traffic import Traffic

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]})]


@pytest.fixture(autouse=True)
def consistent_data(stack: Stack) -> None:
    """Relation 1 (users 1, 2) and group 9 (users 1, 2, 3) with messages and sessions, and a device token."""
    seed.relation(stack, 1, 2, relate_id=1)
    seed.messages(stack, 1, 2, ["one", "two", "three"], relate_id=1)
    seed.group_messages(stack, 1, 9, ["un", "deux"])
    for user_id, peer_id, kind in ((1, 2, 1), (2, 1, 1), (1, 9, 2)):
        seed.session(stack, user_id, peer_id, session_type=kind)
    seed.redis_key(stack, "device_1", "ios:abcdefgh1234")
    seed.redis_key(stack, "device_abcdefgh1234", "1")


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(dbproxy_stack: Stack) -> Iterator[None]:
    """Once is enough: every test of this file begins with an empty stack."""
    yield
    dbproxy_stack.reset()


def run_audit(stack: Stack, *, repair: bool = False, recheck_delay: float = 0.01) -> Report:
    with open_stores(load_config(stack.write_config()), recheck_delay) as backends:
        return audit(backends, repair=repair)


def kinds(report: Report) -> dict[str, int]:
    return {kind: count.found for kind, count in report.counts.items()}


SEEDS: dict[str, tuple[str, Severity, bool, Callable[[Stack], object]]] = {
    "two visible relations, one without messages": (
        *("duplicate-relation", Severity.WRONG, True),
        lambda stack: seed.relation(stack, 1, 2),
    ),
    "two relations, only the younger has messages": (
        *("duplicate-relation", Severity.WRONG, True),
        lambda stack: (
            seed.relation(stack, 3, 4, relate_id=20),
            seed.relation(stack, 3, 4, relate_id=21),
            seed.messages(stack, 3, 4, ["x"], relate_id=21),
        ),
    ),
    "two relations with messages": (
        *("split-conversation", Severity.SEVERE, False),
        lambda stack: (seed.relation(stack, 1, 2, relate_id=30), seed.messages(stack, 1, 2, ["x"], relate_id=30)),
    ),
    "a session twice": ("duplicate-session", Severity.WRONG, True, lambda stack: seed.session(stack, 2, 1)),
    "a group session twice, once removed": (
        *("duplicate-session", Severity.WRONG, True),
        lambda stack: seed.session(stack, 1, 9, session_type=2, status=1),
    ),
    "a msg_id twice in a conversation": (
        *("msg-id-twice", Severity.SEVERE, False),
        lambda stack: stack.rows("update IMMessage_1 set msgId=2 where msgId=3"),
    ),
    "a msg_id twice in a group, one of them deleted": (
        *("msg-id-twice", Severity.SEVERE, False),
        lambda stack: stack.rows("update IMGroupMessage_1 set msgId=2,status=1 where msgId=1"),
    ),
    "messages without a relation": (
        *("relation-missing", Severity.SEVERE, True),
        lambda stack: stack.rows("delete from IMRelationShip"),
    ),
    "messages without a relation whose users have another": (
        *("relation-missing", Severity.SEVERE, False),
        lambda stack: stack.rows("update IMRelationShip set id=2"),
    ),
    "messages without a group": (
        *("group-missing", Severity.WRONG, False),
        lambda stack: (stack.rows("delete from IMGroup"),),
    ),
    "a lost id counter": ("counter-behind", Severity.MINOR, True, lambda stack: delete(stack, "msg_id_1")),
    "an old group id counter": ("counter-behind", Severity.MINOR, True, lambda stack: seed.redis_key(stack, "group_msg_id_9", 1)),
    "an id counter that is no number": ("counter-behind", Severity.SEVERE, True, lambda stack: seed.redis_key(stack, "msg_id_1", "many")),
    "lost members": ("members-lost", Severity.MINOR, True, lambda stack: delete(stack, "group_member_9", "group_member")),
    "a member that Redis does not know": (
        *("member-missing", Severity.WRONG, True),
        lambda stack: delete(stack, "group_member_9", "group_member", "2"),
    ),
    "a member that has left": (
        *("member-extra", Severity.WRONG, True),
        lambda stack: seed.redis_key(stack, "group_member_9", {"4": "1700000000"}),
    ),
    "members of a group without rows": (
        *("member-extra", Severity.WRONG, True),
        lambda stack: seed.redis_key(stack, "group_member_77", {"4": "1700000000"}),
    ),
    "a member that is no user id": (
        "member-extra",
        Severity.SEVERE,
        True,
        lambda stack: seed.redis_key(stack, "group_member_9", {"x": "1"}),
    ),
    "another time of joining": (
        "join-time",
        Severity.WRONG,
        True,
        lambda stack: seed.redis_key(stack, "group_member_9", {"2": "1700005000"}),
    ),
    "a member hash that is a string": (
        *("wrong-type", Severity.SEVERE, True),
        lambda stack: seed.redis_key(stack, "group_member_78", "x"),
    ),
    "a wrong userCnt": ("user-count", Severity.MINOR, True, lambda stack: stack.rows("update IMGroup set userCnt=6")),
    "a negative unread counter": ("unread-counter", Severity.WRONG, True, lambda stack: seed.redis_key(stack, "unread_2", {"1": "-1"})),
    "an unread counter that is no number": (
        *("unread-counter", Severity.WRONG, True),
        lambda stack: seed.redis_key(stack, "unread_3", {"1": "two", "x": "3"}),
    ),
    "unread counters that are a string": ("wrong-type", Severity.SEVERE, False, lambda stack: seed.redis_key(stack, "unread_3", "x")),
    "a copy above the group's counter": (
        *("group-copy", Severity.WRONG, True),
        lambda stack: seed.redis_key(stack, "2_9_im_user_group", {"count": "7"}),
    ),
    "a lost group counter": ("group-counter-lost", Severity.MINOR, True, lambda stack: delete(stack, "9_im_group_msg")),
    "a copy that is no number": (
        *("group-counter", Severity.SEVERE, True),
        lambda stack: seed.redis_key(stack, "2_9_im_user_group", {"count": "-1"}),
    ),
    "a phone of nobody": ("device-of-nobody", Severity.MINOR, True, lambda stack: seed.redis_key(stack, "device_99", "ios:0123abcd")),
    "a token of nobody": ("device-of-nobody", Severity.MINOR, True, lambda stack: seed.redis_key(stack, "device_0123abcd", "99")),
    "a token of somebody without a phone": (
        *("device-of-nobody", Severity.MINOR, True),
        lambda stack: seed.redis_key(stack, "device_0123abcd", "2"),
    ),
    "a phone whose token is lost": ("device-token-lost", Severity.MINOR, True, lambda stack: delete(stack, "device_abcdefgh1234", "token")),
}


def delete(stack: Stack, key: str, pool: str = "unread", field: str = "") -> None:
    with stack.redis(pool) as redis:
        assert redis.hdel(key, field) if field else redis.delete(key)


def test_a_clean_installation_stays_untouched(stack: Stack) -> None:
    before = stack.snapshot()
    for repair in (False, True):
        report = run_audit(stack, repair=repair)
        assert (kinds(report), report.entries) == ({}, [])
    assert stack.snapshot() == before


@pytest.mark.parametrize("name", SEEDS)
def test_a_finding_is_found_repaired_and_gone(stack: Stack, name: str) -> None:
    kind, severity, repairable, plant = SEEDS[name]
    plant(stack)
    before = stack.snapshot()
    report = run_audit(stack)
    assert (kinds(report), report.left) == ({kind: 1}, 1)
    (entry,) = report.entries
    assert (entry.finding.severity, entry.outcome, entry.finding.repair is not None) == (severity, Outcome.LEFT, repairable)
    assert stack.snapshot() == before
    report = run_audit(stack, repair=True)
    assert (kinds(report), report.repaired) == ({kind: 1}, int(repairable))
    if repairable:
        assert kinds(run_audit(stack)) == {}
    else:
        assert stack.snapshot() == before


def test_what_a_repair_leaves_is_what_the_proxy_uses(stack: Stack) -> None:
    seed.relation(stack, 3, 4, relate_id=20)
    seed.relation(stack, 3, 4, relate_id=21)
    seed.messages(stack, 3, 4, ["of relation 21"], relate_id=21)
    seed.session(stack, 2, 1, updated=seed.T0 + 100)
    stack.rows("update IMGroupMember set status=1 where userId=3")
    stack.rows("update IMGroup set userCnt=2")
    seed.redis_key(stack, "2_9_im_user_group", {"count": "50"})
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        assert [message.msg_data for message in client.messages(3, 4).msg_list] == [b"of relation 21"]
        assert len(client.recent_sessions(2).contact_session_list) == 2
        assert client.send_group_message(3, 9, "I have left").msg_id
        report = run_audit(stack, repair=True)
        assert (report.left, kinds(report)) == (0, {"duplicate-relation": 1, "duplicate-session": 1, "member-extra": 1, "group-copy": 1})
        assert [message.msg_data for message in client.messages(3, 4).msg_list] == [b"of relation 21"]
        assert [(session.session_id, session.updated_time) for session in client.recent_sessions(2).contact_session_list] == [
            (1, seed.T0 + 100)
        ]
        assert list(client.group_info({9: 0}).group_info_list[0].group_member_list) == [1, 2]
        client.send_group_message(1, 9, "is counted")
        assert [(entry.session_id, entry.unread_cnt) for entry in client.unread(2).unreadinfo_list] == [(1, 3), (9, 1)]
    assert stack.rows("select id from IMRecentSession where userId=2 and peerId=1 and type=1") == [{"id": 2}]


def test_a_flushed_redis_comes_back(stack: Stack) -> None:
    with stack.redis() as redis:
        redis.flushall()
    report = run_audit(stack, repair=True)
    assert (kinds(report), report.left) == ({"counter-behind": 2, "members-lost": 1}, 0)
    assert all(count.severity is Severity.MINOR for count in report.counts.values())
    with stack.redis("unread") as unread, stack.redis("group_member") as members:
        assert (unread.get("msg_id_1"), unread.get("group_msg_id_9")) == ("3", "2")
        assert members.hgetall("group_member_9") == dict.fromkeys("123", str(seed.T0))


def test_big_tables_are_walked_in_portions(stack: Stack) -> None:
    seed.insert(stack, "IMRecentSession", [{"userId": number // 7, "peerId": number, "type": 1, "status": 0} for number in range(100, 400)])
    with open_stores(load_config(stack.write_config())) as stores:
        found = list(slices(stores.slave, "IMRecentSession", "userId", 50))
        assert list(slices(stores.slave, "IMTransmitFile", "id", 50)) == []
    ids = [int(str(entry["userId"])) for entry in stack.rows("select userId from IMRecentSession")]
    portions = [sum(low <= user_id <= high for user_id in ids) for low, high in found]
    assert sum(portions) == len(ids)
    assert len(portions) >= 5
    assert max(portions) < 60


def test_works_under_traffic(stack: Stack) -> None:
    """Findings are mended in the very conversations that people are writing in, and nothing that is on its way is taken for one."""
    keys = {"StopGrace": 1, "SyncInterval": 0.3}
    stop = threading.Event()
    failures: list[BaseException] = []

    def churn(proxy: InProcessProxy) -> None:
        try:
            with proxy.client() as client:
                while not stop.wait(0.005):
                    assert client.add_members(1, 9, [4]).result_code == 0
                    assert client.remove_members(1, 9, [4]).result_code == 0
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    stack.rows("delete from IMMessage_1")  # what is counted below is what the traffic has written
    stack.rows("delete from IMGroupMessage_1")
    conversations = [(1, 2, False), (2, 1, False), (3, 1, False), (1, 9, True), (2, 9, True)]
    with ExitStack() as exits:
        proxies = [exits.enter_context(InProcessProxy(stack, keys)) for _ in range(2)]
        thread = threading.Thread(target=churn, args=(proxies[0],), daemon=True)
        with Traffic(lambda number: proxies[number % 2].client(), conversations) as traffic:
            thread.start()
            traffic.wait_for(50)
            for _ in range(3):
                assert kinds(run_audit(stack, recheck_delay=0.2)) == {}
                seed.session(stack, 1, 2)
                seed.session(stack, 2, 9, session_type=2)
                seed.relation(stack, 2, 1, in_redis=False)
                stack.rows("update IMGroup set userCnt=userCnt+10")
                seed.redis_key(stack, "group_member_9", {"999": "1"})
                report = run_audit(stack, repair=True, recheck_delay=0.2)
                assert report.left == 0
                assert {"duplicate-session", "duplicate-relation"} <= set(kinds(report))
                traffic.wait_for(50)
        stop.set()
        thread.join(20)
    assert failures == []
    assert [problem for problem in traffic.verify(stack) if not problem.startswith("IMRelationShip")] == []
    assert kinds(run_audit(stack, recheck_delay=0.5)) == {}


def test_command_tells_what_it_found_and_how_it_ended(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(stack.write_config())
    assert main(["--config", config]) == 0
    assert capsys.readouterr().out.endswith("clean\n")
    seed.session(stack, 2, 1)
    stack.rows("update IMMessage_1 set msgId=2 where msgId=3")
    assert main(["--config", config]) == 1
    said = capsys.readouterr().out
    assert "[wrong] duplicate-session: IMRecentSession, user 2, person 1: rows 2, 4; the proxy uses 2" in said
    assert "[severe] msg-id-twice: IMMessage_1, relation 1: 1 messages have the msg_id of another one: 2 (rows 2,3)" in said
    assert main(["--config", config, "--repair", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["found"], document["repaired"], document["left"], document["complete"]) == (2, 1, 1, True)
    assert [(finding["kind"], finding["outcome"]) for finding in document["findings"]] == [
        ("msg-id-twice", "left"),
        ("duplicate-session", "repaired"),
    ]
    stack.rows("update IMMessage_1 set msgId=3 where id=3")
    seed.session(stack, 2, 1)
    assert main(["--config", config, "--repair"]) == 0
    assert "repaired: deleted the rows 5" in capsys.readouterr().out


def test_command_without_configuration_or_backend(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "missing.conf")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    config = stack.write_config(overrides={"unread_port": 1, "CacheConnectTimeout": 1})
    assert main(["--config", str(config), "--json"]) == 3
    captured = capsys.readouterr()
    assert json.loads(captured.out)["complete"] is False
    assert "Redis instance unread at 127.0.0.1:1" in captured.err


def test_only_the_first_findings_of_a_kind_are_shown(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    for user_id in range(5):
        seed.redis_key(stack, f"unread_{user_id}", {"1": "-1"})
    assert main(["--config", str(stack.write_config()), "--examples", "2"]) == 1
    said = capsys.readouterr().out
    assert said.count("[wrong] unread-counter") == 2
    assert "5 findings (3 are not shown: --examples 0 shows all)" in said
