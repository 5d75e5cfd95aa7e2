"""What the 26 commands do in cases that the recordings do not show."""

from __future__ import annotations

import pytest

from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.requests import GROUP, SINGLE
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2, buddy_pb2, file_pb2, group_pb2, login_pb2, message_pb2, server_pb2

NOT_UTF8 = b"\xff\xfe"


pytestmark = pytest.mark.data(users=["alice", "bob", "carol"])


def test_user_ids_may_be_repeated_unknown_or_zero(stack: Stack, dbproxy_client: Client) -> None:
    reply = dbproxy_client.user_info([3, 1, 1, 0, 99])
    assert [info.user_id for info in reply.user_info_list] == [1, 3]


def test_sign_info_of_128_bytes_is_taken_and_129_are_not(stack: Stack, dbproxy_client: Client) -> None:
    assert dbproxy_client.change_sign_info(1, "签" * 42 + "xx").result_code == 0
    refused = dbproxy_client.change_sign_info(1, "签" * 43)
    assert refused.result_code == 1
    assert not refused.HasField("sign_info")
    assert stack.rows("select sign_info from IMUser where id=1") == [{"sign_info": "签" * 42 + "xx"}]


def test_sign_info_that_is_not_utf8_is_refused(stack: Stack, dbproxy_client: Client) -> None:
    request = buddy_pb2.IMChangeSignInfoReq(user_id=1)
    request.MergeFromString(b"\x12\x02" + NOT_UTF8)
    assert dbproxy_client.ask(request, buddy_pb2.IMChangeSignInfoRsp).result_code == 1


def test_login_name_that_is_not_utf8_comes_back_as_it_was(stack: Stack, dbproxy_client: Client) -> None:
    request = server_pb2.IMValidateReq(password="x")
    request.MergeFromString(b"\x0a\x02" + NOT_UTF8)
    reply = dbproxy_client.ask(request, server_pb2.IMValidateRsp)
    assert reply.result_code == 1
    assert reply.user_name == NOT_UTF8  # type: ignore[comparison-overlap]  # protobuf gives such a string as bytes


def test_logins_in_one_batch_are_told_apart(stack: Stack, dbproxy_client: Client) -> None:
    password = "e10adc3949ba59abbe56e057f20f883e"
    asked = [("alice", password), ("alice", "wrong"), ("nobody", password), ("bob", password), ("Alice", password)]
    replies = dbproxy_client.requests([server_pb2.IMValidateReq(user_name=name, password=given) for name, given in asked])
    results = [(reply.result_code, reply.user_info.user_id) for reply in replies]  # type: ignore[attr-defined]
    assert results == [(0, 1), (1, 0), (1, 0), (0, 2), (1, 0)]


def test_eleven_failures_in_one_batch_lock_the_name(stack: Stack, dbproxy_client: Client) -> None:
    wrong = [server_pb2.IMValidateReq(user_name="alice", password="wrong") for _ in range(11)]
    assert {reply.result_code for reply in dbproxy_client.requests(wrong)} == {1}  # type: ignore[attr-defined]
    assert dbproxy_client.login("alice").result_code == 6
    assert dbproxy_client.login("bob").result_code == 0


def test_of_two_users_with_one_name_the_last_one_logs_in(stack: Stack, dbproxy_client: Client) -> None:
    seed.user(stack, 7, "alice", password="other")
    assert dbproxy_client.login("alice", "other").user_info.user_id == 7


def test_device_token_that_is_not_utf8_is_kept_as_it_is(stack: Stack, dbproxy_client: Client) -> None:
    request = login_pb2.IMDeviceTokenReq(user_id=1, client_type=base_define_pb2.CLIENT_TYPE_ANDROID)
    request.MergeFromString(b"\x12\x02" + NOT_UTF8)
    assert dbproxy_client.ask(request, login_pb2.IMDeviceTokenRsp).user_id == 1
    (info,) = dbproxy_client.device_tokens([1]).user_token_info
    assert info.token == NOT_UTF8  # type: ignore[comparison-overlap]


