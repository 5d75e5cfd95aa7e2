"""Our connections as the server sees them: how they are identified and ended there. A connection belongs to one thread at a time."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import pymysql
from pymysql.constants import ER

from dbproxy.config import Config
from dbproxy.stores.mysql.errors import error_text

if TYPE_CHECKING:
    from dbproxy.stores.mysql.connection import DBConn

logger = logging.getLogger(__name__)


class ServerConnectionId(NamedTuple):
    """How a server knows a connection."""

    thread_id: int
    host: str
    """The host and port from which it sees the connection come: behind an address translation they are not those of our socket."""
    server: str = ""
    """Which server that is (``ServerRole.identity``)."""


NO_SESSION = ServerConnectionId(0, "")
"""Of a connection that never was one."""

_IDLE_ALLOWANCE = 2
"""Seconds that a session may be idle beyond the longest wait for Redis. With the defaults a proxy that freezes while it waits for a
lock, 5 s at most, holds it until 25 s after it froze."""

_OLD, _NEW = "information_schema.processlist", "performance_schema.processlist"

_CANNOT_BE_COMMITTING = (
    "command='Sleep' or info like 'select%' or info like '(select%' or state='User lock' or state like 'Waiting for table%'"
)
"""A session that is idle, reads, or waits for a lock. Anything else may have become a commit by the time the KILL arrives."""


def idle_timeout(config: Config) -> int:
    """Seconds after which the server ends an idle session of ours (``wait_timeout``), with its locks and its transaction.

    A session in use is idle only while its thread waits for Redis. One that is idle for longer has lost its proxy (frozen, host
    down), and its locks would stay taken.
    """
    return math.ceil(config.cache_pool_timeout + config.cache_connect_timeout + 2 * config.cache_timeout) + _IDLE_ALLOWANCE


def find_session(connection: DBConn, server: str) -> ServerConnectionId:
    """Ask the server, whose identity is ``server``, how it knows this connection. The host may be empty: the connection works without, so
    a server that has no space for temporary tables does no harm.
    """
    host = _host_of(connection) if _source(connection) == _NEW else ""
    if not host:
        connection.has_performance_schema = False
        host = _host_of(connection)
    return ServerConnectionId(connection.thread_id(), host, server)


def _host_of(connection: DBConn) -> str:
    """Where the server sees the connection come from; empty when it does not say."""
    try:
        rows = connection.select(f"select host from {_source(connection)} where id=connection_id()")
    except pymysql.err.Error as error:
        if not connection.open:
            raise
        level = logging.WARNING if _source(connection) == _OLD else logging.DEBUG  # older servers have no other
        logger.log(level, "where this connection comes from cannot be asked: %s", error_text(error))
        return ""
    return rows[0][0].decode(errors="replace") if rows else ""


def end_session(connection: DBConn, session: ServerConnectionId) -> bool:
    """End another connection of ours on the server, so that its transaction is rolled back and its locks are free; False when it has to be
    left alone for now, because it may be committing: a MySQL with binary log whose disk is full aborts when such a session is killed.

    Where the connection comes from is compared as well: a server that was started again counts its threads from 1, and the number may be
    another client's by now. So is the server: on another one it is not there.
    """
    thread_id, host, server = session
    if not host or server != connection.server_connection_id.server:
        return True
    of_session = f"where id={thread_id} and host={connection.quoted(host)}"
    try:
        rows = connection.select(f"select {_CANNOT_BE_COMMITTING} from {_source(connection)} {of_session}")
        if rows and rows[0][0] == b"1":
            connection.execute(f"kill {thread_id}")
    except pymysql.err.Error as error:
        if not connection.open:
            raise
        # it has gone by now; or the server has no space for the temporary table that it makes of its sessions
        logger.debug("connection %d is not ended: %s", thread_id, error_text(error))
        return bool(error.args[0] == ER.NO_SUCH_THREAD)
    return not rows or rows[0][0] == b"1"


def _source(connection: DBConn) -> str:
    """The table of sessions: MySQL warns that the old one will go, MariaDB has no other."""
    return _NEW if connection.has_performance_schema and not connection.is_mariadb else _OLD
