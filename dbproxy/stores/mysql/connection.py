"""DBConn: one connection to MySQL. It belongs to one thread at a time, which checks it out of a ``DBPool``."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pymysql
from pymysql.constants import CR, ER, SERVER_STATUS

from dbproxy.config import Config, DBInstance
from dbproxy.stores.backend_calls import CONNECTING, BackendCalls
from dbproxy.stores.kernel_socket import still_connected
from dbproxy.stores.mysql.errors import CannotConnectError, NotExecutedError
from dbproxy.stores.mysql.login import Login
from dbproxy.stores.mysql.result import MAX_PACKET, PacketReader, QueryResult, Row, statement_packets
from dbproxy.stores.mysql.server_choice import NO_SEAT, Address, ServerChoice
from dbproxy.stores.mysql.server_connection_id import NO_SESSION, find_session
from dbproxy.stores.mysql.server_role import ServerRole, ask_role
from dbproxy.stores.resolver import Resolver

_RECEIVE_SIZE = 64 * 1024

_NONE, _MORE, _PARTIAL = "none", "more", "partial"
"""What is unread: nothing, whole results, or the rest of a result whose reading was given up."""


class DBConn:
    """One MySQL connection. It connects when it is first used, and again after it was lost outside of a transaction.

    It belongs to one thread from ``ensure_connected`` to ``mark_idle``.
    """

    def __init__(
        self,
        instance: DBInstance,
        config: Config,
        tls: ssl.SSLContext | None,
        resolver: Resolver,
        calls: BackendCalls,
        choice: ServerChoice,
        on_connect: Callable[[], None] = lambda: None,
    ) -> None:
        """``choice`` says to which server it connects; ``on_connect`` is called after each login."""
        self._login = Login(instance, config, tls, resolver)
        self._calls = calls
        self._choice = choice
        self.seat = NO_SEAT
        """What it knows of the server that it leads to."""
        self._on_connect = on_connect
        self._call: object = ""
        """What the server is asked for; see ``statement_name``."""
        self.calls = 0
        """Statements and scripts sent."""
        self.seconds = 0.0
        """For which the server was waited for."""
        self.lock_timeout = config.db_lock_timeout
        """Seconds: the longest wait for locks; DBLockTimeout."""
        self.committing = False
        self.has_user_text = False
        """Whether a statement since the checkout contains text, which the server's errors may quote."""
        self.server_connection_id = NO_SESSION
        """For ``end_session``. The first statement changes it if the connection turns out to be dead and is replaced."""
        self.has_performance_schema = True
        """Not of MariaDB; see ``server_connection_id.py``."""
        self._sock: socket.socket | None = None
        self._reader = PacketReader(self._receive)
        self._server_status = 0
        self._insert_id = 0
        self._max_statement = MAX_PACKET
        self._idle_since = time.monotonic()
        self._was_idle = False
        """Whether no statement has been sent since an idle connection was checked out."""
        self._first_statement: bytes | None = None
        """The statement that may be sent again; None once its result has begun to arrive."""
        self._results = _NONE

    @property
    def open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._sock is not None

    @property
    def has_unread_results(self) -> bool:
        """Whether the server may still be sending what a statement has asked for: nobody else may use the connection then."""
        return self._results is not _NONE

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB and not MySQL; once it is connected."""
        return "MariaDB" in self._login.driver.server_version

    @property
    def server_version(self) -> str:
        """What the server said of its version at the login; once it is connected."""
        return self._login.driver.server_version

    def thread_id(self) -> int:
        """Return the number that the server has given to this connection."""
        return self._login.driver.thread_id()

    def insert_id(self) -> int:
        """Return the id of the first row that the last ``execute`` inserted, 0 if it inserted none."""
        return self._insert_id

    def ensure_connected(self) -> None:
        """Check the connection out: connect if it is closed. If the server has closed it meanwhile, the first statement connects again.

        Raises:
            CannotConnectError: the server cannot be reached.

        """
        self.committing = self.has_user_text = False
        if self._sock is not None and not self._choice.holds(self.seat):
            self.close()
        self._was_idle = self._sock is not None
        if not self._was_idle:
            self._reconnect()

    def mark_idle(self) -> None:
        """Before the connection is checked in: from now on it is idle."""
        self._call = ""
        self._idle_since = time.monotonic()

    @property
    def is_expired(self) -> bool:
        """Whether it has been idle for so long that it is not used any more; of an idle connection."""
        return time.monotonic() - self._idle_since > self._login.max_idle

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed, or the server has closed it, as far as the kernel knows."""
        return self._sock is None or not still_connected(self._sock)

    def _replace_if_dead(self) -> None:
        """Before the first statement: replace a connection that the server has closed, or is about to close."""
        if self.is_expired:
            self.close()  # with COM_QUIT: the server would report a connection that was lost
        elif not self.is_lost:
            return
        self._reconnect()

    def _reconnect(self) -> None:
        self.seat = NO_SEAT
        self.seat = self._choice.connect(self._connect_to)
        self._on_connect()

    def _connect_to(self, address: Address, timeout: float) -> ServerRole:
        """Connect to this server; the former connection is closed. What the server says of itself."""
        self.discard()
        self._reader.clear()
        self._first_statement = None
        self._calls.begin()
        try:
            sock = self._sock = self._login.connect(*address, timeout)
        except pymysql.err.Error as error:
            raise CannotConnectError(*error.args) from error
        finally:
            self.seconds += self._calls.end(CONNECTING)
        self._server_status = self._login.driver.server_status
        try:
            role = ask_role(self, of_several=self._choice.of_several)
            self._max_statement = role.max_allowed_packet
            self.server_connection_id = find_session(self, role.identity)
        except pymysql.err.Error as error:
            self.discard()
            raise CannotConnectError(*error.args) from error
        self._login.serve(sock)
        return role

    def close(self) -> None:
        """Send COM_QUIT and close the connection, if it is open; the next ``ensure_connected`` connects again."""
        if self._sock is not None:
            self._sock = None
            self._results = _NONE
            self._login.driver.close()

    def discard(self) -> None:
        """Close the connection without COM_QUIT, if it is open; the next ``ensure_connected`` connects again."""
        self._sock = None
        self._results = _NONE
        self._login.driver.discard()

    def end_transaction(self) -> None:
        """Roll back what is open, if anything is; a connection on which that fails is discarded, and the server rolls back."""
        try:
            if self.open and self._server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
                self.execute("rollback")
        except pymysql.err.Error:
            self.discard()

    def commit_script(self, statements: Sequence[str]) -> list[int]:
        """Execute these statements and ``commit`` with one round trip; losing the connection now leaves the outcome unknown.

        Returns for each statement the id of the first row that it has inserted, 0 for one that inserts nothing.

        NotExecutedError: the pool has turned to another server since the connection was checked out.
        """
        if self.seat.generation != self._choice.generation:
            self.discard()
            raise NotExecutedError(CR.CR_SERVER_GONE_ERROR, "not committed: another server takes the writes now")
        self.committing = True
        results = list(self.results_of((*statements, "commit")))
        self.committing = False
        return [result.insert_id for result in results[:-1]]

    def escape(self, value: object) -> str:
        """Return the SQL literal of a value, or a list of them in parentheses; text sets ``has_user_text``."""
        if type(value) is int:
            return str(value)
        if isinstance(value, (str, bytes)):
            self.has_user_text = True
        elif isinstance(value, (tuple, list, set, frozenset)):
            return f"({','.join(map(self.escape, value))})"
        return self._login.driver.escape(value)

    def quoted(self, name: str) -> str:
        """Return the SQL literal of a name, which is no user's text."""
        return self._login.driver.escape(name)

    def execute(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """Execute one statement; the number of rows that it changed (0 when they already had these values)."""
        self._send(statement % tuple(map(self.escape, arguments)) if arguments else statement)
        result = self._read_result()
        self._insert_id = result.insert_id
        return result.affected_rows

    def select(self, statement: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """Execute one query and return its rows."""
        self._send(statement % tuple(map(self.escape, arguments)) if arguments else statement)
        return self._read_result().rows

    def script(self, statements: Sequence[str]) -> list[list[Row]]:
        """Execute several statements with one round trip; the rows of each, in order (empty for those that have none).

        When one fails, those behind it are not executed, and its error is raised.
        """
        return [result.rows for result in self.results_of(statements)]

    def results_of(self, statements: Sequence[str]) -> Iterator[QueryResult]:
        """As ``script``, but everything that the server says to each statement, as soon as it is there. Results that are not taken are
        read and dropped when the next statement is sent.
        """
        self._send(";".join(statements))
        for number in count():
            self._call = (statements, number)
            result = self._read_result()
            yield result
            if not result.has_next:
                return

    def _send(self, statement: str) -> None:
        """Send a statement, unless it is so long that the server would close the connection. Its result must be read then.

        The first statement on a connection that was idle is sent again on a new one if the server has certainly not read it.
        """
        self._call = statement
        data = statement.encode("utf-8", "surrogateescape")
        if len(data) + 1024 > self._max_statement:
            raise pymysql.err.DataError(ER.NET_PACKET_TOO_LARGE, f"{len(data)} bytes are more than max_allowed_packet")
        if self._results is not _NONE:
            self._drop_results()
        was_idle, self._was_idle = self._was_idle, False
        if was_idle:
            self._replace_if_dead()
        self._first_statement = data if was_idle else None
        try:
            self._write(data)
        except NotExecutedError:
            if self._first_statement is None:
                raise
            self._reconnect_and_write(self._first_statement)

    def _drop_results(self) -> None:
        """Read what is left of a script that somebody did not take to its end; a connection that is inside a result is closed instead."""
        if self._results is _PARTIAL:
            self.discard()
        while self._results is _MORE:
            self._read_result()

    def _reconnect_and_write(self, data: bytes) -> None:
        self._reconnect()
        self._write(data)

    def _write(self, data: bytes) -> None:
        """Send the packets of a statement.

        Raises:
            pymysql.err.InterfaceError: the connection is closed.
            NotExecutedError: it is lost; it is closed then.

        """
        if self._sock is None:
            raise pymysql.err.InterfaceError(0, "")
        self.calls += 1
        self._reader.sequence = (1 + (len(data) + 1) // MAX_PACKET) & 0xFF
        try:
            self._sock.sendall(statement_packets(data))
        except OSError as error:
            self.discard()
            raise NotExecutedError(CR.CR_SERVER_GONE_ERROR, f"MySQL server has gone away ({error!r})") from error
        self._results = _MORE

    def _read_result(self) -> QueryResult:
        self._results = _PARTIAL
        try:
            result = QueryResult(self._reader, self._calls.large_result)
        except NotExecutedError:
            if self._first_statement is None:
                raise
            self._reconnect_and_write(self._first_statement)
            self._results = _PARTIAL
            result = QueryResult(self._reader, self._calls.large_result)
        except pymysql.err.Error:
            self._results = _NONE  # an error ends a script; where the connection is lost it is closed
            raise
        self._results = _MORE if result.has_next else _NONE
        self._first_statement = None
        self._server_status = result.server_status
        return result

    def _receive(self) -> bytes:
        """Wait for more input.

        Raises:
            pymysql.err.OperationalError: nothing came in time, or the connection is lost; it is closed then.

        """
        if self._sock is None:
            raise pymysql.err.InterfaceError(0, "")
        self._calls.begin()
        try:
            data = self._sock.recv(_RECEIVE_SIZE)
        except OSError as error:
            self.discard()
            reason = "it did not answer in time" if isinstance(error, (TimeoutError, BlockingIOError)) else str(error)
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({reason})") from error
        finally:
            self.seconds += self._calls.end(self._call)
        if not data:
            self.discard()
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")
        return data
