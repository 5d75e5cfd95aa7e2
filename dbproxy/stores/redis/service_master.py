"""ServiceMaster: the address of a pool whose Redis is watched by Sentinels. Any thread.

The Sentinels are asked at each connect, and the server that they name must say itself that it is a master. While there is none, because a
failover goes on, whoever needs a connection waits for it, but not for longer than ``CachePoolTimeout`` after the pool began to miss it:
then everything is refused at once until there is one again. A master that is about to be replaced counts as none.

Each failover has a number, its epoch, which rises. What a Sentinel says about an earlier epoch than that of the master which was last
connected to is out of date (it was down or cut off meanwhile) and counts only if all Sentinels say so, as after they were set up anew, or
if the majority of them does, nobody else, and there has been no master for ``SET_UP_ANEW``: one of them is dead then.
"""

from __future__ import annotations

import logging
import time
from ssl import SSLContext

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.stores.backend_calls import BackendCalls, Wait
from dbproxy.stores.redis.address import Address, Identity, identify, may_get_ready
from dbproxy.stores.redis.commands import CacheCommand
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.sentinels import Named, Sentinels, UnknownServiceError
from dbproxy.stores.resolver import Resolver

logger = logging.getLogger(__name__)

WAITING_FOR_MASTER = Wait("wait for a master")

PAUSE = 0.05
"""Seconds between two attempts to find a master."""

SUSPECT_TIMEOUT = 0.5
"""Seconds that a server which a Sentinel calls down may take to accept a connection, and to answer. It may work all the same: Sentinels on
busy machines, or cut off from it, are wrong.
"""

LONGEST_FAILOVER = 3.0
"""Seconds for which nothing is sent to a master that is being replaced."""

SET_UP_ANEW = 30.0
"""Seconds after which the majority of the Sentinels is believed an earlier epoch: for longer than they need to agree after a failover."""

_QUESTIONS: tuple[CacheCommand, ...] = (("PING",), ("INFO", "server"), ("INFO", "replication"), ("ROLE",))
"""PING, because a server that loads its data refuses it; ROLE for an account that may not use INFO."""


class NoMasterError(redis.ConnectionError):
    """No Sentinel names a server that is reachable and a master."""


