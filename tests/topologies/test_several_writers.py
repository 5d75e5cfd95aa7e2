"""Two proxies on two nodes of a cluster that all take writes, Galera or a replication group of MySQL: nothing stands twice, and hashes and
rows agree, whatever both do at once. Which of the two is there depends on the server (``--mysqld``).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
from google.protobuf.message import Message

from dbproxy.testing import Client, GaleraStack, GroupStack, ProxyProcess, seed
from dbproxy.testing.requests import GROUP, message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2

pytestmark = pytest.mark.watchdog(300)

ONCE = {
    "IMRelationShip": "smallId,bigId",
    "IMRecentSession": "userId,peerId,type",
    "IMGroupMember": "groupId,userId",
    **{f"IMMessage_{shard}": "relateId,msgId" for shard in range(8)},
    **{f"IMGroupMessage_{shard}": "groupId,msgId" for shard in range(8)},
}
"""Table → columns whose values stand in one row only."""


Cluster = GaleraStack | GroupStack


@pytest.fixture(scope="module")
def two_proxies(several_writers: Cluster) -> Iterator[list[ProxyProcess]]:
    with ExitStack() as exits:
        keys = {"SyncInterval": 1, "DBTimeout": 6}
        yield [exits.enter_context(ProxyProcess(several_writers, several_writers.on(node, keys))) for node in range(2)]


@pytest.fixture
def stack(several_writers: Cluster, two_proxies: list[ProxyProcess]) -> Cluster:
    """The cluster, empty; proxy and node have the same number."""
    several_writers.reset()
    for proxy in two_proxies:
        proxy.start()
    return several_writers


def at_once(tasks: Sequence[Callable[[], object]]) -> None:
    """Run all tasks in threads that begin at the same moment; raises what one of them raises."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        barrier.wait(20)
        task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(run, task) for task in tasks]:
            future.result(200)


def twice(stack: Cluster) -> list[str]:
    """What stands twice although it may stand once only."""
    stack.wait_until_equal()
    found = []
    for table, columns in ONCE.items():
        rows = stack.rows(f"select {columns},count(*) as n from {table} group by {columns} having n>1")
        found += [f"{table} {row}" for row in rows]
    return found


def msg_ids(replies: Sequence[Message]) -> list[int]:
    return [reply.msg_id for reply in replies if isinstance(reply, message_pb2.IMMsgData)]


def first_messages(proxies: Sequence[ProxyProcess], pairs: int) -> None:
    """Both users of each pair send their first message at about the same moment, one through each proxy."""

    def send(client: Client, number: int) -> object:
        order = random.sample(range(pairs), pairs) if number > 1 else range(pairs)
        requests = [message(*((1000 + n, 5000 + n) if number % 2 else (5000 + n, 1000 + n)), f"{number}") for n in order]
        replies = client.requests(requests, timeout=60)
        assert 0 not in msg_ids(replies), "\n".join(proxy.log(last=30) for proxy in proxies)
        return replies

    with ExitStack() as exits:
        clients = [exits.enter_context(proxies[number % 2].client(timeout=60)) for number in range(4)]
        at_once([partial(send, client, number) for number, client in enumerate(clients)])


@pytest.mark.parametrize("pairs", [50, pytest.param(200, marks=pytest.mark.long)])
def test_first_messages_through_both_nodes_make_one_relation_and_two_sessions(
    pairs: int, stack: Cluster, two_proxies: list[ProxyProcess]
) -> None:
    first_messages(two_proxies, pairs)
    assert twice(stack) == []
    assert stack.rows("select count(*) as n from IMRelationShip") == [{"n": pairs}]
    assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 2 * pairs}]
    stored = stack.rows(" union all ".join(f"select relateId,msgId from IMMessage_{shard}" for shard in range(8)))
    assert len(stored) == 4 * pairs


def send_until(
    stop: threading.Event, client: Client, kinds: Sequence[tuple[int, int, bool]], acknowledged: list[tuple[int, int, bool, int]]
) -> None:
    """Send messages (from, to, whether to a group), twenty at a time, and note those that are acknowledged."""
    while not stop.is_set():
        chosen = random.choices(kinds, k=20)
        requests = [
            message(sender, receiver, "x", msg_type=base.MSG_TYPE_GROUP_TEXT if is_group else base.MSG_TYPE_SINGLE_TEXT)
            for sender, receiver, is_group in chosen
        ]
        for (sender, receiver, is_group), msg_id in zip(chosen, msg_ids(client.requests(requests, timeout=60)), strict=True):
            acknowledged.append((sender, receiver, is_group, msg_id))


