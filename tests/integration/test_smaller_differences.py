"""The smaller differences from the original: the second list of docs/DIFFERENCES.md."""

from __future__ import annotations

import time

import pytest

from dbproxy.testing import Client, FileServer, InProcessProxy, Stack, seed
from dbproxy.testing.requests import GROUP
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import buddy_pb2


def test_a_list_ends_after_2000_messages_whatever_was_asked_for(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.relation(dbproxy_stack, 1, 2, relate_id=1)
    seed.messages(dbproxy_stack, 1, 2, (f"text {number}" for number in range(2001)), relate_id=1)
    found = dbproxy_client.messages(2, 1, msg_cnt=5000).msg_list
    assert [message.msg_id for message in found] == list(range(2001, 1, -1))


def test_a_lookup_that_failed_is_not_answered_with_an_empty_list(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.users(dbproxy_stack, "alice")
    dbproxy_stack.rows("alter table IMDepart rename to IMDepart_gone")
    try:
        dbproxy_client.send(buddy_pb2.IMDepartmentReq(user_id=1, latest_update_time=0))
        assert len(dbproxy_client.user_info([1]).user_info_list) == 1
        assert dbproxy_client.silent(0.2)
    finally:
        dbproxy_stack.rows("alter table IMDepart_gone rename to IMDepart")


def test_what_does_not_fit_is_refused_even_by_a_server_that_would_cut_it(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    mode = dbproxy_stack.rows("select @@global.sql_mode as mode")[0]["mode"]
    dbproxy_stack.rows("set global sql_mode=''")
    try:
        with InProcessProxy(dbproxy_stack, {"StopGrace": 1}) as proxy, proxy.client() as client:
            assert client.create_group(1, [1, 2], name="x" * 257).result_code == 1
            assert client.send_message(1, 2, "x" * 4097).msg_id == 0
    finally:
        dbproxy_stack.rows("set global sql_mode=%s", (mode,))
    assert dbproxy_stack.rows("select name from IMGroup") == []
    assert dbproxy_stack.rows("select content from IMMessage_1") == []


@pytest.mark.parametrize(("last_run", "expected"), [(1000, [7, 8]), (None, [7])], ids=["a little overlap", "one day without a last run"])
def test_how_far_the_group_session_sync_looks_back(dbproxy_stack: Stack, last_run: int | None, expected: list[int]) -> None:
    dbproxy_stack.reset()
    now = int(time.time())
    chated = {6: 900, 7: 997, 8: 1003} if last_run else {6: now - 2 * 86400, 7: now - 3600}
    for group_id, last_chated in chated.items():
        seed.group(dbproxy_stack, group_id, [1, 2], lastChated=last_chated)
    if last_run:
        seed.redis_key(dbproxy_stack, "last_update_group", last_run)
    with InProcessProxy(dbproxy_stack, {"StopGrace": 1, "SyncInterval": 3600}):

        def is_over() -> bool:
            with dbproxy_stack.redis("unread") as redis:
                return int(str(redis.get("last_update_group") or 0)) >= now

        assert eventually(is_over, True)
    assert [row["peerId"] for row in dbproxy_stack.rows("select peerId from IMRecentSession where userId=2 order by peerId")] == expected


def test_sounds_of_a_list_that_would_take_too_long_are_left_out(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    with (
        FileServer() as files,
        InProcessProxy(dbproxy_stack, {"StopGrace": 1, "MsfsSite": files.site, "FileServerTimeout": 0.5}) as proxy,
        proxy.client() as client,
    ):
        for number in range(4):
            assert client.send_sound(1, 2, b"sound %d" % number).msg_id == number + 1
        files.faults.delay = 0.3
        data = [message.msg_data for message in client.messages(2, 1).msg_list]
    fetched = [content for content in data if b"sound" in content]
    assert len(data) == 4
    assert len(fetched) == files.downloads == 2
    assert all(content.isdigit() for content in data if content not in fetched)


def test_a_conversation_without_visible_messages_is_not_listed_as_unread(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.group(dbproxy_stack, 9, [1, 2])
    dbproxy_client.send_message(1, 2, "gone")
    dbproxy_client.send_message(3, 2, "there")
    dbproxy_client.send_group_message(1, 9, "gone")
    dbproxy_stack.rows("update IMMessage_1 set status=1")
    dbproxy_stack.rows("update IMGroupMessage_1 set status=1")
    unread = dbproxy_client.unread(2)
    assert (unread.total_cnt, [info.session_id for info in unread.unreadinfo_list]) == (1, [3])
    assert [info.session_id for info in dbproxy_client.recent_sessions(2).contact_session_list] == [3]


def test_numbers_above_two_to_the_31_are_stored_and_come_back(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    big = 2**31 + 5
    assert dbproxy_client.send_message(big, big + 1, "hello", create_time=big).msg_id == 1
    (stored,) = dbproxy_client.messages(big + 1, big).msg_list
    assert (stored.from_session_id, stored.create_time, stored.msg_data) == (big, big, b"hello")
    assert [entry.session_id for entry in dbproxy_client.recent_sessions(big).contact_session_list] == [big + 1]
    group_id = dbproxy_client.create_group(big, [big, big + 1]).group_id
    assert list(dbproxy_client.group_info({group_id: 0}).group_info_list[0].group_member_list) == [big, big + 1]
    assert dbproxy_client.send_group_message(big, group_id, create_time=big).msg_id == 1
    dbproxy_client.add_offline_file(big, big + 1, "task", file_size=2**32 - 1)
    sizes = [(2**32 - 1, big)]
    assert (
        eventually(lambda: [(f.file_size, f.from_user_id) for f in dbproxy_client.offline_files(big + 1).offline_file_list], sizes) == sizes
    )


def test_a_sound_of_no_duration_comes_back_as_a_sound(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.group(dbproxy_stack, 9, [1, 2])
    with FileServer() as files, InProcessProxy(dbproxy_stack, {"StopGrace": 1, "MsfsSite": files.site}) as proxy, proxy.client() as client:
        assert client.send_sound(1, 2, b"sound", seconds=0).msg_id == 1
        assert client.send_sound(1, 9, b"sound", seconds=0, group=True).msg_id == 1
        assert client.messages(2, 1).msg_list[0].msg_data == b"\0\0\0\0sound"
        assert client.messages(2, 9, GROUP).msg_list[0].msg_data == b"\0\0\0\0sound"


@pytest.mark.parametrize("value", ["many", "", "1.5", "-3"])
def test_a_group_counter_that_is_no_number_is_not_copied_when_read(dbproxy_stack: Stack, dbproxy_client: Client, value: str) -> None:
    seed.group(dbproxy_stack, 9, [1, 2])
    seed.group_messages(dbproxy_stack, 1, 9, ["a"])
    seed.redis_key(dbproxy_stack, "9_im_group_msg", {"count": value})
    dbproxy_client.read_ack(2, 9, GROUP)
    with dbproxy_stack.redis("unread") as redis:
        assert eventually(lambda: redis.hget("2_9_im_user_group", "count"), "0") == "0"
        assert redis.hget("9_im_group_msg", "count") == value
    assert dbproxy_client.unread(2).total_cnt == 0


def test_a_member_hash_with_an_empty_value_or_a_text_field(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.group(dbproxy_stack, 9, [1], in_redis=False)
    seed.redis_key(dbproxy_stack, "group_member_9", {"1": "", "2": "", "bob": "1", "3x": "1"})
    assert list(dbproxy_client.group_info({9: 0}).group_info_list[0].group_member_list) == [1, 2]
    assert dbproxy_client.send_group_message(2, 9).msg_id == 1
    assert dbproxy_client.send_group_message(1, 9).msg_id == 2
    assert [stored.msg_id for stored in dbproxy_client.messages(2, 9, GROUP).msg_list] == [2, 1]


@pytest.mark.parametrize("group_type", [0, 3])
def test_a_creator_may_change_a_group_of_any_type(dbproxy_stack: Stack, dbproxy_client: Client, group_type: int) -> None:
    seed.group(dbproxy_stack, 9, [1, 2], type=group_type)
    assert dbproxy_client.add_members(2, 9, [3]).result_code == 1
    assert list(dbproxy_client.add_members(1, 9, [3]).cur_user_id_list) == [1, 2, 3]
    assert dbproxy_client.remove_members(2, 9, [3]).result_code == 1
    assert list(dbproxy_client.remove_members(1, 9, [3]).cur_user_id_list) == [1, 2]


def test_two_users_whose_names_differ_by_a_blank_each_log_in_as_themselves(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.user(dbproxy_stack, 1, "pad", password="one")
    seed.user(dbproxy_stack, 2, "pad ", password="two")
    assert dbproxy_client.login("pad", "one").user_info.user_id == 1
    assert dbproxy_client.login("pad ", "two").user_info.user_id == 2
    assert [dbproxy_client.login(*wrong).result_code for wrong in (("pad", "two"), ("pad ", "one"))] == [1, 1]
    assert dbproxy_client.login("pad  ", "two").user_info.user_id == 2  # neither name as it is: the one with the larger id


OTHERS = [buddy_pb2.IMUsersInfoReq(user_id=3, user_id_list=[2]), buddy_pb2.IMChangeSignInfoReq(user_id=2, sign_info="x")]


@pytest.mark.parametrize("other", OTHERS, ids=["another command", "the same command"])
def test_requests_of_a_connection_may_overtake_one_another(
    dbproxy_stack: Stack, dbproxy_client: Client, other: buddy_pb2.IMUsersInfoReq | buddy_pb2.IMChangeSignInfoReq
) -> None:
    seed.users(dbproxy_stack, "alice", "bob")
    connection = dbproxy_stack.mysql()
    try:
        connection.begin()
        with connection.cursor() as cursor:
            cursor.execute("select id from IMUser where id=1 for update")
        dbproxy_client.send(buddy_pb2.IMChangeSignInfoReq(user_id=1, sign_info="late"), seq_num=900)
        waits = "select count(*) as n from information_schema.processlist where info like 'update IMUser %' and id<>connection_id()"
        assert eventually(lambda: dbproxy_stack.rows(waits) == [{"n": 1}], True)
        dbproxy_client.request(other, seq_num=901)
    finally:
        connection.rollback()
        connection.close()
    assert dbproxy_client.receive(10).seq_num == 900
