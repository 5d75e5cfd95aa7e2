"""Channel: sends the statements of one MySQL connection and reads its results. It belongs to the thread that has the connection."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod

import pymysql
from pymysql.constants import CR, ER

from dbproxy.stores.backend_calls import BackendCalls
from dbproxy.stores.mysql.errors import NotExecutedError
from dbproxy.stores.mysql.multi_writer import MultiWriterSession
from dbproxy.stores.mysql.result import MAX_PACKET, PacketReader, QueryResult, statement_packets

_RECEIVE_SIZE = 64 * 1024

_NONE, _MORE, _PARTIAL = "none", "more", "partial"
"""What is unread: nothing, whole results, or the rest of a result whose reading was given up."""


class Channel(ABC):
    """The part of ``DBConn`` that knows packets; the other one connects."""

    def __init__(self, calls: BackendCalls) -> None:
        self._calls = calls
        self._call: object = ""
        """What the server is asked for; see ``statement_name``."""
        self.calls = 0
        """Statements and scripts sent."""
        self.seconds = 0.0
        """For which the server was waited for."""
        self._sock: socket.socket | None = None
        self._reader = PacketReader(self._receive)
        self._server_status = 0
        self._max_statement = MAX_PACKET
        self._cluster: MultiWriterSession | None = None
        """Of a server in a cluster with several writers."""
        self._was_idle = False
        """Whether no statement has been sent since an idle connection was checked out."""
        self._first_statement: bytes | None = None
        """The statement that may be sent again; None once its result has begun to arrive."""
        self._results = _NONE

    @property
    def has_unread_results(self) -> bool:
        """Whether the server may still be sending what a statement has asked for: nobody else may use the connection then."""
        return self._results is not _NONE

    @abstractmethod
    def discard(self) -> None:
        """Close the connection without COM_QUIT, if it is open."""

    @abstractmethod
    def _reconnect(self) -> None:
        """Connect again."""

    @abstractmethod
    def _replace_if_dead(self) -> None:
        """Before the first statement: replace a connection that the server has closed, or is about to close."""

    def _forget_results(self) -> None:
        """Nothing is unread any more: the connection is closed."""
        self._results = _NONE

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
        if self._cluster is not None:
            self._cluster.sent(data)
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
        if self._cluster is not None:
            self._cluster.answered(result.server_status)
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
