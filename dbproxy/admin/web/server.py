"""WebServer: cheroot with the application. The main thread starts and stops it; its own threads answer requests."""

from __future__ import annotations

import ipaddress
import os
import queue
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any, cast

from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from dbproxy.addresses import shown_address
from dbproxy.admin.errors import AdminError, SettingsError
from dbproxy.admin.web.app import create_app
from dbproxy.admin.web.http_request import SOCKET_TIMEOUT, AdminConnection
from dbproxy.admin.web.site import Site
from dbproxy.admin.web.turns import Limits, Turn, Turns
from dbproxy.admin.web.views import UPLOAD_BODY
from dbproxy.config import AdminSettings

_THREADS_WITHOUT_BACKENDS = 16
"""What is left for logging in, for files and for requests that arrive slowly when the other threads wait for MySQL and Redis."""

_MOST_WAITING = 64
"""Connections with a request that no thread has taken yet; further ones are answered 503, or closed under TLS."""

_LIMITS = Limits(connections=500, connections_of_address=250, threads_of_address=8, waiting=_MOST_WAITING)
"""Connections without a request are closed after ``SOCKET_TIMEOUT``; trusted proxies have only the limits of all together."""

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_STOP_TIMEOUT = 10
"""Seconds that requests are given when the server stops."""

_LONGEST_HEADERS = 32 << 10


class WebServer:
    """Serves ``site`` at ``address``; port 0 is any free port.

    Raises:
        SettingsError: the address may not be used, or the certificate cannot be.

    """

    def __init__(self, site: Site, address: tuple[str, int]) -> None:
        settings = site.config.admin
        _check(address[0], settings)
        threads = site.backends.places + _THREADS_WITHOUT_BACKENDS
        self._scheme = "https" if settings.web_cert else "http"
        self._server = _Server(
            address,
            create_app(site),
            numthreads=threads,
            max=threads,
            server_name="dbproxy-admin",
            request_queue_size=_MOST_WAITING,
            accepted_queue_size=_MOST_WAITING,
            accepted_queue_timeout=0,  # the thread that accepts would wait for so long
            timeout=SOCKET_TIMEOUT,
            shutdown_timeout=_STOP_TIMEOUT,
        )
        self._server.turns = Turns(_LIMITS, settings.web_trusted_proxies)
        self._server.max_request_body_size = UPLOAD_BODY + (1 << 20)
        self._server.max_request_header_size = _LONGEST_HEADERS
        if settings.web_cert:
            self._server.ssl_adapter = _adapter(settings)
        self._thread = threading.Thread(target=self._server.serve, name="web server")

    def start(self) -> str:
        """Listen, and answer requests from now on; return the URL.

        Raises:
            AdminError: the address is in use or none of this machine.

        """
        try:
            self._server.prepare()
        except OSError as error:
            raise AdminError(f"cannot listen on {shown_address(*self._server.bind_addr)}: {error.args[-1]}") from None
        self._thread.start()
        host, port = self._server.bind_addr[:2]
        return f"{self._scheme}://{shown_address(host, port)}/"

    def stop(self) -> None:
        """Take no more connections, let requests end, and return when all threads have ended."""
        self._server.stop()
        self._thread.join()


class _Server(Server):
    """cheroot gives a new connection to a thread at once, which waits for its first byte: a dozen clients that say nothing would keep
    everybody else waiting. Here it waits in the selector, as connections do between two requests.
    """

    ConnectionClass = AdminConnection
    turns: Turns

    def process_conn(self, conn: HTTPConnection) -> None:
        if conn.last_used is not None:  # it has been in the selector, and there is something to read
            self._hand_over(self.turns.begin(conn))
        elif self.turns.opened(conn):
            cast("Any", self)._connections.put(conn)  # its stub does not have it
        else:
            conn.close()

    def finished(self, conn: HTTPConnection) -> None:
        """A thread has answered a request, or has given it up; called by it."""
        self._hand_over(self.turns.end(conn))

    def _hand_over(self, turn: Turn) -> None:
        if turn.ready is not None:
            try:
                self.requests.put(turn.ready)
            except queue.Full:
                self._refuse(turn.ready)
                self.finished(turn.ready)
        if turn.refused is not None:
            self._refuse(turn.refused)

    def _refuse(self, conn: HTTPConnection) -> None:
        """Close a connection, without waiting for anything: cheroot's thread for this would wait for the handshake of TLS."""
        if self.ssl_adapter is None:
            with suppress(OSError):
                conn.socket.send(_BUSY, socket.MSG_DONTWAIT)
        conn.close()


class _TlsAdapter(BuiltinSSLAdapter):
    """cheroot would do the handshake in the thread that accepts: who connects and says nothing would keep everybody else waiting."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


def _adapter(settings: AdminSettings) -> _TlsAdapter:
    key = settings.web_key or settings.web_cert
    for name, path in (("WebAdminCert", settings.web_cert), ("WebAdminKey", key)):
        if not os.access(path, os.R_OK):
            raise SettingsError(f"{name}: {path} is not there or cannot be read")
    try:
        adapter = _TlsAdapter(settings.web_cert, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        raise SettingsError(f"WebAdminCert and WebAdminKey ({settings.web_cert}, {key}) cannot be used: {error}") from None
    adapter.context.minimum_version = ssl.TLSVersion.TLSv1_2
    return adapter


def _check(host: str, settings: AdminSettings) -> None:
    if settings.web_cert or settings.web_trusted_proxies or _is_loopback(host):
        return
    raise SettingsError(
        f"{host} is not an address of this machine alone: passwords would go through the network in clear. Set WebAdminCert for HTTPS, "
        "or WebAdminTrustedProxies if a reverse proxy with HTTPS stands before it, or listen on 127.0.0.1"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
