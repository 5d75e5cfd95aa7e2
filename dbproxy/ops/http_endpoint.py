"""HttpEndpoint: everything behind AdminListen: the HTTP server, its pages, and the watch over the backends."""

from __future__ import annotations

import socket

from dbproxy.errors import StartupError
from dbproxy.ops.backend_watch import BackendWatch
from dbproxy.ops.http_server import Address, HttpServer
from dbproxy.ops.snapshot import ObservedProxy, Snapshots

STOP_TIMEOUT = 0.2
"""Seconds to wait for the watch at the end; it may hang in a backend."""


class HttpEndpoint:
    """Listens as soon as it is made and serves after ``start``; the methods belong to the reactor thread.

    ``inherited``: the socket that listens, from the process that this one replaces.

    Raises:
        StartupError: what it needs is not installed, or the address cannot be listened on.

    """

    def __init__(self, proxy: ObservedProxy, address: Address, inherited: socket.socket | None = None) -> None:
        try:
            from dbproxy.ops.http_pages import HttpPages
        except ModuleNotFoundError as error:
            raise StartupError(
                f"AdminListen needs the package {error.name}, which is not installed: pip install 'dbproxy[ops]' (or AdminListen=off)"
            ) from None
        self._watch = BackendWatch(proxy)
        self.snapshots = Snapshots(proxy)
        self._server = HttpServer(address, HttpPages(self.snapshots).respond, inherited)
        self._server.listen()

    @property
    def listener(self) -> socket.socket:
        """The socket that listens, for handing it to another process."""
        return self._server.listener

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self._server.address

    def start(self) -> None:
        """Answer requests from now on."""
        self._server.start()
        self._watch.start()

    def stop(self) -> None:
        """Close all connections, and the socket that listens; another process that has it goes on with it."""
        self._server.stop()
        self._watch.stop(STOP_TIMEOUT)
