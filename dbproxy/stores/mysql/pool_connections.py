"""Connections: those of a ``DBPool`` to the server in use, and what belongs to them; a reload replaces them together. Any thread."""

from __future__ import annotations

from dbproxy.config import Config, DBInstance
from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.driver import DriverPool
from dbproxy.stores.mysql.pending_kills import PendingKills
from dbproxy.stores.mysql.server_choice import ServerChoice
from dbproxy.stores.pool_counters import PoolCounters
from dbproxy.stores.pools import PoolState
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import tls_context

MINIMUM_IDLE = 2
"""Connections that are made at the start."""


class Connections(PoolState):
    """The connections to the server in use."""

    def __init__(
        self, instance: DBInstance, config: Config, resolver: Resolver, calls: BackendCalls, kind: type[DBConn], *, for_writes: bool
    ) -> None:
        super().__init__("", "", instance.maxconncnt, config.db_pool_timeout, instance.tls, PoolCounters())
        self.instance = instance
        tls = None if instance.tls is None else tls_context(instance.name, instance.tls)
        self.pending_kills = PendingKills()
        self.choice = choice = ServerChoice(instance, config.db_connect_timeout, calls, self, for_writes=for_writes)
        self.show_server(choice.server)
        self.pool = DriverPool(
            lambda: kind(instance, config, tls, resolver, calls, choice, lambda: self.counters.connected()),
            min(MINIMUM_IDLE, instance.maxconncnt),
            instance.maxconncnt,
        )

    def show_server(self, server: str) -> None:
        """The server in use is called so from now on, by errors and for operators."""
        self.server, self.label = server, f"MySQL instance {self.instance.name} at {server}"

    def close_idle(self) -> None:
        """Close the idle connections."""
        self.pool.close()
