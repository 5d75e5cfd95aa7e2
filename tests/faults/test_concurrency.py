"""Everything at once, on two proxies: rows, hashes and counters agree afterwards, and nothing stands twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from dbproxy.testing import Client, ProxyProcess, Stack, seed
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.requests import GROUP, message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2
from devtools.traffic import Traffic

GROUP_TEXT = base_define_pb2.MSG_TYPE_GROUP_TEXT

pytestmark = pytest.mark.watchdog(60)


@pytest.fixture
def proxies(stack: Stack) -> Iterator[list[ProxyProcess]]:
    """Two proxies on the same databases."""
    with ExitStack() as exits:
        yield [exits.enter_context(ProxyProcess(stack)) for _ in range(2)]


def at_once(proxies: Sequence[ProxyProcess], works: Sequence[Callable[[Client], None]]) -> None:
    """Run each of these in a thread of its own with a connection of its own, to the proxies in turn; raises the first failure."""
    failures: list[Exception] = []
    start = threading.Barrier(len(works))

    def run(number: int, work: Callable[[Client], None]) -> None:
        try:
            with proxies[number % len(proxies)].client(timeout=30) as client:
                start.wait(30)
                work(client)
        except Exception as error:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number, work)) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads)


def twice(stack: Stack) -> list[str]:
    """What stands twice although it may stand once only."""
    once = {"IMRelationShip": "smallId,bigId", "IMRecentSession": "userId,peerId,type", "IMGroupMember": "groupId,userId"}
    once |= {f"IMMessage_{shard}": "relateId,msgId" for shard in range(8)}
    once |= {f"IMGroupMessage_{shard}": "groupId,msgId" for shard in range(8)}
    found = []
    for table, columns in once.items():
        rows = stack.rows(f"select {columns},count(*) as n from {table} group by {columns} having n>1")
        found += [f"{table}: {row}" for row in rows]
    return found


def members_of(stack: Stack, group_id: int) -> list[int]:
    rows = stack.rows("select userId from IMGroupMember where groupId=%s and status=0", (group_id,))
    return sorted(int(str(row["userId"])) for row in rows)


def assert_groups_agree(stack: Stack, client: Client, group_ids: Sequence[int]) -> None:
    """Rows, userCnt and hash say the same, for every group."""
    for group_id in group_ids:
        members = members_of(stack, group_id)
        assert stack.rows("select userCnt as n from IMGroup where id=%s", (group_id,)) == [{"n": len(members)}]
        infos = client.group_info({group_id: 0}).group_info_list
        assert [sorted(info.group_member_list) for info in infos] == ([members] if members else [])
        with stack.redis("group_member") as redis:
            hashed = redis.hgetall(f"group_member_{group_id}")
        assert sorted(int(user_id) for user_id in hashed) == members


def test_first_messages_between_many_pairs_on_two_proxies(stack: Stack, proxies: list[ProxyProcess]) -> None:
    """Forty writers write first messages to the same five people, in both directions, each pair from both proxies."""
    ids: dict[tuple[int, int], list[int]] = {}

    def write(number: int) -> Callable[[Client], None]:
        def work(client: Client) -> None:
            for step in range(5):
                one, other = 1 + step, 1 + (step + 1) % 5
                sender, receiver = (one, other) if number % 4 < 2 else (other, one)
                msg_id = client.send_message(sender, receiver, f"{number}").msg_id
                ids.setdefault((min(one, other), max(one, other)), []).append(msg_id)

        return work

    at_once(proxies, [write(number) for number in range(40)])
    assert len(ids) == 5
    assert {pair: sorted(given) for pair, given in ids.items()} == {pair: list(range(1, 41)) for pair in ids}
    assert twice(stack) == []
    assert stack.rows("select count(*) as n from IMRelationShip") == [{"n": 5}]
    assert stack.rows("select count(*) as n from IMRecentSession where status=0") == [{"n": 10}]


def test_sessions_that_are_removed_while_messages_come_stand_once(stack: Stack, proxies: list[ProxyProcess]) -> None:
    def write(client: Client) -> None:
        for number in range(40):
            assert client.send_message(1, 2, f"{number}").msg_id

    def remove(client: Client) -> None:
        for _ in range(40):
            client.remove_session(2, 1)
            client.remove_session(1, 2)

    at_once(proxies, [write, write, remove, remove])
    assert twice(stack) == []
    with proxies[0].client() as client:
        assert client.send_message(1, 2).msg_id == 81
        for user_id, peer_id in ((1, 2), (2, 1)):
            assert [info.session_id for info in client.recent_sessions(user_id).contact_session_list] == [peer_id]


def test_members_come_and_go_on_two_proxies_while_messages_are_written(stack: Stack, proxies: list[ProxyProcess]) -> None:
    """Everybody adds and removes the same people; the creator (1) and a writer (2) stay."""
    seed.group(stack, 9, [1, 2])
    answered: list[int] = []

    def change(number: int) -> Callable[[Client], None]:
        def work(client: Client) -> None:
            for step in range(12):
                users = [10 + (number + step) % 6, 10 + (number + step + 1) % 6]
                kind = client.add_members if (number + step) % 2 else client.remove_members
                assert kind(1, 9, users).result_code in (0, 1)  # 1: all of them are in already

        return work

    def write(client: Client) -> None:
        answered.extend(client.send_group_message(2, 9, f"{number}").msg_id for number in range(60))

    at_once(proxies, [*(change(number) for number in range(4)), write, write])
    assert sorted(answered) == list(range(1, 121))
    assert twice(stack) == []
    with proxies[0].client() as one, proxies[1].client() as other:
        for client in (one, other):
            assert_groups_agree(stack, client, [9])
        with stack.redis() as redis:
            assert redis.hget("9_im_group_msg", "count") == "120"
            copies = {user_id: redis.hget(f"{user_id}_9_im_user_group", "count") for user_id in members_of(stack, 9)}
        assert all(int(str(copy)) <= 120 for user_id, copy in copies.items() if user_id > 1)
        assert one.unread(2).total_cnt <= 60  # what the other connection wrote as user 2 is its own as well
        assert one.unread(1).total_cnt == 120


def test_members_come_and_go_while_redis_forgets_the_hash(stack: Stack, proxies: list[ProxyProcess]) -> None:
    """Nobody comes back who has left, and nobody is missing who has joined."""
    seed.group(stack, 9, [1, 2])
    over = threading.Event()

    def change(number: int) -> Callable[[Client], None]:
        def work(client: Client) -> None:
            own = 10 + number
            try:
                for _ in range(15):
                    assert client.add_members(1, 9, [own]).result_code == 0
                    assert own in client.group_info({9: 0}).group_info_list[0].group_member_list
                    assert client.remove_members(1, 9, [own]).result_code == 0
                    assert own not in client.group_info({9: 0}).group_info_list[0].group_member_list
            finally:
                over.set()

        return work

    def forget(client: Client) -> None:
        with stack.redis("group_member") as redis:
            while not over.wait(0.01):
                redis.delete("group_member_9")
                client.send_group_message(2, 9)  # whoever asks brings it back

    at_once(proxies, [*(change(number) for number in range(4)), forget])
    assert twice(stack) == []
    with proxies[1].client() as client:
        assert_groups_agree(stack, client, [9])
    assert members_of(stack, 9) == [1, 2]


def test_groups_are_made_changed_and_written_to_at_once(stack: Stack, proxies: list[ProxyProcess]) -> None:
    made: list[int] = []

    def live(number: int) -> Callable[[Client], None]:
        def work(client: Client) -> None:
            own = 100 + number
            for _ in range(3):
                group_id = client.create_group(own, [own, 1, 2], name=f"of {own}").group_id
                made.append(group_id)
                assert client.send_group_message(1, group_id).msg_id == 1
                assert client.remove_members(own, group_id, [1]).result_code == 0
                sent = [message(2, group_id, "a", msg_type=GROUP_TEXT), message(own, group_id, "b", msg_type=GROUP_TEXT)]
                assert [reply.msg_id for reply in client.requests(sent)] == [2, 3]  # type: ignore[attr-defined]
                assert client.unread(own).total_cnt == 0
                assert client.add_members(own, group_id, [3, 4]).result_code == 0

        return work

    at_once(proxies, [live(number) for number in range(12)])
    assert len(set(made)) == 36
    assert twice(stack) == []
    with proxies[0].client() as client:
        assert_groups_agree(stack, client, made)
        assert client.unread(1).total_cnt == client.unread(3).total_cnt == 0
        assert client.unread(2).total_cnt == 36
    with stack.redis() as redis:
        assert {redis.hget(f"{group_id}_im_group_msg", "count") for group_id in made} == {"3"}


def test_both_proxies_write_everywhere_while_one_of_them_is_restarted(stack: Stack, proxies: list[ProxyProcess]) -> None:
    seed.group(stack, 9, [1, 2, 3, 4])
    conversations = [(1, 2, False), (2, 1, False), (3, 4, False), *((user_id, 9, True) for user_id in (1, 2, 3, 4))]
    with Traffic(lambda number: proxies[number % 2].client(timeout=20), conversations) as traffic:
        traffic.wait_for(60)
        proxies[1].restart()
        traffic.wait_for(60)
    assert traffic.verify(stack) == []
    assert twice(stack) == []
    written = stack.rows("select count(*) as n from IMGroupMessage_1")[0]["n"]
    with stack.redis() as redis:
        assert eventually(lambda: redis.hget("9_im_group_msg", "count"), str(written)) == str(written)


def test_an_ack_that_is_overtaken_by_a_later_one_leaves_nothing_unread(stack: Stack, proxies: list[ProxyProcess]) -> None:
    """An ack is a copy of the group's counter. One proxy is slow between reading the counter and writing the copy, and then writes what is
    old by now.
    """
    seed.group(stack, 9, [1, 2])
    copy = "2_9_im_user_group"
    with (
        FaultyLink(stack.redis_server.address) as link,
        ProxyProcess(stack, {"unread_port": link.port}) as slow_proxy,
        slow_proxy.client() as slow,
        proxies[0].client() as fast,
        stack.redis() as redis,
        redis.monitor() as monitor,
    ):

        def wait_for(command: str) -> None:
            while not next(monitor.listen())["command"].startswith(command):
                pass

        assert fast.send_group_message(1, 9).msg_id == 1
        link.delay = 1.0
        slow.read_ack(2, 9, GROUP)
        wait_for("HGET 9_im_group_msg")
        assert fast.send_group_message(1, 9).msg_id == 2
        fast.read_ack(2, 9, GROUP)
        wait_for(f"HSET {copy} count 2")
        link.delay = 0.0
        wait_for(f"HSET {copy} count 1")
        wait_for(f"HSET {copy} count 2")
        assert fast.unread(2).total_cnt == 0
