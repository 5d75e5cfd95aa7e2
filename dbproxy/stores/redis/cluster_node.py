"""The connections of one pool to one node of a Redis Cluster. Any thread; a connection belongs to the thread that took it."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.errors import DbproxyError
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.redis.cluster_slots import Address, Topology
from dbproxy.stores.redis.commands import CacheCommand
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.resolver import Resolver

_RUN_ID = re.compile(rb"run_id:(\w+)")


class NodeFailedError(DbproxyError):
    """A node of the cluster, or the cluster as a whole, could not be used. ``connected``: whether there was a connection, so that commands
    may have been executed.
    """

    def __init__(self, address: Address | None, error: redis.RedisError | OSError, *, connected: bool) -> None:
        where = "" if address is None else f"node {address[0]}:{address[1]}: "
        super().__init__(f"{where}{error}")
        self.error = error
        self.connected = connected


@dataclass(frozen=True, slots=True)
class Notices:
    """What a pool is told by the threads that use its cluster."""

    connected: Callable[[], None]
    """A connection to a node was made."""
    restarted: Callable[[], None]
    """A node may have older data than was written before. Called before anything is asked of it, and under the locks of the node or the
    map, so that it happens once: it may take no lock but a last one, and must not block.
    """
    tell: Callable[[str], None]
    """The text says which node that is, and why. Called without any lock, for the log."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How connections to the nodes of a pool are made."""

    instance: CacheInstance
    config: Config
    tls: ssl.SSLContext | None
    resolver: Resolver
    calls: BackendCalls


class Node:
    """One node: its idle connections, and which process served there last."""

    def __init__(self, address: Address, settings: NodeSettings) -> None:
        self.address = address
        self.failures = 0
        """How often it could not be used since it last could."""
        self.run_id: bytes | None = None
        """Of the process that was last connected to; None: not known."""
        self._lock = threading.Lock()
        self._settings = settings
        self._instance = replace(settings.instance, host=address[0], port=address[1], db=0)
        self._idle: deque[DriverConnection] = deque()  # last in, first out; append and pop are atomic
        self._made_lock = threading.Lock()
        """Of the connections and what they have counted. No other lock is taken under it."""
        self._made: list[DriverConnection] = []
        """Those that are idle or in use."""
        self._former_calls, self._former_seconds = 0, 0.0
        """Of connections that were given up."""
        self._retired = False
        self._trial = threading.Lock()
        self._next_trial = 0.0

    def __str__(self) -> str:
        return f"{self.address[0]}:{self.address[1]}"

    def take(self) -> DriverConnection:
        """An idle connection, or a new one that is not connected yet. It has to come back with ``give``."""
        try:
            return self._idle.pop()
        except IndexError:
            settings = self._settings
            connection = DriverConnection(self._instance, settings.config, settings.tls, settings.resolver, settings.calls)
            with self._made_lock:
                self._made.append(connection)
            return connection

    def give(self, connection: DriverConnection) -> None:
        """Put a connection back."""
        self._idle.append(connection)
        if self._retired:
            self.close_idle()

    def ensure_connected(self, connection: DriverConnection, within: float, notices: Notices) -> None:
        """Connect within about so many seconds if there is no connection, and notice whether another process serves than before.

        Raises:
            redis.RedisError, OSError: connecting failed. Nothing was sent that changes anything.

        """
        if not connection.ensure_connected(within):
            return
        (reply,) = _ask(connection, [("INFO", "server")], within)
        found = _RUN_ID.search(reply) if isinstance(reply, bytes) else None
        if found is not None:  # with an account that may not ask, only connections tell
            with self._lock:
                former, self.run_id = self.run_id, found[1]
                is_other = former not in (None, found[1])
                if is_other:
                    notices.restarted()
            if is_other:
                notices.tell(f"node {self} was started again, or replaced by another")
        notices.connected()
        self.failures = 0

    def ensure_connected_by_one(self, connection: DriverConnection, within: float, notices: Notices) -> None:
        """As ``ensure_connected``, for a node that has not worked for long: while a thread tries to connect, and for as long again as that
        took, the others are refused at once, so that a host that swallows packets holds up no more than one.

        Raises:
            redis.RedisError, OSError: as ``ensure_connected``.

        """
        if connection.usable:
            return
        began = time.monotonic()
        if began < self._next_trial or not self._trial.acquire(blocking=False):
            raise redis.ConnectionError("it could not be connected to just now")
        try:
            self._next_trial = 0.0
            self.ensure_connected(connection, within, notices)
        except (redis.RedisError, OSError):
            now = time.monotonic()
            self._next_trial = now + (now - began)
            raise
        finally:
            self._trial.release()

    def topology(self, within: float, notices: Notices) -> Topology:
        """Ask this node for all nodes, waiting about so many seconds at each step.

        Raises:
            redis.RedisError, OSError: it cannot be asked, or is no node of a cluster.

        """
        connection = self.take()
        try:
            self.ensure_connected(connection, within, notices)
            slots, info = _ask(connection, [("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")], within)
        except BaseException:
            self.failures += 1
            connection.disconnect()
            raise
        finally:
            self.give(connection)
        if isinstance(slots, redis.RedisError):
            raise slots
        return Topology.from_replies(slots, info, self.address)

    def retire(self) -> None:
        """Close the idle connections, and those in use when they come back: the node is no part of the cluster any more."""
        self._retired = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the idle connections."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            connection.disconnect()
            with self._made_lock:
                self._made.remove(connection)
                self._former_calls += connection.calls
                self._former_seconds += connection.seconds

    def connections_and_calls(self) -> tuple[int, int, int, float]:
        """Connections in use, open ones that are idle, pipelines sent, and the seconds for which the node was waited for."""
        with self._made_lock:
            made, idle = self._made.copy(), self._idle.copy()
            calls, seconds = self._former_calls, self._former_seconds
        open_idle = sum(connection.open for connection in idle)
        calls += sum(connection.calls for connection in made)
        seconds += sum(connection.seconds for connection in made)
        return max(0, len(made) - len(idle)), open_idle, calls, seconds


def _ask(connection: DriverConnection, commands: Sequence[CacheCommand], within: float) -> list[Any]:
    """Send commands that only ask, and return the replies, refusals among them."""
    connection.send(commands)
    if not connection.has_replies(within):
        raise redis.TimeoutError("it did not answer in time")
    replies, refused = connection.receive(len(commands))
    if isinstance(refused, redis.BusyLoadingError):
        raise refused
    return replies
