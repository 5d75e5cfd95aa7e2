"""Redis keys that hold something else than they should: nobody else notices, messages are stored, and the keys heal by themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dbproxy.testing import Client, Stack
from dbproxy.testing.requests import GROUP, SINGLE, message
from dbproxy.testing.stack import pool_of
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2, message_pb2

pytestmark = [
    pytest.mark.usefixtures("no_defects"),
    pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3], 10: [1, 2, 3]}),
]

GROUP_TEXT = base_define_pb2.MSG_TYPE_GROUP_TEXT


def put(stack: Stack, key: str, value: str | list[str] | dict[str, str]) -> None:
    """Replace a key by a string, a list or a hash."""
    with stack.redis(pool_of(key)) as redis:
        redis.delete(key)
        if isinstance(value, str):
            redis.set(key, value)
        elif isinstance(value, list):
            redis.rpush(key, *value)
        else:
            redis.hset(key, mapping=value)


def entries(client: Client, user_id: int) -> list[tuple[int, int, int]]:
    """What a user has not read: (type, session, count)."""
    return [(entry.session_type, entry.session_id, entry.unread_cnt) for entry in client.unread(user_id).unreadinfo_list]


@pytest.fixture(autouse=True)
def stored_messages(stack: Stack, dbproxy_client: Client) -> None:
    """Two messages from alice (1) to bob (2), and two to each group."""
    for number in range(2):
        dbproxy_client.send_message(1, 2, f"m{number}")
        dbproxy_client.send_group_message(1, 9, f"g{number}")
        dbproxy_client.send_group_message(1, 10, f"h{number}")


def send_together(client: Client) -> list[int]:
    """One message to everybody, all at once; their ids."""
    sent = [message(1, 2, "to bob"), message(1, 3, "to carol")]
    sent += [message(1, group_id, "to all", msg_type=GROUP_TEXT) for group_id in (9, 10)]
    return [reply.msg_id for reply in client.requests(sent)]  # type: ignore[attr-defined]


NO_COUNTERS = [
    pytest.param("abc", id="text"),
    pytest.param("", id="empty"),
    pytest.param("9223372036854775807", id="overflows"),
    pytest.param("4294967295", id="the last id that the protocol can say"),
    pytest.param("-7", id="negative"),
    pytest.param(["1", "2"], id="list"),
    pytest.param({"a": "b"}, id="hash"),
]


@pytest.mark.parametrize("key", ["msg_id_1", "group_msg_id_9"])
@pytest.mark.parametrize("value", NO_COUNTERS)
def test_a_broken_message_counter_is_restored_from_the_stored_messages(
    stack: Stack, dbproxy_client: Client, key: str, value: str | list[str] | dict[str, str]
) -> None:
    put(stack, key, value)
    assert send_together(dbproxy_client) == [3, 1, 3, 3]
    assert send_together(dbproxy_client) == [4, 2, 4, 4]
    with stack.redis() as redis:
        assert redis.get(key) == "4"


@pytest.mark.parametrize("value", ["text", ["a", "list"], {"1": "many"}, {"1": "9223372036854775807"}])
def test_a_broken_unread_counter_is_replaced_and_counts_again(
    stack: Stack, dbproxy_client: Client, value: str | list[str] | dict[str, str]
) -> None:
    put(stack, "unread_2", value)
    answers = dbproxy_client.requests([message_pb2.IMUnreadMsgCntReq(user_id=user_id) for user_id in (1, 2, 3)])
    assert [answer.total_cnt for answer in answers][::2] == [0, 4]  # type: ignore[attr-defined]
    assert send_together(dbproxy_client) == [3, 1, 3, 3]
    assert entries(dbproxy_client, 2) == [(SINGLE, 1, 1), (GROUP, 10, 3), (GROUP, 9, 3)]
    assert entries(dbproxy_client, 3) == [(SINGLE, 1, 1), (GROUP, 10, 3), (GROUP, 9, 3)]


def test_a_read_ack_of_a_broken_unread_counter_spoils_none_beside_it(stack: Stack, dbproxy_client: Client) -> None:
    dbproxy_client.send_message(1, 3)
    put(stack, "unread_2", "text")
    dbproxy_client.read_ack(2, 1)
    dbproxy_client.read_ack(3, 1)
    for group_id in (9, 10):
        dbproxy_client.read_ack(3, group_id, GROUP)
    assert eventually(lambda: dbproxy_client.unread(3).total_cnt, 0) == 0
    with stack.redis() as redis:
        assert eventually(lambda: redis.exists("unread_2"), 0) == 0


@pytest.mark.parametrize("value", ["text", ["a", "list"], {"count": "many"}, {"count": "9223372036854775807"}, {"count": "99999999999"}])
def test_a_broken_group_counter_is_made_anew_from_the_stored_messages(
    stack: Stack, dbproxy_client: Client, value: str | list[str] | dict[str, str]
) -> None:
    put(stack, "9_im_group_msg", value)
    assert (GROUP, 10, 2) in entries(dbproxy_client, 2)
    assert send_together(dbproxy_client) == [3, 1, 3, 3]
    with stack.redis() as redis:
        assert [redis.hget(f"{group_id}_im_group_msg", "count") for group_id in (9, 10)] == ["3", "3"]
    assert entries(dbproxy_client, 3) == [(SINGLE, 1, 1), (GROUP, 10, 3), (GROUP, 9, 1)]
    assert entries(dbproxy_client, 1) == []


@pytest.mark.parametrize("value", ["text", ["a", "list"]])
def test_a_broken_copy_of_a_group_counter_spoils_no_other_and_heals(stack: Stack, dbproxy_client: Client, value: str | list[str]) -> None:
    put(stack, "1_9_im_user_group", value)
    put(stack, "2_9_im_user_group", value)
    assert (GROUP, 10, 2) in entries(dbproxy_client, 2)
    assert (GROUP, 9, 2) in entries(dbproxy_client, 3)
    assert send_together(dbproxy_client) == [3, 1, 3, 3]
    assert entries(dbproxy_client, 1) == []
    for user_id in (2, 3):
        dbproxy_client.read_ack(user_id, 9, GROUP)

    def unread_sessions() -> list[list[int]]:
        return [[entry[1] for entry in entries(dbproxy_client, user_id)] for user_id in (2, 3)]

    assert eventually(unread_sessions, [[1, 10]] * 2) == [[1, 10]] * 2


@pytest.mark.parametrize("value", ["text", ["a", "list"]])
@pytest.mark.parametrize(
    "touch",
    [
        pytest.param(lambda client: client.send_group_message(2, 9).msg_id == 3, id="a message"),
        pytest.param(lambda client: len(client.messages(2, 9, GROUP).msg_list) == 2, id="history"),
        pytest.param(lambda client: len(client.group_info({9: 0, 10: 0}).group_info_list) == 2, id="group info"),
        pytest.param(lambda client: list(client.add_members(1, 9, [4]).chg_user_id_list) == [4], id="joining"),
        pytest.param(lambda client: client.shield_group(2, 9).result_code == 0, id="muting"),
        pytest.param(lambda client: len(client.group_shield(9, [1, 2]).shield_status_list) == 2, id="who has muted"),
    ],
)
def test_a_broken_member_hash_comes_back_from_mysql(
    stack: Stack, dbproxy_client: Client, value: str | list[str], touch: Callable[[Client], bool]
) -> None:
    put(stack, "group_member_9", value)
    assert touch(dbproxy_client)
    with stack.redis("group_member") as redis:
        assert {"1", "2", "3"} <= set(redis.hkeys("group_member_9"))


def test_a_broken_member_hash_takes_no_message_to_another_group_with_it(stack: Stack, dbproxy_client: Client) -> None:
    put(stack, "group_member_9", "text")
    assert send_together(dbproxy_client) == [3, 1, 3, 3]


@pytest.mark.parametrize("value", ["text", ["a", "list"]])
def test_a_broken_hash_of_mutes_counts_as_empty_and_heals(stack: Stack, dbproxy_client: Client, value: str | list[str]) -> None:
    dbproxy_client.shield_group(1, 10)
    put(stack, "group_set_9", value)
    shields = [[entry.shield_status for entry in dbproxy_client.group_shield(group, [1, 2]).shield_status_list] for group in (9, 10)]
    assert shields == [[0, 0], [1, 0]]
    assert dbproxy_client.shield_group(2, 9).result_code == 0
    assert [entry.shield_status for entry in dbproxy_client.group_shield(9, [1, 2]).shield_status_list] == [0, 1]


def test_a_new_group_inherits_nothing_from_one_that_had_its_id(stack: Stack, dbproxy_client: Client) -> None:
    """A database that was loaded anew gives the ids of former groups again, and Redis still knows those."""
    put(stack, "11_im_group_msg", {"count": "500", "read_by_all": "400"})
    put(stack, "2_11_im_user_group", {"count": "300"})
    put(stack, "3_11_im_user_group", ["a", "list"])
    put(stack, "group_msg_id_11", "500")
    put(stack, "group_member_11", {"77": "1"})
    assert dbproxy_client.create_group(1, [1, 2, 3]).group_id == 11
    assert list(dbproxy_client.group_info({11: 0}).group_info_list[0].group_member_list) == [1, 2, 3]
    assert dbproxy_client.send_group_message(1, 11).msg_id == 1
    for user_id, count in ((1, []), (2, [1]), (3, [1])):
        assert [entry[2] for entry in entries(dbproxy_client, user_id) if entry[1] == 11] == count


def test_broken_device_keys_are_replaced(stack: Stack, dbproxy_client: Client) -> None:
    dbproxy_client.set_device_token(2, "bobs")
    dbproxy_client.set_device_token(3, "carols")
    put(stack, "device_1", ["a", "list"])
    put(stack, "device_bobs", ["a", "list"])
    put(stack, "unread_3", "text")
    assert [info.user_id for info in dbproxy_client.device_tokens([1, 2, 3]).user_token_info] == [2, 3]
    dbproxy_client.set_device_token(1, "alices")
    dbproxy_client.set_device_token(2, "bobs new")
    phones = [(info.user_id, info.token) for info in dbproxy_client.device_tokens([1, 2, 3]).user_token_info]
    assert phones == [(1, "alices"), (2, "bobs new"), (3, "carols")]


@pytest.mark.dbproxy(SyncInterval=0.2)
def test_the_group_sync_goes_on_although_its_own_key_is_broken(stack: Stack, dbproxy_client: Client) -> None:
    put(stack, "last_update_group", ["a", "list"])
    put(stack, "group_member_9", "text")
    dbproxy_client.send_group_message(1, 10)

    def sessions() -> list[int]:
        return sorted(info.session_id for info in dbproxy_client.recent_sessions(3).contact_session_list)

    assert eventually(sessions, [9, 10]) == [9, 10]
    with stack.redis() as redis:
        assert eventually(lambda: redis.type("last_update_group"), "string") == "string"
