"""Message ids go on after the largest stored one although Redis has lost the counter, whoever has written to the tables meanwhile."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import pytest

from dbproxy.models.last_ids import ALONE_AFTER
from dbproxy.testing import Client, InProcessProxy, Stack, seed

INSERT = "insert into IMMessage_1 (relateId,fromId,toId,msgId,content,type,status,created,updated) values (%s,%s,%s,%s,'x',1,%s,1,1)"
GROUP_INSERT = "insert into IMGroupMessage_1 (groupId,userId,msgId,content,type,status,created,updated) values (9,1,%s,'x',17,%s,1,1)"


@pytest.fixture
def client(dbproxy_proxy: InProcessProxy, dbproxy_stack: Stack) -> Iterator[Client]:
    """A connection to a proxy that has stored messages 1 to 3 of relation 1 (users 1 and 2) and of group 9, and one of relation 9."""
    seed.group(dbproxy_stack, 9, [1, 2])
    seed.relation(dbproxy_stack, 1, 2, relate_id=1)
    seed.relation(dbproxy_stack, 3, 4, relate_id=9)
    with dbproxy_proxy.client() as client:
        assert client.send_message(3, 4).msg_id == 1
        assert [client.send_message(1, 2).msg_id for _ in range(3)] == [1, 2, 3]
        assert [client.send_group_message(1, 9).msg_id for _ in range(3)] == [1, 2, 3]
        yield client


def lose_counters(stack: Stack) -> None:
    with stack.redis("unread") as redis:
        redis.delete("msg_id_1", "msg_id_9", "group_msg_id_9")


def next_ids(client: Client) -> tuple[int, int]:
    return client.send_message(2, 1).msg_id, client.send_group_message(2, 9).msg_id


def test_ids_go_on_when_nobody_else_has_written(client: Client, dbproxy_stack: Stack) -> None:
    for expected in ((4, 4), (5, 5)):
        lose_counters(dbproxy_stack)
        assert next_ids(client) == expected


@pytest.mark.parametrize("status", [0, 1, 7], ids=["visible", "removed", "of a status that nobody knows"])
def test_messages_that_others_have_stored_meanwhile_count(client: Client, dbproxy_stack: Stack, status: int) -> None:
    dbproxy_stack.rows(INSERT, (1, 2, 1, 41, status))
    dbproxy_stack.rows(GROUP_INSERT, (51, status))
    lose_counters(dbproxy_stack)
    assert next_ids(client) == (42, 52)


def test_messages_of_others_whose_rows_lie_between_ours_count(client: Client, dbproxy_stack: Stack) -> None:
    """They get the ids of their rows before ours, and are committed after ours."""
    with contextlib.closing(dbproxy_stack.mysql()) as other:
        other.begin()
        with other.cursor() as cursor:
            cursor.execute("select id from IMRelationShip where id=1 for update")
            cursor.execute(INSERT, (1, 2, 1, 41, 0))
        assert client.send_message(3, 4).msg_id == 2  # of another conversation in the same table
        other.commit()
    assert client.send_message(3, 4).msg_id == 3
    lose_counters(dbproxy_stack)
    assert client.send_message(1, 2).msg_id == 42


def test_tables_that_were_loaded_anew_count_as_they_are(client: Client, dbproxy_stack: Stack) -> None:
    count = dbproxy_stack.rows("select count(*) as n from IMMessage_1")[0]["n"]
    assert count == 4
    dbproxy_stack.rows("truncate table IMMessage_1")
    for msg_id in (11, 12, 13, 14):  # as many as there were, so that the ids of the rows are the same
        dbproxy_stack.rows(INSERT, (1, 1, 2, msg_id, 0))
    lose_counters(dbproxy_stack)
    assert client.send_message(1, 2).msg_id == 15
    assert client.send_message(3, 4).msg_id == 1


def test_an_emptied_table_begins_again_for_every_conversation(client: Client, dbproxy_stack: Stack) -> None:
    dbproxy_stack.rows("truncate table IMMessage_1")
    lose_counters(dbproxy_stack)
    for expected in range(1, 4):
        assert client.send_message(1, 2).msg_id == expected
    assert client.send_message(3, 4).msg_id == 1


def test_rows_that_were_removed_from_the_end_leave_the_ids_to_the_counter(client: Client, dbproxy_stack: Stack) -> None:
    dbproxy_stack.rows("delete from IMMessage_1 where msgId=3")
    assert client.send_message(1, 2).msg_id == 4
    assert client.send_message(3, 4).msg_id == 2


def selects(stack: Stack) -> int:
    return int(str(stack.rows("show global status like 'Com_select'")[0]["Value"]))


def test_ids_go_on_whichever_of_two_proxies_stores_and_whatever_redis_has_lost(client: Client, dbproxy_stack: Stack) -> None:
    """Runs of messages through one proxy and the other, of all lengths around the one after which a proxy takes itself for alone."""
    rng = random.Random(5)
    expected = {"two": 4, "others": 2, "group": 4}
    with InProcessProxy(dbproxy_stack) as second, second.client() as other:
        for _ in range(30):
            writer = rng.choice((client, other))
            for _ in range(rng.randint(1, ALONE_AFTER + 2)):
                if rng.random() < 0.3:
                    lose_counters(dbproxy_stack)
                name = rng.choice(list(expected))
                if name == "two":
                    stored = writer.send_message(1, 2)
                elif name == "others":
                    stored = writer.send_message(4, 3)
                else:
                    stored = writer.send_group_message(2, 9)
                assert stored.msg_id == expected[name]
                expected[name] += 1


def test_a_message_costs_one_query_more_after_a_sign_of_others_and_no_more_when_they_are_gone(client: Client, dbproxy_stack: Stack) -> None:
    """The newest row is read, or the ids, but not one after the other."""

    def queries() -> int:
        before = selects(dbproxy_stack)
        assert client.send_message(1, 2).msg_id
        return selects(dbproxy_stack) - before

    alone = queries()
    dbproxy_stack.rows(INSERT, (1, 2, 1, 41, 0))
    assert queries() == alone + 1  # the newest row is not ours, so the ids are read
    assert [queries() for _ in range(2 * ALONE_AFTER)] == [alone] * 2 * ALONE_AFTER
    for number in range(5):  # others go on
        dbproxy_stack.rows(INSERT, (1, 2, 1, 101 + 50 * number, 0))
        assert queries() == (alone + 1 if number == 0 else alone)
