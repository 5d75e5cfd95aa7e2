"""Stacks on servers that somebody else runs, such as the service containers of a CI: :class:`ExistingStack`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from dbproxy.config import Config
from dbproxy.testing.existing_mysql import ExistingMySQL
from dbproxy.testing.existing_redis import OWN_KEYS, ExistingRedis
from dbproxy.testing.observe import Snapshot
from dbproxy.testing.servers import PrivateMariaDB, PrivateRedis
from dbproxy.testing.stack import POOLS, Stack

if TYPE_CHECKING:
    import redis

MYSQL_URL, REDIS_URL = "DBPROXY_TEST_MYSQL", "DBPROXY_TEST_REDIS"
"""Environment variables: the URLs of the servers, as the options ``--dbproxy-mysql`` and ``--dbproxy-redis`` of pytest give them."""


class ExistingStack(Stack):
    """A stack on servers that run already. Killing, freezing or stopping them raises NotOursError.

    ``mysql_url`` and ``redis_url`` as for :class:`ExistingMySQL` and :class:`ExistingRedis`; one that is None is a private server.
    """

    def __init__(self, mysql_url: str | None, redis_url: str | None, directory: Path | str | None = None) -> None:
        super().__init__(directory)
        self._existing_mysql = None if mysql_url is None else ExistingMySQL(mysql_url)
        self._existing_redis = None if redis_url is None else ExistingRedis(redis_url)

    def snapshot(self) -> Snapshot:
        """Return all rows and keys; see Stack."""
        tables, keys = super().snapshot()
        return tables, {key: value for key, value in keys.items() if key not in OWN_KEYS}

    def _start_servers(self, directory: Path) -> None:
        if self._existing_mysql is None:
            self.mariadb = self._started(PrivateMariaDB(directory / "mariadb", keep=self._keep))
        else:
            self.mariadb = self._started(self._existing_mysql)
        if self._existing_redis is None:
            self.redis_server = self._started(PrivateRedis(directory / "redis", keep=self._keep))
        else:
            self.redis_server = self._started(self._existing_redis)

    def _cache_keys(self, name: str) -> dict[str, object]:
        keys = super()._cache_keys(name)
        if self._existing_redis is not None:
            keys[f"{name}_db"] = self._existing_redis.number
            keys[f"{name}_username"] = self._existing_redis.user or None
        return keys

    def config(self, overrides: Mapping[str, object] | None = None) -> dict[str, str]:
        """Return the keys of a dbproxyserver.conf; see Stack."""
        password = None if self._existing_redis is None else self._existing_redis.password
        return super().config({**{f"{name}_password": password for name in POOLS}, **(overrides or {})})

    def _flush_caches(self) -> None:
        if self._existing_redis is None:
            super()._flush_caches()
        else:
            self._existing_redis.flush()


def chosen_stack() -> Stack:
    """Return the stack that the environment variables choose, a private one if there are none. It is not started."""
    mysql_url, redis_url = os.environ.get(MYSQL_URL) or None, os.environ.get(REDIS_URL) or None
    return Stack() if mysql_url is None and redis_url is None else ExistingStack(mysql_url, redis_url)


class ConfiguredStack(Stack):
    """A stack on the servers that the configuration of a running proxy names. They are used as those of an :class:`ExistingStack` are."""

    def __init__(self, config: Config, directory: Path | str | None = None) -> None:
        super().__init__(directory)
        master = config.db_instances["teamtalk_master"]
        account = f"{quote(master.username, safe='')}:{quote(master.password, safe='')}"
        self._mysql = ExistingMySQL(f"mysql://{account}@{_host(master.host)}:{master.port}/{master.dbname}", per_worker=False)
        self._pools: dict[str, ExistingRedis] = {}
        urls: dict[str, ExistingRedis] = {}
        run = secrets.token_hex(8)  # two of its addresses may be the same database
        for name, cache in config.cache_instances.items():
            account = f"{quote(cache.username, safe='')}:{quote(cache.password, safe='')}"
            url = f"redis://{account}@{_host(cache.host)}:{cache.port}/{cache.db}"
            self._pools[name] = urls.setdefault(url, ExistingRedis(url, per_worker=False, run=run))

    def redis(self, pool: str = "unread", *, decode_responses: bool = True) -> redis.Redis:
        """Return a new client of the database of a cache pool; see Stack."""
        return self._pools[pool if pool in self._pools else "unread"].connect(decode_responses=decode_responses)

    def snapshot(self) -> Snapshot:
        """Return all rows and keys; see Stack."""
        tables, keys = super().snapshot()
        return tables, {key: value for key, value in keys.items() if key not in OWN_KEYS}

    def _start_servers(self, directory: Path) -> None:
        self.mariadb = self._started(self._mysql)
        for server in dict.fromkeys(self._pools.values()):
            self._started(server)
        self.redis_server = self._pools["unread"]

    def _flush_caches(self) -> None:
        for server in dict.fromkeys(self._pools.values()):
            server.flush()


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
