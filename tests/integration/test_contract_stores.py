"""Rows and keys that no proxy would write, but that other programs and old versions leave behind: nothing of it stops an answer."""

from __future__ import annotations

import pytest

from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.requests import GROUP, SINGLE

pytestmark = [pytest.mark.usefixtures("no_defects"), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})]

NO_COUNTS = ["", "many", "-5", "1.5", " 7", "٣", "0x10"]
HUGE = "99999999999999999999999"


@pytest.mark.parametrize("value", NO_COUNTS)
def test_an_unread_counter_that_is_no_number_counts_as_nothing(stack: Stack, dbproxy_client: Client, value: str) -> None:
    relate_id = seed.relation(stack, 1, 3)
    seed.messages(stack, 3, 1, ["hello"], relate_id=relate_id)
    seed.group_messages(stack, 2, 9, ["a", "b"])
    seed.redis_key(stack, "unread_1", {"2": value, "3": "1", "x": value})
    seed.redis_key(stack, "1_9_im_user_group", {"count": value})
    reply = dbproxy_client.unread(1)
    got = [(info.session_type, info.session_id, info.unread_cnt) for info in reply.unreadinfo_list]
    assert got == [(SINGLE, 3, 1), (GROUP, 9, 2)]
    assert reply.total_cnt == 3


@pytest.mark.parametrize("value", NO_COUNTS)
def test_a_group_counter_that_is_no_number_counts_as_nothing(stack: Stack, dbproxy_client: Client, value: str) -> None:
    seed.redis_key(stack, "9_im_group_msg", {"count": value})
    assert dbproxy_client.unread(1).total_cnt == 0
    assert dbproxy_client.send_group_message(1, 9, "stored").msg_id == 1
    assert [info.msg_data for info in dbproxy_client.messages(2, 9, GROUP).msg_list] == [b"stored"]


@pytest.mark.parametrize("value", [HUGE, "4294967296", "9" * 5000])
def test_counters_beyond_the_range_of_the_protocol_are_answered(stack: Stack, dbproxy_client: Client, value: str) -> None:
    relate_id = seed.relation(stack, 1, 3)
    seed.messages(stack, 3, 1, ["hello"], relate_id=relate_id)
    seed.group_messages(stack, 2, 9, ["a"])
    dbproxy_client.set_device_token(1, "t")
    seed.redis_key(stack, "unread_1", {"3": value, value: "1"})
    seed.redis_key(stack, "9_im_group_msg", {"count": value})
    assert [info.session_id for info in dbproxy_client.unread(1).unreadinfo_list] == [3, 9]
    assert len(dbproxy_client.device_tokens([1]).user_token_info) == 1


def test_a_group_counter_behind_the_user_s_copy_counts_as_nothing(stack: Stack, dbproxy_client: Client) -> None:
    seed.group_messages(stack, 2, 9, ["a", "b"])
    seed.redis_key(stack, "1_9_im_user_group", {"count": "50"})
    assert dbproxy_client.unread(1).total_cnt == 0
    assert dbproxy_client.unread(3).total_cnt == 2


@pytest.mark.parametrize("value", ["-5", "0", "2"])
def test_a_message_counter_behind_the_stored_messages_is_set_right(stack: Stack, dbproxy_client: Client, value: str) -> None:
    relate_id = seed.relation(stack, 1, 2)
    seed.messages(stack, 1, 2, ["a", "b", "c"], relate_id=relate_id)
    seed.group_messages(stack, 1, 9, ["a", "b", "c"])
    seed.redis_key(stack, f"msg_id_{relate_id}", value)
    seed.redis_key(stack, "group_msg_id_9", value)
    assert [dbproxy_client.send_message(2, 1).msg_id for _ in range(2)] == [4, 5]
    assert [dbproxy_client.send_group_message(2, 9).msg_id for _ in range(2)] == [4, 5]


@pytest.mark.parametrize("value", ["garbage", "9223372036854775807", "4294967295"])
def test_a_message_counter_that_cannot_be_raised_loses_no_message(stack: Stack, dbproxy_client: Client, value: str) -> None:
    relate_id = seed.relation(stack, 1, 2)
    seed.messages(stack, 1, 2, ["a"], relate_id=relate_id)
    seed.redis_key(stack, f"msg_id_{relate_id}", value)
    msg_id = dbproxy_client.send_message(1, 2, "mine").msg_id
    stored = [info.msg_data for info in dbproxy_client.messages(1, 2).msg_list]
    assert (b"mine" in stored) == (msg_id != 0)
    assert dbproxy_client.send_message(1, 3).msg_id == 1


