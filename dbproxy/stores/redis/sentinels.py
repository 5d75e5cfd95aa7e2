"""Sentinels: asks the Sentinels of one service where its master is.

redis-py's own ``Sentinel`` is not used: it resolves names without a time limit, cannot be given a TLS context, does not say which Sentinel
has answered (which matters when the server that it names turns out to be a replica), and reads a reply that still names the former master
while a failover goes on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.redis.commands import pairs
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.resolver import Resolver

ASKING = 0.5
"""The part of CacheConnectTimeout that asking Sentinels may take; the rest is for connecting to the master."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a Sentinel says of the master."""

    sentinel: str
    """host:port of the Sentinel."""
    host: str
    port: int
    epoch: int
    """Rises with every failover of the service."""
    is_down: bool
    """Whether that Sentinel cannot reach it."""
    is_leaving: bool
    """Whether that Sentinel is about to make a replica the master in its place."""
    facts: dict[str, str]
    """All of the reply to SENTINEL MASTER."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the master."""
        return self.host, self.port


class UnknownServiceError(redis.RedisError):
    """A Sentinel does not watch a service with this name: waiting does not help."""


class Sentinels:
    """The Sentinels of one service. ``named`` may be called by any thread, each Sentinel is asked over a new connection then."""

    def __init__(
        self, instance: CacheInstance, config: Config, context: SSLContext | None, resolver: Resolver, calls: BackendCalls
    ) -> None:
        self.service = instance.service
        self._config = config
        self._context = context
        self._resolver = resolver
        self._calls = calls
        self._instances: Sequence[CacheInstance] = [
            dataclasses.replace(
                instance, host=host, port=port, sentinels=(), db=0, username=instance.sentinel_username, password=instance.sentinel_password
            )
            for host, port in instance.sentinels
        ]
        """The one that answered last is the first."""

    def named(self, errors: list[Exception]) -> Iterator[Named]:
        """Ask one Sentinel after the other, first the one that answered last, and yield what they say; why one says nothing is appended to
        ``errors``. Takes at most half of CacheConnectTimeout, the time that the caller needs between two answers not counted.
        """
        left = self._config.cache_connect_timeout * ASKING
        asked = self._instances
        for number, instance in enumerate(asked):
            share = left / (len(asked) - number)
            connection = self.connection(instance, share / 2)
            began = time.monotonic()
            try:
                answer = self.ask(connection)
            except (redis.RedisError, OSError) as error:
                errors.append(error if isinstance(error, UnknownServiceError) else told_by(instance, error))
                left = max(0.01, left - (time.monotonic() - began))
                continue
            finally:
                connection.disconnect()
            if number:
                self._instances = [instance, *(other for other in asked if other is not instance)]
            yield answer

    def all(self) -> Sequence[CacheInstance]:
        """Return the instances that ``connection`` takes."""
        return self._instances

    def connection(self, instance: CacheInstance, timeout: float) -> DriverConnection:
        """Return a connection to one Sentinel, not connected yet, with this time limit for connecting and for each reply."""
        connection = DriverConnection(instance, self._config, self._context, self._resolver, self._calls)
        connection.socket_connect_timeout = connection.socket_timeout = timeout
        return connection

    def ask(self, connection: DriverConnection) -> Named:
        """Ask the Sentinel at the other end, connecting if there is no connection, with one round trip.

        Raises:
            UnknownServiceError: it does not watch this service.
            redis.RedisError, OSError: it does not answer, or refuses to.

        """
        connection.ensure_connected()
        sentinel = f"{connection.host}:{connection.port}"
        # While a failover goes on, the first reply is about the former master until it is over, the second names the new one earlier.
        state, address = connection.exchange([("SENTINEL", "MASTER", self.service), ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)])[
            0
        ]
        if isinstance(state, redis.ResponseError) and "No such master" in str(state):
            raise UnknownServiceError(f"the Sentinel {sentinel} does not watch a service {self.service}")
        for reply in (state, address):
            if isinstance(reply, redis.ResponseError):
                raise reply
        if not address:
            raise UnknownServiceError(f"the Sentinel {sentinel} does not watch a service {self.service}")
        return _named(sentinel, state, address)


def _named(sentinel: str, state: Any, address: Any) -> Named:  # noqa: ANN401 - replies of Redis
    facts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs(state).items()}
    host, port = address[0].decode(), int(address[1])
    flags = facts.get("flags", "").split(",")
    if (host, str(port)) != (facts.get("ip"), facts.get("port")):
        flags = []  # they are about the former master
    is_down = "s_down" in flags or "o_down" in flags
    return Named(sentinel, host, port, int(facts.get("config-epoch", 0)), is_down, "failover_in_progress" in flags, facts)


def told_by(instance: CacheInstance, error: Exception) -> Exception:
    """Return the error of a Sentinel with its name."""
    told = redis.AuthenticationError if isinstance(error, redis.AuthenticationError) else redis.ConnectionError
    named = told(f"the Sentinel {instance.host}:{instance.port}: {error}")
    named.__cause__ = error
    return named
