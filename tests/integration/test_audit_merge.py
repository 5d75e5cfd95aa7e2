"""dbproxy-audit --merge: conversations that the C++ daemon has split, and msg_ids that it has given twice, become readable histories."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import damage
import pytest
from damage import GROUP, read_all

from dbproxy.audit import audit, open_stores
from dbproxy.audit.backup import FILE
from dbproxy.audit.cli import main
from dbproxy.config import load_config
from dbproxy.stores.redis import LARGEST
from dbproxy.testing import InProcessProxy, Stack, seed
from dbproxy.testing.waiting import eventually

pytestmark = [
    pytest.mark.watchdog(120),
    pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]}),
    pytest.mark.usefixtures("no_defects"),
]


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(dbproxy_stack: Stack) -> Iterator[None]:
    yield
    dbproxy_stack.reset()


@pytest.fixture
def merge(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    """Run ``dbproxy-audit --json`` with these arguments, and return what it says; with the key ``exit`` in it."""

    def run(*arguments: str) -> dict[str, object]:
        code = main(["--config", str(stack.write_config()), "--json", *arguments])
        return {**json.loads(capsys.readouterr().out), "exit": code}

    os.chdir(tmp_path)
    return run


def kinds(stack: Stack) -> dict[str, int]:
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        return {kind: count.found for kind, count in audit(backends).counts.items()}


def assert_ids_rise(history: list[tuple[str, int, int]]) -> None:
    ids = [msg_id for _, _, msg_id in history]
    times = [created for _, created, _ in history]
    assert ids == sorted(set(ids))
    assert times == sorted(times)


def test_twelve_pairs_with_forty_first_messages_at_once(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    pairs = [(10 + number, 30 + number) for number in range(12)]
    texts = damage.first_messages_at_once(stack, pairs)
    with stack.redis() as redis:
        unread = {user: redis.hgetall(f"unread_{user}") for _, user in pairs}
    before = stack.snapshot()
    planned = merge("--merge")
    assert stack.snapshot() == before
    assert (planned["exit"], planned["found"], planned["left"]) == (1, 12, 12)
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        assert any(len(read_all(client, *pair)) < 50 for pair in pairs)
        done = merge("--merge", "--apply")
        assert (done["exit"], done["merged"], done["left"], done["complete"]) == (0, 12, 0, True)
        assert (done["renumbered"], done["moved"]) == (planned["renumbered"], planned["moved"])
        for index, pair in enumerate(pairs):
            history = read_all(client, *pair)
            assert sorted(text for text, _, _ in history) == sorted(texts[index])
            assert_ids_rise(history)
            assert client.send_message(*pair, "goes on").msg_id == history[-1][2] + 1
            assert read_all(client, *pair)[-1][0] == "goes on"
    assert set(kinds(stack)) == {"duplicate-session"}
    assert merge("--repair")["left"] == 0
    assert kinds(stack) == {}
    with stack.redis() as redis:
        for _, user in pairs:
            (count,) = unread[user].values()
            assert list(redis.hgetall(f"unread_{user}").values()) == [str(int(count) + 1)]
    assert merge("--merge")["found"] == 0


def test_moved_messages_go_where_they_belong_and_older_ones_keep_their_ids(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    seed.relation(stack, 1, 2, relate_id=3)
    seed.relation(stack, 1, 2, relate_id=12)
    damage.store(stack, (1, 2), 3, [("a", seed.T0, 1), ("b", seed.T0 + 5, 2), ("d", seed.T0 + 9, 3), ("f", seed.T0 + 20, 4)])
    damage.store(stack, (1, 2), 12, [("c", seed.T0 + 5, 1), ("e", seed.T0 + 9, 2)])
    done = merge("--merge", "--apply")
    assert done["conversations"] == [
        {
            "where": "users 1 and 2, relations 3, 12",
            "moved": 2,
            "renumbered": 4,
            "kept": 2,
            "first_id": 5,
            "last_id": 8,
            "hidden": [12],
            "error": "",
        }
    ]
    rows = stack.rows("select content,created-%s as t,msgId from IMMessage_3 where relateId=3 order by created,id", (seed.T0,))
    assert [(row["content"], row["t"], row["msgId"]) for row in rows] == [
        ("a", 0, 1), ("b", 5, 2), ("c", 5, 5), ("d", 9, 6), ("e", 9, 7), ("f", 20, 8)
    ]  # fmt: skip
    assert stack.rows("select id from IMMessage_4") == []
    assert [row["status"] for row in stack.rows("select status from IMRelationShip order by id")] == [0, 1]
    with stack.redis() as redis:
        assert redis.get("msg_id_3") == "8"


def test_ids_given_twice_all_but_the_first_get_new_ones(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    seed.relation(stack, 1, 2, relate_id=3)
    damage.store(stack, (1, 2), 3, damage.flushed_under_load(60, 30))
    damage.store_in_group(stack, 1, 9, damage.flushed_under_load(20, 50, since=10), lost=20)
    done = merge("--merge", "--apply")
    assert [(c["renumbered"], c["kept"], c["first_id"], c["last_id"]) for c in done["conversations"]] == [  # type: ignore[attr-defined]
        (30, 60, 61, 90),
        (60, 20, 61, 120),
    ]
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        one, group = read_all(client, 2, 1), read_all(client, 2, 9, GROUP)
        assert [text for text, _, _ in one] == [f"message {number}" for number in range(90)]
        assert [text for text, _, _ in group] == [f"message {number}" for number in range(80)]
        assert [msg_id for _, _, msg_id in one] == list(range(1, 91))
        assert [msg_id for _, _, msg_id in group] == [*range(1, 21), *range(61, 121)]
        assert client.send_group_message(1, 9).msg_id == 121
        assert {entry.session_id: entry.unread_cnt for entry in client.unread(2).unreadinfo_list} == {1: 90, 9: 61}
    assert kinds(stack) == {}


def test_nobody_has_more_or_less_unread_in_a_group_whose_counter_is_behind(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    """The ids are raised so far that the counter would look lost, and be restored with the next message."""
    damage.store_in_group(stack, 1, 9, damage.flushed_under_load(60, 40), lost=60)
    seed.redis_key(stack, "1_9_im_user_group", {"count": "40"})
    seed.redis_key(stack, "2_9_im_user_group", {"count": "10"})
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:

        def unread() -> list[int]:
            return [sum(entry.unread_cnt for entry in client.unread(user).unreadinfo_list) for user in (1, 2, 3)]

        assert unread() == [0, 30, 40]
        done = merge("--merge", "--apply")
        assert done["renumbered"] == 40
        assert unread() == [0, 30, 40]
        assert client.send_group_message(1, 9).msg_id == 101
        assert unread() == [0, 31, 41]
        client.read_ack(2, 9, GROUP)
        assert eventually(unread, [0, 0, 41]) == [0, 0, 41]
    assert kinds(stack) == {}


def test_hidden_messages_and_sounds_stay_what_they_are(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    seed.relation(stack, 1, 2, relate_id=1)
    seed.relation(stack, 1, 2, relate_id=2)
    damage.store(stack, (2, 1), 1, [("a", seed.T0, 1), ("hidden", seed.T0 + 1, 2), ("c", seed.T0 + 2, 2)])
    damage.store(stack, (2, 1), 2, [("17", seed.T0 + 1, 1)])
    stack.rows("update IMMessage_1 set status=1,updated=5 where content='hidden'")
    stack.rows("update IMMessage_2 set type=2")
    merge("--merge", "--apply")
    rows = stack.rows("select fromId,toId,msgId,content,type,status,created,updated from IMMessage_1 order by msgId")
    assert [tuple(row.values()) for row in rows] == [
        (2, 1, 1, "a", 1, 0, seed.T0, seed.T0),
        (2, 1, 2, "hidden", 1, 1, seed.T0 + 1, 5),
        (2, 1, 3, "17", 2, 0, seed.T0 + 1, seed.T0 + 1),
        (2, 1, 4, "c", 1, 0, seed.T0 + 2, seed.T0 + 2),
    ]


def test_rows_of_one_second_in_another_order_than_their_ids_keep_them(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    seed.relation(stack, 1, 2, relate_id=1)
    lines = [("a", seed.T0, 1), ("c", seed.T0 + 1, 3), ("b", seed.T0 + 1, 2), ("d", seed.T0 + 2, 4), ("e", seed.T0 + 3, 4)]
    damage.store(stack, (1, 2), 1, lines)
    done = merge("--merge", "--apply")
    assert (done["renumbered"], done["backup_rows"]) == (1, 3)
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        for page in (1, 2, 3, 20):
            assert [(text, msg_id) for text, _, msg_id in read_all(client, 1, 2, page=page)] == [
                ("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)
            ]  # fmt: skip


def test_empty_relations_are_hidden_and_not_written_to(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    for relate_id in (1, 2, 3, 4):
        seed.relation(stack, 1, 2, relate_id=relate_id)
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        assert read_all(client, 1, 2) == []  # the proxy has cached relation 1
        damage.store(stack, (1, 2), 2, [("a", seed.T0, 1)])
        damage.store(stack, (1, 2), 4, [("b", seed.T0 + 1, 1)])
        merge("--merge", "--apply")
        assert [(text, msg_id) for text, _, msg_id in read_all(client, 1, 2)] == [("a", 2), ("b", 3)]
        assert client.send_message(1, 2, "c").msg_id == 4
    assert [row["status"] for row in stack.rows("select status from IMRelationShip order by id")] == [1, 1, 1, 0]
    assert kinds(stack) == {}


def test_what_cannot_be_merged_is_left_and_said(stack: Stack, merge: Callable[..., dict[str, object]]) -> None:
    seed.relation(stack, 1, 2, relate_id=1)
    damage.store(stack, (1, 2), 1, [("a", seed.T0, 1), ("b", seed.T0 + 1, LARGEST), ("c", seed.T0 + 2, LARGEST)])
    damage.store(stack, (1, 2), 77, [("a", seed.T0, 1), ("b", seed.T0 + 1, 1)])
    damage.store_in_group(stack, 1, 78, [("a", seed.T0, 1), ("b", seed.T0 + 1, 1)])
    before = stack.snapshot()
    done = merge("--merge", "--apply")
    assert (done["exit"], done["found"], done["left"], done["backup"]) == (1, 3, 3, None)
    assert {c["where"]: c["error"] for c in done["conversations"]} == {  # type: ignore[attr-defined]
        "relation 1": f"the new msg_ids would end at {LARGEST + 1}, and the protocol ends at {LARGEST}",
        "relation 77": "the relation does not exist: see what dbproxy-audit --repair says",
        "group 78": "the group 78 does not exist",
    }
    assert stack.snapshot() == before


def test_a_merge_is_undone_with_its_backup(stack: Stack, merge: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    damage.first_messages_at_once(stack, [(1, 2), (3, 4)])
    damage.store_in_group(stack, 1, 9, [*damage.flushed_under_load(20, 30), ("\N{FACE WITH TEARS OF JOY} ' \\ \n %s", seed.T0 + 90, 31)])
    stack.rows("alter table IMGroupMessage_1 add extra varbinary(9) null, add twice int generated always as (msgId*2) virtual")
    try:
        stack.rows("update IMGroupMessage_1 set extra=x'ff00' where msgId>10")
        before = stack.snapshot()
        where = tmp_path / "kept"
        assert merge("--merge", "--apply", "--backup", str(where))["exit"] == 0
        assert kinds(stack).keys() == {"duplicate-session"}
        assert stack.snapshot() != before
        assert ((where / FILE).stat().st_mode & 0o777, where.stat().st_mode & 0o777) == (0o600, 0o700)
        planned = merge("--restore", str(where))
        undone = merge("--restore", str(where), "--apply")
        assert (undone["exit"], undone["missing"], undone["rows"]) == (0, 0, planned["rows"])
        assert stack.snapshot()[0] == before[0]
        again = merge("--restore", str(where), "--apply")
        assert (again["rows"], again["unchanged"], again["missing"]) == (0, undone["rows"], 0)
        assert merge("--merge", "--apply")["exit"] == 0
    finally:
        stack.rows("alter table IMGroupMessage_1 drop twice, drop extra")


def test_what_was_sent_after_a_merge_stays_when_it_is_undone(stack: Stack, merge: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    damage.first_messages_at_once(stack, [(1, 2)])
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        merge("--merge", "--apply", "--backup", str(tmp_path / "kept"))
        sent = client.send_message(1, 2, "since").msg_id
        merge("--restore", str(tmp_path / "kept"), "--apply")
        assert client.messages(1, 2, msg_cnt=1).msg_list[0].msg_id == sent
        assert client.send_message(1, 2, "and on").msg_id == sent + 1
    assert "split-conversation" in kinds(stack)


def test_command_says_what_clients_will_notice(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage.first_messages_at_once(stack, [(1, 2)])
    config = str(stack.write_config())
    assert main(["--config", config, "--merge"]) == 1
    said = capsys.readouterr().out
    assert "dry run of a merge, nothing is changed" in said
    assert "users 1 and 2, relations 1, 2: 20 messages move to the first relation; " in said
    assert "What clients notice: a message that gets a new msg_id is a new message" in said
    assert "--merge --apply does it." in said
    assert main(["--config", config, "--merge", "--apply", "--backup", str(tmp_path / "b")]) == 0
    assert "1 conversations, 1 merged, 0 left" in capsys.readouterr().out
    assert main(["--config", config, "--merge"]) == 0
    assert capsys.readouterr().out.endswith("nothing to merge\n")
    kept = [json.loads(line) for line in (tmp_path / "b" / FILE).read_text(encoding="utf-8").splitlines()]
    assert Counter(line["table"] for line in kept)["IMRelationShip"] == 1
    assert set(kept[0]["row"]) == {"id", "relateId", "fromId", "toId", "msgId", "content", "type", "status", "updated", "created"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--apply"], "--apply goes with --merge or --restore"),
        (["--merge", "--backup", "x"], "--backup goes with --merge --apply"),
        (["--merge", "--repair"], "not allowed with argument"),
        (["--restore", "/none", "--apply"], "--restore /none: there is no rows.jsonl; expected the directory of a backup"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", "none", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_backup_that_cannot_be_written_changes_nothing(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage.first_messages_at_once(stack, [(1, 2)])
    (tmp_path / "file").write_text("")
    before = stack.snapshot()
    config = str(stack.write_config())
    assert main(["--config", config, "--merge", "--apply", "--backup", str(tmp_path / "file")]) == 3
    assert "nothing of this step was changed" in capsys.readouterr().err
    assert main(["--config", config, "--merge", "--apply", "--backup", "/dev/full/x"]) == 3
    assert stack.snapshot()[0] == before[0]
