"""Listening sockets. Reactor thread only, except for making them."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
from collections.abc import Callable

from dbproxy.errors import StartupError
from dbproxy.net.reactor import Reactor

logger = logging.getLogger(__name__)

BACKLOG = 1024
ACCEPTS_PER_TURN = 64
"""Connections taken in one turn of the loop, so that a storm of them does not starve those that are there."""

RETRY_AFTER = 0.5
"""Seconds without accepting after the system refused a descriptor: the listener stays readable, so trying at once would spin."""

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Accepts connections on one address and hands each on as a non-blocking socket with TCP_NODELAY."""

    def __init__(self, ip: str, port: int, reactor: Reactor, on_accept: Callable[[socket.socket, str, int], None]) -> None:
        """Bind and listen; port 0 takes any free one.

        Raises:
            StartupError: the address cannot be listened on.

        """
        self._reactor = reactor
        self._on_accept = on_accept
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise StartupError(f"cannot listen on {ip}:{port} (ListenIP, ListenPort): {error}") from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.listen(BACKLOG)
        except OSError as error:
            self._socket.close()
            raise StartupError(f"cannot listen on {ip}:{port} (ListenIP, ListenPort): {error.strerror or error}") from error
        self._socket.setblocking(False)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._registered = False
        self._closed = False

    def start(self) -> None:
        """Begin to accept, or begin again."""
        if not self._registered and not self._closed:
            self._reactor.register(self._socket, selectors.EVENT_READ, self._accept)
            self._registered = True

    def accept_the_rest(self) -> None:
        """Accept all that the kernel holds as connected: to their peers they are connections like any other, perhaps with requests sent."""
        if self._registered:
            self._accept_at_most(BACKLOG)

    def close(self) -> None:
        """Stop accepting for good; the kernel resets connections that have not been accepted."""
        self._stop()
        self._closed = True
        self._socket.close()

    def _stop(self) -> None:
        if self._registered:
            self._reactor.unregister(self._socket)
            self._registered = False

    def _accept(self, _mask: int) -> None:
        self._accept_at_most(ACCEPTS_PER_TURN)

    def _accept_at_most(self, limit: int) -> None:
        for _ in range(limit):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    logger.error("cannot accept connections: %s; trying again in %.1f s", error.strerror, RETRY_AFTER)
                    self._stop()
                    self._reactor.call_later(RETRY_AFTER, self.start)
                else:
                    logger.warning("accepting a connection failed: %s", error)
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._on_accept(sock, address[0], address[1])
