"""FaultyLink: a TCP link that can be cut, also at the worst moment: after a COMMIT has gone out, before its answer comes back; that can
swallow everything, as a network does whose router has died; and that can be slow.
"""

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
    """Passes bytes between clients on ``port`` and a server, until it is told to do worse.

    The server sees the connections come from other ports than the clients have, as behind an address translation. Runs in a thread of
    its own; the methods may be called from any thread. A context manager.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._from_client: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._marker: bytes | None = None
        self._pass_on = True
        self._closing = False
        self._cut_now = False
        self._swallow_now = False
        self._swallowing = False
        self._swallowed: set[socket.socket] = set()
        self._orphans: list[socket.socket] = []
        self._late: deque[tuple[float, socket.socket, bytes]] = deque()
        self.delay = 0.0
        """Seconds by which everything that arrives from now on is passed on later; set it from any thread."""
        self.cuts = 0
        """Connections cut because of ``cut_at``."""
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="faulty-link", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closing = True
        self._wake_writer.send(b"x")
        self._thread.join(10)
        for sock in (*self._peers, *self._orphans, self._listener, self._wake_reader, self._wake_writer):
            sock.close()
        self._selector.close()

    def cut_at(self, marker: bytes, *, pass_on: bool) -> None:
        """Cut the next connection on which a client sends ``marker``, once; ``pass_on``: the server still gets what was sent."""
        with self._lock:
            self._marker, self._pass_on = marker, pass_on

    def cut_all(self) -> None:
        """Cut every connection that there is now."""
        self._cut_now = True
        self._wake_writer.send(b"x")

    def swallow(self) -> None:
        """From now on nothing is passed on, neither bytes nor the end of a connection, and new connections lead nowhere. The server keeps
        its ends open. It does not end before ``heal``.
        """
        self._swallow_now = self._swallowing = True
        self._wake_writer.send(b"x")

    def heal(self) -> None:
        """Connections made from now on work again; those that were there are lost for good, and their other ends do not know it."""
        self._swallowing = False

    def _run(self) -> None:
        while not self._closing:
            wait = 1.0
            if self._late:
                wait = max(0.0, self._late[0][0] - time.monotonic())
            for key, _ in self._selector.select(wait):
                sock = key.fileobj
                if sock is self._listener:
                    self._accept()
                elif sock is self._wake_reader:
                    self._wake_reader.recv(64)
                    if self._swallow_now:
                        self._swallow_now = False
                        self._swallowed.update(self._peers)
                    if self._cut_now:
                        self._cut_now = False
                        for client in tuple(self._from_client):
                            self._cut(client)
                elif isinstance(sock, socket.socket) and sock in self._peers:
                    self._pass(sock)
            while self._late and self._late[0][0] <= time.monotonic():
                _, target, data = self._late.popleft()
                if target in self._peers and target not in self._swallowed:
                    with contextlib.suppress(OSError):
                        target.sendall(data)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._swallowing:
            self._orphans.append(client)
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
        self._from_client.add(client)

    def _pass(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(1 << 18)
        except OSError:
            data = b""
        if sock in self._swallowed:
            if not data:
                self._bury(sock)
            return
        if not data:
            self._cut(sock)
            return
        hit = False
        if sock in self._from_client:
            with self._lock:
                hit = self._marker is not None and self._marker in data
                if hit:
                    self._marker = None
        if not hit or self._pass_on:
            if self.delay or self._late:
                self._late.append((time.monotonic() + self.delay, self._peers[sock], data))
            else:
                with contextlib.suppress(OSError):
                    self._peers[sock].sendall(data)
        if hit:
            self.cuts += 1
            self._cut(sock)

    def _cut(self, sock: socket.socket) -> None:
        """Close both ends; the server finds its answer undeliverable and the client finds the connection lost."""
        other = self._peers.get(sock)
        for end in (sock, other):
            if end is not None and self._peers.pop(end, None) is not None:
                self._from_client.discard(end)
                self._selector.unregister(end)
                end.close()

    def _bury(self, sock: socket.socket) -> None:
        """One end was closed, and the other is not told."""
        other = self._peers.pop(sock)
        self._swallowed.discard(sock)
        self._from_client.discard(sock)
        self._selector.unregister(sock)
        sock.close()
        if self._peers.pop(other, None) is not None:
            self._swallowed.discard(other)
            self._from_client.discard(other)
            self._selector.unregister(other)
            self._orphans.append(other)
