"""Message: one-to-one messages, their history and their unread counters. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dbproxy.models import names
from dbproxy.models.conversation_kind import SINGLE_CHAT
from dbproxy.models.history import StoredMessage, by_id_query, page_query, read_history, union
from dbproxy.models.message_store import MessageStore
from dbproxy.models.new_message import NewMessage
from dbproxy.models.recoveries import Recoveries
from dbproxy.models.relation import READ_ATTEMPTS, RelationModel, RelationsChangedError, pair_of
from dbproxy.models.session import SessionKey, SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, ReadPool
from dbproxy.stores.redis import CacheCommand, CachePool


class MessageModel:
    """IMMessage_0..7 by relate_id, and the hash ``unread_{user}``."""

    def __init__(
        self,
        master: DBPool,
        slave: ReadPool,
        unread: CachePool,
        relations: RelationModel,
        sessions: SessionModel,
        content_limit: int,
        outcome_timeout: float,
        recoveries: Recoveries | None = None,
    ) -> None:
        """The limits are those of MessageStore."""
        self._slave = slave
        self._unread = unread
        self._relations = relations
        self._store = MessageStore(
            SINGLE_CHAT, master, unread, sessions, relations, self._count_unread, content_limit, outcome_timeout, recoveries
        )

    def configure(self, content_limit: int, outcome_timeout: float) -> None:
        """Change the limits; see MessageStore."""
        self._store.configure(content_limit, outcome_timeout)

    def others_write(self) -> bool:
        """Whether other processes seem to store such messages, too. Never blocks."""
        return self._store.others_write()

    def store(self, messages: Sequence[NewMessage]) -> None:
        """Store one-to-one messages; see MessageStore. To oneself, from or to user 0: refused."""
        self._store.store([message for message in messages if message.from_id != message.to_id and message.from_id and message.to_id])

    def _count_unread(self, messages: Sequence[NewMessage]) -> None:
        counts: dict[tuple[int, int], int] = {}
        for message in messages:
            key = (message.to_id, message.from_id)
            counts[key] = counts.get(key, 0) + 1
        commands: list[CacheCommand] = [
            ("HINCRBY", names.unread_key(user_id), peer_id, count) for (user_id, peer_id), count in counts.items()
        ]
        self._unread.write_or_reset(commands)

    def clear_unread(self, sessions: Sequence[SessionKey]) -> None:
        """For each (user id, peer id): delete the count of messages from the peer that the user has not read."""
        self._unread.write_or_reset([("HDEL", names.unread_key(user_id), peer_id) for user_id, peer_id in sessions])

    def history(self, wanted: Sequence[tuple[int, int, int, int]]) -> list[list[StoredMessage]]:
        """For each (user id, peer id, msg_id_begin, msg_cnt): the messages from msg_id_begin (0: the newest) downwards, newest first."""

        def query(index: int, relate_id: int) -> str:
            _, _, msg_id_begin, msg_cnt = wanted[index]
            return page_query(SINGLE_CHAT, index, relate_id, msg_id_begin, msg_cnt)

        return self._read([(user_id, peer_id) for user_id, peer_id, _, _ in wanted], query)

    def by_id(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> list[list[StoredMessage]]:
        """For each (user id, peer id, msg_ids): those messages, newest first, at most 100."""

        def query(index: int, relate_id: int) -> str | None:
            msg_ids = wanted[index][2]
            return by_id_query(SINGLE_CHAT, index, relate_id, msg_ids) if msg_ids else None

        return self._read([(user_id, peer_id) for user_id, peer_id, _ in wanted], query)

    def _read(self, conversations: Sequence[SessionKey], query: Callable[[int, int], str | None]) -> list[list[StoredMessage]]:
        """Execute the queries that ``query`` returns for the index and the relate_id of each conversation."""
        pairs = [pair_of(*conversation) for conversation in conversations]
        for _ in range(READ_ATTEMPTS):
            relations = self._relations.find(self._slave, pairs)
            if not relations:
                return [[] for _ in pairs]
            queries = [query(index, relations[pair]) for index, pair in enumerate(pairs) if pair in relations]
            script = [RelationModel.confirm_query(relations.values()), *union([text for text in queries if text is not None])]
            confirmed, *results = self._slave.read(partial(DBConn.script, statements=script))
            if self._relations.confirm(relations, confirmed):
                return read_history(results, len(pairs))
        raise RelationsChangedError
