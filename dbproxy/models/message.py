"""Message: one-to-one messages, their history and their unread counters. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dbproxy.models import names
from dbproxy.models.draft import Draft
from dbproxy.models.history import (
    HISTORY_COLUMNS,
    MAX_BY_ID,
    MAX_LIST,
    StoredMessage,
    ids_to_look_up,
    read_history,
    union,
)
from dbproxy.models.last_ids import LastIds
from dbproxy.models.message_store import Attempt, MessageStore, Opened, RetryTransactionError
from dbproxy.models.relation import Pair, RelationModel, pair_of
from dbproxy.models.session import SINGLE, SessionKey, SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, Row, schema
from dbproxy.stores.redis import CacheCommand, CachePool


class MessageModel(MessageStore):
    """IMMessage_0..7 by relate_id, and the hash ``unread_{user}``."""

    session_type = SINGLE

    def __init__(
        self,
        master: DBPool,
        slave: DBPool,
        unread: CachePool,
        relations: RelationModel,
        sessions: SessionModel,
        content_limit: int,
        lock_timeout: float,
        outcome_timeout: float,
    ) -> None:
        last_ids = LastIds("relateId", names.message_table, schema.MESSAGE_BY_ID, by_status=True)
        super().__init__(master, unread, sessions, last_ids, content_limit, lock_timeout, outcome_timeout)
        self._slave = slave
        self._relations = relations

    def store(self, drafts: Sequence[Draft]) -> None:
        """Store one-to-one messages; see MessageStore. To oneself, from or to user 0: refused."""
        super().store([draft for draft in drafts if draft.from_id != draft.to_id and draft.from_id and draft.to_id])

    # history

    def history(self, wanted: Sequence[tuple[int, int, int, int]]) -> list[list[StoredMessage]]:
        """For each (user id, peer id, msg_id_begin, msg_cnt): the messages from msg_id_begin (0: the newest) downwards, newest first."""

        def query(relate_id: int, index: int) -> str:
            _, _, begin, count = wanted[index]
            below = f" and msgId<={begin}" if begin else ""
            return (
                f"from {names.message_table(relate_id)} force index ({schema.MESSAGE_BY_TIME}) "
                f"where relateId={relate_id} and status=0{below} order by created desc,id desc limit {min(count, MAX_LIST)}"
            )

        return self._history([(user_id, peer_id) for user_id, peer_id, _, _ in wanted], query)

    def by_id(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> list[list[StoredMessage]]:
        """For each (user id, peer id, msg_ids): those messages, newest first, at most 100."""

        def query(relate_id: int, index: int) -> str | None:
            msg_ids = wanted[index][2]
            if not msg_ids:
                return None
            among = ids_to_look_up(msg_ids)
            return (
                f"from {names.message_table(relate_id)} where relateId={relate_id} and status=0 and msgId in ({among}) "
                f"order by created desc,id desc limit {MAX_BY_ID}"
            )

        return self._history([(user_id, peer_id) for user_id, peer_id, _ in wanted], query)

    def _history(self, conversations: Sequence[SessionKey], query: Callable[[int, int], str | None]) -> list[list[StoredMessage]]:
        asked = [pair_of(*conversation) for conversation in conversations]

        def read(relations: dict[Pair, int]) -> tuple[Sequence[Row], list[list[StoredMessage]]]:
            if not relations:
                return (), [[] for _ in asked]
            queries = {}
            for index, pair in enumerate(asked):
                relate_id = relations.get(pair)
                text = None if relate_id is None else query(relate_id, index)
                if text is not None:
                    queries[index] = f"(select {HISTORY_COLUMNS.format(index=index, sender='fromId')} {text})"
            confirm = RelationModel.confirm_query(relations.values())
            rows, *results = self._slave.read(lambda connection: connection.script((confirm, *union(queries.values()))))
            return rows, read_history(results, len(asked))

        return self._relations.confirmed(self._slave, asked, read)

    # unread counters

    def clear_unread(self, sessions: Sequence[SessionKey]) -> None:
        """For each (user id, peer id): forget what the user has not read from the peer."""
        self._unread.write_or_reset([("HDEL", names.unread_key(user_id), peer_id) for user_id, peer_id in sessions])

    # storing

    def _open(self, connection: DBConn, attempt: Attempt) -> Opened:
        drafts = attempt.drafts
        conversation_pairs = dict.fromkeys(pair_of(draft.from_id, draft.to_id) for draft in drafts)
        relations = self._relations.find(connection, conversation_pairs)
        new_pairs = [pair for pair in conversation_pairs if pair not in relations]
        needed = frozenset(RelationModel.lock_name(pair) for pair in new_pairs) - attempt.lock_names
        if needed:
            raise RetryTransactionError(needed)
        for draft in drafts:
            draft.conversation_id = relations.get(pair_of(draft.from_id, draft.to_id), 0)
        keys = list(dict.fromkeys(key for draft in drafts for key in ((draft.from_id, draft.to_id), (draft.to_id, draft.from_id))))
        sessions, last_ids = self._begin(
            connection,
            attempt,
            keys,
            relations.values(),
            lambda key: RelationModel.lock_name(pair_of(*key)),
            lambda locked: self._relations.confirm(relations, locked),
        )
        created = self._relations.create(connection, new_pairs, attempt.now) if new_pairs else {}
        if created is None:
            raise RetryTransactionError
        for draft in drafts:
            draft.conversation_id = draft.conversation_id or created[pair_of(draft.from_id, draft.to_id)]
        return Opened(last_ids, frozenset(created.values()), sessions, lambda: self._relations.remember(created))

    def _conversation_of(self, draft: Draft) -> Pair:
        return pair_of(draft.from_id, draft.to_id)

    def _lock_query(self, conversation_ids: Iterable[int]) -> str:
        return self._relations.confirm_query(conversation_ids, lock=True)

    def _table(self, conversation_id: int) -> str:
        return names.message_table(conversation_id)

    def _insert(self, table: str, rows: Sequence[str]) -> str:
        return f"insert into {table} (relateId,fromId,toId,msgId,content,type,status,created,updated) values {','.join(rows)}"

    def _values(self, connection: DBConn, draft: Draft) -> str:
        content = connection.escape(draft.content.decode())
        created = draft.created
        return f"({draft.conversation_id},{draft.from_id},{draft.to_id},{draft.msg_id},{content},{draft.msg_type},0,{created},{created})"

    def _stored_query(self, draft: Draft) -> str:
        table = names.message_table(draft.conversation_id)
        return f"select content from {table} where relateId={draft.conversation_id} and msgId={draft.msg_id} and fromId={draft.from_id}"

    def _counter_key(self, conversation_id: int) -> str:
        return names.msg_id_key(conversation_id)

    def _extra_statements(self, drafts: Sequence[Draft], now: int) -> list[str]:
        return []

    def _count(self, drafts: Sequence[Draft]) -> None:
        counts: dict[tuple[int, int], int] = {}
        for draft in drafts:
            key = (draft.to_id, draft.from_id)
            counts[key] = counts.get(key, 0) + 1
        commands: list[CacheCommand] = [
            ("HINCRBY", names.unread_key(user_id), peer_id, count) for (user_id, peer_id), count in counts.items()
        ]
        self._unread.write_or_reset(commands)
