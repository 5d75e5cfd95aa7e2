"""PoolMoves: pools get other servers, accounts, certificates, sizes or time limits while the proxy works.

For each pool whose settings or certificates differ a second one is made, connected and checked; only when all of them can be used, the
pools take their connections, all at once. A pool that depends on nothing that has changed is left alone, so that it does not matter whether
its server can be reached just now. One thread, which may wait for servers; ``switch`` may be called by another one.
"""

from __future__ import annotations

from collections.abc import Callable

from dbproxy.config import Config
from dbproxy.errors import StartupError
from dbproxy.stores.mysql import DBManager, ReadablePool, ReadPool
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.stores.mysql.schema_check import check_tables
from dbproxy.stores.pools import BackendPool, Pool, PoolManager
from dbproxy.stores.redis import CacheManager
from dbproxy.stores.tls import certificate_digests


def _check(pool: ReadablePool) -> ContentLimits:
    """Check a database as the start does; but who names replicas in a new configuration means servers that are there."""
    if isinstance(pool, ReadPool):
        pool.check_reachable()
    return check_tables(pool)


class PoolMoves:
    """What becomes of the pools when a configuration takes the place of another. After ``prepare`` comes ``close``, with or without
    ``switch`` in between.
    """

    def __init__(self, databases: DBManager, caches: CacheManager) -> None:
        self._databases = databases
        self._caches = caches
        self._moves: list[Callable[[], None]] = []
        self._candidates: list[BackendPool] = []
        self.certificates: tuple[str, ...] = ()
        """Names of the keys whose files have other contents than when they were read."""
        self.content_limits: ContentLimits | None = None
        """What the columns of the new master take; None if the master is the same as before."""

    def __bool__(self) -> bool:
        """Whether any pool is to get other connections."""
        return bool(self._candidates)

    def prepare(self, running: Config, wanted: Config) -> list[str]:
        """Connect to the servers that ``wanted`` names, where it differs from ``running``, and check them as the start does. Returns a
        sentence for each that cannot be used, naming the keys to look at.
        """
        problems: list[str] = []
        for name in self._changed(self._caches, running, wanted):
            self._connect(self._caches, name, wanted, lambda _: None, problems)
        for name in self._changed(self._databases, running, wanted):
            self._connect(self._databases, name, wanted, _check, problems)
        return problems

    def switch(self) -> None:
        """Let the pools take the new connections. Does no I/O and does not fail."""
        for move in self._moves:
            move()

    def close(self) -> None:
        """Close what is not needed: after ``switch`` the former connections (those in use when they come back), else the new ones."""
        for candidate in self._candidates:
            candidate.close()

    def _changed(self, manager: PoolManager[Pool], running: Config, wanted: Config) -> list[str]:
        """The names of the pools that need other connections."""
        names = []
        for name, pool in manager.pools.items():
            instances = wanted.db_instances if name in wanted.db_instances else wanted.cache_instances
            digests = certificate_digests(instances[name].tls)
            changed = tuple(name + end for end, digest in digests.items() if pool.certificates.get(end, digest) != digest)
            self.certificates += changed
            if changed or manager.settings(name, running) != manager.settings(name, wanted):
                names.append(name)
        return names

    def _connect(
        self, manager: PoolManager[Pool], name: str, wanted: Config, check: Callable[[Pool], ContentLimits | None], problems: list[str]
    ) -> None:
        pool = manager.pools[name]
        try:
            candidate = manager.candidate(name, wanted)
            self._candidates.append(candidate)
            candidate.open()
            limits = check(candidate)
        except StartupError as error:
            problems.append(str(error))
            return
        self._moves.append(lambda: pool.adopt(candidate))
        if pool is self._databases.master:
            self.content_limits = limits
