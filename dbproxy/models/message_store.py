"""MessageStore: stores batches of messages, one transaction for all messages of a batch, whatever their conversations. Any thread.

What is guaranteed: a message whose msg_id is not 0 afterwards has exactly one row with that id, and an id is never used twice within a
conversation. How:

- the transaction begins by locking one row per conversation (the relation, the group), so no other transaction, of this proxy
  or another, assigns ids in it until ours are committed or rolled back;
- the ids come from the counters in Redis, as the original's do, but are compared with the largest stored one under that lock. A
  counter that Redis lost, or restored from an old snapshot, is corrected (``msg_ids.py``);
- when the connection is lost during the commit, the same lock is taken on a new connection (so the old transaction is over) and the rows
  are looked up. Only if they are not there is the transaction executed again;
- in a cluster with several writers, whose row locks belong to one node, the transaction changes a lock row of each conversation before
  anything else (``lock_rows``). If another one that is not seen here has changed it too, one of both is rolled back, and begins again.

The methods stand in the order in which they are called.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from dbproxy.errors import (
    DeadlockError,
    IdsUnavailableError,
    LockWaitError,
    NotWritableError,
    OutcomeUnknownError,
    StatementError,
    StoreError,
    StoreUnavailableError,
)
from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.last_ids import LastIds
from dbproxy.models.message_batch import MessageBatch, RetryTransactionError
from dbproxy.models.msg_ids import MsgIds
from dbproxy.models.new_message import NewMessage
from dbproxy.models.recoveries import Recoveries
from dbproxy.models.relation import Pair, RelationModel, pair_of
from dbproxy.models.session import NO_SESSION_ROWS, SessionModel, SessionRows
from dbproxy.stores.mysql import DBConn, DBPool, died_at_once, lock_rows, named_locks
from dbproxy.stores.mysql.server_connection_id import end_session
from dbproxy.stores.redis import CachePool

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""How often a transaction is begun before its messages are refused (deadlocks, rows added by others, lost connections, other servers). In
a cluster with several writers deadlocks do not count: only time ends them.
"""

_MOST_BACKOFF = 10
"""The longest pause after a deadlock, in units of 20 ms."""


