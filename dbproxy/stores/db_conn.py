"""DBConn: one connection to MySQL. It belongs to one thread at a time; ``DBPool`` gives it out."""

from __future__ import annotations

import logging
import math
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.constants import CLIENT, COMMAND, CR, ER, SERVER_STATUS
from pymysql.converters import encoders

from dbproxy.config import Config, DBInstance
from dbproxy.errors import LockWaitError
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.kernel_socket import set_kernel_timeouts, still_connected
from dbproxy.stores.raw_result import RawInput, RawResult
from dbproxy.stores.resolver import Resolver

logger = logging.getLogger(__name__)

Row = tuple[Any, ...]
"""A row as the server sent it: bytes, or None for NULL. Numbers are left to ``int``, text to ``decode``."""

_CODECS: dict[Any, Any] = dict(encoders)
"""How values go out; nothing says how they come in, so they come as the bytes that the server sent."""

ER_NET_PACKET_TOO_LARGE = 1153
_LONGEST_PACKET = 0xFFFFFF
_RECEIVE_SIZE = 64 * 1024

_QUOTED = re.compile(r"(: |near |entry )'.*'( for | at |$)", re.DOTALL)
"""Where MySQL's error messages quote values or statements, and with them what people have written."""

_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Seconds: a server that vanished without a word (power, firewall) is noticed on idle connections too, and not after two hours."""


if TYPE_CHECKING:
    _Connection = pymysql.connections.Connection[Any]  # generic for the type checker only
else:
    _Connection = pymysql.connections.Connection

SessionOfServer = tuple[int, str]
"""How the server knows a connection: thread id, and the host and port from which it sees it come (behind an address translation they
are not those of our socket)."""


class DBConn(_Connection):
    """One MySQL connection. It connects when it is first used, and again after it was lost outside of a transaction."""

    def __init__(
        self, instance: DBInstance, config: Config, tls: ssl.SSLContext | None, resolver: Resolver, calls: BackendCalls = UNTRACKED
    ) -> None:
        # For MariaDB only. A transaction of ours waits for Redis at most; one that waits for longer has lost its proxy, and holds locks.
        # And no subquery of ours is asked twice about the same row, so a table that keeps their answers is made in vain.
        idle = math.ceil(config.cache_pool_timeout + config.cache_connect_timeout + 2 * config.cache_timeout) + 5
        session = (
            f"set sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout={max(1, round(config.db_lock_timeout))}"
            f" /*M!100300 , idle_transaction_timeout={idle}, optimizer_switch='subquery_cache=off' */"
        )
        super().__init__(
            host=instance.host,
            port=instance.port,
            user=instance.username,
            password=instance.password.encode(),  # as the file has it; the driver would make Latin-1 of a text
            database=instance.dbname,
            charset="utf8mb4",
            use_unicode=False,
            conv=_CODECS,
            autocommit=True,
            init_command=session,
            read_timeout=config.db_timeout,
            write_timeout=config.db_timeout,
            client_flag=CLIENT.MULTI_STATEMENTS,
            ssl=tls,
            ssl_disabled=tls is None,
            defer_connect=True,
        )
        self._calls = calls
        self.committing = False
        self.server_session: SessionOfServer = (0, "")
        """What ``end_session`` needs to find this connection on the server."""
        self._input = RawInput(self._receive)
        self._kernel_keeps_time = False
        self._resolver = resolver
        self._connect_timeout = config.db_connect_timeout
        self._statement_timeout = config.db_timeout
        self._longest_statement = _LONGEST_PACKET

    if TYPE_CHECKING:  # what the stubs of the driver leave out
        _sock: socket.socket
        _result: RawResult
        server_status: int
        server_capabilities: int
        ssl: bool

        _next_seq_id: int
        _read_timeout: float
        encoding: str

        def insert_id(self) -> int: ...  # noqa: D102
        def thread_id(self) -> int: ...  # noqa: D102
        def _execute_command(self, command: int, statement: bytes) -> None: ...
        def _force_close(self) -> None: ...

    def revive(self) -> None:
        """Make sure that the connection can be used: connect if it is closed, or if the server has closed it meanwhile.

        Raises:
            pymysql.err.OperationalError: the server cannot be reached.

        """
        self.committing = False
        if self.open:
            if still_connected(self._sock):
                return
            self.discard()
        self._input.clear()
        self._kernel_keeps_time = False
        self._read_timeout = self._connect_timeout  # a server that accepts and then says nothing must not take longer
        self._calls.begin()
        try:
            self.connect(self._connected_socket())
        except pymysql.err.Error as error:
            self.discard()
            raise CannotConnectError(*error.args) from error
        finally:
            self._calls.end()
        try:
            for option, seconds in _KEEPALIVE.items():
                self._sock.setsockopt(socket.IPPROTO_TCP, option, seconds)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(self._statement_timeout * 1000))
            self._longest_statement = int(self.select("select @@max_allowed_packet")[0][0])
            self.server_session = self._find_session()
            if not self.ssl:
                set_kernel_timeouts(self._sock, self._statement_timeout)
                self._kernel_keeps_time = True
        except pymysql.err.Error as error:
            self.discard()
            raise CannotConnectError(*error.args) from error
        finally:
            self._read_timeout = self._statement_timeout

    def _connected_socket(self) -> socket.socket:
        """Connect, as the driver would do it, but with a limit for the lookup of the host's name too."""
        try:
            sock = self._resolver.connect(self.host, self.port, self._connect_timeout)
        except OSError as error:
            raise pymysql.err.OperationalError(
                CR.CR_CONN_HOST_ERROR, f"Can't connect to MySQL server on {self.host!r} ({error})"
            ) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock

    def _request_authentication(self) -> None:
        """Log in, but never in plain text where TLS is wanted: older versions of the driver would, if somebody on the way (or the server)
        says that the server has no TLS.
        """
        if self.ssl and not self.server_capabilities & CLIENT.SSL:
            raise pymysql.err.OperationalError(CR.CR_SSL_CONNECTION_ERROR, "TLS is required but the server does not offer it")
        super()._request_authentication()  # type: ignore[misc]

    def _find_session(self) -> SessionOfServer:
        """Ask the server how it knows this connection; it works without, so a server without space for temporary tables will do."""
        try:
            rows = self.select("select host from information_schema.processlist where id=connection_id()")
        except pymysql.err.Error as error:
            if not self.open:
                raise
            logger.warning("where this connection comes from cannot be asked: %s", error_text(error))
            rows = []
        return self.thread_id(), rows[0][0].decode(errors="replace") if rows else ""

    def discard(self) -> None:
        """Close the socket without a farewell to the server; the next ``revive`` connects anew."""
        self._force_close()

    def end_transaction(self) -> None:
        """Roll back what is open, if anything is; a connection on which that fails is discarded, and the server rolls back."""
        try:
            if self.open and self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
                self.rollback()
        except pymysql.err.Error:
            self.discard()

    def commit_script(self, statements: Sequence[str]) -> list[int]:
        """Execute these statements and ``commit`` with one round trip; losing the connection now leaves the outcome unknown.

        Returns for each statement the id of the first row that it has inserted, 0 for one that inserts nothing.
        """
        self.committing = True
        results = list(self.results_of((*statements, "commit")))
        self.committing = False
        return [result.insert_id for result in results[:-1]]

    def end_session(self, session: SessionOfServer) -> None:
        """End another connection of ours on the server, if it is still there. Where it comes from is compared as well: a server that was
        started again counts its threads from 1, and the number may be somebody else's by now.
        """
        thread_id, host = session
        if host and self.select("select 1 from information_schema.processlist where id=%s and host=%s", (thread_id, host)):
            try:
                self.execute(f"kill {thread_id}")
            except pymysql.err.OperationalError as error:
                if not self.open:
                    raise
                logger.debug("connection %d is gone already: %s", thread_id, error)

    @contextmanager
    def named_locks(self, names: Sequence[str], timeout: float) -> Iterator[None]:
        """Hold the server's named locks for the length of the block. They order what no row exists for yet, also between proxies.

        Raises:
            LockWaitError: one was not free within ``timeout`` seconds.

        """
        names = sorted(set(names))  # everybody takes them in this order, so nobody waits in a circle
        if not names:
            yield
            return
        quoted = [self.escape(name) for name in names]
        try:
            got = self.select("select " + ",".join(f"get_lock({name},{timeout:.1f})" for name in quoted))[0]
            if got.count(b"1") < len(names):
                raise LockWaitError(ER.LOCK_WAIT_TIMEOUT, f"the locks {', '.join(names)} were not free within {timeout:g} s")
            yield
        finally:
            try:
                if self.open:
                    self.execute("do " + ",".join(f"release_lock({name})" for name in quoted))
            except pymysql.err.Error:
                self.discard()  # the server releases what a closed connection held

    def execute(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """Execute one statement; the number of rows that it changed (0 when they already had these values)."""
        self._send(statement % tuple(map(self.escape, arguments)) if arguments else statement)
        return self._read_query_result()

    def select(self, statement: str, arguments: Sequence[Any] = ()) -> list[Row]:
        """Execute one query and return its rows."""
        self.execute(statement, arguments)
        rows = self._result.rows
        self._result = None  # type: ignore[assignment]  # a connection that nobody uses must not keep a long list
        return rows

    def script(self, statements: Sequence[str]) -> list[list[Row]]:
        """Execute several statements with one round trip; the rows of each, in order (empty for those that have none).

        When one fails, those behind it are not executed, and its error is raised.
        """
        return [result.rows for result in self.results_of(statements)]

    def results_of(self, statements: Sequence[str]) -> Iterator[RawResult]:
        """As ``script``, but everything that the server says to each statement, as soon as it is there. What is not taken before the next
        statement is lost.
        """
        self._send(";".join(statements))
        more = True
        while more:
            self._read_query_result()
            result = self._result
            self._result = None  # type: ignore[assignment]  # as in select
            more = result.has_next
            yield result

    def _send(self, statement: str) -> None:
        """Send a statement, unless the server would close the connection on account of its length. Its result must be read then."""
        data = statement.encode("utf-8", "surrogateescape")
        if len(data) + 1024 > self._longest_statement:
            raise pymysql.err.DataError(ER_NET_PACKET_TOO_LARGE, f"{len(data)} bytes are more than max_allowed_packet")
        self._execute_command(COMMAND.COM_QUERY, data)

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None  # type: ignore[assignment]  # the former one, should this fail
        self._input.sequence = self._next_seq_id
        result = self._result = RawResult(self._input, self.encoding, self._calls.large_result)
        self._next_seq_id = self._input.sequence
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows

    def _read_bytes(self, num_bytes: int) -> bytes:
        return self._input.take(num_bytes)

    def _receive(self) -> bytes:
        """Wait for more input.

        Raises:
            pymysql.err.OperationalError: nothing came in time, or the connection is lost; it is closed then.

        """
        try:
            if not self._kernel_keeps_time and self._sock.gettimeout() != self._read_timeout:
                self._sock.settimeout(self._read_timeout)
            self._calls.begin()
            try:
                data = self._sock.recv(_RECEIVE_SIZE)
            finally:
                self._calls.end()
        except OSError as error:
            self._force_close()
            reason = "it did not answer in time" if isinstance(error, (TimeoutError, BlockingIOError)) else str(error)
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({reason})") from error
        if not data:
            self._force_close()
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")
        return data

    def _write_bytes(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            self._force_close()
            raise pymysql.err.OperationalError(CR.CR_SERVER_GONE_ERROR, f"MySQL server has gone away ({error!r})") from error


class CannotConnectError(pymysql.err.OperationalError):
    """The server cannot be reached or does not let us in; whatever it says about that, nothing has been refused but the connection."""


def error_text(error: pymysql.err.Error) -> str:
    """What the server says, without the values that it quotes."""
    text = str(error.args[1]) if len(error.args) > 1 else str(error) or type(error).__name__
    return _QUOTED.sub(r"\1'...'\2", text)
