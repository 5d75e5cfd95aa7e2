"""AccountsDatabase: the SQLite file of the accounts of dbproxy-admin and of their sessions in the browser. Any thread, any process.

It is not in MySQL, because whoever may write there would make accounts for himself, and because people have to be able to log in, and to
read why nothing works, while MySQL is away.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dbproxy.admin.directories import make_private_directory
from dbproxy.admin.errors import AdminError

FILE_NAME = "accounts.db"

_VERSION = 1
"""Of the tables below."""

_LOCK_TIMEOUT = 10.0
"""Seconds to wait for another process that writes."""

_TABLES = """
create table account (
    id integer primary key autoincrement,
    name text not null,
    spelling text not null unique,  -- the same for all spellings of a name
    password text not null,
    role text not null,
    enabled integer not null,
    created integer not null,
    last_login integer
);
create table session (
    token_hash blob primary key,
    account_id integer not null references account (id) on delete cascade,
    address text not null,
    created real not null,
    used real not null
) without rowid;
create index session_of_account on session (account_id, created);
create table setting (name text primary key, value blob not null);
"""


class AccountsDatabase:
    """The file ``accounts.db`` in ``directory``; nobody but its owner can read it. It is made when it is missing.

    A connection is opened for each use: that takes some 0.1 ms, and nothing has to be shared between threads.

    Raises:
        AdminError: it cannot be opened, or was made by a later version.

    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._prepare()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for single statements.

        Raises:
            AdminError: the file cannot be read.

        """
        try:
            with closing(sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT, isolation_level=None)) as connection:
                connection.execute("pragma foreign_keys = on")
                yield connection
        except sqlite3.Error as error:
            raise AdminError(f"the accounts in {self.path} cannot be used: {error}") from None

    @contextmanager
    def writing(self, *, dry_run: bool = False) -> Iterator[sqlite3.Connection]:
        """Give a connection with a transaction, which is committed after the block, or rolled back if the block raises, and with
        ``dry_run``.

        Raises:
            AdminError: the file cannot be written.

        """
        with self.reading() as connection:
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("rollback" if dry_run else "commit")

    def signing_key(self) -> bytes:
        """Return the key that cookies are signed with; it is made at the first call and remains the same after a restart.

        Raises:
            AdminError: the file cannot be used.

        """
        with self.writing() as connection:
            statement = "insert or ignore into setting (name, value) values ('signing_key', ?)"
            connection.execute(statement, (secrets.token_bytes(32),))
            key: bytes = connection.execute("select value from setting where name = 'signing_key'").fetchone()[0]
        return key

    def _prepare(self) -> None:
        try:
            make_private_directory(self.path.parent)
            # SQLite gives its further files the permissions of this one
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                found = os.fstat(descriptor)
                if os.geteuid() not in (0, found.st_uid):
                    raise AdminError(f"the accounts in {self.path} belong to another user (uid {found.st_uid}), who could make up any")
                if found.st_mode & 0o077:  # copied back by a program that does not keep permissions
                    os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AdminError(f"the accounts in {self.path} cannot be used: {error.strerror}") from None
        with self.reading() as connection:
            if self._version(connection) != _VERSION:
                connection.execute("pragma journal_mode = wal")
        with self.writing() as connection:
            if self._version(connection) == 0:
                for statement in _TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {_VERSION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("pragma user_version").fetchone()[0]
        if version > _VERSION:
            raise AdminError(f"{self.path} was made by a later version of dbproxy-admin: its tables have version {version}, not {_VERSION}")
        return version
