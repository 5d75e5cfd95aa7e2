"""Stored messages: duplicate msg_ids, conversations that do not exist, msg_id counters that are too low.

One pass over each shard, by ranges of conversations; a conversation is checked as a whole, whatever the status of its messages.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dbproxy.audit.finding import Finding, Severity, listed
from dbproxy.audit.walk import PIPELINE, AuditBackends, batches
from dbproxy.models import names
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT, ConversationKind
from dbproxy.models.relation import RelationModel, pair_of
from dbproxy.stores.mysql import DBConn, ReadablePool
from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.stores.mysql.slices import slices

MOST_SHOWN = 100
"""Rows that are read to describe one conversation."""

READABLE_COUNTER = 18
"""Digits: Redis counts up to 19 digits, and no column holds more."""


class Conversation(NamedTuple):
    """Figures about the messages of a conversation."""

    conversation_id: int
    last_id: int
    messages: int
    different_ids: int
    known: bool
    """Whether the relation or the group exists, visible or not."""


class MessageCheck(ABC):
    """The checks that one-to-one and group messages have in common."""

    title: str
    kind: ConversationKind
    parent: str
    called: str

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends
        self._unread = backends.caches.unread

    @abstractmethod
    def _orphan(self, conversation: Conversation) -> Finding | None:
        """Return the finding about messages whose conversation does not exist."""

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        behind: list[int] = []
        for shard in range(SHARDS):
            for low, high in slices(self._backends.slave, self.kind.table(shard), self.kind.id_column):
                conversations = self._conversations(self._backends.slave, shard, f"between {low} and {high}")
                for conversation in conversations:
                    yield from self._about(conversation)
                for batch in batches(conversations, PIPELINE):
                    behind += self._behind(batch)
        self._backends.wait_before_recheck(behind)
        for conversation_id in behind:
            last_id = self._last_id(self._backends.master, conversation_id)
            counter = self._counter(conversation_id)
            if not _is_behind(counter, last_id):
                continue
            usable = counter is None or _is_number(counter)
            yield Finding(
                "counter-behind",
                Severity.MINOR if usable else Severity.SEVERE,
                self.kind.counter_key(conversation_id),
                f"it is {_shown(counter)}, and msg_id {last_id} is stored; "
                + ("the next message corrects it" if usable else "no message can be stored in this conversation"),
                f"sets it to {last_id}",
                lambda conversation_id=conversation_id: self._set_counter(conversation_id),  # type: ignore[misc]
            )

    def with_ids_twice(self) -> Iterator[int]:
        """Yield the ids of the conversations in which messages have the msg_id of another one. Raises StoreError."""
        for shard in range(SHARDS):
            for low, high in slices(self._backends.slave, self.kind.table(shard), self.kind.id_column):
                for seen in self._conversations(self._backends.slave, shard, f"between {low} and {high}"):
                    if seen.messages != seen.different_ids:
                        now = self._conversations(self._backends.master, shard, f"={seen.conversation_id}")
                        yield from (c.conversation_id for c in now if c.messages != c.different_ids)

    def _conversations(self, database: ReadablePool, shard: int, condition: str) -> list[Conversation]:
        column, table = self.kind.id_column, self.kind.table(shard)
        rows = database.select(
            f"select m.c,m.l,m.n,m.d,p.id is not null from (select {column} c,max(msgId) l,count(*) n,count(distinct msgId) d "
            f"from {table} where {column} {condition} group by {column}) m left join {self.parent} p on p.id=m.c"
        )
        return [Conversation(int(c), int(last), int(n), int(different), known == b"1") for c, last, n, different, known in rows]

    def _about(self, seen: Conversation) -> Iterator[Finding]:
        if seen.messages == seen.different_ids and seen.known:
            return
        conversation_id = seen.conversation_id
        table = self.kind.table(conversation_id)
        for conversation in self._conversations(self._backends.master, conversation_id % SHARDS, f"={conversation_id}"):
            if conversation.messages != conversation.different_ids:
                rows = self._backends.master.select(
                    f"select msgId,group_concat(id order by id) from {table} where {self.kind.id_column}={conversation_id} "
                    f"group by msgId having count(*)>1 order by msgId limit {MOST_SHOWN}"
                )
                twice = listed(f"{msg_id.decode()} (rows {ids.decode()})" for msg_id, ids in rows)
                yield Finding(
                    "msg-id-twice",
                    Severity.SEVERE,
                    f"{table}, {self.called} {conversation_id}",
                    f"{conversation.messages - conversation.different_ids} messages have the msg_id of another one: {twice}",
                    "nothing: messages would lose ids that clients know, which dbproxy-audit --merge does",
                )
            if not conversation.known:
                orphan = self._orphan(conversation)
                if orphan is not None:
                    yield orphan

    def _behind(self, conversations: Sequence[Conversation]) -> list[int]:
        keys = (self.kind.counter_key(conversation.conversation_id) for conversation in conversations)
        replies = self._unread.execute([("MGET", *keys)])[0]
        return [
            conversation.conversation_id
            for conversation, counter in zip(conversations, replies, strict=True)
            if _is_behind(counter, conversation.last_id)
        ]

    def _counter(self, conversation_id: int) -> bytes | None:
        counter: bytes | None = self._unread.execute([("MGET", self.kind.counter_key(conversation_id))])[0][0]
        return counter

    def _last_id(self, database: ReadablePool | DBConn, conversation_id: int) -> int:
        rows = database.select(f"select max(msgId) from {self.kind.table(conversation_id)} where {self.kind.id_column}={conversation_id}")
        return int(rows[0][0] or 0)

    def _set_counter(self, conversation_id: int) -> str | None:
        done = 0

        def correct(connection: DBConn) -> None:
            nonlocal done
            # a proxy that assigns ids in this conversation holds the lock of this row
            connection.select(f"select id from {self.parent} where id={conversation_id} for update")
            last_id = self._last_id(connection, conversation_id)
            if _is_behind(self._counter(conversation_id), last_id):
                self._unread.execute([("SET", self.kind.counter_key(conversation_id), last_id)])
                done = last_id

        self._backends.without_locks(correct)
        return f"set it to {done}" if done else None


class Messages(MessageCheck):
    """One-to-one messages."""

    title = "messages"
    kind = SINGLE_CHAT
    parent = "IMRelationShip"
    called = "relation"

    def _orphan(self, conversation: Conversation) -> Finding | None:
        relate_id = conversation.conversation_id
        pair = self._only_pair(self._backends.master, relate_id)
        lost = f"{conversation.messages} messages are stored under a relation that does not exist; they cannot be read"
        where = f"{names.message_table(relate_id)}, relation {relate_id}"
        if pair is None:
            return Finding(
                "relation-missing",
                Severity.SEVERE,
                where,
                lost,
                "nothing: the messages are of several pairs of users, or their pair has another relation",
            )
        return Finding(
            "relation-missing",
            Severity.SEVERE,
            where,
            lost,
            f"creates the relation of the users {pair[0]} and {pair[1]} again",
            lambda: self._create_relation(relate_id),
        )

    def _only_pair(self, database: ReadablePool | DBConn, relate_id: int) -> tuple[int, int] | None:
        """Return the pair of users whose relation this must have been; None when it is not certain."""
        table = names.message_table(relate_id)
        rows = database.select(f"select distinct fromId,toId from {table} where relateId={relate_id} limit {MOST_SHOWN}")
        pairs = {pair_of(int(from_id), int(to_id)) for from_id, to_id in rows}
        if len(pairs) != 1:
            return None
        small, big = pair = pairs.pop()
        return None if database.select(f"select id from IMRelationShip where smallId={small} and bigId={big} limit 1") else pair

    def _create_relation(self, relate_id: int) -> str | None:
        pair = self._only_pair(self._backends.master, relate_id)
        if pair is None:
            return None

        def create(connection: DBConn) -> bool:
            if self._only_pair(connection, relate_id) != pair or connection.select(f"select id from IMRelationShip where id={relate_id}"):
                return False
            now = int(time.time())
            connection.execute(
                "insert into IMRelationShip (id,smallId,bigId,status,created,updated) "
                f"values ({relate_id},{pair[0]},{pair[1]},0,{now},{now})"
            )
            return True

        created = self._backends.with_locks(create, RelationModel.lock_name(pair))
        return f"created the relation {relate_id} of the users {pair[0]} and {pair[1]} again" if created else None


class GroupMessages(MessageCheck):
    """Group messages."""

    title = "group messages"
    kind = GROUP_CHAT
    parent = "IMGroup"
    called = "group"

    def _orphan(self, conversation: Conversation) -> Finding | None:
        return Finding(
            "group-missing",
            Severity.WRONG,
            f"{names.group_message_table(conversation.conversation_id)}, group {conversation.conversation_id}",
            f"{conversation.messages} messages of a group that does not exist",
            "nothing: name, creator and members of the group are lost",
        )


def _is_number(counter: bytes) -> bool:
    return counter.isdigit() and len(counter) <= READABLE_COUNTER


def _is_behind(counter: bytes | None, last_id: int) -> bool:
    return last_id > 0 and (counter is None or not _is_number(counter) or int(counter) < last_id)


def _shown(counter: bytes | None) -> str:
    return "missing" if counter is None else ascii(counter.decode(errors="replace"))[:60]
