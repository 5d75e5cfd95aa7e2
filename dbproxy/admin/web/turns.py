"""Turns: how many connections and threads of the web server one address occupies. Any thread."""

from __future__ import annotations

import ipaddress
import threading
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from cheroot.server import HTTPConnection

from dbproxy.admin.web.client_address import network_of
from dbproxy.config_rules import Network


class Turn(NamedTuple):
    """What to do now: the connection that a thread may take, and the one that is refused; None: none."""

    ready: HTTPConnection | None = None
    refused: HTTPConnection | None = None


class Limits(NamedTuple):
    """How much there may be at most."""

    connections: int
    """That are open, of all addresses."""
    connections_of_address: int
    """Of one address, or of IPv6 of one /64."""
    threads_of_address: int
    waiting: int
    """Connections with a request that wait for one of the threads of their address, of all addresses."""


class Turns:
    """A request that arrives slowly occupies a thread until it is given up: who sends many of them shall keep only himself waiting.

    Addresses in ``exempt`` (proxies, which speak for many) have only the limits of all together.
    """

    def __init__(self, limits: Limits, exempt: Sequence[Network] = ()) -> None:
        self._limits = limits
        self._exempt = exempt
        self._lock = threading.Lock()
        self._open: dict[HTTPConnection, str | None] = {}
        self._open_of: dict[str | None, int] = {}
        self._running: dict[str, int] = {}
        self._waiting: dict[str, deque[HTTPConnection]] = {}
        self._waiting_count = 0

    def opened(self, conn: HTTPConnection) -> bool:
        """Return whether a new connection may stay; if so, ``closed`` has to be called in the end."""
        client = self._client(conn)
        with self._lock:
            count = self._open_of.get(client, 0)
            if len(self._open) >= self._limits.connections or (client is not None and count >= self._limits.connections_of_address):
                return False
            self._open[conn] = client
            self._open_of[client] = count + 1
            return True

    def closed(self, conn: HTTPConnection) -> None:
        """A connection is closed; nothing happens if it was not counted, or is not any more."""
        with self._lock:
            if conn in self._open:
                client = self._open.pop(conn)
                self._open_of[client] -= 1
                if not self._open_of[client]:
                    del self._open_of[client]

    def begin(self, conn: HTTPConnection) -> Turn:
        """A connection has a request."""
        client = self._client(conn)
        if client is None:
            return Turn(conn)
        with self._lock:
            if self._running.get(client, 0) < self._limits.threads_of_address:
                self._running[client] = self._running.get(client, 0) + 1
                return Turn(conn)
            if self._waiting_count >= self._limits.waiting:
                return Turn(refused=conn)
            self._waiting.setdefault(client, deque()).append(conn)
            self._waiting_count += 1
            return Turn()

    def end(self, conn: HTTPConnection) -> Turn:
        """The request of a connection that was ready has ended; another one of its address takes its place."""
        client = self._client(conn)
        if client is None:
            return Turn()
        with self._lock:
            others = self._waiting.get(client)
            if others:
                self._waiting_count -= 1
                following = others.popleft()
                if not others:
                    del self._waiting[client]
                return Turn(following)
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
            return Turn()

    def _client(self, conn: HTTPConnection) -> str | None:
        """Return what is counted; None: there is no limit."""
        client = network_of(str(conn.remote_addr))
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return client
        return None if any(address in network for network in self._exempt) else client
