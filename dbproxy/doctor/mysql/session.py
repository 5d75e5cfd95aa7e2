"""One connection to a MySQL server under examination. One thread."""

from __future__ import annotations

import time

import pymysql

from dbproxy.errors import StoreUnavailableError
from dbproxy.stores.mysql import DBConn, Row
from dbproxy.stores.mysql.errors import error_code, error_text, is_refusal
from dbproxy.stores.mysql.facts import is_on, read_server

EXAMINATION_TIMEOUT = 30.0
"""Seconds after which no further statement is sent to a server: one that answers, but only just, must not hold the others up."""


class RefusedError(Exception):
    """The server refused a statement; ``code`` is its number."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Session:
    """Statements whose refusal is a result and not an end of the examination. ``variables`` and ``status`` are the server's, by names in
    small letters.
    """

    def __init__(self, connection: DBConn) -> None:
        self.connection = connection
        self._deadline = time.monotonic() + EXAMINATION_TIMEOUT
        self.variables = self._settings("show global variables")
        self.status = self._settings("show global status")
        self.server = read_server(connection)
        """What the start of the proxy finds out, too."""

    def select(self, statement: str) -> list[Row]:
        """Return the rows of a query.

        Raises:
            RefusedError: the server does not want to.
            StoreUnavailableError: the connection is lost, or the time for this server is over.

        """
        if time.monotonic() > self._deadline:
            raise StoreUnavailableError(
                f"it took more than {EXAMINATION_TIMEOUT:g} s to answer the first questions; the others are left out"
            )
        try:
            return self.connection.select(statement)
        except pymysql.err.Error as error:
            if not self.connection.open or not is_refusal(error_code(error)):
                raise StoreUnavailableError(error_text(error)) from error
            raise RefusedError(error_code(error), error_text(error)) from error

    def values(self, expressions: str) -> list[str]:
        """Return the values of a comma-separated list of expressions as text; NULL as an empty one. Raises as ``select`` does."""
        return [text(value) for value in self.select(f"select {expressions}")[0]]

    def refusal_of(self, statement: str) -> RefusedError | None:
        """Have the server prepare a statement and drop it: nothing is executed, but names and privileges are checked, also on a server
        that is read-only. Returns its refusal, None when it would do it.
        """
        try:
            self.select(f"prepare dbproxy_doctor from {self.connection.quoted(statement)}")
            self.select("deallocate prepare dbproxy_doctor")
        except RefusedError as error:
            return error
        return None

    def number(self, name: str) -> int | None:
        """Return a global variable that is a whole number; None when the server has none of this name."""
        value = self.variables.get(name, "")
        return int(value) if value.isdecimal() else None

    def is_on(self, name: str) -> bool:
        """Whether a global variable is switched on; one that the server does not have is off."""
        return is_on(self.variables, name)

    def _settings(self, statement: str) -> dict[str, str]:
        try:
            return {text(name).lower(): text(value) for name, value in self.select(statement)}
        except RefusedError:
            return {}


def text(value: bytes | None) -> str:
    """Return a value of a row as text; NULL as an empty one."""
    return "" if value is None else value.decode("utf-8", "replace")
