"""Turns: how many threads of the web server the requests of one address occupy. Any thread."""

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


class Turns:
    """A request that arrives slowly occupies a thread until it is given up: who sends many of them shall keep only himself waiting.

    ``most``: threads of one address, or of IPv6 of one /64. ``waiting``: connections with a request that wait for one of these threads, of
    all addresses; further ones are refused. Addresses in ``exempt`` (proxies, which speak for many) have no limit.
    """

    def __init__(self, most: int, waiting: int, exempt: Sequence[Network] = ()) -> None:
        self._most = most
        self._longest = waiting
        self._exempt = exempt
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self._waiting: dict[str, deque[HTTPConnection]] = {}
        self._waiting_count = 0

    def begin(self, conn: HTTPConnection) -> Turn:
        """A connection has a request."""
        client = self._client(conn)
        if client is None:
            return Turn(conn)
        with self._lock:
            if self._running.get(client, 0) < self._most:
                self._running[client] = self._running.get(client, 0) + 1
                return Turn(conn)
            if self._waiting_count >= self._longest:
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