def test_device_tokens_of_one_batch_each_have_their_own_users(stack: Stack, dbproxy_client: Client) -> None:
    for user_id in (1, 2, 10):
        dbproxy_client.set_device_token(user_id, f"t{user_id}", client_type=base_define_pb2.CLIENT_TYPE_ANDROID)
    asked = [[10, 2, 2, 1], [2], [], [99]]
    replies = dbproxy_client.requests([server_pb2.IMGetDeviceTokenReq(user_id=ids) for ids in asked])
    assert [[info.user_id for info in reply.user_token_info] for reply in replies] == [[1, 10, 2], [2], [], []]  # type: ignore[attr-defined]


def test_message_to_a_user_who_does_not_exist_is_stored(stack: Stack, dbproxy_client: Client) -> None:
    assert dbproxy_client.send_message(1, 4_000_000_000).msg_id == 1


@pytest.mark.parametrize(("sender", "receiver"), [(0, 2), (1, 0), (0, 0), (3, 3)])
def test_messages_from_or_to_user_0_or_oneself_leave_nothing(stack: Stack, dbproxy_client: Client, sender: int, receiver: int) -> None:
    before = stack.snapshot()
    assert dbproxy_client.send_message(sender, receiver).msg_id == 0
    assert stack.snapshot() == before


def test_message_with_a_nul_byte_comes_back_whole(stack: Stack, dbproxy_client: Client) -> None:
    text = b"a\x00b'\"\\%s|c\n"
    dbproxy_client.send_message(1, 2, text)
    assert dbproxy_client.messages(2, 1).msg_list[0].msg_data == text


def test_longest_message_is_stored_and_one_more_character_is_not(stack: Stack, dbproxy_client: Client) -> None:
    assert dbproxy_client.send_message(1, 2, "长" * 4096).msg_id == 1
    assert dbproxy_client.send_message(1, 2, "长" * 4097).msg_id == 0
    assert len(dbproxy_client.messages(1, 2).msg_list) == 1


def test_one_bad_message_in_a_batch_does_not_take_the_others_down(stack: Stack, dbproxy_client: Client) -> None:
    texts: list[bytes] = [b"m%d" % n for n in range(20)]
    texts[5], texts[11] = b"\xff", b"x" * 5000
    requests = [
        message_pb2.IMMsgData(
            from_user_id=1, to_session_id=2, msg_id=0, create_time=n, msg_type=base_define_pb2.MSG_TYPE_SINGLE_TEXT, msg_data=text
        )
        for n, text in enumerate(texts)
    ]
    ids = [reply.msg_id for reply in dbproxy_client.requests(requests)]  # type: ignore[attr-defined]
    assert [n for n, msg_id in enumerate(ids) if msg_id == 0] == [5, 11]
    assert [msg_id for msg_id in ids if msg_id] == list(range(1, 19))


def test_the_history_of_unknown_users_and_sessions_is_empty(stack: Stack, dbproxy_client: Client) -> None:
    dbproxy_client.send_message(1, 2)
    assert not dbproxy_client.messages(1, 0).msg_list
    assert not dbproxy_client.messages(1, 1).msg_list
    assert not dbproxy_client.messages(1, 77, GROUP).msg_list
    assert not dbproxy_client.messages(1, 2, msg_cnt=0).msg_list
    assert not dbproxy_client.messages_by_id(1, 2, [0]).msg_list


def test_messages_by_id_come_once_and_newest_first(stack: Stack, dbproxy_client: Client) -> None:
    for n in range(5):
        dbproxy_client.send_message(1, 2, f"m{n}", create_time=100 + n)
    reply = dbproxy_client.messages_by_id(2, 1, [2, 5, 2, 99, 3])
    assert [info.msg_id for info in reply.msg_list] == [5, 3, 2]


def test_at_most_100_messages_by_id(stack: Stack, dbproxy_client: Client) -> None:
    relate_id = seed.relation(stack, 1, 2)
    seed.messages(stack, 1, 2, [f"m{n}" for n in range(120)], relate_id=relate_id)
    assert [info.msg_id for info in dbproxy_client.messages_by_id(1, 2, range(1, 121)).msg_list] == list(range(120, 20, -1))


