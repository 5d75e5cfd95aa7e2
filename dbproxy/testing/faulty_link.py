"""FaultyLink: a TCP relay between a proxy and a backend that injects network faults and counts round trips."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class FaultyLink:
    """Relays bytes between clients that connect to ``port`` and the server at ``target``.

    Faults: connections can be closed, also at the worst moment (after a COMMIT was sent and before its answer arrives); all packets can
    be dropped, as a network with a dead router does; and everything can be delayed. Without faults it only counts round trips.

    The server sees other source ports than the clients have, as behind a NAT. The relay runs in a thread of its own; the methods may be
    called from any thread. A context manager.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._awaiting_reply: dict[socket.socket, bool] = {}
        """For each client's socket: whether it has sent something since the server's last bytes."""
        self._lock = threading.Lock()
        self._marker: bytes | None = None
        self._pass_on = True
        self._closing = False
        self._cut_requested = False
        self._blackhole_requested = False
        self._blackhole = False
        self._dropped: set[socket.socket] = set()
        """Sockets whose incoming bytes are discarded."""
        self._unconnected: list[socket.socket] = []
        """Sockets that stay open although their other end is gone or was never connected."""
        self._answering: set[socket.socket] = set()
        """Sockets of servers whose clients are gone, and that are read until the servers close them."""
        self._delayed: deque[tuple[float, socket.socket, bytes]] = deque()
        self.delay = 0.0
        """Seconds by which everything that arrives from now on is delayed. May be set from any thread."""
        self.cuts = 0
        """Connections closed because of ``cut_at``."""
        self.round_trips = 0
        """How often a client has sent something after the server's last bytes, over all connections. The greeting of a new connection
        counts as well.
        """
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="faulty-link", daemon=True)

    def lead_to(self, target: tuple[str, int]) -> None:
        """Connect to another server from now on, as a virtual address does that has moved. Open connections stay. Any thread."""
        self._target = target

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing = True
        self._wake_writer.send(b"x")
        self._thread.join(10)
        for sock in (*self._peers, *self._unconnected, *self._answering, self._listener, self._wake_reader, self._wake_writer):
            sock.close()
        self._selector.close()

    def cut_at(self, marker: bytes, *, pass_on: bool) -> None:
        """Close the next connection on which a client sends ``marker``, once; ``pass_on``: the server still gets what was sent."""
        with self._lock:
            self._marker, self._pass_on = marker, pass_on

    def cut_all(self) -> None:
        """Close every connection that exists now."""
        self._cut_requested = True
        self._wake_writer.send(b"x")

    def blackhole(self) -> None:
        """Drop everything from now on: bytes, the end of a connection, and new connections, which lead nowhere. The server keeps its ends
        open. It lasts until ``restore``.
        """
        self._blackhole_requested = self._blackhole = True
        self._wake_writer.send(b"x")

    def restore(self) -> None:
        """Connections made from now on work again. Those that existed in the black hole stay broken, and their other ends are not told."""
        self._blackhole = False

    def _run(self) -> None:
        while not self._closing:
            wait = max(0.0, self._delayed[0][0] - time.monotonic()) if self._delayed else 1.0
            for key, _ in self._selector.select(wait):
                sock = key.fileobj
                if sock is self._listener:
                    self._accept()
                elif sock is self._wake_reader:
                    self._handle_requests()
                elif isinstance(sock, socket.socket) and sock in self._peers:
                    self._relay(sock)
                elif isinstance(sock, socket.socket) and sock in self._answering:
                    self._drop_answer(sock)
            while self._delayed and self._delayed[0][0] <= time.monotonic():
                _, target, data = self._delayed.popleft()
                if target in self._peers and target not in self._dropped:
                    with contextlib.suppress(OSError):
                        target.sendall(data)

    def _handle_requests(self) -> None:
        self._wake_reader.recv(64)
        if self._blackhole_requested:
            self._blackhole_requested = False
            self._dropped.update(self._peers)
        if self._cut_requested:
            self._cut_requested = False
            for client in tuple(self._awaiting_reply):
                self._close_both(client)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._blackhole:
            self._unconnected.append(client)
            return
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)
        self._awaiting_reply[client] = False

    def _relay(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(1 << 18)
        except OSError:
            data = b""
        if sock in self._dropped:
            if not data:
                self._close_one(sock)
            return
        if not data:
            self._close_both(sock)
            return
        cut = self._count(sock, data)
        if not cut or self._pass_on:
            if self.delay or self._delayed:
                self._delayed.append((time.monotonic() + self.delay, self._peers[sock], data))
            else:
                with contextlib.suppress(OSError):
                    self._peers[sock].sendall(data)
        if cut:
            self.cuts += 1
            if self._pass_on and not self._delayed:
                self._close_behind(sock)
            else:
                self._close_both(sock)

    def _count(self, sock: socket.socket, data: bytes) -> bool:
        """Count a round trip; tell whether these bytes contain the marker at which the connection has to be closed."""
        if sock not in self._awaiting_reply:
            self._awaiting_reply[self._peers[sock]] = False
            return False
        if not self._awaiting_reply[sock]:
            self._awaiting_reply[sock] = True
            self.round_trips += 1
        with self._lock:
            if self._marker is None or self._marker not in data:
                return False
            self._marker = None
            return True

    def _close_both(self, sock: socket.socket) -> None:
        """Close both ends: the server cannot deliver its answer, and the client finds the connection lost."""
        for end in (sock, self._peers.get(sock)):
            if end is not None and end in self._peers:
                self._forget(end)
                end.close()

    def _close_behind(self, client: socket.socket) -> None:
        """Close the client's end, and let the server find the end of the stream behind what it was sent. A server that cannot deliver its
        answers might leave out what comes after the first of them.
        """
        server = self._peers[client]
        self._forget(client)
        client.close()
        del self._peers[server]
        self._answering.add(server)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _drop_answer(self, server: socket.socket) -> None:
        try:
            if server.recv(1 << 18):
                return
        except OSError:
            pass
        self._answering.discard(server)
        self._selector.unregister(server)
        server.close()

    def _close_one(self, sock: socket.socket) -> None:
        """One end was closed in the black hole; the other end stays open and is not told."""
        other = self._peers[sock]
        self._forget(sock)
        sock.close()
        if other in self._peers:
            self._forget(other)
            self._unconnected.append(other)

    def _forget(self, end: socket.socket) -> None:
        del self._peers[end]
        self._dropped.discard(end)
        self._awaiting_reply.pop(end, None)
        self._selector.unregister(end)
