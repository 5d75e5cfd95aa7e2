"""Where this proxy is better than the original on purpose: the list of docs/DIFFERENCES.md, a test each."""

from __future__ import annotations

import threading

import pytest

from dbproxy.testing import Client, InProcessProxy, ProxyProcess, Stack, seed
from dbproxy.testing.requests import GROUP, message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2
from dbproxy.wire.pdu import HEADER, pack_pdu

pytestmark = pytest.mark.data(users=["alice", "bob", "carol"])


def test_1_a_message_is_acknowledged_only_when_it_is_stored(stack: Stack, dbproxy_client: Client) -> None:
    dbproxy_client.send_message(1, 2)
    stack.rows("alter table IMMessage_1 rename to IMMessage_gone")
    try:
        assert dbproxy_client.send_message(1, 2).msg_id == 0
    finally:
        stack.rows("alter table IMMessage_gone rename to IMMessage_1")
    assert dbproxy_client.send_message(1, 2).msg_id > 1
    assert stack.rows("select count(*) as n from IMMessage_1") == [{"n": 2}]


def test_1_a_sound_whose_upload_fails_is_not_acknowledged(stack: Stack, dbproxy_client: Client) -> None:
    assert dbproxy_client.send_sound(1, 2, b"sound").msg_id == 0
    assert stack.rows("select count(*) as n from IMAudio") == [{"n": 0}]
    assert stack.rows("select count(*) as n from IMRecentSession") == [{"n": 0}]


@pytest.mark.parametrize("text", ["' or '1'='1", "x'; drop table IMUser; -- ", 'a"b\\', "%s %d %", "\x00"])
def test_2_request_text_is_never_sql(stack: Stack, dbproxy_client: Client, text: str) -> None:
    assert dbproxy_client.login(text).result_code == 1
    assert dbproxy_client.change_sign_info(1, text).result_code == 0
    assert dbproxy_client.user_info([1]).user_info_list[0].sign_info == text
    created = dbproxy_client.create_group(1, [1, 2], name=text, avatar=text)
    assert dbproxy_client.group_info({created.group_id: 0}).group_info_list[0].group_name == text
    dbproxy_client.add_offline_file(1, 2, text, file_name=text)
    assert eventually(lambda: [info.task_id for info in dbproxy_client.offline_files(2).offline_file_list], [text]) == [text]
    assert len(dbproxy_client.all_users().user_list) == 3


def test_3_no_byte_stream_harms_the_process_or_another_connection(stack: Stack, dbproxy_proxy: InProcessProxy) -> None:
    with dbproxy_proxy.client() as other:
        for stream in (bytes(16), b"\xff" * 64, HEADER.pack(15, 1, 0, 3, 0x0301, 1, 0), pack_pdu(3, 0x0301, 1, b"\xff" * 100)):
            with dbproxy_proxy.client() as client:
                client.send_raw(stream + HEADER.pack(0, 0, 0, 0, 0, 0, 0))
                assert client.closed_within(5)
            assert other.login("alice").result_code == 0


@pytest.mark.parametrize("proxies", [1, 2])
def test_4_forty_first_messages_at_once_make_one_relation_and_two_sessions(dbproxy_stack: Stack, proxies: int) -> None:
    dbproxy_stack.reset()
    running = [InProcessProxy(dbproxy_stack, {"StopGrace": 1}).start() for _ in range(proxies)]
    try:
        ids: list[int] = []

        def write(number: int) -> None:
            with running[number % proxies].client(timeout=30) as client:
                ids.append(client.send_message(*((1, 2) if number % 2 else (2, 1)), f"first {number}").msg_id)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for proxy in running:
            proxy.stop()
    assert sorted(ids) == list(range(1, 41))
    assert dbproxy_stack.rows("select count(*) as n from IMRelationShip") == [{"n": 1}]
    assert dbproxy_stack.rows("select userId,peerId from IMRecentSession order by userId") == [
        {"userId": 1, "peerId": 2},
        {"userId": 2, "peerId": 1},
    ]


