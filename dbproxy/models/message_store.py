"""Storing runs of messages: one transaction for all messages of a run, whatever their conversations. Any thread.

What is promised: a draft whose msg_id is not 0 afterwards has exactly one row with that id, and an id is never given twice within a
conversation. How:

- the transaction begins by locking one row per conversation (the relation, the group), so nobody else gives out ids for it, on this
  proxy or another, before ours are committed or gone;
- the ids come from the counters in Redis, as the original's do, but are checked against the largest stored one under that lock. A
  counter that Redis lost, or brought back from an old snapshot, is set right (``msg_ids.py``);
- when the connection is lost during the commit, the same lock is taken on a new one (so the old transaction is over) and the rows
  are looked for. Only when they are not there may the transaction run again.
"""

from __future__ import annotations

import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dbproxy.errors import (
    DbproxyError,
    DeadlockError,
    LockWaitError,
    OutcomeUnknownError,
    StatementError,
    StoreError,
    StoreUnavailableError,
)
from dbproxy.models.draft import Draft
from dbproxy.models.last_ids import LastIds
from dbproxy.models.msg_ids import MsgIds
from dbproxy.models.session import NOTHING_TO_TOUCH, SessionKey, SessionModel, SessionRows
from dbproxy.stores.mysql import DBConn, DBPool, Row, ServerConnectionId, died_at_once, end_session
from dbproxy.stores.redis import CachePool

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""How often a transaction is begun before its messages are refused (deadlocks, rows made by others, lost connections)."""


class RetryTransactionError(DbproxyError):
    """What the transaction was begun with is not true (any more); ``lock_names`` must be held when it begins anew."""

    def __init__(self, lock_names: Iterable[str] = ()) -> None:
        super().__init__()
        self.lock_names = frozenset(lock_names)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a transaction is begun with."""

    drafts: Sequence[Draft]
    msg_ids: MsgIds
    lock_names: frozenset[str]
    """The named locks that are held."""
    now: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the opening of a transaction has found: the conversations are locked."""

    last_ids: Mapping[int, int]
    """conversation id → largest stored msg_id (0: none)."""
    new_ids: frozenset[int]
    """Conversations that this transaction makes."""
    sessions: SessionRows
    remember: Callable[[], None]
    """To be called after the commit."""


class MessageStore(ABC):
    """What one-to-one and group messages have in common; the subclasses know tables, keys and counters."""

    session_type: int

    def __init__(
        self,
        master: DBPool,
        unread: CachePool,
        sessions: SessionModel,
        last_ids: LastIds,
        content_limit: int,
        lock_timeout: float,
        outcome_timeout: float,
    ) -> None:
        """``content_limit``: characters that the content column takes. ``lock_timeout``: seconds to wait for a named lock.
        ``outcome_timeout``: seconds after which finding out about a lost commit is given up, and no transaction is begun once more.
        """
        self._master = master
        self._unread = unread
        self._sessions = sessions
        self._last_ids = last_ids
        self._content_limit = content_limit
        self._lock_timeout = lock_timeout
        self._outcome_timeout = outcome_timeout

    def store(self, drafts: Sequence[Draft]) -> None:
        """Store drafts in the order given and set their ``msg_id``; those that cannot be stored keep 0 and leave nothing behind.

        Never raises a StoreError: what a backend refuses is logged.
        """
        drafts = [draft for draft in drafts if self._is_storable(draft)]
        if not drafts:
            return
        try:
            self._store_run(drafts)
        except LockWaitError as error:
            self._store_apart(drafts, error, self._conversation_of)
        except StatementError as error:
            self._store_apart(drafts, error, id)
        except StoreError as error:
            self._refuse(drafts, error)

    def _store_apart(self, drafts: Sequence[Draft], error: StoreError, part_of: Callable[[Draft], Hashable]) -> None:
        """The database refused a run because of some of its messages, which must not take the others with them: store the parts of the
        run in transactions of their own, in their order, and refuse those that are refused again.
        """
        parts: dict[Hashable, list[Draft]] = {}
        for draft in drafts:
            draft.msg_id = 0
            parts.setdefault(part_of(draft), []).append(draft)
        if len(parts) == 1:
            self._refuse(drafts, error)
            return
        deadline = time.monotonic() + self._outcome_timeout
        for part in parts.values():
            if time.monotonic() > deadline:
                self._refuse(part, error)
                continue
            try:
                self._store_run(part)
            except StoreError as refused:
                self._refuse(part, refused)

    @abstractmethod
    def _open(self, connection: DBConn, attempt: Attempt) -> Opened:
        """Begin the transaction, lock the conversations and set ``conversation_id`` of the drafts.

        Raises:
            RetryTransactionError: it needs locks that are not held, or what was remembered is wrong.

        """

    @abstractmethod
    def _conversation_of(self, draft: Draft) -> Hashable:
        """What the messages of one conversation have in common, also before its id is known."""

    @abstractmethod
    def _lock_query(self, conversation_ids: Iterable[int]) -> str:
        """The query that locks the rows of these conversations."""

    @abstractmethod
    def _table(self, conversation_id: int) -> str:
        """The table of a conversation's messages."""

    @abstractmethod
    def _insert(self, table: str, rows: Sequence[str]) -> str:
        """The statement that inserts rows of ``_values``."""

    @abstractmethod
    def _values(self, connection: DBConn, draft: Draft) -> str:
        """One row of ``_insert``."""

    @abstractmethod
    def _stored_query(self, draft: Draft) -> str:
        """The query that finds the content of the message with the draft's id and sender."""

    @abstractmethod
    def _counter_key(self, conversation_id: int) -> str:
        """The Redis key of a conversation's last msg_id."""

    @abstractmethod
    def _extra_statements(self, drafts: Sequence[Draft], now: int) -> list[str]:
        """What else belongs into the transaction."""

    @abstractmethod
    def _count(self, drafts: Sequence[Draft]) -> None:
        """Raise the unread counters for stored messages."""

    def _is_storable(self, draft: Draft) -> bool:
        """Whether the content column will take it; checked first, so that a refused message leaves no session behind."""
        if draft.sound is not None:
            return True
        try:
            text = draft.content.decode()
        except UnicodeDecodeError:
            logger.warning("message refused: not UTF-8 [from=%d to=%d]", draft.from_id, draft.to_id)
            return False
        if len(text) > self._content_limit:
            logger.warning(
                "message refused: %d characters, %d fit [from=%d to=%d]", len(text), self._content_limit, draft.from_id, draft.to_id
            )
            return False
        return True

    def _store_run(self, drafts: Sequence[Draft]) -> None:
        lock_names: frozenset[str] = frozenset()
        msg_ids = MsgIds(self._unread, self._counter_key, drafts)
        deadline = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            began = time.monotonic()
            deadline = deadline or began + self._outcome_timeout
            tries: list[ServerConnectionId] = []
            try:
                remember = self._run_transaction(Attempt(drafts, msg_ids, lock_names, int(time.time())), tries)
                break
            except RetryTransactionError as again:
                lock_names |= again.lock_names
                if is_last(attempt, deadline):
                    raise StoreUnavailableError("the rows of a conversation kept changing under our hands") from None
            except DeadlockError as error:
                if is_last(attempt, deadline) or isinstance(error, LockWaitError):
                    raise
                time.sleep(random.uniform(0, 0.02 * attempt))
            except OutcomeUnknownError as error:
                logger.warning("%s; looking for the messages", error)
                if self._master.resolve_outcome(partial(self._has_committed, drafts=drafts, tries=tries), self._outcome_timeout):
                    remember = _nothing
                    break
                if is_last(attempt, deadline):
                    raise
            except StoreUnavailableError as error:
                if attempt > 1 or not died_at_once(error, began):
                    raise
        remember()
        try:
            self._count(drafts)
        except StoreError as error:
            logger.error("%d messages are stored, but their unread counters could not be raised: %s", len(drafts), error)
        except Exception:  # whatever it is: they are stored, and to refuse them now would make their senders write them again
            logger.exception("%d messages are stored, but their unread counters could not be raised", len(drafts))

    def _run_transaction(self, attempt: Attempt, tries: list[ServerConnectionId]) -> Callable[[], None]:
        drafts, now = attempt.drafts, attempt.now
        with self._master.connection() as connection, connection.named_locks(tuple(attempt.lock_names), self._lock_timeout):
            opened = self._open(connection, attempt)
            tries.append(
                connection.server_connection_id
            )  # not before the first statement: that may find the connection dead, and use another
            attempt.msg_ids.give_out(opened.last_ids, opened.new_ids)
            statements = SessionModel.touch_statements(opened.sessions, self.session_type, now)
            for draft in drafts:
                if draft.sound is not None:
                    connection.execute(
                        "insert into IMAudio (fromId,toId,path,size,duration,created) values (%s,%s,%s,%s,%s,%s)",
                        (draft.from_id, draft.to_id, draft.sound.path, draft.sound.size, draft.sound.duration, draft.created),
                    )
                    draft.content = b"%d" % connection.insert_id()
            by_table: dict[str, list[Draft]] = {}
            for draft in drafts:
                by_table.setdefault(self._table(draft.conversation_id), []).append(draft)
            inserts_at = len(statements)
            for table, of_table in by_table.items():
                statements.append(self._insert(table, [self._values(connection, draft) for draft in of_table]))
            statements += self._extra_statements(drafts, now)
            first_row_ids = connection.commit_script(statements)[inserts_at:]
            for (table, of_table), first_row_id in zip(by_table.items(), first_row_ids, strict=False):
                self._last_ids.stored(table, first_row_id, of_table)
            return opened.remember

    def _begin(
        self,
        connection: DBConn,
        attempt: Attempt,
        keys: Sequence[SessionKey],
        conversation_ids: Collection[int],
        lock_name_of: Callable[[SessionKey], str],
        confirm: Callable[[Sequence[Row]], bool] = lambda _: True,
    ) -> tuple[SessionRows, dict[int, int]]:
        """Begin the transaction with one round trip: lock the conversations (there may be none yet), touch the sessions or find them, and
        read the largest msg_ids; with a second one if other proxies are busy. If all sessions are known, Redis is asked for ids as soon
        as ``confirm`` has seen the locked rows, while MySQL goes on. Returns what is left to do about the sessions, and conversation →
        largest msg_id.

        Raises:
            RetryTransactionError: ``confirm`` says no, or a session has to be added and the named lock for that is not held, or a
                remembered session has gone.

        """
        touch = self._sessions.touch_known(keys, self.session_type, attempt.now)
        query = self._last_ids.query(conversation_ids)
        lock = [self._lock_query(conversation_ids)] if conversation_ids else []
        of_sessions_query = touch or SessionModel.find_query(keys, self.session_type)
        results = connection.results_of(["begin", *lock, of_sessions_query, *query.statements])
        next(results)
        if lock:
            if not confirm(next(results).rows):
                raise RetryTransactionError
            if touch is not None:  # otherwise it may have to begin again, and leave out ids if others are faster
                attempt.msg_ids.take()
        of_sessions = next(results)
        if touch is None:
            sessions = SessionModel.rows_of(keys, of_sessions.rows)
            needed = frozenset(lock_name_of(key) for key in sessions.missing) - attempt.lock_names
            if needed:
                raise RetryTransactionError(needed)
            self._sessions.remember(sessions, self.session_type)
        elif of_sessions.matched_rows == len(keys):
            sessions = NOTHING_TO_TOUCH
        else:
            self._sessions.forget(keys, self.session_type)
            raise RetryTransactionError
        return sessions, self._last_ids.read(connection, query, [result.rows for result in results])

    def _has_committed(self, connection: DBConn, drafts: Sequence[Draft], tries: Sequence[ServerConnectionId]) -> bool:
        """Whether the transaction that carried these drafts was committed; ``tries`` are the connections that carried it."""
        for server_connection_id in tries:
            end_session(connection, server_connection_id)  # so that its transaction ends now; one that may be committing is waited for
        connection.execute("begin")
        connection.select(self._lock_query({draft.conversation_id for draft in drafts}))
        rows: Sequence[Row] = connection.select(self._stored_query(drafts[0]))
        connection.execute("rollback")
        stored = any(row[0] == drafts[0].content for row in rows)
        logger.warning("the commit of %d messages had %s", len(drafts), "happened" if stored else "not happened")
        return stored

    def _refuse(self, drafts: Sequence[Draft], error: StoreError) -> None:
        for draft in drafts:
            draft.msg_id = 0
        logger.error("%d messages refused, the first [from=%d to=%d]: %s", len(drafts), drafts[0].from_id, drafts[0].to_id, error)


def is_last(attempt: int, deadline: float) -> bool:
    """Whether a transaction is not begun once more: often enough, or for long enough."""
    return attempt == ATTEMPTS or time.monotonic() > deadline


def _nothing() -> None:
    """What is to be remembered after a commit that was only found."""
