"""Errors of MySQL connections, and how much of their text may be logged. Pure functions, any thread."""

from __future__ import annotations

import re

import pymysql
from pymysql.constants import CR, ER

CLIENT_INTERACTION_TIMEOUT = 4031
"""MySQL has ended a session that was idle for longer than its wait_timeout."""

CANNOT_CONVERT_STRING = 3854

VALUE_REFUSED = frozenset({ER.DATA_TOO_LONG, ER.TRUNCATED_WRONG_VALUE_FOR_FIELD, ER.CANT_AGGREGATE_2COLLATIONS, CANNOT_CONVERT_STRING})
"""A value does not fit into its column: it is too long, or has characters that the column cannot hold."""

_QUOTED = re.compile(r"(: |near |entry )'.*'( for | at |$)", re.DOTALL)
"""Where MySQL's error messages quote values or statements, and with them what users have written."""

_NAMES = {
    **{code: name for name, code in vars(ER).items() if isinstance(code, int) and name != "ERROR_FIRST"},
    CANNOT_CONVERT_STRING: "CANNOT_CONVERT_STRING",
    CLIENT_INTERACTION_TIMEOUT: "CLIENT_INTERACTION_TIMEOUT",
}


class CannotConnectError(pymysql.err.OperationalError):
    """The server cannot be reached or does not let us in; whatever it says about that, nothing has been refused but the connection."""


class NotExecutedError(pymysql.err.OperationalError):
    """The server had ended the connection before it read the statement: nothing of it was executed."""


class ServerLeftError(NotExecutedError):
    """The pool has turned away from the server before a transaction was committed there: it has not happened."""


def is_refusal(code: int) -> bool:
    """Whether an error with this code comes from the server; the driver's own have other numbers."""
    return ER.ERROR_FIRST <= code < CR.CR_ERROR_FIRST or code >= 3000


def error_code(error: pymysql.err.Error) -> int:
    """Return the number of an error of the server or the driver, 0 if it has none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def error_text(error: pymysql.err.Error, *, has_user_text: bool = False) -> str:
    """What is said about an error, without the values that the server quotes.

    ``has_user_text``: users' text was sent to the server, which may quote it in ways that no pattern knows. Then the name of a server's
    error is all that is said, if it has one; its number is in ``args``. What the driver says is its own.
    """
    code = error_code(error)
    if has_user_text and is_refusal(code):
        return f"{_NAMES.get(code, 'refused')} (what the server says is left out)"
    text = str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__
    return _QUOTED.sub(r"\1'...'\2", text)
