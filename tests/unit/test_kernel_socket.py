"""What the kernel is asked about the sockets to the backends, with real connections."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from dbproxy.stores.kernel_socket import set_kernel_timeouts, still_connected


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the peer's end of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with ours, peer:
        yield ours, peer


def seen_within(seconds: float, ours: socket.socket) -> bool:
    """Whether it is noticed in this time that the peer is gone; a packet takes its time even here."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not still_connected(ours):
            return True
        time.sleep(0.001)
    return False


def test_an_open_connection_is_connected_whatever_has_arrived(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = ends
    assert still_connected(ours)
    peer.sendall(b"something")
    assert still_connected(ours)


def test_a_peer_that_closed_is_noticed_though_it_said_something_before(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = ends
    peer.sendall(b"your time is over")
    peer.close()
    assert seen_within(5, ours)


def test_a_peer_that_reset_the_connection_is_noticed(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = ends
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert seen_within(5, ours)


def test_the_kernel_ends_a_receive_that_takes_too_long(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    set_kernel_timeouts(ours, 0.05)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
