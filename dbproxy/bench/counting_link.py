"""CountingLink: a TCP link that counts round trips, whatever the protocol: how often the client speaks after the server has spoken."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class CountingLink:
    """Passes bytes between clients on ``port`` and a server.

    Runs in a thread of its own; ``round_trips`` may be read from any thread. A context manager.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.round_trips = 0
        """Of all connections together. The greeting of a new connection counts as well."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._asking: dict[socket.socket, bool] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="counting-link", daemon=True)

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._wake_writer.send(b"x")
        self._thread.join(10)
        for end in (*self._peers, self._listener, self._wake_reader, self._wake_writer):
            end.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                end = key.fileobj
                if end is self._wake_reader:
                    return
                if end is self._listener:
                    self._accept()
                elif isinstance(end, socket.socket) and end in self._peers:
                    self._pass(end)

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
        self._asking[client] = False

    def _pass(self, end: socket.socket) -> None:
        try:
            data = end.recv(1 << 18)
        except OSError:
            data = b""
        other = self._peers[end]
        if not data:
            for closed in (end, other):
                self._selector.unregister(closed)
                self._asking.pop(closed, None)
                del self._peers[closed]
                closed.close()
            return
        if end in self._asking:
            if not self._asking[end]:
                self._asking[end] = True
                self.round_trips += 1
        else:
            self._asking[other] = False
        with contextlib.suppress(OSError):
            other.sendall(data)
