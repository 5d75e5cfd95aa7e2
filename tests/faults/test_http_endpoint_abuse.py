"""Clients of the HTTP endpoint that misbehave: the service goes on, and so does the endpoint."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from scraping import get, raw, scrape, value

from dbproxy.ops import http_server
from dbproxy.ops.http_message import Request, Response
from dbproxy.ops.http_server import MAX_CLIENTS, MAX_THREADS, HttpServer
from dbproxy.testing import InProcessProxy, ProxyProcess, Stack
from dbproxy.testing.process import free_port
from dbproxy.testing.waiting import eventually
from dbproxy.wire import commands

pytestmark = [pytest.mark.dbproxy(AdminListen="127.0.0.1:0", HeartbeatInterval=3600), pytest.mark.data(users=("alice", "bob"))]

Address = tuple[str, int]
REQUEST = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def endpoint(dbproxy_proxy: InProcessProxy) -> Address:
    address = dbproxy_proxy.application.admin_address
    assert address is not None
    return address


@contextlib.contextmanager
def silent_clients(address: Address, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that send ``data`` and nothing else."""
    with contextlib.ExitStack() as exits:
        clients = []
        for _ in range(count):
            client = exits.enter_context(socket.create_connection(address, timeout=30))
            with contextlib.suppress(ConnectionError):
                client.sendall(data)
            clients.append(client)
        yield clients


@pytest.mark.parametrize(
    ("count", "data"), [(1000, b""), (300, b"GET /metr"), (300, REQUEST)], ids=["silent", "half a request", "answers are not read"]
)
def test_many_connections_stop_neither_the_service_nor_the_endpoint(
    stack: Stack, dbproxy_proxy: InProcessProxy, endpoint: Address, count: int, data: bytes
) -> None:
    with dbproxy_proxy.client() as client, silent_clients(endpoint, count, data):
        for _ in range(20):
            assert len(client.user_info([1, 2]).user_info_list) == 2
        assert len([thread for thread in threading.enumerate() if thread.name == "admin-http-client"]) <= MAX_THREADS
        assert eventually(lambda: _status(endpoint), 200, timeout=60) == 200
    assert value(scrape(endpoint), "dbproxy_requests_total", command=commands.USER_INFO.name, outcome="answered") >= 20


def test_garbage_while_requests_are_answered(stack: Stack, dbproxy_proxy: InProcessProxy, endpoint: Address) -> None:
    chance = random.Random(4)
    with dbproxy_proxy.client() as client:
        for _ in range(60):
            with contextlib.suppress(OSError):
                raw(endpoint, chance.randbytes(chance.randrange(1, 3000)) + b"\r\n\r\n")
            assert len(client.user_info([1]).user_info_list) == 1
    assert get(endpoint, "/healthz").status == 200


def test_a_request_that_dribbles_in_ends_at_its_deadline(
    stack: Stack, dbproxy_proxy: InProcessProxy, endpoint: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "DEADLINE", 0.5)
    began = time.monotonic()
    with socket.create_connection(endpoint, timeout=30) as client, contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 20:
            client.sendall(b"G")
            client.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                assert client.recv(1) == b""
                break
        else:
            pytest.fail("it is still read")
    assert get(endpoint, "/healthz").status == 200


def test_the_oldest_connection_makes_room_for_a_new_one(stack: Stack, dbproxy_proxy: InProcessProxy, endpoint: Address) -> None:
    with silent_clients(endpoint, MAX_CLIENTS) as clients:
        assert get(endpoint, "/healthz").status == 200
        assert clients[0].recv(1) == b""
        clients[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert clients[-1].recv(12) == b"HTTP/1.1 200"


def test_the_proxy_ends_although_clients_hang(stack: Stack) -> None:
    port = free_port()
    with (
        ProxyProcess(stack, {"AdminListen": f"127.0.0.1:{port}", "StopGrace": 1}) as proxy,
        silent_clients(("127.0.0.1", port), 10, b"GET"),
    ):
        proxy.terminate()
        assert proxy.wait(10) == 0
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_another_process_goes_on_with_the_socket() -> None:
    first = HttpServer(("127.0.0.1", 0), lambda request: Response(b"first\n"))
    first.listen()
    first.start()
    address = first.address
    inherited = socket.socket(fileno=os.dup(first.listener.fileno()))
    assert get(address, "/").text == "first\n"
    second = HttpServer(address, _second, inherited)
    second.listen()
    first.stop()
    second.start()
    try:
        assert get(address, "/").text == "second\n"
    finally:
        second.stop()


def _second(_request: Request) -> Response:
    return Response(b"second\n")


def _status(address: Address) -> int:
    try:
        return get(address, "/healthz").status
    except OSError:
        return 0
