"""HttpServer: serves GET requests of operators, in threads of its own. It never stops or slows the service.

Everything that a client can make it keep is bounded: ``MAX_CLIENTS`` connections (the oldest makes room for a new one), each with one
request of at most 16 KiB and a deadline for all of it, and so many new connections a second. None of its threads holds up the end of the
process.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus

from dbproxy.addresses import is_address, shown_address
from dbproxy.descriptors import OPERATOR_CLIENTS
from dbproxy.errors import StartupError
from dbproxy.ops.http_message import END_OF_HEAD, MAX_HEAD, HttpError, Request, Response, error_response, parse_head, serialize

logger = logging.getLogger(__name__)

MAX_CLIENTS = OPERATOR_CLIENTS
DEADLINE = 5.0
"""Seconds for reading a request and for writing the response."""

BACKLOG = 64
"""Connections that the kernel keeps until they are accepted."""

MAX_THREADS = 32
"""Threads that serve, those included whose connection had to make room and who wait for something else than it."""

MAX_RATE, BURST = 100.0, 200.0
"""New connections a second, and how many may come at once; others wait in the kernel."""

ACCEPT_PAUSE = 0.2
"""Seconds without accepting after the system has refused a connection or a thread."""

Address = tuple[str, int]


class HttpServer:
    """Listens on one address and calls ``respond`` for every request, in the thread of its connection; it may raise ``HttpError``.

    ``inherited``: a socket that listens already, from the process that this one replaces. ``listen``, ``start`` and
    ``stop`` belong to one thread.
    """

    def __init__(self, address: Address, respond: Callable[[Request], Response], inherited: socket.socket | None = None) -> None:
        self._address = address
        self._respond = respond
        self._listener = inherited
        self._clients: list[socket.socket] = []
        self._threads = 0
        self._lock = threading.Lock()
        self._waker: tuple[socket.socket, socket.socket] | None = None
        """What ends the wait for new connections: two ends of a pair, once it serves."""
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._only_ip_hosts = False

    @property
    def listener(self) -> socket.socket:
        """The socket that listens, for handing it to another process."""
        if self._listener is None:
            raise RuntimeError("it does not listen")
        return self._listener

    @property
    def address(self) -> Address:
        """Where it listens, with the port that the system has chosen for port 0."""
        host, port = self.listener.getsockname()[:2]
        return str(host), int(port)

    def listen(self) -> None:
        """Listen, unless it does; who connects waits until ``start``.

        Raises:
            StartupError: the address cannot be listened on.

        """
        if self._listener is None:
            self._listener = _listen(self._address)
        self._listener.setblocking(False)

    def start(self) -> None:
        """Serve from now on, after ``listen``."""
        self._only_ip_hosts = ipaddress.ip_address(self.address[0].partition("%")[0]).is_loopback
        reader, _ = self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._accept_all, args=(reader,), name="admin-http", daemon=True)
        self._thread.start()
        logger.info("HTTP endpoint for operators: http://%s/", shown_address(*self.address))

    def stop(self) -> None:
        """Accept nobody any more and close all connections. Another process that has the socket goes on with it."""
        self._stopping = True
        if self._thread is not None and self._waker is not None:
            self._waker[1].send(b"\0")
            self._thread.join(1)
        if self._listener is not None:
            self._listener.close()  # no shutdown: that would be the end of it in the other process, too
        with self._lock:
            for client in self._clients:
                _shut_down(client)
        if self._waker is not None:
            for end in self._waker:
                end.close()

    # the thread that accepts

    def _accept_all(self, waker: socket.socket) -> None:
        allowance, checked = BURST, time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(waker, selectors.EVENT_READ)
            while not self._stopping:
                selector.select()
                now = time.monotonic()
                allowance, checked = min(BURST, allowance + (now - checked) * MAX_RATE), now
                if self._stopping:
                    return
                if allowance < 1:
                    time.sleep((1 - allowance) / MAX_RATE)
                    continue
                allowance -= 1
                if self._threads >= MAX_THREADS or not self._accept():
                    time.sleep(ACCEPT_PAUSE)

    def _accept(self) -> bool:
        """Accept a connection, if there is one; False when the system has no means for it."""
        try:
            client, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return True
        except OSError as error:
            logger.warning("a connection of an operator cannot be accepted: %s", error)
            return False
        with self._lock:
            if len(self._clients) >= MAX_CLIENTS:
                _shut_down(self._clients.pop(0))
            self._clients.append(client)
            self._threads += 1
        try:
            threading.Thread(target=self._serve, args=(client,), name="admin-http-client", daemon=True).start()
        except RuntimeError as error:
            logger.warning("an operator cannot be served: %s", error)
            self._forget(client)
            return False
        return True

    # the thread of a connection

    def _serve(self, client: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):  # gone, too slow, or closed because there were too many
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._answer(client)
        except Exception:
            logger.exception("a request of an operator failed")
        finally:
            self._forget(client)

    def _answer(self, client: socket.socket) -> None:
        with_body = True
        try:
            request = parse_head(_read_head(client))
            with_body = request.method != "HEAD"
            self._check_host(request)
            response = self._respond(request)
        except HttpError as error:
            response = error_response(error)
        client.settimeout(DEADLINE)  # for all of the response
        client.sendall(serialize(response, with_body=with_body))
        client.shutdown(socket.SHUT_WR)
        _drain(client)

    def _check_host(self, request: Request) -> None:
        """A page from elsewhere must not read this through a name of its own that leads to the local address (DNS rebinding)."""
        host = request.headers.get("host")
        if host is None or not self._only_ip_hosts:
            return
        name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] if ":" in host else host
        if name.lower().rstrip(".") != "localhost" and not is_address(name):
            raise HttpError(HTTPStatus.MISDIRECTED_REQUEST, "on a loopback address only localhost and IP addresses are names of this host")

    def _forget(self, client: socket.socket) -> None:
        with self._lock:
            self._threads -= 1
            if client in self._clients:
                self._clients.remove(client)
        client.close()


def _listen(address: Address) -> socket.socket:
    host, port = address
    try:
        ((family, *_, where), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(where)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise StartupError(f"cannot listen on {shown_address(*address)} (AdminListen): {error.strerror or error}") from None
    return listener


def _read_head(client: socket.socket) -> bytes:
    """Read a request up to its empty line, which is left out.

    Raises:
        HttpError: it is too long.
        OSError: the deadline is over, or the client is gone.

    """
    deadline = time.monotonic() + DEADLINE
    received = bytearray()
    while (end := received.find(END_OF_HEAD)) < 0:
        if len(received) > MAX_HEAD:
            raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEAD} bytes")
        client.settimeout(max(0.001, deadline - time.monotonic()))
        data = client.recv(4096)
        if not data or time.monotonic() > deadline:
            raise ConnectionAbortedError
        received += data
    if end > MAX_HEAD:
        raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_HEAD} bytes")
    return bytes(received[:end])


def _drain(client: socket.socket) -> None:
    """Read what the client still sends, for a moment: closing with unread data would reset the connection, and the response with it."""
    deadline = time.monotonic() + 1
    for _ in range(64):
        client.settimeout(max(0.001, deadline - time.monotonic()))
        if not client.recv(65536):
            return


def _shut_down(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
