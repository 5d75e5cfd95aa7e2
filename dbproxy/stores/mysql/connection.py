"""DBConn: one connection to MySQL. It belongs to one thread at a time, which checks it out of a ``DBPool``."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pymysql
from pymysql.constants import CR, SERVER_STATUS

from dbproxy.config import Config, DBInstance
from dbproxy.stores.backend_calls import CONNECTING, BackendCalls
from dbproxy.stores.kernel_socket import limit_receive, still_connected
from dbproxy.stores.mysql.channel import Channel
from dbproxy.stores.mysql.errors import CannotConnectError, ServerLeftError
from dbproxy.stores.mysql.login import Login
from dbproxy.stores.mysql.multi_writer import MultiWriterSession, read_what_others_commit
from dbproxy.stores.mysql.result import QueryResult, Row
from dbproxy.stores.mysql.server_choice import NOT_CONNECTED, ServerChoice
from dbproxy.stores.mysql.server_connection_id import NO_SESSION, find_session
from dbproxy.stores.mysql.server_role import ServerRole, ask_role
from dbproxy.stores.mysql.server_search import Address
from dbproxy.stores.resolver import Resolver


class DBConn(Channel):
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
        super().__init__(calls)
        self._choice = choice
        self.connected_to = NOT_CONNECTED
        """What it knows of the server that it leads to."""
        self._on_connect = on_connect
        self.lock_timeout = config.db_lock_timeout
        """Seconds: the longest wait for locks; DBLockTimeout."""
        self.committing = False
        self.has_user_text = False
        """Whether a statement since the checkout contains text, which the server's errors may quote."""
        self.server_connection_id = NO_SESSION
        """For ``end_session``. The first statement changes it if the connection turns out to be dead and is replaced."""
        self.has_performance_schema = True
        """Not of MariaDB; see ``server_connection_id.py``."""
        self._insert_id = 0
        self._idle_since = time.monotonic()

    @property
    def open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._sock is not None

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB and not MySQL; once it is connected."""
        return "MariaDB" in self._login.driver.server_version

    @property
    def server_version(self) -> str:
        """What the server said of its version at the login; once it is connected."""
        return self._login.driver.server_version

    @property
    def is_multi_writer(self) -> bool:
        """Whether other servers of a cluster take writes too, so that their transactions may end one of ours; see ``multi_writer.py``."""
        return self._cluster is not None

    @property
    def needs_lock_rows(self) -> bool:
        """Whether the server's own locks are not enough to exclude other proxies, but those of ``lock_rows`` are."""
        return self._cluster is not None and self._cluster.has_lock_table

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
        if self._sock is not None and not self._choice.holds(self.connected_to):
            self.close()
        self._was_idle = self._sock is not None
        if not self._was_idle:
            self._reconnect()

    def limit_answers(self, seconds: float | None) -> None:
        """Wait for so many seconds for each part of an answer that arrives from now on; None: as after connecting."""
        if self._sock is not None:
            limit_receive(self._sock, self._login.statement_timeout if seconds is None else seconds)

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
        self.connected_to = NOT_CONNECTED
        self.connected_to = self._choice.connect(self._connect_to)
        self._on_connect()

    def _connect_to(self, address: Address, timeout: float) -> ServerRole:
        """Connect to this server; the former connection is closed. What the server says of itself."""
        self.discard()
        self._reader.clear()
        self._first_statement = self._cluster = None
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
            if role.has_other_writers:
                read_what_others_commit(self)
            self._cluster = MultiWriterSession(self, is_ready=not role.refusal) if role.has_other_writers else None
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
            self._forget_results()
            self._login.driver.close()

    def discard(self) -> None:
        """Close the connection without COM_QUIT, if it is open; the next ``ensure_connected`` connects again."""
        self._sock = None
        self._forget_results()
        self._login.driver.discard()

    def end_transaction(self) -> None:
        """Roll back what is open, if anything is; a connection on which that fails is discarded, and the server rolls back."""
        try:
            if self.open and self._server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
                self.execute("rollback")
        except pymysql.err.Error:
            self.discard()

    def commit_script(self, statements: Sequence[str]) -> list[int]:
        """Execute these statements and ``commit`` with one round trip, in a cluster with several writers with one for each (see
        ``multi_writer.py``); losing the connection during the commit leaves the outcome unknown.

        Returns for each statement the id of the first row that it has inserted, 0 for one that inserts nothing.
        ServerLeftError: the pool has turned to another server since the connection was checked out.
        """
        if self.connected_to.generation != self._choice.generation:
            self.discard()
            raise ServerLeftError(CR.CR_SERVER_GONE_ERROR, "not committed: the server takes no writes any more")
        all_at_once = (*statements, "commit")
        insert_ids: list[int] = []
        for part in (all_at_once,) if self._cluster is None else zip(all_at_once, strict=True):
            self.committing = part[-1] == "commit"
            insert_ids += [result.insert_id for result in self.results_of(part)]
        self.committing = False
        return insert_ids[:-1]

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
        """Return the SQL literal of a name."""
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
