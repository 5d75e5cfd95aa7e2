"""ServerChoice: to which server of its list a pool is connected. Any thread.

All connections of a pool lead to one server. With a list that is the first that takes writes, asked in the list's order; it is kept until
it cannot be reached or takes no writes any more, whatever becomes of those before it. Then one thread looks for another one while the
others wait, and when there is one, ``generation`` rises: connections of a former generation are closed when they are next checked out, and
commit nothing.

With a single address everything but the search is the same: a virtual address or a name may lead to another server than before.

Everything ends: who looks, looks no longer than ``patience`` seconds after the last server was lost, plus one round; who waits for that,
waits for ``patience``; afterwards connecting fails at once, and one thread in ``_PAUSE`` seconds tries a round. A server that did not
answer in time is left alone for ``SILENCE`` seconds, so that a dead host does not cost every round its connect timeout.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pymysql.constants import CR

from dbproxy.config import DBInstance
from dbproxy.stores.backend_calls import CONNECTING, BackendCalls
from dbproxy.stores.mysql.errors import CannotConnectError
from dbproxy.stores.mysql.failures import is_not_ready
from dbproxy.stores.mysql.result import MAX_PACKET
from dbproxy.stores.mysql.server_role import ServerRole
from dbproxy.stores.mysql.server_search import Address, Attempt, Found, ServerSearch, named

logger = logging.getLogger(__name__)

_PAUSE = 0.1
"""Seconds between two rounds, and between two questions whether a server takes writes again."""

_RECHECK = 1.0
"""Seconds for which a connection to a server that takes no writes is used before it is made again: there may be another one."""

_CONNECT_ATTEMPTS = 10
"""How often connecting begins again because others have found another server meanwhile."""


@dataclass(frozen=True, slots=True)
class ConnectedServer:
    """What a connection knows of the server it leads to."""

    role: ServerRole
    generation: int
    expires: float
    """Monotonic time after which the connection is made again before it is used."""


NOT_CONNECTED = ConnectedServer(ServerRole("", MAX_PACKET), -1, -math.inf)
"""Of a connection that leads nowhere."""


class Connections(Protocol):
    """The connections of a pool."""

    def show_server(self, server: str) -> None:
        """The server in use is called so from now on. Does no I/O."""

    def close_idle(self) -> None:
        """Close the idle ones."""


class ServerChoice:
    """The choice of one pool. ``generation`` and ``failovers`` may be read without a lock."""

    def __init__(self, instance: DBInstance, patience: float, calls: BackendCalls, connections: Connections, *, for_writes: bool) -> None:
        """``patience``: seconds, also the limit of one connect. ``connections``: those of the pool. ``for_writes`` False: there is nothing
        to be chosen, the first address is connected to, whatever the server says.
        """
        self.for_writes = for_writes
        self.generation = 0
        self.failovers = 0
        """How often another server was found than before. It rises before anything is asked of that one."""
        self._name = instance.name
        self._addresses = instance.addresses
        self._patience = patience
        self._calls = calls
        self._connections = connections
        self._searches = for_writes and len(instance.addresses) > 1
        self._changed = threading.Condition()
        self._current: Address | None = None if self._searches else instance.addresses[0]
        self._identity = ""
        self._takes_writes = True
        self._found_at = -math.inf
        self._lost_since: float | None = None
        """Since when no server that takes writes is known; None: there is one."""
        self._asking = False
        self._searching = False
        self._searched_at = -math.inf
        self._failed_at = -math.inf
        self._failed_with = CannotConnectError(CR.CR_CONN_HOST_ERROR, "the search for a server that takes writes lasts")
        self._list = ServerSearch(instance.addresses, patience)
        self._rivals: Sequence[Address] = ()
        self._not_known = ""

    @property
    def server(self) -> str:
        """``host:port`` of the server in use; before one was found, of all."""
        current = self._current
        return named(current) if current else ",".join(map(named, self._addresses))

    @property
    def address(self) -> Address:
        """The server in use; before one was found, the first."""
        return self._current or self._addresses[0]

    @property
    def identity(self) -> str:
        """Of the server in use; see ``ServerRole``. Empty before it was connected to."""
        return self._identity

    @property
    def of_several(self) -> bool:
        """Whether there are others to choose from."""
        return self._searches

    def holds(self, connected: ConnectedServer) -> bool:
        """Whether a connection to this server may go on."""
        return connected.generation == self.generation and (connected.expires is math.inf or connected.expires > time.monotonic())

    def renew(self) -> None:
        """Let no connection go on that there is."""
        with self._changed:
            self.generation += 1

    def follow(self, former: ServerChoice) -> None:
        """Take the place of another choice, whose ``failovers`` are counted on. Does no I/O."""
        with self._changed:
            self.failovers = former.failovers + (not self._identity or self._identity != former._identity)

    def connect(self, attempt: Attempt) -> ConnectedServer:
        """Connect with ``attempt`` to the server in use, or to the one that takes its place.

        Raises:
            CannotConnectError: the server cannot be reached; or none of the list takes writes, with what each says.

        """
        for _ in range(_CONNECT_ATTEMPTS):
            generation, current = self.generation, self._current
            if current is None or ((not self._takes_writes or self._list.is_silent(current)) and self._search_is_due()):
                return self._search(attempt)
            try:
                role = attempt(current, self._patience)
            except CannotConnectError as error:
                if not self._searches or not is_not_ready(error):
                    raise
                self._list.note(current, error)
                return self._search(attempt)
            if not role.takes_writes and self._search_is_due():
                return self._search(attempt)
            connected = self._accept(current, role, generation)
            if connected is not None:
                return connected
        raise CannotConnectError(CR.CR_CONN_HOST_ERROR, f"instance {self._name} changes its server again and again")

    def refused(self, generation: int) -> None:
        """A server that a connection of ``generation`` led to has refused a write because it takes none: leave it."""
        with self._changed:
            now = time.monotonic()
            news = generation == self.generation and (self._takes_writes or now - self._found_at > _RECHECK)
            if news:
                if self._takes_writes and self._current is not None and now - self._found_at < _RECHECK:
                    self._list.avoid(self._current)
                self.generation += 1
                self._takes_writes = False
                self._lost_since = self._lost_since or now
        if news:
            self._connections.close_idle()

    def turned_read_only(self, generation: int) -> bool:
        """The server of ``generation`` says that it is read-only; returns whether it took writes before, and is left for that."""
        if generation != self.generation or not self._takes_writes:
            return False
        self.refused(generation)
        return True

    def await_writes(self, is_there: Callable[[], bool]) -> bool:
        """Wait until a server takes writes: at most ``patience`` seconds since the last one did not any more. One thread asks with
        ``is_there``, which takes a connection of the pool, the others wait. False: none does.
        """
        while True:
            with self._waiting(), self._changed:
                if self._takes_writes:
                    return True
                left = (self._lost_since or 0.0) + self._patience - time.monotonic()
                if left <= 0:
                    return False
                others_ask, self._asking = self._asking, True
                if others_ask:
                    self._changed.wait(min(left, _PAUSE))
            if others_ask:
                continue
            try:
                found = is_there()
            finally:
                with self._changed:
                    self._asking = False
                    self._changed.notify_all()
            if not found:
                self._pause()

    def _search_is_due(self) -> bool:
        """Whether there is a list to be searched, and that has not just been done."""
        return self._searches and time.monotonic() - self._searched_at > _PAUSE

    def _search(self, attempt: Attempt) -> ConnectedServer:
        """Look for a server that takes writes, or wait for the thread that does. If none does, but the server in use answers, it is that
        one: reading goes on.
        """
        began = time.monotonic()
        with self._waiting(), self._changed:
            while self._searching and self._changed.wait(max(0.0, began + self._patience - time.monotonic())):
                pass
            if self._searching or max(self._failed_at, self._found_at) == self._failed_at > min(began, time.monotonic() - _PAUSE):
                raise self._failure()
            found = self._current if self._found_at > began else None
            if found is None:
                self._searching = True
                self._lost_since = self._lost_since or began
                ends = self._lost_since + self._patience if self._identity else began
        if found is not None:
            return self._accept(found, attempt(found, self._patience)) or NOT_CONNECTED
        try:
            while True:
                try:
                    return self._take(self._list.round(attempt, self._current, self._identity))
                except CannotConnectError as error:
                    with self._changed:
                        self._failed_with, self._failed_at = error, time.monotonic()
                    if time.monotonic() >= ends:
                        raise
                self._pause()
        finally:
            with self._changed:
                self._searching = False
                self._searched_at = time.monotonic()
                self._changed.notify_all()

    def _failure(self) -> CannotConnectError:
        """The error of the last round that found no server."""
        error = CannotConnectError(*self._failed_with.args)
        error.__cause__ = self._failed_with.__cause__
        return error

    def _take(self, found: Found) -> ConnectedServer:
        """Use the server that a search has found."""
        is_first, rivals = not self._identity, tuple(found.rivals)
        connected = self._accept(found.address, found.role) or NOT_CONNECTED
        if is_first:
            logger.info("MySQL instance %s: %s takes the writes%s", self._name, named(found.address), found.said)
        if rivals and rivals != self._rivals:
            others = ", ".join(map(named, rivals))
            logger.warning("MySQL instance %s: not only %s takes writes, but also %s", self._name, named(found.address), others)
        self._rivals = rivals
        return connected

    def _accept(self, address: Address, role: ServerRole, generation: int | None = None) -> ConnectedServer | None:
        """Use this server from now on; None if others have found another one since ``generation``."""
        now = time.monotonic()
        with self._changed:
            if generation is not None and generation != self.generation:
                return None
            former = self.server
            moved = bool(self._identity and role.identity and role.identity != self._identity)
            self.failovers += moved
            self.generation += moved and self.for_writes
            self._identity = role.identity or self._identity
            self._current, self._found_at = address, now
            if self.for_writes:
                self._takes_writes = role.takes_writes
                self._lost_since = None if role.takes_writes else self._lost_since or now
            connected = ConnectedServer(role, self.generation, math.inf if self._takes_writes else now + _RECHECK)
            tell, self._not_known = role.not_known != self._not_known, role.not_known
            if self.server != former:
                self._connections.show_server(self.server)
            self._changed.notify_all()
        if tell and role.not_known:
            logger.warning("MySQL instance %s: %s does not say %s", self._name, named(address), role.not_known)
        if moved and self.for_writes:
            self._connections.close_idle()
            logger.warning("MySQL instance %s: another server answers now, at %s (before: %s)", self._name, named(address), former)
        return connected

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """The thread may wait in this block. The end of the wait may take long itself, so no lock is held then."""
        self._calls.begin()
        try:
            yield
        finally:
            self._calls.end(CONNECTING)

    def _pause(self) -> None:
        with self._waiting():
            time.sleep(_PAUSE)