class ServiceMaster(Address):
    """The master of the service of an instance."""

    moves = True

    def __init__(
        self, instance: CacheInstance, config: Config, context: SSLContext | None, resolver: Resolver, calls: BackendCalls
    ) -> None:
        self.sentinels = Sentinels(instance, config, context, resolver, calls)
        self.settings = (instance.sentinels, instance.service, instance.sentinel_username, instance.sentinel_password, instance.tls)
        """Two with the same ones have the same master."""
        self.master: Named | None = None
        """The one that was last connected to."""
        self._name = instance.name
        self._config = config
        self._calls = calls
        self._missing_since = 0.0
        """Monotonic time from which on there was no master; 0: there is one, as far as is known."""
        self._leaving_until = 0.0
        """Monotonic time before which nothing is connected to, because the master is being replaced."""

    def connect(self, connection: DriverConnection, began: float) -> bytes | None:
        """See Address; waits for a master as long as the module says. A server that does not tell its run id is known by its address.

        Raises:
            UnknownServiceError: no Sentinel watches this service.
            NoMasterError: there was none in time.
            redis.RedisError, OSError: the master does not let us in.

        """
        while True:
            try:
                run_id = self._connect(connection) or b"%s:%d" % (connection.host.encode(), connection.port)
            except NoMasterError as error:
                now = time.monotonic()
                if not self._missing_since:
                    self._missing_since = now
                    level = logging.INFO if now < self._leaving_until else logging.WARNING
                    logger.log(level, "Redis instance %s has no master: %s", self._name, error)
                if now + PAUSE > min(began, self._missing_since) + self._config.cache_pool_timeout:
                    raise
            else:
                self._missing_since = 0.0
                return run_id
            self._calls.begin()
            time.sleep(PAUSE)
            self._calls.end(WAITING_FOR_MASTER)
            self._calls.before_call()

    def is_newer(self, named: Named) -> bool:
        """Whether ``named`` has taken the place of the master that was last connected to."""
        master = self.master
        return master is not None and not named.is_down and named.epoch > master.epoch and named.address != master.address

    def pause(self) -> None:
        """Let nobody have a connection until a failover that begins is over, or ``LONGEST_FAILOVER`` has passed: what the master executes
        from the moment on at which the replica stops following it will be lost.
        """
        self._leaving_until = time.monotonic() + min(LONGEST_FAILOVER, self._config.cache_pool_timeout / 2)

    def go_on(self) -> None:
        """The failover is over."""
        self._leaving_until = 0.0

    def expect(self, named: Named) -> None:
        """Do not take any server of an earlier epoch for the master from now on."""
        self.master = named

    def _connect(self, connection: DriverConnection) -> bytes | None:
        """Ask each Sentinel once, until the server that one of them names can be used."""
        if time.monotonic() < self._leaving_until:
            raise NoMasterError("a failover goes on")
        limit = time.monotonic() + self._config.cache_connect_timeout
        errors: list[Exception] = []
        outdated: list[Named] = []
        known = self.master.epoch if self.master is not None else 0
        tried: set[tuple[str, int]] = set()
        for named in self.sentinels.named(errors):
            if named.epoch < known:
                outdated.append(named)
            elif named.address not in tried:
                tried.add(named.address)
                identity = self._try(connection, named, limit, errors)
                if identity is not None:
                    return identity.run_id
        if not tried and self._is_the_truth(outdated):
            identity = self._try(connection, max(outdated, key=lambda named: named.epoch), limit, errors)
            if identity is not None:
                return identity.run_id
        errors += [NoMasterError(f"the Sentinel {named.sentinel} does not know of the last failover") for named in outdated]
        raise self._failure(errors)

    def _is_the_truth(self, outdated: list[Named]) -> bool:
        """Whether what these Sentinels say counts, though it is about an earlier epoch; the others have not answered."""
        number = len(self.sentinels.all())
        if len(outdated) == number:
            return True
        is_missing_for_long = self._missing_since and time.monotonic() - self._missing_since >= SET_UP_ANEW
        agree = len({(named.address, named.epoch) for named in outdated}) == 1
        return bool(is_missing_for_long) and agree and 2 * len(outdated) > number

    def _try(self, connection: DriverConnection, named: Named, limit: float, errors: list[Exception]) -> Identity | None:
        """Connect to a server that a Sentinel names; None, with the reason in ``errors``, if it cannot be used as a master."""
        where = f"{named.host}:{named.port}, which the Sentinel {named.sentinel} names{' and calls down' if named.is_down else ''},"
        connection.disconnect()
        connection.host, connection.port = named.address
        # A server that hangs accepts connections: it must not take the time in which another one may have become the master.
        longest = SUSPECT_TIMEOUT if named.is_down else self._config.cache_connect_timeout
        connection.socket_connect_timeout = max(0.01, min(longest, limit - time.monotonic()))
        connection.set_reply_timeout(min(connection.socket_connect_timeout, self._config.cache_timeout))
        try:
            connection.ensure_connected()
            identity = identify(connection, _QUESTIONS)
            connection.set_reply_timeout(self._config.cache_timeout)
        except (redis.RedisError, OSError) as error:
            connection.disconnect()
            if not may_get_ready(error):
                raise
            errors.append(NoMasterError(f"{where} cannot be used: {error}"))
            return None
        if identity.role not in (None, b"master"):
            connection.disconnect()
            errors.append(NoMasterError(f"{where} is a replica"))
            return None
        self.master = named
        return identity

    def _failure(self, errors: list[Exception]) -> redis.RedisError:
        """The error that says why no Sentinel led to a master."""
        text = "; ".join(dict.fromkeys(map(str, errors)))
        for kind in (UnknownServiceError, redis.AuthenticationError):
            if errors and all(isinstance(error, kind) for error in errors):
                return kind(text)
        if errors and not any(map(may_get_ready, errors)):  # TLS
            failure = redis.ConnectionError(text)
            failure.__cause__ = errors[0]
            return failure
        return NoMasterError(text)