def test_recent_sessions_end_after_100(stack: Stack, dbproxy_client: Client) -> None:
    for peer in range(10, 120):
        relate_id = seed.relation(stack, 1, peer)
        seed.messages(stack, peer, 1, ["hello"], relate_id=relate_id)
        seed.session(stack, 1, peer, updated=1000 + peer)
    sessions = dbproxy_client.recent_sessions(1).contact_session_list
    assert [session.session_id for session in sessions] == list(range(119, 19, -1))


def test_session_list_and_unread_of_people_and_groups_together(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2])
    dbproxy_client.send_message(2, 1, "to alice")
    dbproxy_client.send_group_message(2, 9, "to all")
    unread = dbproxy_client.unread(1)
    entries = [
        (info.session_type, info.session_id, info.unread_cnt, info.latest_msg_data, info.latest_msg_from_user_id)
        for info in unread.unreadinfo_list
    ]
    assert entries == [(SINGLE, 2, 1, b"to alice", 2), (GROUP, 9, 1, b"to all", 2)]
    assert unread.total_cnt == 2


def test_counters_that_are_no_numbers_count_as_nothing(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2])
    seed.group_messages(stack, 2, 9, ["a"])
    seed.redis_key(stack, "unread_1", {"2": "many", "x": "1", "3": "-5"})
    seed.redis_key(stack, "9_im_group_msg", {"count": "garbage"})
    reply = dbproxy_client.unread(1)
    assert (reply.total_cnt, list(reply.unreadinfo_list)) == (0, [])


def test_a_session_that_stands_twice_in_the_table_is_one_session(stack: Stack, dbproxy_client: Client) -> None:
    removed = seed.session(stack, 1, 2, status=1)
    visible = seed.session(stack, 1, 2)
    dbproxy_client.send_message(1, 2)
    rows = stack.rows("select id,status,updated from IMRecentSession where userId=1 order by id")
    assert [(row["id"], row["status"]) for row in rows] == [(removed, 1), (visible, 0)]
    assert rows[0]["updated"] == seed.T0 != rows[1]["updated"]


def test_removed_relation_becomes_visible_again_with_the_next_message(stack: Stack, dbproxy_client: Client) -> None:
    relate_id = seed.relation(stack, 1, 2)
    stack.rows("update IMRelationShip set status=1")
    assert dbproxy_client.send_message(2, 1).msg_id == 1
    assert stack.rows("select id,status from IMRelationShip") == [{"id": relate_id, "status": 0}]


def test_removing_no_member_is_a_change(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2])
    reply = dbproxy_client.remove_members(1, 9, [])
    assert (reply.result_code, list(reply.cur_user_id_list), list(reply.chg_user_id_list)) == (0, [], [])
    assert stack.rows("select version,userCnt from IMGroup") == [{"version": 2, "userCnt": 2}]


def test_adding_no_member_is_refused(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2])
    assert dbproxy_client.add_members(1, 9, []).result_code == 1


def test_members_may_be_repeated(stack: Stack, dbproxy_client: Client) -> None:
    created = dbproxy_client.create_group(1, [3, 3, 1])
    assert list(created.user_id_list) == [1, 3]
    changed = dbproxy_client.add_members(1, created.group_id, [2, 2])
    assert list(changed.chg_user_id_list) == [2]
    assert stack.rows("select userId from IMGroupMember where status=0 order by userId") == [{"userId": 1}, {"userId": 2}, {"userId": 3}]


def test_group_name_that_does_not_fit_is_refused(stack: Stack, dbproxy_client: Client) -> None:
    reply = dbproxy_client.create_group(1, [1, 2], name="群" * 300)
    assert (reply.result_code, reply.HasField("group_id")) == (1, False)
    assert stack.rows("select count(*) as n from IMGroupMember") == [{"n": 0}]


