"""The messages of one conversation keep the order in which they arrived, and nobody waits for somebody else's slow request."""

from __future__ import annotations

from dbproxy.testing import FileServer, InProcessProxy, Stack, seed
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2


def test_400_first_messages_sent_at_once_are_numbered_and_stored_in_order(dbproxy_proxy: InProcessProxy, dbproxy_stack: Stack) -> None:
    with dbproxy_proxy.client(timeout=60) as client:
        replies = client.requests([message(1, 2, f"m{n}", create_time=1000) for n in range(400)])
    assert [reply.msg_id for reply in replies] == list(range(1, 401))  # type: ignore[attr-defined]
    rows = dbproxy_stack.rows("select msgId,content from IMMessage_1 order by id")
    assert [(row["msgId"], row["content"]) for row in rows] == [(n + 1, f"m{n}") for n in range(400)]
    assert dbproxy_stack.rows("select count(*) as n from IMRelationShip") == [{"n": 1}]
    assert dbproxy_stack.rows("select count(*) as n from IMRecentSession") == [{"n": 2}]


def test_64_group_messages_in_flight_from_four_connections_are_all_stored(dbproxy_proxy: InProcessProxy, dbproxy_stack: Stack) -> None:
    seed.group(dbproxy_stack, 9, [1, 2, 3, 4])
    clients = [dbproxy_proxy.client(timeout=60) for _ in range(4)]
    try:
        for client, user_id in zip(clients, (1, 2, 3, 4), strict=True):
            for n in range(16):
                client.send(message(user_id, 9, f"{user_id}:{n}", msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT))
        ids = [[pdu.message.msg_id for pdu in client.receive_many(16)] for client in clients]  # type: ignore[attr-defined]
    finally:
        for client in clients:
            client.close()
    assert sorted(msg_id for own in ids for msg_id in own) == list(range(1, 65))
    assert all(own == sorted(own) for own in ids)
    with dbproxy_stack.redis("unread") as redis:
        assert redis.hget("9_im_group_msg", "count") == "64"


def test_a_sound_keeps_its_order_and_blocks_no_other_conversation(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    with FileServer() as files, InProcessProxy(dbproxy_stack, {"MsfsSite": files.site, "StopGrace": 1}) as proxy:
        files.faults.delay = 2.0
        with proxy.client() as client:
            sound = message(1, 2, b"\x00\x00\x00\x07" + b"s" * 100, msg_type=base_define_pb2.MSG_TYPE_SINGLE_AUDIO)
            client.send(message(1, 2, "before"), seq_num=1)
            client.send(sound, seq_num=2)
            client.send(message(1, 2, "after"), seq_num=3)
            with proxy.client() as other:
                assert other.send_message(1, 3).msg_id == 1
            assert files.files == {}  # the sound is still being uploaded
            replies = {pdu.seq_num: pdu.message for pdu in client.receive_many(3)}
            files.faults.delay = 0
            history = client.messages(2, 1).msg_list
    assert [replies[n].msg_id for n in (1, 2, 3)] == [1, 2, 3]  # type: ignore[attr-defined]
    assert [info.msg_data for info in history] == [b"after", b"\x00\x00\x00\x07" + b"s" * 100, b"before"]


def test_a_conversation_whose_row_is_locked_blocks_no_other(dbproxy_proxy: InProcessProxy, dbproxy_stack: Stack) -> None:
    with dbproxy_proxy.client() as client:
        for peer in range(2, 12):
            assert client.send_message(1, peer).msg_id == 1
        connection = dbproxy_stack.mysql()
        try:
            connection.begin()
            with connection.cursor() as cursor:
                cursor.execute("select id from IMRelationShip where id=1 for update")
            client.send(message(1, 2, "locked"), seq_num=900)
            # not innodb_trx: who looks at that more often than every 0.1 s gets to see the same picture for ever
            waits = "select count(*) as n from information_schema.processlist where info like '%for update' and id<>connection_id()"
            assert eventually(lambda: dbproxy_stack.rows(waits) == [{"n": 1}], True)
            for peer in range(3, 12):
                assert client.send_message(1, peer).msg_id == 2
        finally:
            connection.rollback()
            connection.close()
        assert client.messages(1, 2).msg_list[0].msg_data in (b"locked", b"hello")
        pdu = client.receive(10)
        assert (pdu.seq_num, pdu.message.msg_id) == (900, 2)  # type: ignore[attr-defined]