def test_a_member_hash_with_garbage_in_it_still_shows_the_members(stack: Stack, dbproxy_client: Client) -> None:
    seed.redis_key(stack, "group_member_9", {"2": "now", "x": "1", "": "1", "-3": "1"})
    (info,) = dbproxy_client.group_info({9: 0}).group_info_list
    assert list(info.group_member_list) == [1, 2, 3]
    assert dbproxy_client.send_group_message(2, 9).msg_id == 1
    assert len(dbproxy_client.messages(2, 9, GROUP).msg_list) == 1


def test_mute_values_that_are_no_numbers_count_as_unset(stack: Stack, dbproxy_client: Client) -> None:
    seed.redis_key(stack, "group_set_9", {"1_1": "yes", "2_1": "1", "3_1": "-1"})
    statuses = [(entry.user_id, entry.shield_status) for entry in dbproxy_client.group_shield(9, [1, 2, 3]).shield_status_list]
    assert statuses == [(1, 0), (2, 1), (3, 0)]


@pytest.mark.parametrize("value", ["", "ios", "blackberry:token", ":token", "IOS:token"])
def test_a_device_value_without_a_known_type_is_skipped(stack: Stack, dbproxy_client: Client, value: str) -> None:
    seed.redis_key(stack, "device_1", value)
    dbproxy_client.set_device_token(2, "t")
    assert [info.user_id for info in dbproxy_client.device_tokens([1, 2]).user_token_info] == [2]


@pytest.mark.parametrize("session_type", [0, 3, None])
def test_sessions_of_an_unknown_type_are_left_out(stack: Stack, dbproxy_client: Client, session_type: int | None) -> None:
    dbproxy_client.send_message(1, 2)
    dbproxy_client.send_group_message(1, 9)
    stack.rows("insert into IMRecentSession (userId,peerId,type,status,updated) values (1,9,%s,0,4000000000)", (session_type,))
    stack.rows("insert into IMRecentSession (userId,peerId,type,status,updated) values (1,2,%s,0,4000000000)", (session_type,))
    sessions = dbproxy_client.recent_sessions(1).contact_session_list
    assert sorted((info.session_type, info.session_id) for info in sessions) == [(SINGLE, 2), (GROUP, 9)]


def test_departments_of_an_unknown_status_are_left_out(stack: Stack, dbproxy_client: Client) -> None:
    for depart_id, status in ((1, 0), (2, 1), (3, 2)):
        seed.department(stack, depart_id, status=status, updated=seed.T0 + depart_id)
    for since, shown in ((0, [1, 2]), (seed.T0 + 1, [2]), (seed.T0 + 2, []), (seed.T0 + 3, [])):
        reply = dbproxy_client.departments(since)
        assert [depart.dept_id for depart in reply.dept_list] == shown
        assert reply.latest_update_time == seed.T0 + 3


def test_groups_of_an_unknown_type_are_left_out(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 10, [1, 2], type=7)
    assert [info.group_id for info in dbproxy_client.group_info({9: 0, 10: 0}).group_info_list] == [9]
    assert [info.group_id for info in dbproxy_client.normal_groups(1).group_version_list] == [9]


def test_messages_of_an_unknown_type_are_left_out_of_lists(stack: Stack, dbproxy_client: Client) -> None:
    for text in ("a", "b"):
        dbproxy_client.send_message(1, 2, text)
    stack.rows("update IMMessage_1 set type=77 where msgId=2")
    assert [info.msg_id for info in dbproxy_client.messages(1, 2).msg_list] == [1]
    dbproxy_client.recent_sessions(1)
    dbproxy_client.unread(2)


def test_columns_that_may_be_null_are_empty(stack: Stack, dbproxy_client: Client) -> None:
    stack.rows("update IMUser set avatar=null where id=2")
    dbproxy_client.send_message(1, 2)
    stack.rows("update IMMessage_1 set content=null")
    (info,) = dbproxy_client.user_info([2]).user_info_list
    assert (info.HasField("avatar_url"), info.avatar_url) == (True, "")
    assert [stored.msg_data for stored in dbproxy_client.messages(1, 2).msg_list] == [b""]
    assert [entry.latest_msg_data for entry in dbproxy_client.unread(2).unreadinfo_list] == [b""]


