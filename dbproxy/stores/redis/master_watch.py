"""MasterWatch: a thread that looks all the time which master the Sentinels name, and has the pools leave a former one at once.

Without it a failover that was planned would be noticed by new connections only. The former master goes on taking writes until the
Sentinels make it a replica, 8 to 18 seconds later, and whatever is written to it from the moment on at which the other one stops following
it is lost. The Sentinel that carries out the failover says so 0.1 to 0.3 seconds before that moment, and up to 1 second passes until it
names the new master. In between nothing is sent to Redis, so nothing is lost. All Sentinels are asked, because any may be that one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

import redis

from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.sentinels import Named, Sentinels
from dbproxy.stores.redis.service_master import ServiceMaster
from dbproxy.stores.watch import Watch

if TYPE_CHECKING:
    from dbproxy.stores.redis.pool import CachePool

logger = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between two rounds, while there are pools with Sentinels."""

IDLE_INTERVAL = 2.0
"""Seconds between two looks whether there are any by now, after a reload."""

ASK_TIMEOUT = 0.25
"""Seconds that one Sentinel may take to accept a connection, and to answer."""

ASK_AGAIN_AFTER = 5.0
"""Seconds for which a Sentinel that did not answer is left alone."""

DISTRUST_AFTER = 5.0
"""Seconds after which what was taken from MySQL after a failover is taken from there once more: until then another proxy may have written
to the former master, which this proxy has left already.
"""


class _Watched:
    """The Sentinels of one service, with a connection to each that is kept open."""

    def __init__(self, sentinels: Sentinels) -> None:
        self._sentinels = sentinels
        self._connections: list[DriverConnection] = [
            self._sentinels.connection(instance, ASK_TIMEOUT) for instance in self._sentinels.all()
        ]
        self.is_leaving = False
        """Whether a failover was going on when they were last asked."""
        self._silent_until = dict.fromkeys(range(len(self._connections)), 0.0)

    def belongs_to(self, master: ServiceMaster) -> bool:
        """Whether it asks with the settings of ``master``, of whose TLS context a reload may have made another one."""
        return self._sentinels is master.sentinels

    def ask(self) -> list[Named]:
        """Ask all Sentinels that may be asked now; returns what those say that answer."""
        answers: list[Named] = []
        for number, connection in enumerate(self._connections):
            if time.monotonic() < self._silent_until[number]:
                continue
            try:
                answers.append(self._sentinels.ask(connection))
            except (redis.RedisError, OSError) as error:
                connection.disconnect()
                self._silent_until[number] = time.monotonic() + ASK_AGAIN_AFTER
                logger.debug("the Sentinel %s:%d does not answer: %s", connection.host, connection.port, error)
        return answers

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.disconnect()


class MasterWatch(Watch):
    """Watches the masters of those pools that have Sentinels; which ones have may change."""

    name = "master-watch"

    def __init__(self, pools: Iterable[CachePool]) -> None:
        super().__init__()
        self._pools = tuple(pools)
        self._watched: dict[Hashable, _Watched] = {}
        self._restarts = {pool.name: pool.restarts for pool in self._pools}
        self._distrust_at: dict[str, float] = {}

    @property
    def interval(self) -> float:
        """``INTERVAL`` if there are pools with Sentinels, otherwise ``IDLE_INTERVAL``."""
        return INTERVAL if any(pool.master for pool in self._pools) else IDLE_INTERVAL

    def round(self) -> None:
        """Ask the Sentinels of each service once, and have the pools of those that have a new master leave the former one."""
        now = time.monotonic()
        services: dict[Hashable, list[tuple[CachePool, ServiceMaster]]] = {}
        for pool in self._pools:
            if pool.master is not None:
                services.setdefault(pool.master.settings, []).append((pool, pool.master))
                self._distrust(pool, now)
        for settings in self._watched.keys() - services.keys():
            self._watched.pop(settings).close()
        for settings, members in services.items():
            watched = self._watched.get(settings)
            if watched is None or not watched.belongs_to(members[0][1]):
                if watched is not None:
                    watched.close()
                watched = self._watched[settings] = _Watched(members[0][1].sentinels)
            self._follow(watched, members)

    def log_failure(self) -> None:
        """See Watch."""
        logger.exception("the Sentinels could not be asked")

    def _follow(self, watched: _Watched, members: Sequence[tuple[CachePool, ServiceMaster]]) -> None:
        """Ask the Sentinels of a service, and act on what they say."""
        answers = watched.ask()
        if not answers:
            return
        newest = max(answers, key=lambda named: named.epoch)
        leaving = next((named for named in answers if named.is_leaving and named.epoch >= newest.epoch), None)
        begins, ends = leaving is not None and not watched.is_leaving, leaving is None and watched.is_leaving
        watched.is_leaving = leaving is not None
        for pool, master in members:
            if master.is_newer(newest):
                master.expect(newest)
                master.go_on()
                pool.leave(f"the master is {newest.host}:{newest.port} now, says the Sentinel {newest.sentinel}")
            elif begins and leaving is not None:
                master.pause()
                pool.leave(f"the Sentinel {leaving.sentinel} begins a failover")
            elif ends:
                master.go_on()

    def _distrust(self, pool: CachePool, now: float) -> None:
        """Count a new master as a restart a second time, after a while."""
        if self._restarts[pool.name] != pool.restarts:
            self._restarts[pool.name] = pool.restarts
            self._distrust_at[pool.name] = now + DISTRUST_AFTER
        elif now > self._distrust_at.get(pool.name, now):
            del self._distrust_at[pool.name]
            pool.distrust()
            self._restarts[pool.name] = pool.restarts

    def _run(self) -> None:
        super()._run()
        for watched in self._watched.values():
            watched.close()
