"""Listening sockets. Reactor thread only, except for making them."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
from collections.abc import Callable, Iterable, Mapping

from dbproxy.errors import StartupError
from dbproxy.net.reactor import Reactor

logger = logging.getLogger(__name__)

BACKLOG = 1024
ACCEPTS_PER_TURN = 64
"""Connections taken in one turn of the loop, so that a storm of them does not starve those that are there."""

RETRY_AFTER = 0.5
"""Seconds without accepting after the system refused a descriptor: the listener stays readable, so trying at once would spin."""

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def open_listening_socket(ip: str, port: int, keys: str) -> socket.socket:
    """Bind and listen on an address; port 0 takes any free one. ``keys``: the configuration keys to look at. Any thread.

    Raises:
        StartupError: the address cannot be listened on.

    """
    sock = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise StartupError(f"cannot listen on {ip}:{port} ({keys}): {error.strerror or error}") from error
    return sock


def listening_sockets(
    ips: Iterable[str], port: int, inherited: Mapping[tuple[str, int], socket.socket]
) -> dict[tuple[str, int], socket.socket]:
    """Return a listening socket for each address of the configuration: the inherited one, or one that is opened now. With port 0 all get
    the same free port. Any thread.

    Raises:
        StartupError: one of them cannot be listened on; none that was opened here stays open then.

    """
    found: dict[tuple[str, int], socket.socket] = {}
    actual = port
    wanted = [(ip, port) for ip in ips]
    for address in wanted:
        if address in inherited:
            actual = inherited[address].getsockname()[1]
    try:
        for address in wanted:
            found[address] = inherited.get(address) or open_listening_socket(address[0], actual, "ListenIP, ListenPort")
            actual = found[address].getsockname()[1]
    except StartupError:
        for address, sock in found.items():
            if address not in inherited:
                sock.close()
        raise
    return found


class Listener:
    """Accepts connections on one listening socket and hands each on as a non-blocking socket with TCP_NODELAY. ``configured``: the address
    as the configuration has it; ``address``: the real one.
    """

    def __init__(
        self, sock: socket.socket, configured: tuple[str, int], reactor: Reactor, on_accept: Callable[[socket.socket, str, int], None]
    ) -> None:
        self._reactor = reactor
        self._on_accept = on_accept
        self._socket = sock
        self._socket.setblocking(False)
        self.configured = configured
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._registered = False
        self._stopped = self._closed = False

    def fileno(self) -> int:
        """The descriptor of the socket, which may be passed to another process."""
        return self._socket.fileno()

    def start(self) -> None:
        """Begin to accept, or begin again."""
        self._stopped = self._closed
        self._register()

    def stop(self) -> None:
        """Stop accepting until ``start``; the kernel keeps who connects meanwhile."""
        self._stopped = True
        self._unregister()

    def accept_the_rest(self) -> None:
        """Accept all that the kernel holds as connected: to their peers they are connections like any other, perhaps with requests sent."""
        if self._registered:
            self._accept_at_most(BACKLOG)

    def close(self) -> None:
        """Stop accepting for good; the kernel resets connections that have not been accepted."""
        self.stop()
        self._closed = True
        self._socket.close()

    def _register(self) -> None:
        if not self._registered and not self._stopped:
            self._reactor.register(self._socket, selectors.EVENT_READ, self._accept)
            self._registered = True

    def _unregister(self) -> None:
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
                    self._unregister()
                    self._reactor.call_later(RETRY_AFTER, self._register)
                else:
                    logger.warning("accepting a connection failed: %s", error)
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._on_accept(sock, address[0], address[1])
