"""Kernel timeouts and the state of connections, with real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from dbproxy.stores.kernel_socket import set_kernel_timeouts, still_connected
from dbproxy.testing.waiting import eventually


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the peer's end of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    with ours, peer:
        yield ours, peer


def test_an_open_connection_is_connected_with_and_without_unread_data(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = ends
    assert still_connected(ours)
    peer.sendall(b"something")
    assert still_connected(ours)


def test_a_peer_that_closed_is_detected_although_there_is_unread_data(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = ends
    peer.sendall(b"closing")
    peer.close()
    assert eventually(lambda: still_connected(ours), False) is False


def test_a_peer_that_reset_the_connection_is_detected(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, peer = ends
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert eventually(lambda: still_connected(ours), False) is False


def test_a_receive_times_out_in_the_kernel(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    set_kernel_timeouts(ours, 0.05)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
