"""A primary with replicas: :class:`ReplicaStack`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbproxy.testing.replication import APP_PASSWORD, APP_USER, CATCH_UP_TIMEOUT, ReplicatedServer
from dbproxy.testing.servers import SCHEMA
from dbproxy.testing.stack import Stack


class ReplicaStack(Stack):
    """A stack whose database is a primary with ``replicas`` read-only replicas (GTIDs), MariaDB or MySQL as ``--mysqld`` says.

    ``mariadb`` is the primary of this moment; ``servers`` are all of them, the first primary first, and ``replicas`` those behind it, in an
    order that never changes. ``teamtalk_slave_host`` lists ``replicas``; ``teamtalk_master_host`` is the first primary, with ``list_hosts``
    all servers. Proxies use an account that is no administrator, so read-only servers refuse its writes.

    ``gtid``, ``semi_sync``, ``semi_sync_timeout`` and ``monitoring`` are those of :class:`ReplicatedServer`; the other arguments those of
    :class:`Stack`. Servers that a test stopped, froze, delayed or promoted are as before after :meth:`Stack.reset`.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        replicas: int = 1,
        list_hosts: bool = False,
        gtid: bool = True,
        semi_sync: bool = False,
        semi_sync_timeout: float = 10,
        monitoring: bool = True,
        schema: Path | str = SCHEMA,
        persistent: bool = False,
        redis_password: str | None = None,
        mysql_options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, schema=schema, persistent=persistent, redis_password=redis_password, mysql_options=mysql_options)
        self._count = replicas
        self._list_hosts = list_hosts
        self._gtid = gtid
        self._semi_sync = semi_sync
        self._semi_sync_timeout = semi_sync_timeout
        self._monitoring = monitoring
        self._changed = False
        """Whether a server may have other data, another role or other settings than after the start."""
        self.servers: tuple[ReplicatedServer, ...] = ()

    @property
    def replicas(self) -> tuple[ReplicatedServer, ...]:
        """The servers that were started as replicas; after ``promote`` one of them is the primary."""
        return self.servers[1:]

    @property
    def primary(self) -> ReplicatedServer:
        """The server that takes the writes: ``mariadb``."""
        return next(server for server in self.servers if server is self.mariadb)

    # what a test does to them; the index is the place in ``replicas``

    def stop_replication(self, index: int = 0) -> None:
        """Let a replica stay as it is while the primary goes on."""
        self._changed = True
        self.replicas[index].stop_replication()

    def start_replication(self, index: int = 0) -> None:
        """Let it catch up."""
        self.replicas[index].start_replication()

    def delay(self, index: int = 0, seconds: int = 5) -> None:
        """Let a replica execute everything so many seconds after the primary; 0: as soon as it can."""
        self._changed = True
        self.replicas[index].delay(seconds)

    def promote(self, index: int = 0, *, former_hangs: bool = False) -> None:
        """Make a replica the primary, and let the other servers follow it.

        If the former primary runs and answers, it is a planned switch: it takes no more writes, the replica catches up, and the former
        primary follows. If it is down (kill it before), the replica applies what it has received, and that is all there is; the former
        primary is left alone, also when it is started again, until somebody calls ``follow``. ``former_hangs``: as if it were down.
        """
        self._changed = True
        former, new = self.primary, self.replicas[index]
        planned = former.running and not former_hangs
        if planned:
            former.set_read_only(True)
            new.wait_for(former)
        new.lead()
        self._drop_admin()
        self.mariadb = new
        for server in self.servers:
            if server is not new and server.running and (planned or server is not former):
                server.follow(new)

    def follow(self, server: ReplicatedServer) -> None:
        """Let a former primary, which was down during ``promote`` and has no rows of its own, follow the primary."""
        self._changed = True
        server.follow(self.primary)

    def wait_for_replicas(self, timeout: float = CATCH_UP_TIMEOUT) -> None:
        """Wait until all running servers have what the primary has at this moment; TimeoutError if they do not get it in time."""
        for server in self.servers:
            if server is not self.primary and server.running:
                server.wait_for(self.primary, timeout)

    def config(self, overrides: Mapping[str, object] | None = None) -> dict[str, str]:
        """See Stack; with the account of :data:`dbproxy.testing.replication.APP_USER`."""
        account: dict[str, object] = {}
        for name in ("teamtalk_master", "teamtalk_slave"):
            account |= {f"{name}_username": APP_USER, f"{name}_password": APP_PASSWORD}
        return super().config({**account, **(overrides or {})})

    # see Stack

    def _start_servers(self, directory: Path) -> None:
        made = [
            ReplicatedServer(
                directory / ("mariadb" if number == 1 else f"replica-{number - 1}"),
                number=number,
                schema=self._schema,
                keep=self._keep,
                options=self._mysql_options,
                gtid=self._gtid,
                semi_sync=self._semi_sync,
                semi_sync_timeout=self._semi_sync_timeout,
                monitoring=self._monitoring,
            )
            for number in range(1, self._count + 2)
        ]
        for server in made:
            self._started(server)
        self.servers = tuple(made)
        self.mariadb = made[0]
        for server in made[1:]:
            server.follow(made[0])
        self.redis_server = self._started_redis(directory)

    def _database_keys(self, name: str) -> dict[str, object]:
        listed = self.replicas if name == "teamtalk_slave" else self.servers if self._list_hosts else self.servers[:1]
        hosts = ",".join(f"{host}:{port}" for host, port in (server.address for server in listed))
        return {f"{name}_host": hosts, f"{name}_port": listed[0].port, f"{name}_dbname": self.mariadb.database}

    def _repair(self) -> None:
        if not all(server.running for server in self._servers):
            self._changed = True
        super()._repair()

    def reset(self) -> None:
        """See Stack. The first primary is the primary again, and the replicas follow it and are empty, too."""
        self._repair()
        if not self._changed:
            super().reset()
            self.wait_for_replicas()
            return
        first = self.servers[0]
        first.stop_replication()
        first.run_as_root("reset replica all")
        first.lead()
        self._drop_admin()
        self.mariadb = first
        super().reset()
        for replica in self.replicas:
            replica.stop_replication()
            self._empty(replica)
            replica.copy_position(first)
            replica.follow(first)
        self.wait_for_replicas()
        self._changed = False

    def _empty(self, server: ReplicatedServer) -> None:
        """Empty the tables of a server, and tell nobody."""
        with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks=0, sql_log_bin=0")
            cursor.execute("SHOW TABLES")
            for row in cursor.fetchall():
                cursor.execute(f"TRUNCATE TABLE `{next(iter(row.values()))}`")
