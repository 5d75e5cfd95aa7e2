"""All connections together: their uuids, who may connect, how responses find them, pausing."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from dbproxy.errors import StartupError
from dbproxy.net.proxy_conn import ConnLimits, ProxyConn
from dbproxy.net.proxy_server import LAST_UUID, Network, ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.wire.commands import HEARTBEAT_PDU, STOP_RECEIVE_PDU
from dbproxy.wire.pdu import ImPdu, pack_pdu
from dbproxy.work.response_deque import CloseConnection, ResponseDeque

LIMITS = ConnLimits(100_000, 200_000, 1_000_000, 10, 5, 30)


class House:
    """A server that listens on a free port, turned by hand."""

    def __init__(self, allowed: tuple[Network, ...] = (), max_connections: int = 100) -> None:
        self.reactor = Reactor()
        self.responses = ResponseDeque(self.reactor.wake)
        self.crowded = False
        self.received: list[tuple[int, ImPdu]] = []
        self.peers: list[socket.socket] = []
        self.server = ProxyServer(
            self.reactor,
            LIMITS,
            max_connections=max_connections,
            max_memory=1 << 20,
            allowed_peers=allowed,
            on_pdus=self._receive,
            drain=self.responses.drain,
            is_crowded=lambda: self.crowded,
            waiting=lambda: (len(self.received), 7.0),
        )
        self.server.listen(["127.0.0.1"], 0)

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


Houses = Callable[..., House]


@pytest.fixture
def houses() -> Iterator[Houses]:
    made: list[House] = []

    def make(allowed: tuple[Network, ...] = (), max_connections: int = 100) -> House:
        made.append(House(allowed, max_connections))
        return made[-1]

    yield make
    for house in made:
        house.close()


def turn_until(house: House, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline
        house.turns(1)


def test_uuids_grow_from_one_and_are_not_used_again(houses: Houses) -> None:
    house = houses()
    first = house.connect()
    house.connect()
    assert house.uuids == [1, 2]
    first.close()
    turn_until(house, lambda: house.uuids == [2])
    house.connect()
    assert house.uuids == [2, 3]


def test_uuids_skip_zero_and_those_in_use_when_they_wrap_around(houses: Houses) -> None:
    house = houses()
    house.connect()
    house.connect()
    house.server._last_uuid = LAST_UUID - 1
    house.connect()
    house.connect()
    assert house.uuids == [1, 2, 3, LAST_UUID]


def test_a_response_reaches_its_connection_and_no_other(houses: Houses) -> None:
    house = houses()
    one, other = house.connect(), house.connect()
    house.responses.post([(2, b"for two"), (1, b"for one"), (2, b" and more")])
    house.turns()
    assert one.recv(100) == b"for one"
    assert other.recv(100) == b"for two and more"


def test_a_response_for_a_connection_that_is_gone_is_dropped(houses: Houses) -> None:
    house = houses()
    house.connect().close()
    turn_until(house, lambda: not house.uuids)
    successor = house.connect()
    house.responses.post([(1, b"late"), (1, CloseConnection("late as well")), (2, b"mine")])
    house.turns()
    assert successor.recv(100) == b"mine"
    assert house.uuids == [2]


def test_a_connection_that_a_worker_wants_closed_gets_its_replies_first(houses: Houses) -> None:
    house = houses()
    peer = house.connect()
    house.responses.post([(1, CloseConnection("because")), (1, b"last words")])
    house.turns()
    assert peer.recv(100) == b"last words"
    assert peer.recv(100) == b""
    assert house.uuids == []


def test_what_is_received_carries_the_uuid(houses: Houses) -> None:
    house = houses()
    house.connect()
    house.connect().sendall(pack_pdu(3, 0x0301, 9, b"x"))
    turn_until(house, lambda: bool(house.received))
    assert house.received == [(2, ImPdu(3, 0x0301, 9, b"x"))]


@pytest.mark.parametrize(("network", "welcome"), [("127.0.0.0/8", True), ("::1/128", False), ("10.0.0.0/8", False)])
def test_only_allowed_peers_may_connect(houses: Houses, network: str, welcome: bool) -> None:
    house = houses((ipaddress.ip_network(network),))
    peer = house.connect()
    assert house.uuids == ([1] if welcome else [])
    if not welcome:
        assert peer.recv(1) == b""


@pytest.mark.parametrize(
    ("ip", "welcome"), [("::ffff:10.1.2.3", True), ("10.1.2.3", True), ("::ffff:11.1.2.3", False), ("fe80::1%eth0", True)]
)
def test_addresses_are_compared_as_what_they_mean(houses: Houses, ip: str, welcome: bool) -> None:
    house = houses((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10")))
    assert house.server._may_connect(ip) is welcome


def test_one_connection_too_many_is_closed_and_room_is_used_again(houses: Houses) -> None:
    house = houses(max_connections=2)
    first = house.connect()
    house.connect()
    assert house.connect().recv(1) == b""
    assert len(house.server) == 2
    first.close()
    turn_until(house, lambda: len(house.server) == 1)
    house.connect()
    assert len(house.server) == 2


def test_reading_pauses_for_everybody_while_the_workers_are_crowded_also_for_who_comes_then(houses: Houses) -> None:
    house = houses()
    early = house.connect()
    house.crowded = True
    house.turns()
    late = house.connect()
    for peer in (early, late):
        peer.sendall(pack_pdu(3, 0x0301, 1, b""))
    house.turns(10)
    assert house.received == []
    house.crowded = False
    turn_until(house, lambda: len(house.received) == 2)


def test_what_all_connections_send_in_one_turn_is_not_read_when_the_first_has_made_a_crowd(houses: Houses) -> None:
    house = houses()
    peers = [house.connect() for _ in range(20)]

    def one_is_a_crowd(connection: ProxyConn, pdus: list[ImPdu]) -> None:
        house.received += [(connection.uuid, pdu) for pdu in pdus]
        house.crowded = True

    house.server._on_pdus = one_is_a_crowd
    for peer in peers:
        peer.sendall(pack_pdu(3, 0x0301, 1, b""))
    house.turns(10)
    assert len(house.received) == 1
    for count in range(2, 21):
        house.crowded = False
        turn_until(house, lambda count=count: len(house.received) == count)  # type: ignore[misc]


def test_the_log_says_when_reading_pauses_and_resumes_and_how_long_the_oldest_has_waited(
    houses: Houses, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "dbproxy")
    house = houses()
    house.received = [(1, ImPdu(3, 0x0301, 1, b""))] * 5
    house.crowded = True
    house.turns()
    assert house.server.is_paused
    house.crowded = False
    house.turns()
    assert not house.server.is_paused
    paused, resumed = caplog.messages
    assert paused.startswith("reading paused (MaxWaitingRequests, MaxWaitingBytes): 5 requests wait for a worker, the oldest for 7.0 s")
    assert resumed == "reading resumed after 0.0 s: 5 requests wait for a worker, the oldest for 7.0 s"


def test_leaving_tells_everybody_once_and_lets_nobody_in(houses: Houses) -> None:
    house = houses()
    peers = [house.connect(), house.connect()]
    address = house.server.addresses[0]
    house.server.stop_receiving()
    assert [peer.recv(100) for peer in peers] == [STOP_RECEIVE_PDU] * 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)
    peers[0].sendall(pack_pdu(3, 0x0301, 1, b"still"))
    turn_until(house, lambda: bool(house.received))


def test_while_leaving_requests_are_noticed_and_heartbeats_are_not(houses: Houses) -> None:
    house = houses()
    peer = house.connect()
    house.server.stop_receiving()
    peer.sendall(HEARTBEAT_PDU)
    turn_until(house, lambda: len(house.received) == 1)
    assert house.server.last_request == 0.0
    began = time.monotonic()
    peer.sendall(pack_pdu(3, 0x0301, 1, b"part")[:10])
    turn_until(house, lambda: house.server.last_request > began)
    peer.sendall(pack_pdu(3, 0x0301, 1, b"part")[10:] + HEARTBEAT_PDU)
    turn_until(house, lambda: len(house.received) == 3)
    assert house.server.last_request > began


def test_what_is_not_taken_any_more_is_read_so_that_the_end_resets_nothing(houses: Houses) -> None:
    house = houses()
    peer = house.connect()
    house.crowded = True
    house.turns()
    house.server.stop_receiving()
    assert peer.recv(100) == STOP_RECEIVE_PDU
    house.server.take_no_more()
    peer.sendall(pack_pdu(3, 0x0301, 1, b"too late") * 100)
    house.turns(10)
    house.responses.post([(1, b"the last answer")])
    house.turns()
    house.server.finish_sending()
    peer.sendall(pack_pdu(3, 0x0301, 2, b"much too late"))
    house.turns(10)
    house.server.close()
    assert (peer.recv(100), peer.recv(100)) == (b"the last answer", b"")
    assert house.received == []


def test_all_addresses_get_the_same_port_and_a_taken_one_is_named() -> None:
    reactor = Reactor()

    def server() -> ProxyServer:
        return ProxyServer(
            reactor,
            LIMITS,
            max_connections=1,
            max_memory=1 << 20,
            allowed_peers=(),
            on_pdus=lambda *_: None,
            drain=lambda: (),
            is_crowded=lambda: False,
            waiting=lambda: (0, 0.0),
        )

    one, other = server(), server()
    try:
        one.listen(["127.0.0.1", "127.0.0.2"], 0)
        (first_ip, first_port), (second_ip, second_port) = one.addresses
        assert (first_ip, second_ip) == ("127.0.0.1", "127.0.0.2")
        assert first_port == second_port
        with pytest.raises(StartupError, match=rf"127\.0\.0\.2:{first_port} \(ListenIP, ListenPort\)"):
            other.listen(["127.0.0.2"], first_port)
    finally:
        one.close()
        other.close()
        reactor.close()
