"""DBPool: connections to MySQL (PyMySQL) in a pool (DBUtils), one for each instance of the configuration.

Any thread may use a pool. A connection belongs to the thread that checked it out until the ``with`` block ends, and a thread holds at
most one of a pool at a time.

What is different from the defaults of the libraries, and why:

- nothing connects, pings or resets under the pool's lock: DBUtils gets connections that are not connected yet (``DBConn`` connects
  when it is first used), and neither pings nor resets them;
- the libraries never execute anything a second time (``driver.DriverPool``);
- a connection that the server has closed while it was idle (wait_timeout, KILL, a restart) is noticed before its first statement, for the
  price of one system call and no round trip;
- connections used lately are taken first (see ``DriverPool``), so those that are not needed expire. One that has been idle for nearly as
  long as the server allows is closed with COM_QUIT: the server would report it as aborted.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pymysql
from pymysql.constants import ER

from dbproxy.config import Config, DBInstance
from dbproxy.errors import (
    BackendNotReadyError,
    DbproxyError,
    DeadlockError,
    LockWaitError,
    NotWritableError,
    OutcomeUnknownError,
    StartupError,
    StoreError,
    StoreUnavailableError,
)
from dbproxy.stores.backend_calls import UNTRACKED, BackendCalls
from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.errors import CannotConnectError, ServerLeftError, error_code, error_text
from dbproxy.stores.mysql.failures import (
    died_at_once,
    has_timed_out,
    is_not_ready,
    is_not_writable,
    is_refused_statement,
    leaves_outcome_open,
    refusal,
)
from dbproxy.stores.mysql.pool_connections import MINIMUM_IDLE, Connections
from dbproxy.stores.mysql.result import Row
from dbproxy.stores.mysql.schema import LOCK_TABLE
from dbproxy.stores.mysql.server_choice import ServerChoice
from dbproxy.stores.mysql.server_search import Address
from dbproxy.stores.pools import LimitedPool
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import is_tls_refusal

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

OUTCOME_TIMEOUT = 10.0
"""Seconds after which the lookup of a lost commit is given up, unless its caller has a limit of its own."""

_RESOLVE_DELAY = 0.25
"""Seconds between two attempts to find out what became of a commit."""

WRITE_ATTEMPTS = 4
"""How often a statement or a transaction is executed before its deadlock is the caller's."""

MULTI_WRITER_ATTEMPTS = 20
"""The same in a cluster with several writers, where conflicts with other nodes appear as deadlocks."""


