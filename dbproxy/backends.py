"""The MySQL and Redis pools that a configuration names, opened for the tools (audit, benchmark) and tests, not for the daemon."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import TYPE_CHECKING

from dbproxy.config import Config
from dbproxy.stores.mysql import DBManager, DBPool, ReadPool
from dbproxy.stores.redis import CacheManager

if TYPE_CHECKING:
    from typing_extensions import Self

STATEMENT_TIMEOUT = 600.0
"""Seconds that a statement of a tool may take at least: it works on more rows than a request of the daemon ever would."""


class Backends:
    """Pools of connections to the databases and caches of ``config``. Open them with ``with``; the pools may be used by any thread.

    Raises:
        StartupError: at the beginning of the ``with`` block, when a backend cannot be used; the message names instance, host, port and
            keys.

    """

    statement_timeout = STATEMENT_TIMEOUT

    def __init__(self, config: Config) -> None:
        self.config = config
        self.databases = DBManager(dataclasses.replace(config, db_timeout=max(config.db_timeout, self.statement_timeout)))
        self.caches = CacheManager(config)

    def __enter__(self) -> Self:
        try:
            self.caches.open()
            self.databases.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; may be called twice."""
        self.databases.close()
        self.caches.close()

    @property
    def master(self) -> DBPool:
        """The database that takes writes and has the latest rows."""
        return self.databases.master

    @property
    def slave(self) -> ReadPool:
        """The databases for long reads."""
        return self.databases.slave
