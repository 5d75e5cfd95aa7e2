"""First messages and group messages at the same moment, on one proxy and on two; a proxy that is killed while members change."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from dbproxy.testing import Client, ConnectionClosedError, ProxyProcess, Stack, seed
from dbproxy.testing.requests import GROUP, message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2
from devtools.traffic import Traffic

pytestmark = pytest.mark.watchdog(90)


@pytest.fixture(scope="module")
def two_proxies(dbproxy_stack: Stack) -> Iterator[list[ProxyProcess]]:
    dbproxy_stack.reset()
    with ExitStack() as exits:
        yield [exits.enter_context(ProxyProcess(dbproxy_stack, {"DBTimeout": 6, "CacheTimeout": 3})) for _ in range(2)]
    dbproxy_stack.reset()


@pytest.fixture(autouse=True)
def started(stack: Stack, two_proxies: list[ProxyProcess]) -> None:
    """Start the proxies that the test before has stopped."""
    for proxy in two_proxies:
        proxy.start()


def at_once(tasks: list[Callable[[], object]]) -> list[object]:
    """Run all tasks in threads that begin at the same moment; raises what one of them raises."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> object:
        barrier.wait(20)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result(40) for future in [pool.submit(run, task) for task in tasks]]


@pytest.mark.parametrize("proxies", [1, 2])
def test_forty_first_messages_at_once_make_one_relation_and_two_sessions(
    proxies: int, stack: Stack, two_proxies: list[ProxyProcess]
) -> None:
    with ExitStack() as exits:
        clients = [exits.enter_context(two_proxies[number % proxies].client(timeout=20)) for number in range(40)]

        def task(number: int) -> Callable[[], object]:
            sender, receiver = (11, 12) if number % 4 < 2 else (12, 11)
            return lambda: clients[number].send_message(sender, receiver, f"first {number}").msg_id

        ids = at_once([task(number) for number in range(40)])
    assert sorted(map(int, map(str, ids))) == list(range(1, 41))
    (relation,) = stack.rows("select id,smallId,bigId,status from IMRelationShip")
    assert (relation["smallId"], relation["bigId"], relation["status"]) == (11, 12, 0)
    sessions = stack.rows("select userId,peerId,type,status from IMRecentSession order by userId")
    assert [tuple(row.values()) for row in sessions] == [(11, 12, 1, 0), (12, 11, 1, 0)]
    stored = stack.rows(f"select msgId,content from IMMessage_{int(str(relation['id'])) % 8} order by msgId")
    assert {row["msgId"]: row["content"] for row in stored} == {ids[number]: f"first {number}" for number in range(40)}
    with stack.redis("unread") as redis:
        assert (redis.hget("unread_12", "11"), redis.hget("unread_11", "12")) == ("20", "20")


def test_sixty_four_group_messages_in_flight_are_all_answered(stack: Stack, two_proxies: list[ProxyProcess]) -> None:
    seed.group(stack, 9, [1, 2, 3, 4])
    with two_proxies[0].client(timeout=20) as one, two_proxies[1].client(timeout=20) as other:

        def flood(client: Client, name: str) -> list[int]:
            kind = base.MSG_TYPE_GROUP_TEXT
            requests = [message(1 + number % 4, 9, f"{name} {number}", msg_type=kind) for number in range(64)]
            return [reply.msg_id for reply in client.requests(requests) if isinstance(reply, message_pb2.IMMsgData)]

        answers = at_once([lambda: flood(one, "one"), lambda: flood(other, "other")])
    ids = [msg_id for answer in answers if isinstance(answer, list) for msg_id in answer]
    assert sorted(ids) == list(range(1, 129))
    for answer in answers:
        assert answer == sorted(answer) if isinstance(answer, list) else False
    with stack.redis("unread") as redis:
        assert redis.hget("9_im_group_msg", "count") == "128"


def test_redis_and_mysql_agree_on_members_after_a_proxy_was_killed(stack: Stack, two_proxies: list[ProxyProcess]) -> None:
    seed.group(stack, 9, [1])
    killed, other = two_proxies

    def change() -> None:
        with contextlib.suppress(ConnectionClosedError), killed.client(timeout=20) as client:
            for number in range(10_000):
                (client.remove_members if number % 2 else client.add_members)(1, 9, [2, 3, 4])

    for _ in range(6):
        thread = threading.Thread(target=change)
        thread.start()
        time.sleep(random.uniform(0.1, 0.3))
        killed.kill()
        thread.join(20)
        killed.start()
        with other.client() as client:
            known = client.group_info({9: 0}).group_info_list[0].group_member_list
        rows = stack.rows("select userId from IMGroupMember where groupId=9 and status=0 order by userId")
        assert list(known) == [row["userId"] for row in rows]
        assert stack.rows("select userCnt from IMGroup") == [{"userCnt": len(known)}]


def test_unread_numbers_are_not_too_high_when_redis_loses_group_counters(stack: Stack, two_proxies: list[ProxyProcess]) -> None:
    """Everybody has read everything; then the counters are lost, while three people write and a fourth says that they have read."""
    seed.group(stack, 9, [1, 2, 3, 4, 5])
    with ExitStack() as exits, stack.redis("unread") as redis:
        writers = [exits.enter_context(two_proxies[number % 2].client()) for number in (0, 1, 0)]
        reader = exits.enter_context(two_proxies[1].client())

        def unread(user_id: int) -> int:
            return sum(entry.unread_cnt for entry in reader.unread(user_id).unreadinfo_list if entry.session_type == GROUP)

        def write(user_id: int) -> Callable[[], object]:
            return lambda: writers[user_id - 1].send_group_message(user_id, 9, "x").msg_id

        def acknowledge() -> None:
            for _ in range(3):
                reader.read_ack(4, 9, GROUP)

        for _ in range(40):
            assert writers[0].send_group_message(1, 9, "x").msg_id
        written = 40
        for number in range(15):
            for user_id in range(1, 6):
                reader.read_ack(user_id, 9, GROUP)
                assert eventually(lambda user=user_id: unread(user), 0) == 0  # type: ignore[misc]
            redis.flushdb()
            at_once([write(1), write(2), write(3), acknowledge])
            written += 3
            reader.user_info([1])
            for user_id, most in ((1, 2), (2, 2), (3, 2), (4, 3), (5, 3)):
                assert unread(user_id) <= most, f"user {user_id} in round {number}"
            assert unread(5) >= 1  # they have come back, not only gone
            assert int(redis.hget("9_im_group_msg", "count") or 0) >= written - 2


def test_unread_numbers_of_conversations_are_never_negative(stack: Stack, two_proxies: list[ProxyProcess]) -> None:
    """One-to-one counters are lost in the middle of traffic: at worst too low."""
    with (
        Traffic(lambda number: two_proxies[number].client(), [(1, 2, False), (3, 2, False)]) as traffic,
        stack.redis("unread") as redis,
        two_proxies[0].client() as client,
    ):
        for _ in range(10):
            traffic.wait_for(10)
            redis.flushdb()
            entries = {entry.session_id: entry.unread_cnt for entry in client.unread(2).unreadinfo_list}
            for writer in traffic.writers:
                assert 0 <= entries.get(writer.sender, 0) <= writer.history.answered + 1
    assert traffic.verify(stack) == []
