"""Servers of a few lines that say what a test wants, where a real one could not be made to: for contracts with the drivers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from dbproxy.stores.resolver import Resolver

OK_PACKET = b"\x00\x00\x00\x02\x00\x00\x00"
"""MySQL's answer to a statement without rows; autocommit is on."""


def handshake(capabilities: int) -> bytes:
    """The first packet of a MySQL server, with its header."""
    low, high = capabilities.to_bytes(4, "little")[:2], capabilities.to_bytes(4, "little")[2:]
    plugin = b"mysql_native_password\0"
    payload = b"\x0a8.0.0\0" + bytes(4) + b"saltsalt\0" + low + b"\x2d\x02\x00" + high + b"\x15" + bytes(10) + b"saltsaltsalt\0" + plugin
    return packet(0, payload)


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


def serve_mysql(sock: socket.socket, statements: list[bytes]) -> None:
    """Let a client log in, and answer OK to its statements until it has gone; the payloads that it sent are appended to ``statements``."""
    stream = sock.makefile("rb")
    sock.sendall(handshake(0x00080000 | 0x8200 | 0x0008))  # PLUGIN_AUTH, SECURE_CONNECTION and PROTOCOL_41, CONNECT_WITH_DB
    while header := stream.read(4):
        statements.append(stream.read(int.from_bytes(header[:3], "little")))
        if statements[-1] == b"\x01":  # COM_QUIT
            break
        sock.sendall(packet(header[3] + 1, OK_PACKET))
    stream.close()
    sock.close()


class FakeRedis:
    """Answers each command with what ``reply`` makes of it; None closes the connection instead. ``commands`` are those that arrived."""

    def __init__(self, reply: Callable[[list[bytes]], bytes | None]) -> None:
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.commands: list[list[bytes]] = []
        self.connections = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeRedis]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                with sock, sock.makefile("rb") as stream:
                    while line := stream.readline():
                        command = [stream.read(int(stream.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
                        self.commands.append(command)
                        reply = self._reply(command)
                        if reply is None:
                            break
                        sock.sendall(reply)


class RecordingResolver(Resolver):
    """Connects as the resolver does, and keeps the sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[socket.socket] = []

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = super().connect(host, port, timeout)
        self.sockets.append(sock)
        return sock
