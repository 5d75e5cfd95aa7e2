"""The backends that a proxy needs: :class:`Stack`."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import pymysql

from dbproxy.testing.observe import Snapshot, snapshot
from dbproxy.testing.private_server import PrivateServer
from dbproxy.testing.reaper import REAPER
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB, PrivateRedis

if TYPE_CHECKING:
    import redis
    from pymysql.connections import Connection
    from pymysql.cursors import DictCursor
    from typing_extensions import Self

Server = TypeVar("Server", bound=PrivateServer)

POOLS = {"unread": 1, "group_set": 2, "sync": 3, "token": 4, "group_member": 5}
"""The five cache pools and their logical databases, as in the stock configuration."""

AES_KEY = "12345678901234567890123456789012"
"""The aesKey of the stock configuration."""


def pool_of(key: str) -> str:
    """Return the name of the cache pool that a Redis key of the proxy belongs to."""
    for prefix, pool in (("group_member_", "group_member"), ("group_set_", "group_set"), ("device_", "token")):
        if key.startswith(prefix):
            return pool
    return "unread"


class Stack:
    """A private MariaDB with TeamTalk's tables and a private Redis with five logical databases, and configurations for proxies on them.

    ``directory`` None means a temporary one, removed by :meth:`close`; a given one is kept, with its data.
    ``persistent`` makes Redis keep its data, ``redis_password`` sets its password; ``mysql_options`` are further options of the
    database server. Start it with :meth:`start` or as a context manager. Not thread safe, except for :meth:`mysql`, :meth:`redis` and
    :meth:`write_config`, which any thread may call once it runs.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        schema: Path | str = SCHEMA,
        persistent: bool = False,
        redis_password: str | None = None,
        mysql_options: Sequence[str] = (),
    ) -> None:
        self._keep = directory is not None
        self._given = None if directory is None else Path(directory).resolve()
        self._directory: Path | None = None
        self._schema = schema
        self._persistent = persistent
        self._redis_password = redis_password
        self._mysql_options = tuple(mysql_options)
        self._admin: Connection[DictCursor] | None = None
        self._lock = threading.Lock()
        self._configs = 0
        self._servers: list[PrivateServer] = []
        """All servers of the stack, in the order in which they were started."""
        self.mariadb: PrivateMariaDB
        self.redis_server: PrivateRedis

    @property
    def directory(self) -> Path:
        """Where the servers' directories and the proxies' working directories are; RuntimeError before the start."""
        if self._directory is None:
            raise RuntimeError("the stack was not started")
        return self._directory

    @property
    def all_servers(self) -> Sequence[PrivateServer]:
        """All servers, in the order in which they were started first."""
        return tuple(self._servers)

    def start(self) -> Self:
        """Start both servers; StartupError when one cannot be started. Nothing happens when the stack runs."""
        if self._directory is not None:
            return self
        directory = self._given or Path(tempfile.mkdtemp(prefix="dbproxy-stack-"))
        if not self._keep:
            REAPER.remove_directory(directory)
        self._directory = directory
        try:
            self._start_servers(directory)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop both servers, and remove the directory unless it was given. May be called twice."""
        if self._directory is None:
            return
        self._drop_admin()
        for server in reversed(self._servers):
            server.close()
        self._servers.clear()
        if not self._keep:
            shutil.rmtree(self._directory, ignore_errors=True)
            REAPER.keep_directory(self._directory)
        self._directory = None

    # what a stack of another topology replaces

    def _start_servers(self, directory: Path) -> None:
        """Start the servers, each with ``_started``, and set ``mariadb`` (the one that takes writes) and ``redis_server``."""
        self.mariadb = self._started(
            PrivateMariaDB(directory / "mariadb", schema=self._schema, keep=self._keep, options=self._mysql_options)
        )
        self.redis_server = self._started_redis(directory)

    def _started_redis(self, directory: Path) -> PrivateRedis:
        """Start the Redis that takes writes, with ``_started``, and return it."""
        return self._started(PrivateRedis(directory / "redis", persistent=self._persistent, password=self._redis_password, keep=self._keep))

    def _database_keys(self, name: str) -> dict[str, object]:
        """Return the keys of a dbproxyserver.conf that say where the MySQL instance ``name`` is, account and size excepted."""
        host, port = self.mariadb.address
        return {f"{name}_host": host, f"{name}_port": port, f"{name}_dbname": self.mariadb.database}

    def _cache_keys(self, name: str) -> dict[str, object]:
        """Return the keys of a dbproxyserver.conf that say where the Redis instance ``name`` is, account and size excepted."""
        host, port = self.redis_server.address
        return {f"{name}_host": host, f"{name}_port": port, f"{name}_db": POOLS[name]}

    def _repair(self) -> None:
        """Start the servers that were killed, and resume those that were frozen."""
        for server in self._servers:
            if server.running:
                server.thaw()
            else:
                self._drop_admin()
                server.start()

    def _flush_caches(self) -> None:
        """Empty all Redis databases."""
        with self.redis_server.connect() as client:
            client.flushall()

    def _started(self, server: Server) -> Server:
        """Start a server that ``close`` shall stop."""
        self._servers.append(server)
        return server.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def mysql(self) -> Connection[DictCursor]:
        """Return a new autocommit connection, rows as dicts; the caller closes it."""
        return self.mariadb.connect()

    def rows(self, statement: str, arguments: object = None) -> list[dict[str, object]]:
        """Run one statement on a connection of its own and return its rows as dicts (none for a statement that changes something)."""
        with contextlib.closing(self.mysql()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def redis(self, pool: str = "unread", *, decode_responses: bool = True) -> redis.Redis:
        """Return a new client of the logical database of a cache pool; the caller closes it. KeyError for an unknown pool."""
        return self.redis_server.connect(POOLS[pool], decode_responses=decode_responses)

    def tables(self) -> list[str]:
        """Return the names of all tables, sorted."""
        with contextlib.closing(self.mysql()) as connection:
            return _tables(connection)

    def snapshot(self) -> Snapshot:
        """Return all rows and keys, to be compared with :func:`dbproxy.testing.observe.changes`."""
        with contextlib.ExitStack() as exits:
            connection = exits.enter_context(contextlib.closing(self.mysql()))
            clients = [exits.enter_context(self.redis(pool, decode_responses=False)) for pool in POOLS]
            return snapshot(connection, clients)

    def reset(self) -> None:
        """Empty every table (ids start at 1 again) and every Redis database; takes some milliseconds for each table that was used.

        A proxy may be running, as long as it has no requests. Servers that were killed or frozen by a test are started or resumed
        first.
        """
        self._repair()
        for attempt in (1, 2):
            try:
                self._truncate()
                break
            except pymysql.MySQLError:
                self._drop_admin()  # the server was restarted in between
                if attempt == 2:
                    raise
        self._flush_caches()

    def config(self, overrides: Mapping[str, object] | None = None) -> dict[str, str]:
        """Return the keys of a dbproxyserver.conf for a proxy on this stack; in ``overrides`` None leaves a key out.

        ListenPort is 0; the caller chooses the port.
        """
        values: dict[str, object] = {"ListenIP": "127.0.0.1", "ListenPort": 0, "ThreadNum": 8, "MsfsSite": "127.0.0.1:1", "aesKey": AES_KEY}
        values["DBInstances"] = "teamtalk_master,teamtalk_slave"
        for name in ("teamtalk_master", "teamtalk_slave"):
            values |= self._database_keys(name)
            values |= {f"{name}_username": self.mariadb.user, f"{name}_password": self.mariadb.password, f"{name}_maxconncnt": 16}
        values["CacheInstances"] = ",".join(POOLS)
        for name in POOLS:
            values |= {**self._cache_keys(name), f"{name}_maxconncnt": 16}
            values[f"{name}_password"] = self._redis_password
        values |= overrides or {}
        return {key: str(value) for key, value in values.items() if value is not None}

    def write_config(self, path: Path | str | None = None, overrides: Mapping[str, object] | None = None) -> Path:
        """Write a dbproxyserver.conf and return its path; without a path it is in a new directory below :attr:`directory`."""
        if path is None:
            path = self.new_directory("proxy") / "dbproxyserver.conf"
        path = Path(path)
        path.write_text("".join(f"{key}={value}\n" for key, value in self.config(overrides).items()), encoding="utf-8")
        return path

    def new_directory(self, prefix: str) -> Path:
        """Create and return a new directory ``prefix-N`` below :attr:`directory`."""
        with self._lock:
            while True:
                self._configs += 1
                path = self.directory / f"{prefix}-{self._configs}"
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return path

    @contextlib.contextmanager
    def _administration(self) -> Iterator[Connection[DictCursor]]:
        if self._admin is None:
            self._admin = self.mysql()
            with self._admin.cursor() as cursor:
                # an open transaction of a proxy is a bug that must show soon
                cursor.execute("SET foreign_key_checks = 0, lock_wait_timeout = 10")
        yield self._admin

    def _drop_admin(self) -> None:
        connection, self._admin = self._admin, None
        if connection is not None:
            with contextlib.suppress(pymysql.MySQLError):
                connection.close()

    def _truncate(self) -> None:
        with self._administration() as connection, connection.cursor() as cursor:
            tables = _tables(connection)
            if not tables:
                return
            # a TRUNCATE makes a new file and syncs it; only the tables that were used need one
            cursor.execute("SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
            fresh = {row["TABLE_NAME"] for row in cursor.fetchall() if row["AUTO_INCREMENT"] == 1}
            cursor.execute(" UNION ALL ".join(f"(SELECT '{name}' AS name FROM `{name}` LIMIT 1)" for name in tables))
            filled = {row["name"] for row in cursor.fetchall()}
            for name in tables:
                if name in filled or name not in fresh:
                    cursor.execute(f"TRUNCATE TABLE `{name}`")


def _tables(connection: Connection[DictCursor]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        return sorted(str(next(iter(row.values()))) for row in cursor.fetchall())
