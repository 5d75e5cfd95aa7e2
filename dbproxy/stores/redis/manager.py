"""CacheManager: the Redis pools by name."""

from __future__ import annotations

from collections.abc import Mapping

from dbproxy.config import Config
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.pools import PoolManager
from dbproxy.stores.redis.master_watch import MasterWatch
from dbproxy.stores.redis.pool import CachePool
from dbproxy.stores.resolver import Resolver

WATCH_JOIN = 1.0
"""Seconds that the thread which asks Sentinels has to end."""


class CacheManager(PoolManager[CachePool]):
    """The pools by purpose. Several may lead to the same server; that is the operator's choice."""

    def __init__(self, config: Config, calls: BackendCalls = UNTRACKED) -> None:
        self._resolver = Resolver()
        self._calls = calls
        self._running: Mapping[str, CachePool] = {}
        super().__init__({name: self.candidate(name, config) for name in config.cache_instances})
        self._running = self.pools
        self.unread = self.pools["unread"]
        self.group_set = self.pools["group_set"]
        self.token = self.pools["token"]
        self.group_member = self.pools["group_member"]
        self._watch = MasterWatch(self.pools.values())

    def follow_masters(self) -> None:
        """Have the pools with Sentinels follow planned failovers at once, until ``close``; may be called once."""
        self._watch.start()

    def close(self) -> None:
        """See PoolManager."""
        self._watch.stop(WATCH_JOIN)
        super().close()

    def candidate(self, name: str, config: Config) -> CachePool:
        """See PoolManager."""
        instance, running = config.cache_instances[name], self._running.get(name)
        known = () if running is None or (instance.host, instance.port) not in running.known_nodes else running.known_nodes
        return CachePool(instance, config, self._resolver, self._calls, known)

    def settings(self, name: str, config: Config) -> object:
        """See PoolManager."""
        return config.cache_instances[name], (config.cache_connect_timeout, config.cache_timeout, config.cache_pool_timeout)