def test_group_of_an_unknown_type_gets_no_reply(stack: Stack, dbproxy_client: Client) -> None:
    request = group_pb2.IMGroupCreateReq(user_id=1, group_name="g", group_avatar="", member_id_list=[1])
    request.MergeFromString(b"\x10\x07")  # group_type 7
    dbproxy_client.send(request)
    assert dbproxy_client.unread(1).total_cnt == 0
    assert stack.rows("select count(*) as n from IMGroup") == [{"n": 0}]


def test_of_two_versions_of_a_group_the_last_one_counts(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2], version=4)
    request = group_pb2.IMGroupInfoListReq(user_id=1)
    for version in (0, 4):
        request.group_version_list.add(group_id=9, version=version)
    assert not dbproxy_client.ask(request, group_pb2.IMGroupInfoListRsp).group_info_list


def test_who_left_and_came_back_sees_only_what_came_after(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2])
    seed.group_messages(stack, 1, 9, ["old"])
    dbproxy_client.remove_members(1, 9, [2])
    dbproxy_client.add_members(1, 9, [2])
    dbproxy_client.send_group_message(1, 9, "new")
    assert [info.msg_data for info in dbproxy_client.messages(2, 9, GROUP).msg_list] == [b"new"]
    assert dbproxy_client.unread(2).total_cnt == 1


def test_offline_files_come_oldest_first_and_one_is_deleted_at_a_time(stack: Stack, dbproxy_client: Client) -> None:
    for task in ("b", "a", "a"):
        dbproxy_client.add_offline_file(1, 2, task)

    def waiting() -> list[str]:
        return sorted(info.task_id for info in dbproxy_client.offline_files(2).offline_file_list)

    assert eventually(waiting, ["a", "a", "b"]) == ["a", "a", "b"]
    dbproxy_client.delete_offline_file(1, 2, "a")
    assert eventually(waiting, ["a", "b"]) == ["a", "b"]


def test_offline_file_name_that_is_not_utf8_is_refused_without_a_reply(stack: Stack, dbproxy_client: Client) -> None:
    request = file_pb2.IMFileAddOfflineReq(from_user_id=1, to_user_id=2, task_id="t", file_size=1)
    request.MergeFromString(b"\x22\x02" + NOT_UTF8)
    dbproxy_client.send(request)
    assert dbproxy_client.unread(1).total_cnt == 0
    assert not dbproxy_client.offline_files(2).offline_file_list


def test_unknown_session_type_gets_no_reply(stack: Stack, dbproxy_client: Client) -> None:
    request = message_pb2.IMGetLatestMsgIdReq(user_id=1, session_id=2)
    request.MergeFromString(b"\x10\x09")
    dbproxy_client.send(request)
    assert dbproxy_client.latest_msg_id(1, 2).latest_msg_id == 0


@pytest.mark.parametrize("attach_data", [None, b"", b"\x00\xff"])
def test_attach_data_comes_back_and_is_set_even_when_there_was_none(
    stack: Stack, dbproxy_client: Client, attach_data: bytes | None
) -> None:
    requests = [
        buddy_pb2.IMUsersInfoReq(user_id=1, attach_data=attach_data),
        buddy_pb2.IMDepartmentReq(user_id=1, latest_update_time=0, attach_data=attach_data),
        buddy_pb2.IMRecentContactSessionReq(user_id=1, latest_update_time=0, attach_data=attach_data),
        buddy_pb2.IMRemoveSessionReq(user_id=1, session_type=SINGLE, session_id=2, attach_data=attach_data),
        message_pb2.IMUnreadMsgCntReq(user_id=1, attach_data=attach_data),
        message_pb2.IMGetMsgByIdReq(user_id=1, session_type=SINGLE, session_id=2, attach_data=attach_data),
        group_pb2.IMNormalGroupListReq(user_id=1, attach_data=attach_data),
        login_pb2.IMQueryPushShieldReq(user_id=1, attach_data=attach_data),
        file_pb2.IMFileHasOfflineReq(user_id=1, attach_data=attach_data),
        server_pb2.IMGetDeviceTokenReq(attach_data=attach_data),
    ]
    for reply in dbproxy_client.requests(requests):
        assert reply.HasField("attach_data"), reply
        assert reply.attach_data == (attach_data or b"")  # type: ignore[attr-defined]