def test_a_deleted_message_is_nowhere_and_its_id_is_not_given_again(stack: Stack, dbproxy_client: Client) -> None:
    for text in ("a", "b"):
        dbproxy_client.send_message(1, 2, text)
        dbproxy_client.send_group_message(1, 9, text)
    stack.rows("update IMMessage_1 set status=1 where msgId=2")
    stack.rows("update IMGroupMessage_1 set status=1 where msgId=2")
    for session_type, session_id in ((SINGLE, 2), (GROUP, 9)):
        assert [info.msg_id for info in dbproxy_client.messages(1, session_id, session_type).msg_list] == [1]
        assert [info.msg_id for info in dbproxy_client.messages_by_id(1, session_id, [1, 2], session_type).msg_list] == [1]
        assert dbproxy_client.latest_msg_id(1, session_id, session_type).latest_msg_id == 1
    with stack.redis("unread") as redis:
        redis.delete("msg_id_1", "group_msg_id_9")
    assert dbproxy_client.send_message(2, 1, "c").msg_id == 3
    assert dbproxy_client.send_group_message(2, 9, "c").msg_id == 3


def test_relations_and_sessions_that_stand_twice_are_used_once(stack: Stack, dbproxy_client: Client) -> None:
    first = seed.relation(stack, 1, 2)
    second = seed.relation(stack, 1, 2)
    for _ in range(2):
        seed.session(stack, 1, 2)
        seed.session(stack, 2, 1)
    assert dbproxy_client.send_message(1, 2).msg_id == 1
    assert len(dbproxy_client.messages(2, 1).msg_list) == 1
    assert stack.rows(f"select count(*) as n from IMMessage_{first}") == [{"n": 1}]
    assert stack.rows(f"select count(*) as n from IMMessage_{second}") == [{"n": 0}]
    assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 4}]


def test_of_several_relations_the_one_that_was_used_last_goes_on(stack: Stack, dbproxy_client: Client) -> None:
    """As the C++ daemon leaves it after several first messages at once: it goes on in the newest relation."""
    texts = {relate_id: [f"message {number} of {relate_id}" for number in range(3)] for relate_id in (1, 2, 3, 4)}
    for relate_id, later in ((1, 0), (3, 500), (2, 100)):
        seed.relation(stack, 1, 2, relate_id=relate_id)
        seed.messages(stack, 1, 2, texts[relate_id], relate_id=relate_id, created=seed.T0 + later)
    seed.relation(stack, 1, 2, relate_id=4)
    stack.rows(
        "insert into IMMessage_4 (relateId,fromId,toId,msgId,content,type,status,created,updated) values (4,1,2,1,'gone',1,1,%s,0)",
        (seed.T0 + 900,),
    )
    assert [message.msg_data.decode() for message in dbproxy_client.messages(2, 1).msg_list] == texts[3][::-1]
    assert dbproxy_client.send_message(2, 1).msg_id == 4
    assert stack.rows("select max(msgId) as n from IMMessage_3") == [{"n": 4}]


def test_of_relations_used_in_the_same_second_the_newest_goes_on(stack: Stack, dbproxy_client: Client) -> None:
    for relate_id in (1, 2):
        seed.relation(stack, 1, 2, relate_id=relate_id)
        seed.messages(stack, 1, 2, [f"of {relate_id}"], relate_id=relate_id)
    assert [message.msg_data for message in dbproxy_client.messages(1, 2).msg_list] == [b"of 2"]


def test_membership_rows_that_stand_twice_are_one_member(stack: Stack, dbproxy_client: Client) -> None:
    stack.rows("insert into IMGroupMember (groupId,userId,status,created,updated) values (9,2,0,1,1)")
    with stack.redis("group_member") as redis:
        redis.delete("group_member_9")
    assert list(dbproxy_client.group_info({9: 0}).group_info_list[0].group_member_list) == [1, 2, 3]
    assert [info.group_id for info in dbproxy_client.normal_groups(2).group_version_list] == [9]
    dbproxy_client.send_group_message(1, 9)
    unread = dbproxy_client.unread(2)
    assert [(info.session_id, info.unread_cnt) for info in unread.unreadinfo_list] == [(9, 1)]
    assert unread.total_cnt == 1
