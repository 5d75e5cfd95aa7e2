"""Check before the proxy serves that the databases have what it needs.

By the thread that starts the proxy, and by the one that reloads the configuration when a pool moves to another server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TypeVar

from dbproxy.errors import BackendNotReadyError, StartupError, StoreError, StoreUnavailableError
from dbproxy.stores.mysql import schema
from dbproxy.stores.mysql.lock_rows import make_lock_table
from dbproxy.stores.mysql.manager import MASTER, DBManager
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.read_pool import ReadablePool
from dbproxy.stores.mysql.result import Row

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


_MADE_IF_MISSING = "IMTransmitFile"
"""The table of offline files, which the dump of the original installation forgets."""


def check_schema(databases: DBManager) -> schema.ContentLimits:
    """Check that the tables, columns and indexes are there, in every instance; make the one table that stock installations lack.
    Returns what the columns of the master take.

    Raises:
        StartupError: naming the instance, and what is missing; BackendNotReadyError if the server was lost meanwhile.

    """
    limits = {pool: check_tables(pool) for pool in databases.pools.values()}
    return limits[databases.master]


def check_tables(pool: ReadablePool) -> schema.ContentLimits:
    """Check one instance, as ``check_schema`` does, and return what its columns take, if any of its servers can be asked."""
    if isinstance(pool, DBPool):
        return _check_server(pool, makes=True)
    limits = [_check_server(server, makes=False) for server in pool.connected]  # a replica gets its tables from the master
    return limits[0] if limits else schema.ContentLimits(0, 0)


def _check_server(pool: DBPool, *, makes: bool) -> schema.ContentLimits:
    rows = _columns(pool)
    if pool.name == MASTER:
        _asked(lambda: make_lock_table(pool))
    if makes and not any(table.lower() == _MADE_IF_MISSING.lower() for table, _, _ in rows):
        _make_transmit_file(pool)
        rows = _columns(pool)
    missing = [problem for problem in schema.missing(rows) if _MADE_IF_MISSING not in problem]
    if missing:
        raise StartupError(f"{pool}: {'; '.join(missing)} (see conf/schema.sql)")
    lacking = schema.missing_indexes(_indexes(pool))
    if lacking:
        raise StartupError(f"{pool}: indexes of a stock database are missing; these statements make them: {'; '.join(lacking)}")
    return schema.content_limits(rows)


def _make_transmit_file(pool: DBPool) -> None:
    try:
        sql = resources.files("dbproxy").joinpath("schema.sql").read_text(encoding="utf-8")
        with pool.connection() as connection:
            connection.execute(schema.create_statement(sql, _MADE_IF_MISSING))
        logger.info("%s: made the table IMTransmitFile, which was missing", pool)
    except (StoreError, OSError, LookupError) as error:
        logger.error("%s: IMTransmitFile is missing and could not be made, offline files will fail: %s", pool, error)


def _columns(pool: DBPool) -> list[schema.Row]:
    rows = _described(pool, schema.COLUMNS_QUERY)
    return [(table.decode(), column.decode(), None if length is None else int(length)) for table, column, length in rows]


def _indexes(pool: DBPool) -> list[tuple[str, str]]:
    return [(table.decode(), index.decode()) for table, index in _described(pool, schema.INDEXES_QUERY)]


def _described(pool: DBPool, query: str) -> Sequence[Row]:
    return _asked(lambda: pool.select(query))


def _asked(ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except StoreError as error:
        kind = BackendNotReadyError if isinstance(error, StoreUnavailableError) else StartupError
        raise kind(f"the description of the tables cannot be read: {error}") from error
