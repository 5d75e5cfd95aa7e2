"""Peers in large numbers, peers that are half there and peers that do not read: the others are answered, memory stays bounded."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from dbproxy.bench.usage import memory_bytes
from dbproxy.log import REPEAT_LIMIT
from dbproxy.testing import Client, ConnectionClosedError, ProxyProcess, Stack
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import ALL_USERS, HEARTBEAT_PDU
from dbproxy.wire.pb import buddy_pb2
from dbproxy.wire.pdu import HEADER, pack_pdu
from devtools.process_resources import resources

MANY = 1000

MEMORY_OF_ONE = 32 * 1024
"""Bytes that an idle connection may cost."""

pytestmark = [pytest.mark.watchdog(90), pytest.mark.data(users=[f"user{number}" for number in range(1, 200)])]


@pytest.fixture(scope="module", autouse=True)
def _many_descriptors() -> Iterator[None]:
    """This process needs a descriptor for each peer, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def descriptors(stack: Stack, proxy: ProxyProcess) -> int:
    """Descriptors of the proxy that are no connections to backends."""
    return resources(proxy.pid, (stack.mariadb.port, stack.redis_server.port)).others


def reset(sock: socket.socket) -> None:
    """Close a connection so that the other end gets a reset instead of an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_thousand_idle_connections_get_heartbeats_and_cost_little(stack: Stack) -> None:
    with ProxyProcess(stack, {"HeartbeatInterval": 1}) as proxy, proxy.client() as other, ExitStack() as exits:
        assert other.login("user1").result_code == 0
        before, memory = descriptors(stack, proxy), memory_bytes([proxy.pid])
        peers = [exits.enter_context(socket.create_connection((proxy.host, proxy.port), timeout=10)) for _ in range(MANY)]
        assert eventually(lambda: descriptors(stack, proxy), before + MANY) == before + MANY
        for peer in peers:
            assert peer.recv(len(HEARTBEAT_PDU), socket.MSG_WAITALL) == HEARTBEAT_PDU
            assert other.push_shield(1).user_id == 1
        assert memory_bytes([proxy.pid]) - memory < MANY * MEMORY_OF_ONE
        for peer in peers:
            peer.close()
        assert eventually(lambda: descriptors(stack, proxy), before) == before


def _leave(sock: socket.socket) -> None:
    sock.close()


def _ask_and_reset(sock: socket.socket) -> None:
    sock.sendall(pack_pdu(ALL_USERS.service_id, ALL_USERS.command_id, 1, buddy_pb2.IMAllUserReq(user_id=1).SerializePartialToString()))
    reset(sock)


def _half_and_reset(sock: socket.socket) -> None:
    sock.sendall(HEADER.pack(1000, 1, 0, 3, 0x0301, 1, 0)[:13])
    reset(sock)


def _end_of_sending(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    sock.close()


DISCONNECTS: tuple[Callable[[socket.socket], None], ...] = (_leave, reset, _ask_and_reset, _half_and_reset, _end_of_sending)


def test_a_burst_of_connections_leaks_nothing_and_does_not_flood_the_log(stack: Stack) -> None:
    burst = 800
    with ProxyProcess(stack) as proxy, proxy.client() as other:
        assert other.login("user1").result_code == 0
        before = descriptors(stack, proxy)
        for number in range(burst):
            peer = socket.create_connection((proxy.host, proxy.port), timeout=10)
            DISCONNECTS[number % len(DISCONNECTS)](peer)
            if number % 40 == 0:
                assert other.login("user1").result_code == 0
        assert eventually(lambda: descriptors(stack, proxy), before) == before
        assert other.send_message(1, 2).msg_id == 1
    lines = proxy.log().splitlines()
    # connected, ended, reset: each kind of line has its own limit, in each window of 10 s that the burst took
    assert len(lines) < 10 * REPEAT_LIMIT < burst
    assert "Traceback" not in "".join(lines)


def test_many_connections_at_the_same_moment_are_all_served(stack: Stack) -> None:
    with ProxyProcess(stack) as proxy, ExitStack() as exits:
        clients = [exits.enter_context(proxy.client()) for _ in range(300)]
        for client in clients:
            client.send(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1, 2]), seq_num=9)
        assert {client.receive().seq_num for client in clients} == {9}


def test_a_peer_that_sends_requests_and_never_reads_is_closed(stack: Stack) -> None:
    """It wants a list of 200 users, again and again: megabytes of replies for a few bytes of its own."""
    keys = {"MaxSendBuffer": 1 << 20, "MaxSendBufferTotal": 8 << 20, "SendTimeout": 2}
    request = buddy_pb2.IMAllUserReq(user_id=1, latest_update_time=0).SerializeToString()
    pdu = pack_pdu(ALL_USERS.service_id, ALL_USERS.command_id, 1, request)
    with ProxyProcess(stack, keys) as proxy, proxy.client() as other:
        assert len(other.all_users().user_list) == 199
        memory = memory_bytes([proxy.pid])
        with Client(proxy.host, proxy.port, timeout=0.1, receive_buffer=4096) as not_reading:

            def closed() -> bool:
                assert other.push_shield(1).user_id == 1
                assert memory_bytes([proxy.pid]) - memory < 64 << 20
                try:
                    not_reading.send_raw(pdu * 50)
                except TimeoutError:  # the proxy has stopped reading it
                    return False
                except ConnectionError:
                    return True
                return False

            assert eventually(closed, True, timeout=20)
        assert eventually(lambda: "took none of" in proxy.log() or "connection closed" in proxy.log(), True)


def test_a_half_open_connection_is_closed(stack: Stack) -> None:
    """Its machine lost power, or a firewall its memory: the connection is half open, and nothing ever comes."""
    keys = {"PeerTimeout": 2, "HeartbeatInterval": 1, "SendTimeout": 2}
    with ProxyProcess(stack, keys) as proxy, FaultyLink((proxy.host, proxy.port)) as link, proxy.client() as other:
        assert other.login("user1").result_code == 0  # it has been accepted, then
        before = descriptors(stack, proxy)
        with Client("127.0.0.1", link.port) as idle, Client("127.0.0.1", link.port) as half:
            assert idle.login("user1").result_code == 0
            assert half.login("user1").result_code == 0
            half.send_raw(HEADER.pack(5000, 1, 0, 3, 0x0301, 1, 0) + b"x" * 100)
            assert descriptors(stack, proxy) == before + 2
            link.blackhole()

            def left() -> int:
                other.send_heartbeat()
                return descriptors(stack, proxy)

            assert eventually(left, before, timeout=10) == before
        link.restore()
        assert eventually(lambda: proxy.log().count("silent for 2 s"), 2) == 2
        assert other.login("user1").result_code == 0
        with Client("127.0.0.1", link.port) as again:
            assert again.login("user1").result_code == 0


def test_unfinished_pdus_of_many_connections_together_are_bounded(stack: Stack) -> None:
    """Each of them is allowed; all of them together are above four times the largest limit, so those that hold most have to go."""
    keys = {"MaxPduLength": 1 << 20, "MaxWaitingBytes": 1 << 20, "MaxSendBuffer": 1 << 20, "MaxSendBufferTotal": 1 << 20}
    with ProxyProcess(stack, keys) as proxy, proxy.client() as small, ExitStack() as exits:
        small.send_raw(HEADER.pack(1 << 20, 1, 0, 3, 0x7777, 1, 0))
        holders = [exits.enter_context(proxy.client()) for _ in range(10)]
        for holder in holders:
            with contextlib.suppress(ConnectionClosedError):
                holder.send_raw(HEADER.pack(1 << 20, 1, 0, 3, 0x7777, 1, 0) + bytes(900_000))
        assert eventually(lambda: proxy.log().count("all connections together hold too much"), 6) == 6  # 4 x 900,000 fit into 4 MiB
        assert sum(holder.closed_within(0.1) for holder in holders) == 6
        small.send_raw(bytes((1 << 20) - HEADER.size))
        assert small.login("user1").result_code == 0


@pytest.mark.parametrize(
    "nonsense",
    [HEARTBEAT_PDU, pack_pdu(3, 0x7777, 1, b""), pack_pdu(3, 0x0301, 1, b"\xff")],
    ids=["heartbeats", "unknown commands", "broken bodies"],
)
def test_a_flood_of_invalid_pdus_starves_no_peer_and_floods_no_log(stack: Stack, nonsense: bytes) -> None:
    over = threading.Event()

    def flood(client: Client) -> None:
        while not over.is_set():
            client.send_raw(nonsense * 5000)

    with ProxyProcess(stack) as proxy, proxy.client() as other, proxy.client() as flooding:
        thread = threading.Thread(target=flood, args=(flooding,), daemon=True)
        thread.start()
        for number in range(1, 11):
            assert other.send_message(1, 2).msg_id == number
            assert other.user_info([1]).user_info_list[0].user_id == 1
        over.set()
        thread.join(30)
        assert proxy.stop() == 0
        assert len(proxy.log().splitlines()) < 10 * REPEAT_LIMIT


def test_peers_that_sent_heartbeats_while_the_process_was_stopped_are_kept(stack: Stack) -> None:
    """A virtual machine that was suspended: what the peers have sent waits in the sockets."""
    keys = {"PeerTimeout": 2, "HeartbeatInterval": 1}
    with ProxyProcess(stack, keys) as proxy, proxy.client() as client, proxy.client() as other:
        assert client.login("user1").result_code == 0
        assert other.login("user2").result_code == 0
        proxy.freeze()
        for _ in range(5):
            time.sleep(1)  # this is how long it is stopped
            client.send_heartbeat()
        proxy.thaw()
        assert client.push_shield(1).user_id == 1
        other.send_heartbeat()
        assert other.push_shield(1).user_id == 1
        assert eventually(lambda: "this process did not run for" in proxy.log(), True)
        assert "silent for" not in proxy.log()
