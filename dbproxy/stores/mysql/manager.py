"""DBManager: the MySQL pools by name."""

from __future__ import annotations

from dbproxy.config import Config
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.server_connection_id import idle_timeout
from dbproxy.stores.pools import PoolManager
from dbproxy.stores.resolver import Resolver

MASTER = "teamtalk_master"
"""The instance that takes the writes."""


class DBManager(PoolManager[DBPool]):
    """The pools by name: ``master`` takes the writes, ``slave`` the reads that may be a moment old."""

    def __init__(self, config: Config, calls: BackendCalls = UNTRACKED) -> None:
        self._resolver = Resolver()
        self._calls = calls
        super().__init__({name: self.candidate(name, config) for name in config.db_instances})
        self.master = self.pools[MASTER]
        self.slave = self.pools["teamtalk_slave"]

    def candidate(self, name: str, config: Config) -> DBPool:
        """See PoolManager."""
        return DBPool(config.db_instances[name], config, self._resolver, self._calls, for_writes=name == MASTER)

    def settings(self, name: str, config: Config) -> object:
        """See PoolManager."""
        timeouts = (config.db_connect_timeout, config.db_timeout, config.db_lock_timeout, config.db_pool_timeout)
        return config.db_instances[name], timeouts, idle_timeout(config)
