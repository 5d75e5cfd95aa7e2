"""Databases on servers that somebody else runs: :class:`ExistingMySQL` and :class:`ExistingRedis`.

What is not ours is never touched: a database that has rows, or a Redis database that has keys, is refused unless it carries our mark
from an earlier run. At the end it is as empty as it was.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pymysql
import redis
from pymysql.constants import CLIENT, ER
from redis.backoff import NoBackoff
from redis.retry import Retry

from dbproxy.errors import StartupError
from dbproxy.testing.observe import BACKGROUND_KEYS
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB, PrivateRedis

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import DictCursor
    from typing_extensions import Self

XDIST_WORKER = "PYTEST_XDIST_WORKER"
"""Environment variable of pytest-xdist: ``gw`` and the number of the worker."""

MARK = "made by dbproxy.testing"
"""Comment of the table IMUser of a database that may be emptied and whose tables are dropped at the end, and the value of ``MARK_KEY`` in
such a database of Redis.
"""

BORROWED = "used by dbproxy.testing"
"""The same comment of tables that somebody else has made, and that were empty: they stay."""

MARK_KEY = "dbproxy.testing"

_MARKED_TABLE = "IMUser"
_DEFAULT_PORTS = {"mysql": 3306, "redis": 6379}


class ServerUrl:
    """``mysql://user:password@host:port/database`` or ``redis://[user][:password@]host:port/number``."""

    def __init__(self, scheme: str, url: str) -> None:
        """StartupError when the text is no such URL; it never repeats the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        self.name = parts.path.strip("/")
        if parts.scheme != scheme or not parts.hostname or "/" in self.name or parts.query or parts.fragment:
            path = "user:password@host:port/database" if scheme == "mysql" else "[user:password@]host:port/number"
            raise StartupError(f"the URL of the {scheme} server for tests is not {scheme}://{path}")
        self.host = parts.hostname
        self.port = port or _DEFAULT_PORTS[scheme]
        self.user = unquote(parts.username or "")
        self.password = unquote(parts.password or "")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def worker_number() -> int | None:
    """Return the number of this worker of pytest-xdist; None in a run without it."""
    name = os.environ.get(XDIST_WORKER, "")
    return int(name[2:]) if name.startswith("gw") and name[2:].isdigit() else None


class ExistingMySQL(PrivateMariaDB):
    """A database on a MySQL or MariaDB server that runs already. It cannot be killed, frozen or restarted: such a test needs a private
    stack.
    """

    def __init__(self, url: str, *, schema: Path | str | None = SCHEMA, per_worker: bool = True) -> None:
        """``url``: ``mysql://user:password@host:port/database``; with pytest-xdist the database of a worker has its number appended, unless
        ``per_worker`` is false.
        """
        super().__init__(schema=schema)
        self._url = ServerUrl("mysql", url)
        if not self._url.name or not self._url.user:
            raise StartupError("the URL of the mysql server for tests must name a user and a database")
        worker = worker_number() if per_worker else None
        self.database = self._url.name if worker is None else f"{self._url.name}_gw{worker}"
        self.user, self.password = self._url.user, self._url.password
        self._claim: Connection[DictCursor] | None = None
        self._created = False
        self._borrowed = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._url.host, self._url.port

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._url.port

    @property
    def running(self) -> bool:
        """Whether the database has been claimed."""
        return self._claim is not None

    def start(self) -> Self:
        """Claim the database: create it if it is missing, refuse it if it holds what is not ours, load the tables if it has none.

        Raises:
            StartupError: it cannot be used; the text says why.

        """
        if self._claim is not None:
            return self
        try:
            self._claim = self._checked()
        except pymysql.MySQLError as error:
            raise StartupError(f"the MySQL server at {self._url} cannot be used for tests: {error.args[-1]}") from None
        return self

    def connect(self, database: str | None = None) -> Connection[DictCursor]:
        """Return a new connection; see PrivateMariaDB."""
        return self._connected(self.database if database in (None, PrivateMariaDB.database) else database)

    def thaw(self) -> None:
        """Nothing: it cannot have been frozen."""

    def close(self) -> None:
        """Leave the database as it was found: not there at all, without tables, or with empty ones."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        with contextlib.suppress(pymysql.MySQLError), contextlib.closing(claim), claim.cursor() as cursor:
            if self._created:
                cursor.execute(f"DROP DATABASE `{self.database}`")
                return
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute("SHOW TABLES")
            names = [str(next(iter(row.values()))) for row in cursor.fetchall()]
            # the mark goes last: what an interrupted run leaves behind is still known to be ours
            for name in sorted(names, key=lambda name: name == _MARKED_TABLE):
                cursor.execute(f"{'TRUNCATE' if self._borrowed else 'DROP'} TABLE `{name}`")
            if self._borrowed:
                cursor.execute(f"ALTER TABLE {_MARKED_TABLE} COMMENT = ''")

    def _connected(self, database: str | None) -> Connection[DictCursor]:
        return pymysql.connect(
            host=self._url.host,
            port=self._url.port,
            user=self.user,
            password=self.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
            connect_timeout=10,
            read_timeout=30,
            write_timeout=30,
            client_flag=CLIENT.MULTI_STATEMENTS,
        )

    def _checked(self) -> Connection[DictCursor]:
        try:
            connection = self._connected(self.database)
        except pymysql.MySQLError as error:
            if error.args[0] != ER.BAD_DB_ERROR:
                raise
            with contextlib.closing(self._connected(None)) as server, server.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE `{self.database}` CHARACTER SET utf8mb4")
            self._created = True
            connection = self._connected(self.database)
        try:
            with connection.cursor() as cursor:
                self._claim_for(cursor)
        except BaseException:
            connection.close()
            raise
        return connection

    def _claim_for(self, cursor: DictCursor) -> None:
        cursor.execute("SELECT GET_LOCK(%s, 0) AS got", (f"{MARK_KEY}.{self.database}"[:64],))
        if (cursor.fetchone() or {}).get("got") != 1:
            raise StartupError(f"the database {self.database} at {self._url} is used by another test run")
        cursor.execute("SELECT TABLE_NAME AS name, TABLE_COMMENT AS comment FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
        comments = {row["name"]: row["comment"] for row in cursor.fetchall()}
        if comments:
            mark = comments.get(_MARKED_TABLE)
            if mark == MARK:
                return
            if mark != BORROWED and (mark is None or self._has_rows(cursor, comments)):
                raise StartupError(
                    f"the database {self.database} at {self._url} is not empty and was not made by these tests, which would empty it; "
                    "name another one"
                )
            cursor.execute(f"ALTER TABLE {_MARKED_TABLE} COMMENT = '{BORROWED}'")
            self._borrowed = True
            return
        if self._schema is None:
            return
        cursor.execute(self._schema.read_text(encoding="utf-8"))
        while cursor.nextset():
            pass
        cursor.execute(f"ALTER TABLE {_MARKED_TABLE} COMMENT = '{MARK}'")

    @staticmethod
    def _has_rows(cursor: DictCursor, tables: Iterable[str]) -> bool:
        for name in tables:
            cursor.execute(f"SELECT 1 FROM `{name}` LIMIT 1")
            if cursor.fetchall():
                return True
        return False


class ExistingRedis(PrivateRedis):
    """A numbered database on a Redis server that runs already; all pools share it, because their keys do not collide."""

    def __init__(self, url: str, *, per_worker: bool = True) -> None:
        """``url``: ``redis://[user][:password@]host:port/number``; with pytest-xdist the number of the worker is added, unless
        ``per_worker`` is false.
        """
        super().__init__()
        self._url = ServerUrl("redis", url)
        number = self._url.name or "0"
        if not number.isdigit():
            raise StartupError(f"the URL of the redis server for tests must end in the number of a database, not in {number[:50]}")
        self.number = int(number) + ((worker_number() or 0) if per_worker else 0)
        self.user, self.password = self._url.user, self._url.password or None
        self._claimed = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._url.host, self._url.port

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._url.port

    @property
    def running(self) -> bool:
        """Whether the database has been claimed."""
        return self._claimed

    def start(self) -> Self:
        """Claim the database; StartupError when it cannot be used, or holds what is not ours."""
        if self._claimed:
            return self
        try:
            with self.connect() as client:
                # a proxy that runs already has written the keys of its background work
                if client.get(MARK_KEY) != MARK and (client.dbsize() > len(BACKGROUND_KEYS) or set(client.keys()) - BACKGROUND_KEYS):
                    raise StartupError(
                        f"the database {self.number} of Redis at {self._url} is not empty and was not made by these tests, which would "
                        "empty it; name another one"
                    )
                client.set(MARK_KEY, MARK)
        except redis.RedisError as error:
            raise StartupError(f"the database {self.number} of Redis at {self._url} cannot be used for tests: {error}") from None
        self._claimed = True
        return self

    def connect(self, db: int = 0, *, decode_responses: bool = True, timeout: float = 10) -> redis.Redis:
        """Return a client of the one database, whatever ``db``; see PrivateRedis."""
        return redis.Redis(
            host=self._url.host,
            port=self._url.port,
            db=self.number,
            username=self.user or None,
            password=self.password,
            protocol=2,
            decode_responses=decode_responses,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
        )

    def flush(self) -> None:
        """Remove all keys but the mark."""
        with self.connect() as client:
            client.flushdb()
            client.set(MARK_KEY, MARK)

    def thaw(self) -> None:
        """Nothing: it cannot have been frozen."""

    def close(self) -> None:
        """Leave the database empty."""
        if self._claimed:
            self._claimed = False
            with contextlib.suppress(redis.RedisError), self.connect() as client:
                client.flushdb()