class DBPool(LimitedPool[Connections]):
    """The connections to one MySQL instance: 2 at the start, up to ``maxconncnt``; a thread waits up to ``DBPoolTimeout`` for one.

    All lead to one server: ``for_writes`` to the first of the instance's list that takes writes (``ServerChoice``), else to the first.
    """

    kind = "mysql"

    def __init__(
        self,
        instance: DBInstance,
        config: Config,
        resolver: Resolver,
        calls: BackendCalls = UNTRACKED,
        *,
        for_writes: bool = False,
        connections: type[DBConn] = DBConn,
    ) -> None:
        """``connections``: what they are; ``connection`` yields them."""
        super().__init__(instance.name, calls, Connections(instance, config, resolver, calls, connections, for_writes=for_writes))

    @property
    def failovers(self) -> int:
        """How often the pool has turned to another server. It rises before that one is asked anything: what is known of the data may be
        wrong then, since a replica may lack what was committed last, and may give the same row ids again.
        """
        return self._state.choice.failovers

    @property
    def choice(self) -> ServerChoice:
        """Which server it leads to."""
        return self._state.choice

    @property
    def address(self) -> Address:
        """Host and port of the server in use; before one was found, of the first of the list."""
        return self._state.choice.address

    @property
    def identity(self) -> str:
        """Of the server in use; see ``ServerRole``. Empty before it was connected to."""
        return self._state.choice.identity

    def adopt(self, other: Self) -> None:
        """See LimitedPool."""
        other._state.pending_kills = self._state.pending_kills
        other._state.choice.follow(self._state.choice)
        super().adopt(other)

    def open(self) -> None:
        """Connect the first connections.

        Raises:
            StartupError: naming instance, host, port and the keys to look at; BackendNotReadyError if waiting may help. It may be
                called again then.

        """
        state = self._state
        pooled = []
        try:
            for _ in range(min(MINIMUM_IDLE, state.size)):
                connection = state.pool.dedicated_connection()
                pooled.append(connection)
                connection.dbapi_connection.ensure_connected()
        except pymysql.err.Error as error:
            keys = self._connection_keys("dbname", state.instance.tls)
            waiting_helps = is_not_ready(error) and not is_tls_refusal(error)
            kind = BackendNotReadyError if waiting_helps else StartupError
            raise kind(f"{self}, database {state.instance.dbname}: {error_text(error)} (keys {keys})") from error
        finally:
            for connection in pooled:
                connection.dbapi_connection.mark_idle()
                connection.close()

    @contextmanager
    def connection(self) -> Iterator[DBConn]:
        """Take a connection for the length of the block; in autocommit mode.

        Raises:
            StoreUnavailableError: no connection became free in time, the server cannot be reached, or the connection was lost
                before anything was committed.
            OutcomeUnknownError: it was lost during a commit.
            NotWritableError: the server takes no writes; see ``await_writes``.
            StatementError, DeadlockError: the server refused a statement.

        """
        self._calls.before_call()
        state = self._state
        if not state.free.acquire(blocking=False):
            self._wait_for_free(state)
        try:
            pooled = state.pool.dedicated_connection()
            connection: DBConn = pooled.dbapi_connection
            try:
                connection.ensure_connected()
                if state.pending_kills.are_due:
                    state.pending_kills.end(connection)
                yield connection
                if not self.counters.works:
                    self.counters.works = True
            except pymysql.err.Error as error:
                raise self._translate(state, connection, error) from error
            except DbproxyError:
                connection.end_transaction()
                raise
            except BaseException:
                connection.discard()  # there may be unread results
                raise
            finally:
                if connection.has_unread_results:
                    connection.discard()
                connection.mark_idle()
                pooled.close()
                if state.retired:
                    state.pool.close()
        finally:
            state.free.release()

    def write(self, work: Callable[[DBConn], Result]) -> Result:
        """Run ``work``, which is one statement or one transaction, with a connection; again if the server rolled it back because others
        were working on the same rows in another order, or takes no writes any more and another one does.

        Raises:
            As ``connection`` does.

        """
        attempt = 0
        while True:
            attempt += 1
            attempts = WRITE_ATTEMPTS
            try:
                with self.connection() as connection:
                    if connection.is_multi_writer:
                        attempts = MULTI_WRITER_ATTEMPTS
                    return work(connection)
            except NotWritableError:
                if attempt >= WRITE_ATTEMPTS or not self.await_writes():
                    raise
            except DeadlockError as error:
                if attempt >= attempts or isinstance(error, LockWaitError):
                    raise
                logger.debug("attempt %d: %s", attempt, error)
                time.sleep(random.uniform(0, 0.02 * min(attempt, 10)))

    def await_writes(self) -> bool:
        """After NotWritableError: wait until a server takes writes, at most DBConnectTimeout since none does; False: none does."""
        return self._state.choice.await_writes(self._takes_writes)

    def _takes_writes(self) -> bool:
        try:
            with self.connection() as connection:
                if not connection.connected_to.role.takes_writes:
                    connection.close()  # the next one may lead elsewhere
                return connection.connected_to.role.takes_writes
        except StoreError:
            return False

    def read(self, work: Callable[[DBConn], Result]) -> Result:
        """Run ``work``, which only reads, with a connection; once more if the connection turns out to be dead at once.

        Raises:
            As ``connection`` does.

        """
        began = time.monotonic()
        try:
            with self.connection() as connection:
                return work(connection)
        except StoreUnavailableError as error:
            if not died_at_once(error, began):
                raise
        with self.connection() as connection:
            return work(connection)

    def resolve_outcome(self, find: Callable[[DBConn], Result], timeout: float = OUTCOME_TIMEOUT) -> Result:
        """Run ``find``, which says what became of a lost commit, with a connection; repeated until the server answers, or ``timeout``
        seconds have passed.

        Raises:
            OutcomeUnknownError: it could not be found out, so nothing may be done again.

        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self.connection() as connection:
                    return find(connection)
            except StoreError as error:
                if time.monotonic() > deadline:
                    raise OutcomeUnknownError(f"what became of a commit could not be found out in {timeout:g} s: {error}") from error
                time.sleep(_RESOLVE_DELAY)

    def select(self, statement: str, arguments: Sequence[Any] = ()) -> Sequence[Row]:
        """Execute one query with a connection of its own; see ``read``."""
        return self.read(lambda connection: connection.select(statement, arguments))

    def renew(self) -> None:
        """Use none of the present connections again: the address may lead to another server now. Does no I/O but closing."""
        self._state.choice.renew()
        self._state.pool.close()

    def check(self) -> None:
        """Execute ``do 1``; see LimitedPool."""
        with self.connection() as connection:
            connection.execute("do 1")

    def close(self) -> None:
        """Close the idle connections; see LimitedPool."""
        self._state.pool.close()

    def _connections_and_calls(self) -> tuple[int, int, int, float]:
        in_use, idle, calls, seconds = self._state.pool.usage()
        return in_use, idle, self._former_calls + calls, self._former_seconds + seconds

    def _translate(self, state: Connections, connection: DBConn, error: pymysql.err.Error) -> Exception:
        """Turn a driver's error into ours, and make sure that no transaction or unread result stays on the connection."""
        code = error_code(error)
        committing, connection.committing = connection.committing, False
        if isinstance(error, CannotConnectError):
            text = f"{state.label}: {error_text(error)}"
            self.counters.failed("connect", text)
            return StoreUnavailableError(text)
        text = error_text(error, has_user_text=connection.has_user_text)
        if isinstance(error, ServerLeftError):
            return NotWritableError(f"{state.label}: {text}")
        if state.choice.for_writes and is_not_writable(error):
            generation = connection.connected_to.generation
            connection.close()
            self.counters.failed("refused", f"{state.label}: {text}")
            state.choice.refused(generation)
            if committing and leaves_outcome_open(error):
                return OutcomeUnknownError(f"{state.label}: left its cluster during a commit: {text}")
            return NotWritableError(f"{state.label}: {text}")
        if code == ER.NO_SUCH_TABLE and connection.needs_lock_rows and LOCK_TABLE in str(error.args[-1]):
            connection.discard()  # its node was not ready, and the table was supposed to be there; the next one asks
        if is_refused_statement(code) and not (committing and connection.is_multi_writer and leaves_outcome_open(error)):
            connection.end_transaction()
            self.counters.failed("refused", f"{state.label}: {text}")
            return refusal(error, text)
        connection.discard()
        self.counters.failed("timeout" if has_timed_out(error) else "lost", f"{state.label}: {text}")
        state.pending_kills.add(connection.server_connection_id)
        if committing:
            return OutcomeUnknownError(f"{state.label}: lost during a commit: {text}")
        return StoreUnavailableError(f"{state.label}: {text}")