class MessageStore:
    """Stores the messages of one kind of conversation."""

    def __init__(
        self,
        kind: ConversationKind,
        master: DBPool,
        unread: CachePool,
        sessions: SessionModel,
        relations: RelationModel | None,
        count_unread: Callable[[Sequence[NewMessage]], None],
        content_limit: int,
        outcome_timeout: float,
        recoveries: Recoveries | None = None,
    ) -> None:
        """``relations`` has the conversation ids; None if the receiver of a message is its conversation. ``count_unread`` is called with
        the stored messages after each commit. For the limits see ``configure``.
        """
        self._kind = kind
        self._master = master
        self._unread = unread
        self._sessions = sessions
        self._relations = relations
        self._count_unread = count_unread
        self._recoveries = recoveries
        self._last_ids = master.failovers, LastIds(kind)
        """The ids that are stored on the server since so many failovers: another server may lack rows, and give their row ids again."""
        self.configure(content_limit, outcome_timeout)

    def configure(self, content_limit: int, outcome_timeout: float) -> None:
        """Change the limits. ``content_limit``: characters that the content column holds. ``outcome_timeout``: seconds after which the
        lookup of a lost commit is given up, and no further attempt is begun.
        """
        self._content_limit = content_limit
        self._outcome_timeout = outcome_timeout

    def others_write(self) -> bool:
        """Whether other processes seem to write to the same tables; see LastIds. Never blocks."""
        return self._stored_ids().others_write()

    def store(self, messages: Sequence[NewMessage]) -> None:
        """Store messages in the order given and set their ``msg_id``; those that cannot be stored keep 0 and leave nothing behind.

        Never raises a StoreError: what a backend refuses is logged.
        """
        messages = [message for message in messages if self._is_storable(message)]
        if not messages:
            return
        try:
            self._store_batch(messages)
        except LockWaitError as error:
            self._store_parts(messages, error, self._kind.ordering_key)
        except StatementError as error:
            self._store_parts(messages, error, id)
        except StoreError as error:
            if isinstance(error, IdsUnavailableError) and self._unread.works_in_part:
                self._store_parts(messages, error, self._kind.ordering_key)
            else:
                _refuse(messages, error)

    def _is_storable(self, message: NewMessage) -> bool:
        """Whether the content column can hold it; checked first, so that a refused message adds no session."""
        if message.sound is not None:
            return True
        try:
            text = message.content.decode()
        except UnicodeDecodeError:
            logger.warning("message refused: not UTF-8 [from=%d to=%d]", message.from_id, message.to_id)
            return False
        if len(text) > self._content_limit:
            logger.warning(
                "message refused: %d characters, %d fit [from=%d to=%d]", len(text), self._content_limit, message.from_id, message.to_id
            )
            return False
        return True

    def _store_parts(self, messages: Sequence[NewMessage], error: StoreError, part_of: Callable[[NewMessage], Hashable]) -> None:
        """Store the parts of a batch that was refused in transactions of their own, in order, so that only those that are refused again
        are refused; no more once no node of Redis works.
        """
        parts: dict[Hashable, list[NewMessage]] = {}
        for message in messages:
            message.msg_id = 0
            parts.setdefault(part_of(message), []).append(message)
        if len(parts) == 1:
            _refuse(messages, error)
            return
        deadline = time.monotonic() + self._outcome_timeout
        for part in parts.values():
            if time.monotonic() > deadline or (isinstance(error, IdsUnavailableError) and not self._unread.works_in_part):
                _refuse(part, error)
                continue
            try:
                self._store_batch(part)
            except StoreError as refused:
                _refuse(part, refused)

    def _store_batch(self, messages: Sequence[NewMessage]) -> None:
        """Execute the transaction until it is committed, then count the messages as unread."""
        batch = MessageBatch(messages, MsgIds(self._unread, self._kind.counter_key, messages, self._recoveries))
        deadline = time.monotonic() + self._outcome_timeout
        attempt = conflicts = 0
        while True:
            attempt += 1
            began = time.monotonic()
            batch.now = int(time.time())
            try:
                self._execute_transaction(batch)
                break
            except RetryTransactionError as retry:
                batch.lock_names |= retry.lock_names
                if _is_last(attempt, deadline):
                    raise StoreUnavailableError("the rows of a conversation kept changing during its transactions") from None
            except DeadlockError as error:
                if batch.is_multi_writer and not isinstance(error, LockWaitError):  # of each conflict somebody else's messages are stored
                    attempt -= 1
                    conflicts += 1
                if _is_last(attempt, deadline) or isinstance(error, LockWaitError):
                    raise
                time.sleep(random.uniform(0, 0.02 * min(attempt + conflicts, _MOST_BACKOFF)))
            except OutcomeUnknownError as error:
                logger.warning("%s; looking for the messages", error)
                if self._master.resolve_outcome(partial(self._is_committed, batch=batch), self._outcome_timeout):
                    break
                if _is_last(attempt, deadline):
                    raise
            except NotWritableError:
                if _is_last(attempt, deadline) or not self._master.await_writes():
                    raise
            except StoreUnavailableError as error:
                if attempt > 1 or not died_at_once(error, began):
                    raise
        try:
            self._count_unread(messages)
        except StoreError as error:
            logger.error("%d messages are stored, but their unread counters could not be raised: %s", len(messages), error)
        except Exception:  # they are stored: a refusal now would make their senders send them again
            logger.exception("%d messages are stored, but their unread counters could not be raised", len(messages))

    def _execute_transaction(self, batch: MessageBatch) -> None:
        """One attempt: lock, assign ids, insert, commit; three round trips to MySQL if no session and no relation is new.

        Raises:
            RetryTransactionError: it has to begin again.
            StoreError: it was rolled back, or its outcome is unknown (OutcomeUnknownError).

        """
        stored = self._stored_ids()  # before there is a connection, so that they are never those of a server after this one
        with self._master.connection() as connection, named_locks(connection, tuple(batch.lock_names)):
            batch.is_multi_writer = connection.is_multi_writer
            relations = self._find_conversations(connection, batch)
            sessions, last_ids = self._begin(connection, batch, relations, stored)
            created = self._create_relations(connection, batch)
            batch.server_connection_id = connection.server_connection_id  # the first statement may have replaced a dead connection
            batch.msg_ids.assign(last_ids, frozenset(created.values()))
            self._insert_and_commit(connection, batch, sessions, stored)
            if created and self._relations is not None:
                self._relations.cache_ids(created)

    def _stored_ids(self) -> LastIds:
        failovers = self._master.failovers
        since, stored = self._last_ids
        if since != failovers:
            stored = LastIds(self._kind)
            self._last_ids = failovers, stored
        return stored

    def _find_conversations(self, connection: DBConn, batch: MessageBatch) -> dict[Pair, int]:
        """Set the conversation id of each message, 0 of pairs without a relation. Returns the relations that were found, some of them
        cached.
        """
        if self._relations is None:
            for message in batch.messages:
                message.conversation_id = message.to_id
            return {}
        pairs = [pair_of(message.from_id, message.to_id) for message in batch.messages]
        relations = self._relations.find(connection, pairs)
        for message, pair in zip(batch.messages, pairs, strict=True):
            message.conversation_id = relations.get(pair, 0)
        if len(relations) < len(set(pairs)):
            batch.require(RelationModel.lock_name(pair) for pair in pairs if pair not in relations)
        return relations

    def _begin(
        self, connection: DBConn, batch: MessageBatch, relations: dict[Pair, int], stored: LastIds
    ) -> tuple[SessionRows, dict[int, int]]:
        """Begin the transaction with one round trip: lock the conversations, touch the sessions or find them, and read the largest
        msg_ids; a second one is needed if other proxies are writing to the same tables. If all sessions are cached, the ids are reserved
        in Redis as soon as the locks are held, while MySQL goes on. Returns which sessions are still to be touched or added, and
        conversation id → largest stored msg_id.
        """
        kind, messages = self._kind, batch.messages
        session_keys = list(dict.fromkeys(key for message in messages for key in kind.session_keys(message)))
        conversation_ids = {message.conversation_id for message in messages} - {0}
        touch = self._sessions.touch_cached(session_keys, kind.session_type, batch.now)
        last_ids = stored.query(conversation_ids)
        lock = [kind.lock_query(conversation_ids)] if conversation_ids else []
        find_or_touch = touch or SessionModel.find_query(session_keys, kind.session_type)
        begin = ["begin", *lock_rows(connection, batch.conversation_names(kind))]
        results = connection.results_of([*begin, *lock, find_or_touch, *last_ids.statements])
        for _ in begin:
            next(results)
        if lock:
            locked = next(results).rows
            if self._relations is not None and not self._relations.confirm(relations, locked):
                raise RetryTransactionError
            if touch is not None:  # otherwise the transaction may have to begin again, and other proxies could make it skip the ids
                batch.msg_ids.reserve()
        result = next(results)
        if touch is None:
            sessions = SessionModel.rows_of(session_keys, result.rows)
            batch.require(map(kind.lock_name, sessions.missing))
            self._sessions.cache_ids(sessions, kind.session_type)
        elif result.matched_rows == len(session_keys):
            sessions = NO_SESSION_ROWS
        else:
            self._sessions.drop_ids(session_keys, kind.session_type)
            raise RetryTransactionError
        return sessions, stored.read(connection, last_ids, [result.rows for result in results])

    def _create_relations(self, connection: DBConn, batch: MessageBatch) -> dict[Pair, int]:
        """Add the relations of those pairs that have none, and set the conversation ids of their messages."""
        new = [message for message in batch.messages if not message.conversation_id]
        if not new or self._relations is None:
            return {}
        created = self._relations.create(connection, list(dict.fromkeys(pair_of(m.from_id, m.to_id) for m in new)), batch.now)
        if created is None:
            raise RetryTransactionError
        for message in new:
            message.conversation_id = created[pair_of(message.from_id, message.to_id)]
        return created

    def _insert_and_commit(self, connection: DBConn, batch: MessageBatch, sessions: SessionRows, stored: LastIds) -> None:
        """Insert the messages, touch or add the remaining sessions, and commit, with one round trip; one more for each sound."""
        kind = self._kind
        by_table: dict[str, list[NewMessage]] = {}
        for message in batch.messages:
            if message.sound is not None:
                connection.execute(
                    "insert into IMAudio (fromId,toId,path,size,duration,created) values (%s,%s,%s,%s,%s,%s)",
                    (message.from_id, message.to_id, message.sound.path, message.sound.size, message.sound.duration, message.created),
                )
                message.content = b"%d" % connection.insert_id()
            by_table.setdefault(kind.table(message.conversation_id), []).append(message)
        statements = SessionModel.touch_statements(sessions, kind.session_type, batch.now)
        first_insert = len(statements)
        receiver = "" if kind.receiver_column is None else f",{kind.receiver_column}"
        columns = f"{kind.id_column},{kind.sender_column},msgId,content,type,status,created,updated{receiver}"
        for table, messages in by_table.items():
            rows = ",".join(self._row(connection, message) for message in messages)
            statements.append(f"insert into {table} ({columns}) values {rows}")
        if kind.touch_statement is not None:
            statements.append(kind.touch_statement({message.conversation_id for message in batch.messages}, batch.now))
        first_row_ids = connection.commit_script(statements)[first_insert:]
        if connection.is_multi_writer:  # its rows do not have ids one after the other, and others may be inserted between them
            return
        for (table, messages), first_row_id in zip(by_table.items(), first_row_ids, strict=False):
            stored.record(table, first_row_id, messages)

    def _row(self, connection: DBConn, message: NewMessage) -> str:
        content = connection.escape(message.content.decode())
        receiver = "" if self._kind.receiver_column is None else f",{message.to_id}"
        return (
            f"({message.conversation_id},{message.from_id},{message.msg_id},{content},{message.msg_type},0,"
            f"{message.created},{message.created}{receiver})"
        )

    def _is_committed(self, connection: DBConn, batch: MessageBatch) -> bool:
        """Whether the transaction of a batch whose connection was lost has been committed."""
        kind, first = self._kind, batch.messages[0]
        end_session(connection, batch.server_connection_id)  # ends its transaction now, unless it may be committing: that is waited for
        lock = lock_rows(connection, batch.conversation_names(kind))
        connection.script(["begin", *lock, kind.lock_query({message.conversation_id for message in batch.messages})])
        rows = connection.select(
            f"select content from {kind.table(first.conversation_id)} where {kind.id_column}={first.conversation_id} "
            f"and msgId={first.msg_id} and {kind.sender_column}={first.from_id}"
        )
        connection.execute("commit" if lock else "rollback")  # its lock rows let that transaction fail, should it still be under way
        committed = any(row[0] == first.content for row in rows)
        logger.warning("the commit of %d messages had %s", len(batch.messages), "happened" if committed else "not happened")
        return committed


def _is_last(attempt: int, deadline: float) -> bool:
    return attempt == ATTEMPTS or time.monotonic() > deadline


def _refuse(messages: Sequence[NewMessage], error: StoreError) -> None:
    for message in messages:
        message.msg_id = 0
    first = messages[0]
    logger.error("%d messages refused, the first [from=%d to=%d]: %s", len(messages), first.from_id, first.to_id, error)
