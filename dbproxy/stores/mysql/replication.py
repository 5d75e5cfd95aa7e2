"""How far a replica is behind its master, as the replica itself says. Any thread."""

from __future__ import annotations

from collections.abc import Sequence

from pymysql.constants import ER

from dbproxy.errors import StatementError
from dbproxy.stores.mysql.pool import DBPool
from dbproxy.stores.mysql.result import Row

# The place of Seconds_Behind_Master in a row. It has been the same since MySQL 5.1, in MariaDB too; only the names differ.
_LAG = 32


def replication_lag(pool: DBPool) -> float | None:
    """Return the seconds that the server of ``pool`` is behind: the most over all its masters. None: it is no replica, or does not
    replicate at the moment.

    Raises:
        StatementError: the account may not ask (REPLICATION CLIENT, or SLAVE MONITOR of MariaDB).
        StoreUnavailableError: the server cannot be asked.

    """
    lags = [row[_LAG] for row in _status(pool) if len(row) > _LAG]
    if not lags or any(lag is None or not lag.isdigit() for lag in lags):
        return None
    return max(float(lag) for lag in lags if lag is not None)


def _status(pool: DBPool) -> Sequence[Row]:
    with pool.connection() as connection:
        if connection.is_mariadb:
            return [row[2:] for row in connection.select("show all slaves status")]  # with the name of the connection, and its state
    try:
        return pool.select("show replica status")
    except StatementError as error:
        if error.code != ER.PARSE_ERROR:
            raise
        return pool.select("show slave status")  # MySQL before 8.0.22
