"""Loading the tables of TeamTalk into an empty database. One thread."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dbproxy.backends import STATEMENT_TIMEOUT
from dbproxy.config import Config
from dbproxy.errors import DbproxyError, StoreError
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.resolver import Resolver

INSTANCE = "teamtalk_master"
"""The instance whose database is filled; slaves get the tables by replication."""

_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS `(\w+)`", re.MULTILINE)


class DatabaseError(DbproxyError):
    """The tables were not loaded; the text says why, and what was changed."""


def load_schema(config: Config, sql: str, confirm: Callable[[str], bool]) -> str:
    """Make the tables of ``sql`` in the database of the instance teamtalk_master, and the database if there is none. Returns what was done.

    ``confirm`` gets a sentence that says what is about to be done. A database that has all of these tables is left as it is.

    Raises:
        DatabaseError: the database has other tables or only some of these, ``confirm`` said no, or the server refused something.
        StartupError: the server cannot be reached or does not let us in.

    """
    instance = config.db_instances[INSTANCE]
    wanted = _TABLE.findall(sql)
    hosts = ",".join(f"{host}:{port}" for host, port in instance.addresses)
    name = f"database {instance.dbname} at {hosts}"
    try:
        with _open_pool(config, "") as pool:
            exists = bool(pool.select("select 1 from information_schema.schemata where schema_name = %s", (instance.dbname,)))
            rows = pool.select("select table_name from information_schema.tables where table_schema = %s", (instance.dbname,))
        present = {row[0].decode().lower() for row in rows}
        if present >= {table.lower() for table in wanted}:
            return f"{name} has the tables already; nothing was changed"
        if present:
            missing = [table for table in wanted if table.lower() not in present]
            raise DatabaseError(
                f"{name} is not empty: it has {len(present)} tables, and {len(missing)} of TeamTalk's {len(wanted)} are missing "
                f"({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}); nothing was changed"
            )
        if not confirm(f"{'Make' if exists else 'Create the database and make'} {len(wanted)} tables in the {name}?"):
            raise DatabaseError(f"{name}: nothing was changed")
        if not exists:
            with _open_pool(config, "") as pool, pool.connection() as connection:
                connection.execute(f"create database {_quoted(instance.dbname)} character set utf8mb4 collate utf8mb4_bin")
        with _open_pool(config, instance.dbname) as pool, pool.connection() as connection:
            for statement in statements(sql):
                try:
                    connection.execute(statement)
                except StoreError as error:
                    first = statement.split("(")[0].strip()[:100]
                    raise DatabaseError(
                        f"{name}: {first}: {error}; some tables may have been made: drop the database and begin again"
                    ) from error
    except StoreError as error:
        raise DatabaseError(f"{name}: {error}") from error
    return f"{name}: {len(wanted)} tables were made"


def statements(sql: str) -> Iterator[str]:
    """Yield the statements of a script whose comments have lines of their own, and whose statements end with a line that ends in ``;``."""
    lines = [line for line in sql.splitlines() if line.strip() and not line.startswith("--")]
    for statement in re.split(r";$", "\n".join(lines), flags=re.MULTILINE):
        if statement.strip():
            yield statement.strip()


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def _open_pool(config: Config, database: str) -> Iterator[DBPool]:
    """Open a pool to the instance's server with another current database; an empty name: none."""
    instance = dataclasses.replace(config.db_instances[INSTANCE], dbname=database, maxconncnt=1)
    pool = DBPool(instance, dataclasses.replace(config, db_timeout=max(config.db_timeout, STATEMENT_TIMEOUT)), Resolver(), for_writes=True)
    try:
        pool.open()
        yield pool
    finally:
        pool.close()