@pytest.mark.parametrize("losses", [3, pytest.param(20, marks=pytest.mark.long)])
def test_no_id_is_given_twice_when_redis_is_emptied_under_load(losses: int, stack: Cluster, two_proxies: list[ProxyProcess]) -> None:
    for group_id in (8, 9):
        seed.group(stack, group_id, [1, 2, 3, 4])
    kinds = [(1, 2, False), (2, 1, False), (3, 4, False), *((user, group_id, True) for user in (1, 2, 3) for group_id in (8, 9))]
    stop = threading.Event()
    acknowledged: list[tuple[int, int, bool, int]] = []

    def lose_redis() -> None:
        for _ in range(losses):
            stop.wait(0.4)
            stack.redis_server.connect().flushall()
        stop.wait(0.4)
        stop.set()

    with ExitStack() as exits:
        clients = [exits.enter_context(two_proxies[number % 2].client(timeout=60)) for number in range(6)]
        at_once([lose_redis, *(partial(send_until, stop, client, kinds, acknowledged) for client in clients)])
    assert twice(stack) == []
    refused = sum(msg_id == 0 for *_, msg_id in acknowledged)
    assert refused == 0, f"{refused} of {len(acknowledged)}"
    tables = [f"select msgId from IM{kind}Message_{shard}" for kind in ("", "Group") for shard in range(8)]
    assert len(stack.rows(" union all ".join(tables))) == len(acknowledged)


@pytest.mark.parametrize("changes", [30, pytest.param(200, marks=pytest.mark.long)])
def test_the_hash_of_a_group_agrees_with_the_rows_after_changes_through_both_nodes(
    changes: int, stack: Cluster, two_proxies: list[ProxyProcess]
) -> None:
    seed.users(stack, *(f"user{number}" for number in range(30)))
    for group_id in (8, 9):
        seed.group(stack, group_id, [1, 2, 3])

    def change(client: Client, number: int) -> None:
        choose = random.Random(number)
        for _ in range(changes):
            users = choose.sample(range(4, 30), 3)
            group_id = choose.choice((8, 9))
            change_members = choose.choice((client.add_members, client.remove_members))
            change_members(0, group_id, users)
            client.group_info({8: 0, 9: 0})

    def lose_hashes() -> None:
        with stack.redis("group_member") as redis:
            for _ in range(changes):
                redis.delete("group_member_8", "group_member_9")
                threading.Event().wait(0.02)

    with ExitStack() as exits:
        clients = [exits.enter_context(two_proxies[number % 2].client(timeout=60)) for number in range(4)]
        at_once([lose_hashes, *(partial(change, client, number) for number, client in enumerate(clients))])
    assert twice(stack) == []
    with two_proxies[0].client() as client, stack.redis("group_member") as redis:
        client.group_info({8: 0, 9: 0})
        for group_id in (8, 9):
            rows = stack.rows(f"select userId,updated from IMGroupMember where groupId={group_id} and status=0")
            assert redis.hgetall(f"group_member_{group_id}") == {str(row["userId"]): str(row["updated"]) for row in rows}


def test_members_who_only_read_get_one_session_although_both_proxies_run_the_sync(stack: Cluster, two_proxies: list[ProxyProcess]) -> None:
    members = list(range(1, 41))
    for group_id in range(1, 9):
        seed.group(stack, group_id, members)
    with two_proxies[0].client() as one, two_proxies[1].client() as other:
        at_once(
            [
                lambda: [one.send_group_message(1, group_id, "a") for group_id in range(1, 9)],
                lambda: [other.send_group_message(2, group_id, "b") for group_id in range(1, 9)],
            ]
        )
    sessions = f"select 1 from IMRecentSession where type={GROUP}"
    assert eventually(lambda: len(stack.rows(sessions)), 8 * len(members), 20) == 8 * len(members)
    assert twice(stack) == []
