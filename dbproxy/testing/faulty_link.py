"""FaultyLink: a TCP link that can be cut, also at the worst moment: after a COMMIT has gone out, before its answer comes back."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class FaultyLink:
    """Passes bytes between clients on ``port`` and a server; ``cut_after`` bytes that go to the server, the connection is cut.

    Runs in a thread of its own; the methods may be called from any thread. A context manager.
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
        for sock in (*self._peers, self._listener, self._wake_reader, self._wake_writer):
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

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(1):
                sock = key.fileobj
                if sock is self._listener:
                    self._accept()
                elif sock is self._wake_reader:
                    self._wake_reader.recv(64)
                    if self._cut_now:
                        self._cut_now = False
                        for client in tuple(self._from_client):
                            self._cut(client)
                elif isinstance(sock, socket.socket) and sock in self._peers:
                    self._pass(sock)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
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
