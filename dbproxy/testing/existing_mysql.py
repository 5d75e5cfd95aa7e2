"""A database on a MySQL or MariaDB server that somebody else runs: :class:`ExistingMySQL`.

Rows and tables that are not ours are never touched: a database with rows is refused, unless its tables are those that a test run has made.
At the end it is as empty as it was.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CLIENT, CR, ER

from dbproxy.errors import StartupError
from dbproxy.testing.existing_servers import MARK, MARK_KEY, ExistingServer, NotYetError, ServerUrl, worker_number
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import DictCursor
    from typing_extensions import Self

_MARKED_TABLE = "IMUser"
_STARTING = {CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, ER.SERVER_SHUTDOWN}
"""Errors of a server that is not there yet; a container also accepts connections before its server does, and closes them."""

_TABLE_NAME = re.compile(r"^CREATE TABLE(?: IF NOT EXISTS)?\s+`?(\w+)", re.IGNORECASE | re.MULTILINE)
_NAMED = 5
"""So many tables are named in an error."""


class ExistingMySQL(ExistingServer, PrivateMariaDB):
    """A database on a MySQL or MariaDB server that runs already. It cannot be killed, frozen or restarted: that raises NotOursError."""

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
    def running(self) -> bool:
        """Whether the database has been claimed."""
        return self._claim is not None

    def start(self) -> Self:
        """Claim the database: create it if it is missing, refuse it if it holds what is not ours, load the tables if it has none. A server
        that is still starting is waited for.

        Raises:
            StartupError: it cannot be used; the text says why.

        """
        if self._claim is None:
            self._claim = self._patiently(self._attempt)
        return self

    def connect(self, database: str | None = None) -> Connection[DictCursor]:
        """Return a new connection; see PrivateMariaDB."""
        return self._connected(self.database if database in (None, PrivateMariaDB.database) else database)

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
            names = list(_comments(cursor))
            if not self._borrowed:
                names = [name for name in names if self._is_ours(name)]
            # the mark goes last: what an interrupted run leaves behind is still known to be ours
            for name in sorted(names, key=lambda name: name.casefold() == _MARKED_TABLE.casefold()):
                cursor.execute(f"{'TRUNCATE' if self._borrowed else 'DROP'} TABLE `{name}`")

    def _connected(self, database: str | None, **options: Any) -> Connection[DictCursor]:  # noqa: ANN401 - those of PyMySQL
        return super()._connected(database, client_flag=CLIENT.MULTI_STATEMENTS, **options)

    def _attempt(self) -> Connection[DictCursor]:
        try:
            return self._checked()
        except pymysql.MySQLError as error:
            kind = NotYetError if error.args[0] in _STARTING else StartupError
            raise kind(f"the MySQL server at {self._url} cannot be used for tests: {error.args[-1]}") from None

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
        comments = _comments(cursor)
        if not comments:
            self._load(cursor)
            return
        mark = {name.casefold(): comment for name, comment in comments.items()}.get(_MARKED_TABLE.casefold())
        if mark == MARK:
            others = [name for name in comments if not self._is_ours(name)]
            if others:
                raise self._refused("its tables are left from an interrupted test run, but others have been added", others, "drop")
            return
        if mark is None:
            raise self._refused(f"it has no table {_MARKED_TABLE}, but others", list(comments), "drop")
        filled = _filled(cursor, list(comments))
        if filled:
            raise self._refused("there are rows", filled, "empty")
        self._borrowed = True

    def _load(self, cursor: DictCursor) -> None:
        if self._schema is None:
            return
        cursor.execute(self._schema.read_text(encoding="utf-8"))
        while cursor.nextset():
            pass
        cursor.execute(f"ALTER TABLE {_MARKED_TABLE} COMMENT = '{MARK}'")

    def _is_ours(self, table: str) -> bool:
        """Whether a test run makes a table of this name."""
        schema = "" if self._schema is None else self._schema.read_text(encoding="utf-8")
        return table.casefold() in {name.casefold() for name in _TABLE_NAME.findall(schema)}

    def _refused(self, problem: str, tables: Sequence[str], remedy: str) -> StartupError:
        more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
        named = ", ".join(sorted(tables)[:_NAMED]) + more
        return StartupError(
            f"the database {self.database} at {self._url} is not empty, and a test run would empty it: {problem} ({named}). Name another "
            f"database, or {remedy} these tables yourself if nobody needs them (an interrupted test run may have left them)"
        )


def _comments(cursor: DictCursor) -> Mapping[str, str]:
    """The comments of all tables of the database."""
    cursor.execute("SELECT TABLE_NAME AS name, TABLE_COMMENT AS comment FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
    return {str(row["name"]): str(row["comment"]) for row in cursor.fetchall()}


def _filled(cursor: DictCursor, tables: Sequence[str]) -> list[str]:
    """The tables that have rows."""
    found = []
    for name in tables:
        cursor.execute(f"SELECT 1 FROM `{name}` LIMIT 1")
        if cursor.fetchall():
            found.append(name)
    return found
