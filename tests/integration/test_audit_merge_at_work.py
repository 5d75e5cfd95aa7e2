"""dbproxy-audit --merge while proxies store messages in the same conversations, and after it was killed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import damage
import pytest
from damage import GROUP, SINGLE, History, assert_readable, read_all

import dbproxy
from dbproxy.audit import audit, merge_run, open_stores
from dbproxy.audit.backup import FILE, Backup
from dbproxy.audit.merge import Merger, MergeResult
from dbproxy.config import load_config
from dbproxy.testing import InProcessProxy, Stack, seed
from dbproxy.testing.process import ChildProcess
from dbproxy.testing.waiting import poll
from devtools.traffic import Traffic

pytestmark = [
    pytest.mark.watchdog(180),
    pytest.mark.data(users=["alice", "bob", "carol", "dave"], groups={9: [1, 2, 3]}),
    pytest.mark.usefixtures("no_defects"),
]

KEYS = {"StopGrace": 1, "SyncInterval": 0.3}
OLD = 1500
"""Messages in each damaged conversation."""


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(dbproxy_stack: Stack) -> Iterator[None]:
    yield
    dbproxy_stack.reset()


@pytest.fixture
def damaged(stack: Stack) -> dict[History, list[str]]:
    """What each history must contain, in this order."""
    return damage.split_and_twice(stack, OLD)


def run_merge(stack: Stack, directory: Path) -> list[MergeResult]:
    with open_stores(load_config(stack.write_config()), 0.01) as backends, Backup(directory) as backup:
        return list(Merger(backends, backup).run())


def kinds(stack: Stack) -> dict[str, int]:
    with open_stores(load_config(stack.write_config()), 0.3) as backends:
        return {kind: count.found for kind, count in audit(backends).counts.items()}


def test_two_proxies_and_five_writers_are_at_work(
    stack: Stack, damaged: dict[History, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_run, "STEP", 60)
    conversations = [(1, 2, False), (3, 4, False), (1, 9, True), (4, 1, False), (2, 3, False)]
    with ExitStack() as exits:
        proxies = [exits.enter_context(InProcessProxy(stack, KEYS)) for _ in range(2)]
        with Traffic(lambda number: proxies[number % 2].client(), conversations) as traffic:
            traffic.wait_for(200)
            results = run_merge(stack, tmp_path)
            traffic.wait_for(200)
        assert [(result.where.partition(",")[0], result.error) for result in results] == [
            ("users 1 and 2", ""),
            ("relation 3", ""),
            ("group 9", ""),
        ]
        assert (traffic.refused, traffic.unanswered) == (0, 0)
        sent = {writer.conversation: [] for writer in traffic.writers}  # type: ignore[var-annotated]
        client = exits.enter_context(proxies[0].client())
        assert_readable(client, damaged)
        for writer in traffic.writers:
            key = (1, 9, GROUP) if writer.to_group else (writer.sender, writer.receiver, SINGLE)
            history = read_all(client, *key, page=500)
            stored = {text: msg_id for text, _, msg_id in history}
            for acknowledged in writer.history.acknowledged:
                assert any(acknowledged.token in text for text in stored), "an acknowledged message is not there"
            sent[writer.conversation] += [entry.msg_id for entry in writer.history.acknowledged]
        for ids in sent.values():
            assert len(set(ids)) == len(ids), "an id was given twice"
        unread = {entry.session_id: entry.unread_cnt for entry in client.unread(2).unreadinfo_list}
        assert unread == {
            1: OLD + len(traffic.histories[0].acknowledged),
            9: OLD // 2 + len(traffic.histories[2].acknowledged),
        }
    assert kinds(stack) == {}


def test_an_id_is_not_given_again_though_redis_loses_its_counter_after_the_merge(
    stack: Stack, damaged: dict[History, list[str]], tmp_path: Path
) -> None:
    """A proxy remembers the largest msg_id of a conversation while the newest row of the table is its own, of whatever conversation."""
    seed.relation(stack, 3, 1, relate_id=11)
    seed.group(stack, 17, [1, 2])
    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        for _ in range(12):
            assert client.send_message(3, 4, "remembered").msg_id
            assert client.send_group_message(1, 9, "remembered").msg_id
        assert client.send_message(3, 1, "the newest of IMMessage_3").msg_id
        assert client.send_group_message(1, 17, "the newest of IMGroupMessage_1").msg_id
        run_merge(stack, tmp_path)
        with stack.redis() as redis:
            redis.delete("msg_id_3", "group_msg_id_9")
        for table, column, conversation in (("IMMessage_3", "relateId", 3), ("IMGroupMessage_1", "groupId", 9)):
            largest = stack.rows(f"select max(msgId) as last from {table} where {column}={conversation}")[0]["last"]
            send = client.send_message if conversation == 3 else client.send_group_message
            assert send(3 if conversation == 3 else 1, 4 if conversation == 3 else 9, "next").msg_id == int(str(largest)) + 1
    assert "msg-id-twice" not in kinds(stack)


def test_a_step_moves_no_more_messages_than_it_may(
    stack: Stack, damaged: dict[History, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_run, "STEP", 60)
    done: dict[str, list[int]] = {}
    with open_stores(load_config(stack.write_config()), 0.01) as backends, Backup(tmp_path) as backup:
        results = list(Merger(backends, backup, lambda where, so_far, _: done.setdefault(where, [0]).append(so_far)).run())
    assert list(done) == [result.where for result in results]
    assert {after - before <= 60 for steps in done.values() for before, after in pairwise(steps)} == {True}
    assert [steps[-1] for steps in done.values()] == [result.renumbered for result in results]


def test_what_is_sent_between_the_steps_of_an_interrupted_merge_keeps_its_id(
    stack: Stack, damaged: dict[History, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_run, "STEP", 100)
    acknowledged: dict[str, int] = {}

    def interrupted(_where: str, done: int, _of: int) -> None:
        if done > 300:
            raise InterruptedError

    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        for attempt in range(4):
            with (
                open_stores(load_config(stack.write_config()), 0.01) as backends,
                Backup(tmp_path) as backup,
                pytest.raises(InterruptedError),
            ):
                list(Merger(backends, backup, interrupted).run())
            for number in range(3):
                text = f"between {attempt} {number}"
                acknowledged[text] = client.send_message(1, 2, text).msg_id
        monkeypatch.setattr(merge_run, "STEP", 500)
        run_merge(stack, tmp_path)
        assert_readable(client, damaged)
        assert {text: msg_id for text, _, msg_id in read_all(client, 1, 2, page=500)[OLD:]} == acknowledged
    assert kinds(stack) == {}


@pytest.mark.parametrize("rows", [1, 400, 510, 1200, 2000, 2900])
def test_killed_and_started_again(stack: Stack, damaged: dict[History, list[str]], tmp_path: Path, rows: int) -> None:
    """Killed when so many rows are in its backup, which is before, during or after the commit of their step."""
    config = stack.write_config()
    process = Command(["--config", str(config), "--merge", "--apply", "--backup", str(tmp_path)], tmp_path)
    lines = poll(lambda: lines_of(tmp_path / FILE), lambda count: count >= rows or not process.running, timeout=60)
    process.kill()
    assert lines >= rows, process.log()
    seen = {str(row["content"]) for row in stored(stack)}
    assert {f"old {number}" for number in range(OLD)} <= seen
    run_merge(stack, tmp_path)
    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client:
        assert_readable(client, damaged)
    assert kinds(stack) == {}


def test_senders_wait_for_a_step_only(stack: Stack, damaged: dict[History, list[str]], tmp_path: Path) -> None:
    """While a step holds its locks a message to this conversation waits, and is stored behind it."""
    holds, go_on = threading.Event(), threading.Event()

    class SlowBackup(Backup):
        def sync(self) -> None:
            super().sync()
            holds.set()
            assert go_on.wait(30)

    def merge() -> None:
        with open_stores(load_config(stack.write_config()), 0.01) as backends, SlowBackup(tmp_path) as backup:
            list(Merger(backends, backup).run())

    with InProcessProxy(stack, KEYS) as proxy, proxy.client() as client, proxy.client() as other:
        thread = threading.Thread(target=merge, daemon=True)
        thread.start()
        assert holds.wait(30)
        request = client.send_message
        assert other.send_message(2, 3, "another conversation").msg_id == 1
        replies: list[int] = []
        sender = threading.Thread(target=lambda: replies.append(request(1, 2, "waits").msg_id), daemon=True)
        sender.start()
        sender.join(0.3)
        assert replies == []
        go_on.set()
        thread.join(60)
        sender.join(30)
        history = read_all(client, 1, 2, page=500)
        assert (history[-1][0], history[-1][2]) == ("waits", replies[0])
        assert_readable(client, damaged)


def test_a_proxy_that_has_cached_another_relation_is_led_to_the_one_that_is_kept(
    stack: Stack, damaged: dict[History, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two proxies one has cached relation 4 and one relation 2, because the others were hidden then."""
    monkeypatch.setattr(merge_run, "STEP", 100)
    with InProcessProxy(stack, KEYS) as proxy, InProcessProxy(stack, KEYS) as other, other.client() as of_other:
        stack.rows("update IMRelationShip set status=1 where id in (1,4)")
        of_other.send_message(1, 2, "goes to relation 2")
        stack.rows("update IMRelationShip set status=1-status where id in (2,4)")
        with proxy.client() as client, Traffic(lambda _: proxy.client(), [(1, 2, False)]) as traffic:
            client.send_message(1, 2, "goes to relation 4")
            stack.rows("update IMRelationShip set status=0 where id in (1,2)")
            traffic.wait_for(20)
            of_other.send_message(1, 2, "goes to relation 2 again")
            assert messages_of(stack, 2) >= 2
            traffic.wait_for(20)
            results = run_merge(stack, tmp_path)
            of_other.send_message(1, 2, "goes to the relation that is kept")
            traffic.wait_for(20)
            traffic.stop()
            assert {result.error for result in results} == {""}
            assert sorted(bool(messages_of(stack, relate_id)) for relate_id in (1, 2, 4)) == [False, False, True]
            history = [text for text, _, _ in read_all(client, 1, 2, page=500)]
    sent = [entry.token for entry in traffic.histories[0].acknowledged]
    assert [text.partition(":")[0] for text in history if ":" in text] == sent
    others = ["goes to relation 2", "goes to relation 4", "goes to relation 2 again", "goes to the relation that is kept"]
    assert sorted(text for text in history if text.startswith("goes")) == sorted(others)
    assert kinds(stack) == {}


class Command(ChildProcess):
    """dbproxy-audit as a process of its own."""

    def __init__(self, arguments: Sequence[str], directory: Path) -> None:
        super().__init__("dbproxy-audit", directory / "audit.log")
        path = {"PYTHONPATH": str(Path(dbproxy.__file__).parents[1])}
        self._spawn([sys.executable, "-m", "dbproxy.audit", *arguments], directory, path)


def messages_of(stack: Stack, relate_id: int) -> int:
    return len(stack.rows(f"select id from IMMessage_{relate_id % 8} where relateId={relate_id}"))


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def stored(stack: Stack) -> list[dict[str, object]]:
    return stack.rows(" union all ".join(f"select content from IMMessage_{shard}" for shard in range(8)))
