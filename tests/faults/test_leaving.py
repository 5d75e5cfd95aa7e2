"""Leaving when it is hard: under load with many connections, more waiting than is read, and while a backend hangs."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, suppress

import pytest

from dbproxy.testing import Client, ConnectionClosedError, ProxyProcess, Stack, seed
from dbproxy.testing.client import BY_REQUEST, Pdu, pack
from dbproxy.testing.requests import message
from dbproxy.wire.pb import buddy_pb2, message_pb2
from devtools.traffic import Traffic

CONNECTIONS = 150
MESSAGES = 20

pytestmark = pytest.mark.watchdog(90)


def everything(client: Client) -> list[Pdu]:
    """What comes until the proxy closes the connection."""
    came = []
    try:
        while True:
            came.append(client.receive(20))
    except ConnectionClosedError:
        return came


@pytest.mark.parametrize("limit", [20_000, 100], ids=["all of it read", "reading paused"])
def test_all_that_was_sent_before_is_answered_on_every_connection(stack: Stack, limit: int) -> None:
    keys = {"StopGrace": 30, "MaxWaitingRequests": limit}
    with ProxyProcess(stack, keys) as proxy, ExitStack() as exits:
        clients = [exits.enter_context(proxy.client(notices=True)) for _ in range(CONNECTIONS)]
        for number, client in enumerate(clients, start=1):
            for count in range(1, MESSAGES + 1):
                client.send(message(number, 1000 + number), seq_num=count)
        proxy.terminate()
        received = [[pdu for pdu in everything(client) if not pdu.is_heartbeat] for client in clients]
        assert proxy.wait(30) == 0
        log = proxy.log()
    for pdus in received:
        assert sum(pdu.is_stop_notice for pdu in pdus) == 1
        replies = [pdu for pdu in pdus if not pdu.is_stop_notice]
        assert sorted(pdu.seq_num for pdu in replies) == list(range(1, MESSAGES + 1))
        assert all(pdu.message.msg_id for pdu in replies)  # type: ignore[attr-defined]
    assert f"draining: {CONNECTIONS} connections" in log or f"draining: {CONNECTIONS + 1} connections" in log
    assert ("reading paused" in log) == (limit < 20_000)
    tables = " union all ".join(f"select count(*) as n from IMMessage_{shard}" for shard in range(8))
    assert sum(int(str(row["n"])) for row in stack.rows(tables)) == CONNECTIONS * MESSAGES


def test_connections_in_the_accept_queue_are_answered_during_a_drain(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 30}) as proxy, ExitStack() as exits:
        proxy.freeze()
        clients = [exits.enter_context(proxy.client(notices=True)) for _ in range(CONNECTIONS)]
        for number, client in enumerate(clients, start=1):
            client.send(message(number, 1000 + number))
        proxy.terminate()
        proxy.thaw()
        for client in clients:
            received = [pdu for pdu in everything(client) if not pdu.is_heartbeat]
            assert sum(pdu.is_stop_notice for pdu in received) == 1
            assert [pdu.message.msg_id for pdu in received if not pdu.is_stop_notice] == [1]  # type: ignore[attr-defined]
        assert proxy.wait(30) == 0


@pytest.mark.parametrize("backend", ["mysql", "redis"])
def test_a_backend_that_hangs_does_not_prolong_the_grace(stack: Stack, backend: str) -> None:
    server = {"mysql": stack.mariadb, "redis": stack.redis_server}[backend]
    with ProxyProcess(stack, {"StopGrace": 1.5, "SyncInterval": 0.2}) as proxy, proxy.client(notices=True) as client:
        client.send(message(1, 2))
        assert client.receive().message.msg_id == 1  # type: ignore[attr-defined]
        server.freeze()
        client.send(message(1, 2))
        client.send(message_pb2.IMUnreadMsgCntReq(user_id=1))
        assert client.silent(0.3)
        proxy.terminate()
        assert proxy.wait(20) == 0
        assert client.receive().is_stop_notice
        assert "requests stay unanswered" in proxy.log()


def test_a_second_signal_ends_it_at_once_also_while_a_backend_hangs(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 60}) as proxy, proxy.client(notices=True) as client:
        stack.mariadb.freeze()
        client.send(message(1, 2))
        assert client.silent(0.2)
        proxy.terminate()
        assert client.receive().is_stop_notice
        proxy.terminate()
        assert proxy.wait(5) == 128 + signal.SIGTERM


def test_a_peer_that_does_not_read_does_not_prolong_the_grace(stack: Stack) -> None:
    seed.users(stack, *(f"user{number}" for number in range(1, 300)))
    request = buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0)
    with (
        ProxyProcess(stack, {"StopGrace": 1.5}) as proxy,
        Client(proxy.host, proxy.port, receive_buffer=4096) as not_reading,
        proxy.client(notices=True) as other,
    ):
        for _ in range(300):
            not_reading.send(request)
        assert other.send_message(1, 2).msg_id == 1
        proxy.terminate()
        assert other.receive().is_stop_notice
        assert other.send_message(1, 2).msg_id == 2
        assert proxy.wait(20) == 0


def test_peers_that_keep_sending_get_every_reply_during_a_drain(stack: Stack) -> None:
    seed.group(stack, 9, [1, 2, 3, 4])
    conversations = [(user_id, 9, True) for user_id in (1, 2, 3, 4)]
    with ProxyProcess(stack, {"StopGrace": 2}) as proxy:
        with Traffic(lambda number: proxy.client(timeout=10), conversations) as traffic:
            traffic.wait_for(60)
            proxy.terminate()
            assert proxy.wait(10) == 0
        assert "no more requests are taken" in proxy.log()
        assert "stay unanswered" not in proxy.log()
    assert traffic.verify(stack) == []
    with stack.redis() as redis:
        assert redis.hget("9_im_group_msg", "count") == str(stack.rows("select count(*) as n from IMGroupMessage_1")[0]["n"])


def test_a_peer_that_still_sends_is_answered_before_the_exit(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 10}) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        proxy.terminate()
        for msg_id in range(2, 9):
            time.sleep(0.3)  # a pause of the peer, shorter than what counts as the end of its requests
            assert client.send_message(1, 2).msg_id == msg_id
        assert client.closed_within(5)
        assert proxy.wait(5) == 0
        assert "no more requests are taken" not in proxy.log()


def test_a_request_that_arrives_in_pieces_is_waited_for(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 10}) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        request = message(1, 2, b"x" * 100)
        command = BY_REQUEST[type(request)]
        data = pack(command.service_id, command.command_id, request.SerializeToString())
        proxy.terminate()
        for start in range(0, len(data), len(data) // 5):
            client.send_raw(data[start : start + len(data) // 5])
            time.sleep(0.3)  # a slow network
        assert client.receive(5).message.msg_id == 2  # type: ignore[attr-defined]
        assert proxy.wait(5) == 0


def test_heartbeats_do_not_prolong_a_drain(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 20}) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        proxy.terminate()
        with suppress(ConnectionClosedError):
            while not client.closed_within(0.1):
                client.send_heartbeat()
        assert proxy.wait(5) == 0
        assert "no more requests are taken" not in proxy.log()  # that is said at the end of the grace


def test_a_peer_that_never_stops_is_cut_and_loses_no_answer(stack: Stack) -> None:
    """A connection that is reset could lose answers on their way; one that ends with the end of the stream cannot."""
    request = message_pb2.IMUnreadMsgCntReq(user_id=1)
    with ProxyProcess(stack, {"StopGrace": 2}) as proxy, proxy.client(timeout=20) as client:
        client.request(request)
        proxy.terminate()
        sent = received = 0
        stopped = threading.Event()

        def keep_sending() -> None:
            nonlocal sent
            with suppress(ConnectionClosedError):
                while not stopped.is_set():
                    client.send(request)
                    sent += 1
                    stopped.wait(0.001)

        sender = threading.Thread(target=keep_sending)
        sender.start()
        try:
            while True:
                received += client.receive(20).message_type is message_pb2.IMUnreadMsgCntRsp
        except ConnectionClosedError as error:
            end = error
        stopped.set()
        sender.join()
        assert proxy.wait(5) == 0
        assert "the proxy closed the connection" in str(end)
        assert "no more requests are taken" in proxy.log()
    assert 0 < received <= sent
