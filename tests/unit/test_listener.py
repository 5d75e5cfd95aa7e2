"""Listening sockets: non-blocking connections, and what happens when the system has no descriptor for one."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.net.listener import Listener, open_listening_socket
from dbproxy.net.reactor import Reactor


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    made = Reactor()
    yield made
    made.close()


def turns(reactor: Reactor, count: int) -> None:
    for _ in range(count):
        reactor.wake()
        reactor.turn()


@pytest.fixture
def accepted(reactor: Reactor) -> Iterator[tuple[Listener, list[socket.socket]]]:
    """A listener, and the connections that it has accepted."""
    sockets: list[socket.socket] = []
    listener = Listener(open_listening_socket("127.0.0.1", 0, ""), ("127.0.0.1", 0), reactor, lambda sock, _ip, _port: sockets.append(sock))
    listener.start()
    yield listener, sockets
    listener.close()
    for sock in sockets:
        sock.close()


def test_accepted_connections_never_block(reactor: Reactor, accepted: tuple[Listener, list[socket.socket]]) -> None:
    listener, sockets = accepted
    with socket.create_connection(listener.address):
        turns(reactor, 3)
        (sock,) = sockets
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_without_descriptors_it_pauses_and_goes_on_when_there_are_some(
    reactor: Reactor, accepted: tuple[Listener, list[socket.socket]], caplog: pytest.LogCaptureFixture
) -> None:
    listener, sockets = accepted
    with socket.create_connection(listener.address):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
        # every number below the limit is taken, so the next descriptor would be above it
        fillers = [os.dup(0) for _ in range(highest)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(*fillers, highest) + 1, hard))
        try:
            turns(reactor, 20)
            assert sockets == []
            assert [message.startswith("cannot accept connections") for message in caplog.messages] == [True]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers:
                os.close(filler)
        deadline = time.monotonic() + 5
        while not sockets and time.monotonic() < deadline:
            reactor.turn()
        assert len(sockets) == 1


def test_a_closed_listener_refuses_connections(reactor: Reactor, accepted: tuple[Listener, list[socket.socket]]) -> None:
    listener, sockets = accepted
    listener.close()
    listener.start()  # a timer that was set before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address, timeout=5)
    turns(reactor, 3)
    assert sockets == []