def test_5_messages_of_a_conversation_are_stored_as_they_arrived(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2])
    group_text = base_define_pb2.MSG_TYPE_GROUP_TEXT
    sent = [message(1 + n % 2, 2 - n % 2, f"{n}", create_time=1000) for n in range(60)]
    sent += [message(1 + n % 2, 9, f"{n}", create_time=1000, msg_type=group_text) for n in range(60)]
    ids = [reply.msg_id for reply in dbproxy_client.requests(sent)]  # type: ignore[attr-defined]
    assert ids == [*range(1, 61)] * 2
    for table in ("IMMessage_1", "IMGroupMessage_1"):
        rows = stack.rows(f"select msgId,content from {table} order by id")
        assert [(row["msgId"], row["content"]) for row in rows] == [(n + 1, f"{n}") for n in range(60)]


def test_6_ids_go_on_when_redis_comes_back_with_an_old_counter(stack: Stack, dbproxy_client: Client) -> None:
    for _ in range(5):
        dbproxy_client.send_message(1, 2)
    seed.redis_key(stack, "msg_id_1", 2)
    assert dbproxy_client.send_message(1, 2).msg_id == 6
    assert dbproxy_client.send_message(2, 1).msg_id == 7


def test_6_a_group_goes_on_when_redis_lost_everything(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 9, [1, 2, 3])
    for _ in range(4):
        dbproxy_client.send_group_message(1, 9)
    dbproxy_client.read_ack(2, 9, GROUP)
    assert eventually(lambda: dbproxy_client.unread(2).total_cnt, 0) == 0
    stack.redis_server.restart()
    assert dbproxy_client.send_group_message(3, 9).msg_id == 5
    assert dbproxy_client.unread(2).total_cnt == 1
    assert dbproxy_client.unread(3).total_cnt == 0
    assert sorted(dbproxy_client.group_info({9: 0}).group_info_list[0].group_member_list) == [1, 2, 3]


def test_7_both_sessions_are_touched_and_the_number_of_members_is_right(stack: Stack, dbproxy_client: Client) -> None:
    seed.session(stack, 1, 2)
    seed.session(stack, 2, 1)
    dbproxy_client.send_message(1, 2)
    assert stack.rows("select count(*) as n from IMRecentSession where updated>%s", (seed.T0,)) == [{"n": 2}]
    created = dbproxy_client.create_group(1, [1, 2, 3])
    dbproxy_client.remove_members(1, created.group_id, [3])
    dbproxy_client.add_members(1, created.group_id, [10, 11])
    assert stack.rows("select userCnt from IMGroup") == [{"userCnt": 4}]


def test_8_a_refused_message_leaves_nothing_behind(stack: Stack, dbproxy_client: Client) -> None:
    before = stack.snapshot()
    for refused in (message(0, 2), message(1, 2, b"\xff"), message(1, 2, "x" * 5000)):
        assert dbproxy_client.requests([refused])[0].msg_id == 0  # type: ignore[attr-defined]
    assert dbproxy_client.send_sound(1, 2, b"").msg_id == 0
    assert stack.snapshot() == before


def test_9_a_list_costs_the_same_number_of_statements_however_long_it_is(stack: Stack, dbproxy_client: Client) -> None:
    def statements(user_id: int) -> list[int]:
        counts = []
        for ask in (dbproxy_client.unread, dbproxy_client.recent_sessions):
            ask(user_id)  # relate ids are asked for once
            before = int(str(stack.rows("show global status like 'Com_select'")[0]["Value"]))
            ask(user_id)
            counts.append(int(str(stack.rows("show global status like 'Com_select'")[0]["Value"])) - before)
        return counts

    for user_id, peers in ((1, 2), (2, 60)):
        for peer in range(100, 100 + peers):
            dbproxy_client.send_message(peer, user_id)
    assert statements(1) == statements(2)


def test_10_a_change_made_by_another_proxy_is_seen(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    with (
        InProcessProxy(dbproxy_stack, {"StopGrace": 1}) as one,
        ProxyProcess(dbproxy_stack) as other,
        one.client() as client,
        other.client() as changer,
    ):
        latest = client.all_users().latest_update_time
        assert changer.change_sign_info(2, "moved").result_code == 0
        changed = client.all_users(latest + 1).user_list
    assert [user.user_id for user in changed] == [2]


def test_group_message_types_follow_the_message_not_the_header(stack: Stack, dbproxy_client: Client) -> None:
    seed.group(stack, 2, [1, 3])
    to_group = message(1, 2, "to the group", msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT)
    assert [reply.msg_id for reply in dbproxy_client.requests([to_group, message(1, 2, "to bob")])] == [1, 1]  # type: ignore[attr-defined]
    assert dbproxy_client.unread(2).total_cnt == 1
    assert dbproxy_client.unread(3).total_cnt == 1
