"""MySQL: pools of connections, what they answer, and the schema that they expect."""

from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.failures import died_at_once
from dbproxy.stores.mysql.lock_rows import lock_rows
from dbproxy.stores.mysql.manager import DBManager
from dbproxy.stores.mysql.named_locks import named_locks
from dbproxy.stores.mysql.pool import DBPool, Result
from dbproxy.stores.mysql.read_pool import ReadablePool, ReadPool
from dbproxy.stores.mysql.result import Row
from dbproxy.stores.mysql.server_connection_id import ServerConnectionId, end_session
from dbproxy.stores.mysql.statement_name import statement_name

__all__ = [
    "DBConn",
    "DBManager",
    "DBPool",
    "ReadPool",
    "ReadablePool",
    "Result",
    "Row",
    "ServerConnectionId",
    "died_at_once",
    "end_session",
    "lock_rows",
    "named_locks",
    "statement_name",
]
