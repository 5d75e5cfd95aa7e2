"""What a failure of a MySQL connection means: the errors of the driver become ours. Pure functions, any thread."""

from __future__ import annotations

import re
import time

import pymysql
from pymysql.constants import CR, ER

from dbproxy.errors import DeadlockError, LockWaitError, StatementError, StoreUnavailableError
from dbproxy.stores.mysql.errors import CLIENT_INTERACTION_TIMEOUT, CannotConnectError, error_code, is_refusal

_CERTIFICATION_FAILED = 3101
"""A replication group of MySQL has rolled a transaction back during its commit, because another member has changed the same rows."""
_REFUSALS = {ER.LOCK_DEADLOCK: DeadlockError, _CERTIFICATION_FAILED: DeadlockError, ER.LOCK_WAIT_TIMEOUT: LockWaitError}
_READ_ONLY_OPTION, _READ_ONLY_ENGINE, _GROUP_HOOK = 1290, 1836, 3100
_NOT_FINISHED = (_GROUP_HOOK, ER.UNKNOWN_COM_ERROR, ER.ERROR_DURING_COMMIT, ER.QUERY_INTERRUPTED)

_ABORTED_AT_COMMIT = re.compile(r"Got error 149\b")
"""A replication group has rolled a transaction back while it was being committed; 149 is a deadlock."""

_STATEMENT_TIMEOUTS = {3024, 1969}
_KILLED = 1927
_SERVER_GOES_AWAY = {ER.SERVER_SHUTDOWN, ER.CON_COUNT_ERROR, _KILLED, *_STATEMENT_TIMEOUTS, CLIENT_INTERACTION_TIMEOUT}
_NOT_READY = {
    *(CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, ER.CON_COUNT_ERROR, ER.SERVER_SHUTDOWN),
    ER.UNKNOWN_COM_ERROR,  # a Galera node that does not take part in its cluster yet
}
"""Why connecting fails while a server is not up, or not yet."""

_LOST = {0, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST}
_AT_ONCE = 1.0


def is_not_ready(error: pymysql.err.Error) -> bool:
    """Whether connecting failed in a way that may end when the server is up."""
    return error_code(error) in _NOT_READY


def is_refused_statement(code: int) -> bool:
    """Whether the server refused a statement with this error, and the connection goes on."""
    return is_refusal(code) and code not in _SERVER_GOES_AWAY


def is_not_writable(error: pymysql.err.Error) -> bool:
    """Whether a server has refused a statement because it takes no writes, or no longer. Error 1290 is also about other options, and the
    name of the option is in every language's text.
    """
    code = error_code(error)
    if code == _READ_ONLY_OPTION:
        return "read-only" in str(error.args[1:])
    return code in (_READ_ONLY_ENGINE, _GROUP_HOOK, ER.UNKNOWN_COM_ERROR)


def leaves_outcome_open(error: pymysql.err.Error) -> bool:
    """Whether a commit that a server has refused in this way may have happened: a node that loses its cluster during the commit does not
    know whether the others have the transaction.
    """
    return error_code(error) in _NOT_FINISHED and not _is_abort(error)


def refusal(error: pymysql.err.Error, text: str) -> StatementError:
    """The error for a refused statement, with ``text`` for people."""
    code = ER.LOCK_DEADLOCK if _is_abort(error) else error_code(error)
    return _REFUSALS.get(code, StatementError)(code, text)


def _is_abort(error: pymysql.err.Error) -> bool:
    return error_code(error) == ER.ERROR_DURING_COMMIT and bool(_ABORTED_AT_COMMIT.match(str(error.args[-1])))


def has_timed_out(error: pymysql.err.Error) -> bool:
    """Whether a connection was given up because no answer came in time."""
    return error_code(error) in _STATEMENT_TIMEOUTS or isinstance(error.__cause__, (TimeoutError, BlockingIOError))


def is_lost(error: StoreUnavailableError) -> bool:
    """Whether a connection broke; others to the same server may be alright. Not one that could not be made, or was given up."""
    cause = error.__cause__
    return isinstance(cause, pymysql.err.Error) and not isinstance(cause, CannotConnectError) and not has_timed_out(cause)


def died_at_once(error: StoreUnavailableError, began: float) -> bool:
    """Whether a connection was lost within a second of ``began`` (monotonic time): then it was dead before, and another may do. After a
    longer wait the server is in trouble, and a second wait would only keep the request and the worker.
    """
    cause = error.__cause__
    lost = isinstance(cause, pymysql.err.Error) and bool(cause.args) and cause.args[0] in _LOST
    return lost and time.monotonic() - began < _AT_ONCE
