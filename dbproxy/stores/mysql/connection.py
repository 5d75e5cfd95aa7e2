"""DBConn: one connection to MySQL. It belongs to one thread at a time; ``DBPool`` gives it out."""

from __future__ import annotations

import math
import socket
import ssl
import time
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
from dbproxy.stores.mysql.errors import CannotConnectError, NeverBegunError
from dbproxy.stores.mysql.result import RawInput, RawResult
from dbproxy.stores.mysql.server_connection_id import ServerConnectionId, find_session, idle_timeout
from dbproxy.stores.resolver import Resolver

Row = tuple[Any, ...]
"""A row as the server sent it: bytes, or None for NULL. Numbers are left to ``int``, text to ``decode``."""

_CODECS: dict[Any, Any] = dict(encoders)
"""How values go out; nothing says how they come in, so they come as the bytes that the server sent."""

ER_NET_PACKET_TOO_LARGE = 1153
_LONGEST_PACKET = 0xFFFFFF
_RECEIVE_SIZE = 64 * 1024

_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Seconds: a server that vanished without a word (power, firewall) is noticed on idle connections too, and not after two hours."""

_LESS_THAN_SERVER = 2
"""Seconds before the server would end an idle connection at which we do not use it any more: it must not end while we send."""

if TYPE_CHECKING:
    _Connection = pymysql.connections.Connection[Any]  # generic for the type checker only
else:
    _Connection = pymysql.connections.Connection


class DBConn(_Connection):
    """One MySQL connection. It connects when it is first used, and again after it was lost outside of a transaction.

    It belongs to the thread that took it from its pool (``ensure_connected``), until that gives it back (``rest``).
    """

    def __init__(
        self, instance: DBInstance, config: Config, tls: ssl.SSLContext | None, resolver: Resolver, calls: BackendCalls = UNTRACKED
    ) -> None:
        idle = idle_timeout(config)
        # For MariaDB only: no subquery of ours is asked twice about the same row, so a table that keeps their answers is made in vain.
        session = (
            f"set sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout={max(1, round(config.db_lock_timeout))}"
            f", wait_timeout={idle} /*M!100300 , optimizer_switch='subquery_cache=off' */"
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
        self.carries_text = False
        """Whether text has been put into a statement since the connection was taken: the server's errors may quote it."""
        self.server_connection_id: ServerConnectionId = (0, "")
        """What ``end_session`` needs to find this connection on the server; it is another one after the first statement of who took an
        idle connection, if that turned out to be dead."""
        self.has_performance_schema = True
        """Not of MariaDB; see ``server_session.py``."""
        self._idle_limit = idle - _LESS_THAN_SERVER
        self._idle_since = time.monotonic()
        self._rested = False
        self._first_statement: bytes | None = None
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
        server_version: str
        ssl: bool

        _next_seq_id: int
        _read_timeout: float
        encoding: str

        def insert_id(self) -> int: ...  # noqa: D102
        def thread_id(self) -> int: ...  # noqa: D102
        def _execute_command(self, command: int, statement: bytes) -> None: ...
        def _force_close(self) -> None: ...

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB and not MySQL; once it is connected."""
        return "MariaDB" in self.server_version

    def ensure_connected(self) -> None:
        """Begin to use the connection: connect if it is closed. If the server has ended it meanwhile, it is connected anew with the first
        statement.

        Raises:
            CannotConnectError: the server cannot be reached.

        """
        self.committing = self.carries_text = False
        self._rested = self.open
        if not self._rested:
            self._connect_anew()

    def rest(self) -> None:
        """End to use the connection: from now on it is idle."""
        self._idle_since = time.monotonic()

    @property
    def is_cold(self) -> bool:
        """Whether it has been idle for so long that it is not used any more; of a connection that nobody uses."""
        return time.monotonic() - self._idle_since > self._idle_limit

    def _wake(self) -> None:
        """Before the first statement: replace a connection that the server has ended, or may end just now."""
        if self.is_cold:
            self.close()  # with a farewell: the server would report a connection that was lost
        elif still_connected(self._sock):
            return
        self._connect_anew()

    def _connect_anew(self) -> None:
        self.discard()
        self._input.clear()
        self._first_statement = None
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
            self.server_connection_id = find_session(self)
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

    @property
    def is_lost(self) -> bool:
        """Whether the connection is closed, or the server has closed it, as far as the kernel has heard."""
        return not self.open or not still_connected(self._sock)

    def discard(self) -> None:
        """Close the socket without a farewell to the server; the next ``ensure_connected`` connects anew."""
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

    @contextmanager
    def named_locks(self, names: Sequence[str], timeout: float) -> Iterator[None]:
        """Hold the server's named locks for the length of the block. They order what no row exists for yet, also between proxies.

        A server that hears nothing for longer than ``idle_timeout`` gives them to others, and closes the connection: afterwards it is not
        ``open``. Whoever writes elsewhere under these locks has to look.

        Raises:
            LockWaitError: one was not free within ``timeout`` seconds.

        """
        names = sorted(set(names))  # everybody takes them in this order, so nobody waits in a circle
        if not names:
            yield
            return
        quoted = [self.quoted(name) for name in names]
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

    def escape(self, obj: object, mapping: Any = None) -> str:  # noqa: ANN401 - as in the driver
        """Return a value as it stands in a statement. Text is taken for something that people wrote: see ``carries_text``."""
        if isinstance(obj, (str, bytes)):
            self.carries_text = True
        return super().escape(obj, mapping)

    def quoted(self, name: str) -> str:
        """Return a name of ours as it stands in a statement."""
        return super().escape(name)

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
        """Send a statement, unless the server would close the connection on account of its length. Its result must be read then.

        The first statement on a connection that was idle is sent again on a new one, when the server has certainly not read it.
        """
        data = statement.encode("utf-8", "surrogateescape")
        if len(data) + 1024 > self._longest_statement:
            raise pymysql.err.DataError(ER_NET_PACKET_TOO_LARGE, f"{len(data)} bytes are more than max_allowed_packet")
        rested, self._rested = self._rested, False
        if rested:
            self._wake()
            self._first_statement = data
        try:
            self._execute_command(COMMAND.COM_QUERY, data)
        except NeverBegunError:
            if self._first_statement is None:
                raise
            self._send_again(self._first_statement)

    def _send_again(self, data: bytes) -> None:
        """Send the first statement once more, on a new connection."""
        self._connect_anew()
        self._execute_command(COMMAND.COM_QUERY, data)

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None  # type: ignore[assignment]  # the former one, should this fail
        self._input.sequence = self._next_seq_id
        try:
            result = RawResult(self._input, self.encoding, self._calls.large_result)
        except NeverBegunError:
            if self._first_statement is None:
                raise
            self._send_again(self._first_statement)
            self._input.sequence = self._next_seq_id
            result = RawResult(self._input, self.encoding, self._calls.large_result)
        self._result = result
        self._first_statement = None
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
            raise NeverBegunError(CR.CR_SERVER_GONE_ERROR, f"MySQL server has gone away ({error!r})") from error
