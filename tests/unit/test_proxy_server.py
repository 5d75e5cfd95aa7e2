"""All connections together: their uuids, who may connect, how responses find them, pausing."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from dbproxy.errors import StartupError
from dbproxy.net.allowed_peers import Network, may_connect
from dbproxy.net.conn_state import ConnLimits, ServerLimits
from dbproxy.net.listener import listening_sockets
from dbproxy.net.proxy_conn import ProxyConn
from dbproxy.net.proxy_server import LAST_UUID, ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.wire.commands import HEARTBEAT_PDU, STOP_RECEIVE_PDU
from dbproxy.wire.pdu import HEADER, ImPdu, pack_pdu
from dbproxy.work.response_deque import ResponseDeque

LIMITS = ConnLimits(2_000_000, 200_000, 10, 5, 30)


class FakeWork:
    """What waits for workers, as the tests want it."""

    def __init__(self) -> None:
        self.overloaded = False
        self.large_overloaded = False
        self.large: set[int] = set()
        self.held: dict[int, int] = {}
        self.count = 0

    @property
    def held_bytes(self) -> int:
        return sum(self.held.values())

    def held_memory(self) -> dict[int, int]:
        return self.held

    def has_large(self, uuid: int) -> bool:
        return uuid in self.large

    def waiting(self) -> tuple[int, float]:
        return self.count, 7.0


def server_limits(allowed: tuple[Network, ...] = (), max_connections: int = 100, connection: ConnLimits = LIMITS) -> ServerLimits:
    return ServerLimits(max_connections, max_pending=1 << 20, max_backlog=1 << 20, allowed_peers=allowed, connection=connection)


class ServerHarness:
    """A server that listens on a free port, turned by hand."""

    def __init__(self, allowed: tuple[Network, ...] = (), max_connections: int = 100) -> None:
        self.reactor = Reactor()
        self.responses = ResponseDeque(self.reactor.wake)
        self.work = FakeWork()
        self.received: list[tuple[int, ImPdu]] = []
        self.peers: list[socket.socket] = []
        self.server = ProxyServer(
            self.reactor,
            server_limits(allowed, max_connections),
            self.responses,
            self.work,
            on_pdus=self._receive,
        )
        self.server.listen(listening_sockets(["127.0.0.1"], 0, {}))

    def post(self, *responses: tuple[int, bytes]) -> None:
        self.responses.post(responses, sum(len(pdu) for _, pdu in responses))

    def _receive(self, connection: ProxyConn, pdus: list[ImPdu]) -> None:
        self.received += [(connection.uuid, pdu) for pdu in pdus]

    def connect(self) -> socket.socket:
        peer = socket.create_connection(self.server.addresses[0], timeout=5)
        self.peers.append(peer)
        self.turns()
        return peer

    def turns(self, count: int = 3) -> None:
        for _ in range(count):
            self.reactor.wake()
            self.reactor.turn()

    @property
    def uuids(self) -> list[int]:
        return sorted(self.server._connections)

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.server.close()
        self.reactor.close()


Servers = Callable[..., ServerHarness]


@pytest.fixture
def servers() -> Iterator[Servers]:
    made: list[ServerHarness] = []

    def make(allowed: tuple[Network, ...] = (), max_connections: int = 100) -> ServerHarness:
        made.append(ServerHarness(allowed, max_connections))
        return made[-1]

    yield make
    for harness in made:
        harness.close()


def turn_until(harness: ServerHarness, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline
        harness.turns(1)


def test_uuids_grow_from_one_and_are_not_used_again(servers: Servers) -> None:
    harness = servers()
    first = harness.connect()
    harness.connect()
    assert harness.uuids == [1, 2]
    first.close()
    turn_until(harness, lambda: harness.uuids == [2])
    harness.connect()
    assert harness.uuids == [2, 3]


def test_uuids_skip_zero_and_those_in_use_when_they_wrap_around(servers: Servers) -> None:
    harness = servers()
    harness.connect()
    harness.connect()
    harness.server._last_uuid = LAST_UUID - 1
    harness.connect()
    harness.connect()
    assert harness.uuids == [1, 2, 3, LAST_UUID]


def test_a_response_reaches_its_connection_and_no_other(servers: Servers) -> None:
    harness = servers()
    one, other = harness.connect(), harness.connect()
    harness.post((2, b"for two"), (1, b"for one"), (2, b" and more"))
    harness.turns()
    assert one.recv(100) == b"for one"
    assert other.recv(100) == b"for two and more"


def test_a_response_for_a_connection_that_is_gone_is_dropped(servers: Servers) -> None:
    harness = servers()
    harness.connect().close()
    turn_until(harness, lambda: not harness.uuids)
    successor = harness.connect()
    harness.post((1, b"late"), (2, b"mine"))
    harness.turns()
    assert successor.recv(100) == b"mine"
    assert harness.uuids == [2]


def test_what_is_received_carries_the_uuid(servers: Servers) -> None:
    harness = servers()
    harness.connect()
    harness.connect().sendall(pack_pdu(3, 0x0301, 9, b"x"))
    turn_until(harness, lambda: bool(harness.received))
    assert harness.received == [(2, ImPdu(3, 0x0301, 9, b"x"))]


@pytest.mark.parametrize(("network", "welcome"), [("127.0.0.0/8", True), ("::1/128", False), ("10.0.0.0/8", False)])
def test_only_allowed_peers_may_connect(servers: Servers, network: str, welcome: bool) -> None:
    harness = servers((ipaddress.ip_network(network),))
    peer = harness.connect()
    assert harness.uuids == ([1] if welcome else [])
    if not welcome:
        assert peer.recv(1) == b""


@pytest.mark.parametrize(
    ("ip", "welcome"), [("::ffff:10.1.2.3", True), ("10.1.2.3", True), ("::ffff:11.1.2.3", False), ("fe80::1%eth0", True)]
)
def test_addresses_are_compared_as_what_they_mean(ip: str, welcome: bool) -> None:
    assert may_connect(ip, (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10"))) is welcome


def test_one_connection_too_many_is_closed_and_room_is_used_again(servers: Servers) -> None:
    harness = servers(max_connections=2)
    first = harness.connect()
    harness.connect()
    assert harness.connect().recv(1) == b""
    assert len(harness.server) == 2
    first.close()
    turn_until(harness, lambda: len(harness.server) == 1)
    harness.connect()
    assert len(harness.server) == 2


def test_reading_pauses_for_everybody_while_the_workers_are_overloaded(servers: Servers) -> None:
    harness = servers()
    early = harness.connect()
    harness.work.overloaded = True
    harness.turns()
    late = harness.connect()
    for peer in (early, late):
        peer.sendall(pack_pdu(3, 0x0301, 1, b""))
    harness.turns(10)
    assert harness.received == []
    harness.work.overloaded = False
    turn_until(harness, lambda: len(harness.received) == 2)


def test_nothing_more_is_read_in_the_turn_that_overloads_the_workers(servers: Servers) -> None:
    harness = servers()
    peers = [harness.connect() for _ in range(20)]

    def one_is_too_many(connection: ProxyConn, pdus: list[ImPdu]) -> None:
        harness.received += [(connection.uuid, pdu) for pdu in pdus]
        harness.work.overloaded = True

    harness.server._on_pdus = one_is_too_many
    for peer in peers:
        peer.sendall(pack_pdu(3, 0x0301, 1, b""))
    harness.turns(10)
    assert len(harness.received) == 1
    for count in range(2, 21):
        harness.work.overloaded = False
        turn_until(harness, lambda count=count: len(harness.received) == count)  # type: ignore[misc]


def test_the_log_says_when_reading_pauses_and_resumes(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "dbproxy")
    harness = servers()
    harness.work.count = 5
    harness.work.overloaded = True
    harness.turns()
    assert harness.server.is_paused
    harness.work.overloaded = False
    harness.turns()
    assert not harness.server.is_paused
    paused, resumed = caplog.messages
    assert paused.startswith("reading paused (MaxWaitingRequests, MaxWaitingBytes): 5 requests wait for a worker, the oldest for 7.0 s")
    assert resumed == "reading resumed after 0.0 s: 5 requests wait for a worker, the oldest for 7.0 s"


def test_only_senders_of_large_requests_are_paused_for_them(servers: Servers) -> None:
    harness = servers()
    large, other = harness.connect(), harness.connect()
    harness.work.large_overloaded, harness.work.large = True, {1}
    large.sendall(pack_pdu(3, 0x0301, 1, b"large"))
    turn_until(harness, lambda: len(harness.received) == 1)
    for peer in (large, other):
        peer.sendall(pack_pdu(3, 0x0301, 2, b"next"))
    harness.turns(10)
    assert [uuid for uuid, _ in harness.received] == [1, 2]
    assert harness.server.is_paused
    harness.work.large_overloaded = False
    turn_until(harness, lambda: len(harness.received) == 3)
    assert not harness.server.is_paused


def test_the_sum_of_unfinished_pdus_is_bounded_as_they_arrive(servers: Servers) -> None:
    harness = servers()
    peers = [harness.connect() for _ in range(4)]
    for number, peer in enumerate(peers):
        peer.sendall(HEADER.pack(1_000_000, 1, 0, 3, 0x0301, 1, 0) + bytes(200_000 + 30_000 * number))
        harness.turns(10)  # a tick comes after a second only
    assert harness.uuids == [1, 2, 3, 4]
    peers[0].sendall(bytes(200_000))
    harness.turns(10)
    assert harness.uuids == [2, 3, 4]


def test_requests_that_are_held_for_a_connection_count_as_its_memory(servers: Servers) -> None:
    harness = servers()
    peers = [harness.connect() for _ in range(2)]
    harness.work.held = {2: 900_000}
    peers[0].sendall(HEADER.pack(1_000_000, 1, 0, 3, 0x0301, 1, 0) + bytes(200_000))
    turn_until(harness, lambda: harness.uuids == [1])


def test_above_the_total_backlog_the_largest_stuck_connection_is_closed(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = servers()
    peers = [harness.connect() for _ in range(3)]
    harness.post((1, bytes(10_000_000)), (2, bytes(12_000_000)), (3, b"short"))
    harness.turns()
    assert peers[2].recv(100) == b"short"
    harness.server._tick()
    assert harness.uuids == [1, 2, 3]
    later = time.monotonic() + 2
    monkeypatch.setattr(time, "monotonic", lambda: later)
    harness.server._limit_backlog(later)
    assert 2 not in harness.uuids
    assert 3 in harness.uuids


def test_after_a_pause_of_the_process_no_peer_counts_as_silent(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = servers()
    harness.connect()
    later = time.monotonic() + 100
    monkeypatch.setattr(time, "monotonic", lambda: later)
    harness.server._tick()
    assert harness.uuids == [1]
    later += 1
    harness.server._tick()
    assert harness.uuids == [1]


def test_leaving_tells_everybody_once_and_lets_nobody_in(servers: Servers) -> None:
    harness = servers()
    peers = [harness.connect(), harness.connect()]
    address = harness.server.addresses[0]
    harness.server.stop_receiving()
    assert [peer.recv(100) for peer in peers] == [STOP_RECEIVE_PDU] * 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    peers[0].sendall(pack_pdu(3, 0x0301, 1, b"still"))
    turn_until(harness, lambda: bool(harness.received))


def test_while_leaving_requests_are_noticed_and_heartbeats_are_not(servers: Servers) -> None:
    harness = servers()
    peer = harness.connect()
    harness.server.stop_receiving()
    peer.sendall(HEARTBEAT_PDU)
    turn_until(harness, lambda: len(harness.received) == 1)
    assert harness.server.last_request == 0.0
    began = time.monotonic()
    peer.sendall(pack_pdu(3, 0x0301, 1, b"part")[:10])
    turn_until(harness, lambda: harness.server.last_request > began)
    peer.sendall(pack_pdu(3, 0x0301, 1, b"part")[10:] + HEARTBEAT_PDU)
    turn_until(harness, lambda: len(harness.received) == 3)
    assert harness.server.last_request > began


def test_what_is_not_taken_any_more_is_read_so_that_the_end_resets_nothing(servers: Servers) -> None:
    harness = servers()
    peer = harness.connect()
    harness.work.overloaded = True
    harness.turns()
    harness.server.stop_receiving()
    assert peer.recv(100) == STOP_RECEIVE_PDU
    harness.server.take_no_more()
    peer.sendall(pack_pdu(3, 0x0301, 1, b"too late") * 100)
    harness.turns(10)
    harness.post((1, b"the last answer"))
    harness.turns()
    harness.server.finish_sending()
    peer.sendall(pack_pdu(3, 0x0301, 2, b"much too late"))
    harness.turns(10)
    harness.server.close()
    assert (peer.recv(100), peer.recv(100)) == (b"the last answer", b"")
    assert harness.received == []


def test_limits_that_change_leave_connections_open_and_count_for_them_too(servers: Servers) -> None:
    harness = servers()
    first = harness.connect()
    allowed = (ipaddress.ip_network("10.0.0.0/8"),)
    harness.server.configure(server_limits(allowed, connection=dataclasses.replace(LIMITS, max_pdu_length=1024)))
    assert harness.connect().recv(1) == b""
    first.sendall(pack_pdu(3, 0x0301, 1, bytes(1008)))
    harness.turns(10)
    assert [len(pdu.body) for _, pdu in harness.received] == [1008]
    first.sendall(pack_pdu(3, 0x0301, 1, bytes(1009)))
    harness.turns(10)
    assert first.recv(1) == b""
    harness.server.configure(server_limits(max_connections=1))
    harness.connect()
    assert harness.connect().recv(1) == b""
    assert len(harness.server) == 1


def test_all_addresses_get_the_same_port_and_a_taken_one_is_named() -> None:
    reactor = Reactor()

    def server() -> ProxyServer:
        return ProxyServer(
            reactor,
            server_limits(),
            ResponseDeque(reactor.wake),
            FakeWork(),
            on_pdus=lambda *_: None,
        )

    one, other = server(), server()
    try:
        one.listen(listening_sockets(["127.0.0.1", "127.0.0.2"], 0, {}))
        (first_ip, first_port), (second_ip, second_port) = one.addresses
        assert (first_ip, second_ip) == ("127.0.0.1", "127.0.0.2")
        assert first_port == second_port
        with pytest.raises(StartupError, match=rf"127\.0\.0\.2:{first_port} \(ListenIP, ListenPort\)"):
            other.listen(listening_sockets(["127.0.0.2"], first_port, {}))
    finally:
        one.close()
        other.close()
        reactor.close()
