"""What is counted of connections, against a proxy with real stores."""

from __future__ import annotations

import socket

import pytest

from dbproxy.net.connection_counters import ConnectionCounters, ConnReport, Traffic, largest
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.testing import Client, InProcessProxy, Stack, seed
from dbproxy.testing.waiting import eventually, poll
from dbproxy.wire.commands import HEARTBEAT_PDU
from dbproxy.wire.pdu import HEADER_LENGTH

QUIET = pytest.mark.dbproxy(HeartbeatInterval=3600, PeerTimeout=3600)


def server_of(proxy: InProcessProxy) -> ProxyServer:
    return proxy.application.components.server


@QUIET
def test_pdus_and_bytes_are_counted_both_ways(dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> None:
    server = server_of(dbproxy_proxy)
    before = server.traffic()
    dbproxy_client.send_raw(HEARTBEAT_PDU * 3)
    assert dbproxy_client.departments().user_id == 1
    # a reply is counted after it was sent, when the client may have it already
    after = poll(server.traffic, lambda traffic: traffic.bytes_out - before.bytes_out > HEADER_LENGTH)
    assert after.pdus_in - before.pdus_in == 4
    assert after.bytes_in - before.bytes_in > 4 * HEADER_LENGTH
    assert after.pdus_out - before.pdus_out == 1
    assert after.bytes_out - before.bytes_out > HEADER_LENGTH


@QUIET
@pytest.mark.data(users=("alice", "bob"))
def test_a_reply_that_is_sent_in_parts_is_one_pdu(stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> None:
    relate_id = seed.relation(stack, 1, 2)
    seed.messages(stack, 1, 2, ["x" * 4000] * 150, relate_id=relate_id)
    server = server_of(dbproxy_proxy)
    before = server.traffic()
    assert len(dbproxy_client.messages(2, 1, msg_cnt=150).msg_list) == 150
    after = poll(server.traffic, lambda traffic: traffic.bytes_out - before.bytes_out > 600_000)
    assert after.pdus_out - before.pdus_out == 1
    assert after.bytes_out - before.bytes_out > 600_000


@QUIET
def test_the_numbers_of_closed_connections_are_kept(dbproxy_proxy: InProcessProxy) -> None:
    server = server_of(dbproxy_proxy)
    accepted, closed = server.counters.accepted, server.counters.closed
    with dbproxy_proxy.client() as client:
        before = server.traffic()
        client.departments()
        during = poll(server.traffic, lambda traffic: traffic.bytes_out > before.bytes_out)  # counted after the peer has them
    assert eventually(lambda: server.counters.closed, closed + 1) == closed + 1
    assert server.counters.accepted == accepted + 1
    assert server.traffic() == during


@pytest.mark.dbproxy(AllowedPeers="192.0.2.1")
def test_peers_that_may_not_connect_are_refused(dbproxy_proxy: InProcessProxy) -> None:
    server = server_of(dbproxy_proxy)
    with socket.create_connection((dbproxy_proxy.host, dbproxy_proxy.port), timeout=5) as peer:
        assert peer.recv(1) == b""
    assert (server.counters.refused, server.counters.accepted) == (1, 0)


@QUIET
@pytest.mark.dbproxy(MaxConnections=1)
def test_connections_above_the_limit_are_refused(dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> None:
    dbproxy_client.departments()
    with socket.create_connection((dbproxy_proxy.host, dbproxy_proxy.port), timeout=5) as peer:
        assert peer.recv(1) == b""
    assert server_of(dbproxy_proxy).counters.refused == 1


@QUIET
def test_a_connection_is_reported(dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> None:
    dbproxy_client.departments()
    dbproxy_client.send_raw(HEARTBEAT_PDU[:7])
    server = server_of(dbproxy_proxy)
    assert eventually(lambda: server.pending, 7) == 7
    (report,) = server.reports()
    assert report.peer == "{}:{}".format(*dbproxy_client.socket.getsockname())
    assert (report.pdus_in, report.pdus_out, report.pending, report.backlog, report.reading) == (1, 1, 7, 0, True)
    assert 0 <= report.idle <= report.age


def report(uuid: int, **values: int) -> ConnReport:
    numbers = dict.fromkeys(("pdus_in", "pdus_out", "bytes_in", "bytes_out", "backlog", "pending"), 0) | values
    return ConnReport(uuid, "peer", age=100 - uuid, idle=0, reading=True, **numbers)


def test_the_largest_come_first() -> None:
    reports = [report(2, backlog=5), report(1), report(3, backlog=9)]
    assert [one.uuid for one in largest(reports, "backlog", 2)] == [3, 2]
    assert [one.uuid for one in largest(reports, "uuid", 9)] == [1, 2, 3]
    assert [one.uuid for one in largest(reports, "age", 1)] == [1]


def test_a_connection_that_is_closed_while_somebody_adds_up_counts_once() -> None:
    class Closing:
        """A connection with some traffic."""

        pdus_in, pdus_out, bytes_in, bytes_out = 1, 2, 3, 4

    counters = ConnectionCounters()
    connections: list[Closing] = [Closing(), Closing()]

    def copy_while_one_is_closed() -> list[Closing]:
        copied = connections.copy()
        if len(connections) == 2:
            counters.forget(connections[0], connections.pop)  # type: ignore[arg-type]
        return copied

    assert counters.traffic(copy_while_one_is_closed) == Traffic(2, 4, 6, 8)  # type: ignore[arg-type]
    assert counters.closed == 1
