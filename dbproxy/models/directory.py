"""The directory: users and departments, as they are changed by administration. Any thread.

No index of the database keeps two users from having the same name, and nothing keeps a department that is being removed from getting
users meanwhile. So whoever adds, renames, moves or removes users and departments does it in a transaction under one lock for all of them.
The proxies take it not: they neither add users nor change departments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dbproxy.stores.mysql import DBConn, DBPool, lock_rows, named_locks

T = TypeVar("T")

LOCK = "dbproxy.directory"
"""The named lock, and the name of the lock row."""


def in_directory(master: DBPool, work: Callable[[DBConn], T]) -> T:
    """Run ``work`` in a transaction under the lock of the directory, and commit. It may be run again, after a deadlock; it raises a
    DbproxyError to change nothing.

    Raises:
        LockWaitError: the lock was not free within DBLockTimeout.
        OutcomeUnknownError: the connection was lost during the commit.
        StoreError: a backend failed, and nothing has changed.

    """
    return master.write(lambda connection: with_directory(connection, work))


def with_directory(connection: DBConn, work: Callable[[DBConn], T]) -> T:
    """As ``in_directory``, on a connection that the caller has, and once."""
    with named_locks(connection, (LOCK,)):
        connection.script(("begin", *lock_rows(connection, (LOCK,))))
        result = work(connection)
        connection.commit_script(())
    return result


@dataclass(frozen=True, slots=True)
class TextColumn:
    """What a text column takes: so many characters of a character set, compared by a collation."""

    length: int
    charset: str
    collation: str

    @property
    def takes_all(self) -> bool:
        """Whether it takes characters above U+FFFF, too."""
        return self.charset not in ("utf8", "utf8mb3", "ucs2")


def text_columns(master: DBPool, table: str) -> dict[str, TextColumn]:
    """Return the text columns of a table by name, which is in small letters. Installations differ in them from the stock tables."""
    rows = master.select(
        "select column_name as n,character_maximum_length as l,character_set_name as s,collation_name as c "
        "from information_schema.columns where table_schema=database() and table_name=%s and character_set_name is not null",
        (table,),
    )
    return {
        name.decode().lower(): TextColumn(int(length), charset.decode(), collation.decode()) for name, length, charset, collation in rows
    }
