"""Merges of random damage, interrupted at random, and undone: no message is lost, doubled or out of place, and the rows come back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from damage import read_all

from dbproxy.audit import audit, merge_run, open_stores
from dbproxy.audit.backup import Backup
from dbproxy.audit.merge import Merger
from dbproxy.audit.restore import Restored, restore
from dbproxy.config import load_config
from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.testing import InProcessProxy, Stack, seed

pytestmark = [pytest.mark.watchdog(120), pytest.mark.usefixtures("no_defects")]

PAIRS = 30


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(dbproxy_stack: Stack) -> Iterator[None]:
    yield
    dbproxy_stack.reset()


@dataclass(frozen=True)
class Message:
    """A stored message."""

    relate_id: int
    text: str
    created: int
    msg_id: int
    status: int


def conversation(rng: random.Random, pair: tuple[int, int], relate_ids: list[int]) -> list[Message]:
    """Return messages of a pair in the order in which they are stored: some in the same second, some with a clock that is wrong, some
    hidden; counters that go back, and gaps.
    """
    messages: list[Message] = []
    counters = dict.fromkeys(relate_ids, 0)
    created, longest = seed.T0, rng.choice((0, 1, 3, 30))
    for number in range(rng.randint(2, 50)):
        relate_id = rng.choice(relate_ids)
        created += rng.randint(0, longest) if rng.random() < 0.5 else 0
        counters[relate_id] += 1
        chance = rng.random()
        if chance < 0.05:
            counters[relate_id] = rng.randint(1, counters[relate_id])
        elif chance > 0.95:
            counters[relate_id] += rng.randint(1, 30)
        wrong = rng.randint(-2, 2) if rng.random() < 0.1 else 0
        status = int(rng.random() < 0.1)
        messages.append(Message(relate_id, f"{pair} {number}", created + wrong, counters[relate_id], status))
    return messages


def store(stack: Stack, pair: tuple[int, int], messages: list[Message]) -> None:
    small, big = pair
    for shard in range(SHARDS):
        rows: list[dict[str, seed.Value]] = [
            {
                "relateId": message.relate_id,
                "fromId": small,
                "toId": big,
                "msgId": message.msg_id,
                "content": message.text,
                "type": 1,
                "status": message.status,
                "created": message.created,
                "updated": message.created,
            }
            for message in messages
            if message.relate_id % SHARDS == shard
        ]
        seed.insert(stack, f"IMMessage_{shard}", rows)


def merge_all(stack: Stack, directory: Path, steps: int | None = None) -> None:
    """Merge; InterruptedError after so many steps."""
    done = 0

    def progress(_where: str, _done: int, _of: int) -> None:
        nonlocal done
        done += 1
        if done == steps:
            raise InterruptedError

    with open_stores(load_config(stack.write_config()), 0.01) as backends, Backup(directory) as backup:
        assert {result.error for result in Merger(backends, backup, progress).run()} <= {""}


@pytest.mark.parametrize("number", range(3))
def test_random_damage(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    rng = random.Random(number)
    monkeypatch.setattr(merge_run, "STEP", rng.choice((1, 3, 10, 500)))
    monkeypatch.setattr(merge_run, "PAUSE", 0)
    stored: dict[tuple[int, int], list[Message]] = {}
    relate_id = 0
    for index in range(PAIRS):
        pair = (100 + index, 1000 + index)
        relate_ids = [relate_id + offset for offset in range(1, rng.choice((1, 2, 2, 3, 4)) + 1)]
        relate_id = relate_ids[-1]
        for relation in relate_ids:
            seed.relation(stack, *pair, relate_id=relation)
        stored[pair] = conversation(rng, pair, relate_ids)
        store(stack, pair, stored[pair])
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        audit(backends, repair=True)
    before, _ = stack.snapshot()
    with InProcessProxy(stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
        for _ in range(rng.randint(2, 6)):
            with pytest.raises(InterruptedError):
                merge_all(stack, tmp_path, rng.randint(1, 3))
        merge_all(stack, tmp_path)
        for pair, messages in stored.items():
            was_damaged = len({message.relate_id for message in messages}) > 1 or len({m.msg_id for m in messages}) < len(messages)
            rows = rows_of(stack, pair)
            assert sorted(row[:3] for row in rows) == sorted((m.text, m.created, m.status) for m in messages)
            ids = [msg_id for _, _, _, msg_id in rows]
            assert len(set(ids)) == len(ids)
            if was_damaged:
                assert ids == sorted(ids)
                visible = [text for text, _, status, _ in rows if not status]
                assert [text for text, _, _ in read_all(client, *pair, page=rng.randint(1, 9))] == visible
            assert client.send_message(*pair, "goes on").msg_id > max(ids)
    with open_stores(load_config(stack.write_config()), 0.3) as backends:
        assert audit(backends).counts == {}
        for shard in range(SHARDS):
            stack.rows(f"delete from IMMessage_{shard} where content='goes on'")
        restored = Restored()
        for _ in restore(backends, tmp_path, restored, apply=True):
            pass
    after, _ = stack.snapshot()
    assert restored.missing == 0
    assert {table: rows for table, rows in after.items() if "Message" in table} == {t: rows for t, rows in before.items() if "Message" in t}


def rows_of(stack: Stack, pair: tuple[int, int]) -> list[tuple[str, int, int, int]]:
    """Return (text, created, status, msg_id) of all messages of the only visible relation of a pair, in the order of the list."""
    (relation,) = stack.rows("select id from IMRelationShip where smallId=%s and bigId=%s and status=0", pair)
    relate_id = int(str(relation["id"]))
    rows = stack.rows(
        f"select content,created,status,msgId from IMMessage_{relate_id % SHARDS} where relateId={relate_id} order by created,id"
    )
    return [(str(row["content"]), *(int(str(row[column])) for column in ("created", "status", "msgId"))) for row in rows]  # type: ignore[misc]
