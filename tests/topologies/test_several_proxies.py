"""Two and four proxies on one MySQL and one Redis: order, ids, counters and long batches, under load from all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from dbproxy.testing import Client, ProxyProcess, Stack, seed
from dbproxy.testing.requests import message
from dbproxy.wire.pb import base_define_pb2, message_pb2

GROUP_TEXT = base_define_pb2.MSG_TYPE_GROUP_TEXT
GROUP = 9
PAIRS = tuple((number, number + 1) for number in range(1, 33, 2))
"""Their conversations are spread over all tables."""

MEMBERS = tuple(range(1, 33))

pytestmark = pytest.mark.watchdog(150)


@dataclass
class Sent:
    """What one client has sent: its conversations, and the ids that its messages have got, in the order of sending."""

    name: str
    ids: dict[str, list[int]] = field(default_factory=dict)


@pytest.fixture
def proxies(request: pytest.FixtureRequest, stack: Stack) -> Iterator[list[ProxyProcess]]:
    """So many proxies as the test asks for, on the same databases."""
    with ExitStack() as exits:
        yield [exits.enter_context(ProxyProcess(stack)) for _ in range(request.param)]


def send(client: Client, sent: Sent, rounds: int) -> None:
    """Messages to every pair and to the group, many at a time, so that the proxy has batches to cut."""
    for number in range(rounds):
        requests, conversations = [], []
        for small, big in PAIRS:
            sender, receiver = (small, big) if number % 2 else (big, small)
            requests.append(message(sender, receiver, f"{sent.name} {number} 0"))
            requests.append(message(sender, receiver, f"{sent.name} {number} 1"))
            conversations += [f"{small}-{big}"] * 2
        for step in range(8):
            requests.append(message(MEMBERS[(number + step) % len(MEMBERS)], GROUP, f"{sent.name} {number} {step}", msg_type=GROUP_TEXT))
            conversations.append("group")
        for conversation, reply in zip(conversations, client.requests(requests, timeout=60), strict=True):
            assert isinstance(reply, message_pb2.IMMsgData)
            sent.ids.setdefault(conversation, []).append(reply.msg_id)


def at_once(works: Sequence[Callable[[], None]]) -> None:
    """Run each in a thread of its own; raises the first failure."""
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads)


def stored(stack: Stack) -> dict[str, list[tuple[int, str]]]:
    """Conversation → (msg_id, text) of all its rows, by msg_id."""
    rows: dict[str, list[tuple[int, str]]] = {}
    relations = {row["id"]: f"{row['smallId']}-{row['bigId']}" for row in stack.rows("select id,smallId,bigId from IMRelationShip")}
    assert sorted(relations.values()) == sorted(f"{small}-{big}" for small, big in PAIRS)
    for shard in range(8):
        for row in stack.rows(f"select relateId,msgId,content from IMMessage_{shard} order by msgId"):
            rows.setdefault(relations[row["relateId"]], []).append((int(str(row["msgId"])), str(row["content"])))
    for row in stack.rows(f"select msgId,content from IMGroupMessage_{GROUP % 8} where groupId={GROUP} order by msgId"):
        rows.setdefault("group", []).append((int(str(row["msgId"])), str(row["content"])))
    return rows


def counter(stack: Stack, name: str) -> int:
    return int(str(stack.rows(f"show global status like '{name}'")[0]["Value"]))


@pytest.mark.parametrize(
    ("proxies", "rounds"),
    [(2, 6), pytest.param(4, 40, marks=pytest.mark.long)],
    ids=["two", "four"],
    indirect=["proxies"],
)
def test_order_ids_and_counters_hold_for_everybody(proxies: list[ProxyProcess], rounds: int, stack: Stack) -> None:
    seed.group(stack, GROUP, MEMBERS)
    clients = 2 * len(proxies)
    sent = [Sent(f"client {number}") for number in range(clients)]
    commits = counter(stack, "Com_commit")
    with ExitStack() as exits:
        connections = [exits.enter_context(proxies[number % len(proxies)].client(timeout=60)) for number in range(clients)]
        at_once([lambda client=client, one=one: send(client, one, rounds) for client, one in zip(connections, sent, strict=True)])  # type: ignore[misc]
    commits = counter(stack, "Com_commit") - commits
    rows = stored(stack)
    for conversation, stored_rows in rows.items():
        ids = [msg_id for msg_id, _ in stored_rows]
        # nobody's transaction failed, so there are no gaps either
        assert ids == list(range(1, clients * rounds * (8 if conversation == "group" else 2) + 1))
        texts = dict(stored_rows)
        for one in sent:
            assert one.ids[conversation] == sorted(one.ids[conversation])
            mine = [texts[msg_id] for msg_id in one.ids[conversation]]
            assert mine == sorted(mine, key=lambda text: tuple(map(int, text.split()[-2:])))
            assert all(text.startswith(one.name) for text in mine)
    total = sum(map(len, rows.values()))
    assert total == clients * rounds * (2 * len(PAIRS) + 8)
    assert commits < total / 2, "the proxies share transactions"
    sessions = stack.rows("select userId,peerId,type,count(*) as n from IMRecentSession group by userId,peerId,type having n>1")
    assert not sessions
    with stack.redis("unread") as redis:
        assert redis.hget(f"{GROUP}_im_group_msg", "count") == str(len(rows["group"]))
        for small, big in PAIRS:
            both = int(redis.hget(f"unread_{small}", str(big)) or 0) + int(redis.hget(f"unread_{big}", str(small)) or 0)
            assert both == len(rows[f"{small}-{big}"])


@pytest.mark.parametrize(
    ("proxies", "losses"),
    [(2, 5), pytest.param(4, 60, marks=pytest.mark.long)],
    ids=["two", "four"],
    indirect=["proxies"],
)
def test_no_id_is_given_twice_while_redis_forgets_everything_again_and_again(
    proxies: list[ProxyProcess], losses: int, stack: Stack
) -> None:
    seed.group(stack, GROUP, MEMBERS)
    clients = 2 * len(proxies)
    sent = [Sent(f"client {number}") for number in range(clients)]
    done = threading.Event()

    def work(client: Client, one: Sent) -> None:
        while not done.is_set():
            send(client, one, 1)

    def forget() -> None:
        try:
            with stack.redis("unread") as redis:
                for _ in range(losses):
                    seen = sum(len(one.ids.get("group", ())) for one in sent)
                    while sum(len(one.ids.get("group", ())) for one in sent) < seen + 8 * clients:
                        assert not done.wait(0.01)
                    redis.flushdb()
        finally:
            done.set()

    with ExitStack() as exits:
        connections = [exits.enter_context(proxies[number % len(proxies)].client(timeout=60)) for number in range(clients)]
        writers = [lambda client=client, one=one: work(client, one) for client, one in zip(connections, sent, strict=True)]
        at_once([*writers, forget])
    for conversation, stored_rows in stored(stack).items():
        ids = [msg_id for msg_id, _ in stored_rows]
        assert len(ids) == len(set(ids))
        assert sorted(msg_id for one in sent for msg_id in one.ids[conversation]) == ids
