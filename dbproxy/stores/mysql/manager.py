"""DBManager: the MySQL pools by name."""

from __future__ import annotations

from collections.abc import Iterator

from dbproxy.config import Config
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.read_pool import ReadablePool, ReadPool
from dbproxy.stores.mysql.server_connection_id import idle_timeout
from dbproxy.stores.pools import PoolManager
from dbproxy.stores.resolver import Resolver

MASTER, SLAVE = "teamtalk_master", "teamtalk_slave"
"""The instance that takes the writes, and the one for reads."""


class DBManager(PoolManager[ReadablePool]):
    """The pools by name: ``master`` takes the writes, ``slave`` the reads that need not come from the master."""

    def __init__(self, config: Config, calls: BackendCalls = UNTRACKED) -> None:
        self._resolver = Resolver()
        self._calls = calls
        self.master = DBPool(config.db_instances[MASTER], config, self._resolver, calls, for_writes=True)
        self.slave = self._read_pool(config)
        own: dict[str, ReadablePool] = {MASTER: self.master, SLAVE: self.slave}
        super().__init__(own | {name: self.candidate(name, config) for name in config.db_instances if name not in own})

    def open(self) -> None:
        """See PoolManager. Replicas are watched from now on."""
        super().open()
        self.slave.watch()

    def candidate(self, name: str, config: Config) -> ReadablePool:
        """See PoolManager."""
        if name == SLAVE:
            return self._read_pool(config)
        return DBPool(config.db_instances[name], config, self._resolver, self._calls, for_writes=name == MASTER)

    def settings(self, name: str, config: Config) -> object:
        """See PoolManager. Reads depend on where the master is, too."""
        timeouts = (config.db_connect_timeout, config.db_timeout, config.db_lock_timeout, config.db_pool_timeout)
        instances = [config.db_instances[name], *([config.db_instances[MASTER]] if name == SLAVE else [])]
        return instances, timeouts, idle_timeout(config)

    def servers(self) -> Iterator[DBPool]:
        """Yield the pools of single servers: all that are expected to answer at the moment."""
        for pool in self.pools.values():
            if isinstance(pool, DBPool):
                yield pool
            else:
                yield from pool.connected

    def _read_pool(self, config: Config) -> ReadPool:
        return ReadPool(config.db_instances[SLAVE], self.master, config, self._resolver, self._calls)
