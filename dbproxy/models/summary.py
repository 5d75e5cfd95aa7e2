"""Summaries: the last message of each conversation in a list. Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, TypeVar

from dbproxy.models import names
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT, ConversationKind
from dbproxy.models.history import MSG_TYPES, SOUNDS
from dbproxy.models.packing import SEPARATOR, packed
from dbproxy.models.relation import READ_ATTEMPTS, Pair, RelationModel, RelationsChangedError, pair_of
from dbproxy.models.session import SINGLE
from dbproxy.stores.mysql import DBConn, ReadPool, Row

Conversation = TypeVar("Conversation", Pair, int)
"""What a conversation is known by here: a pair of users, or the id of a group."""

IDS_PER_QUERY = 200
"""Groups in one statement, each of which is a small query in it."""

PAIRS_PER_LOOKUP = 2000
"""Pairs of users whose conversations are looked up with one round trip: bounds the memory for a user with a million senders."""


class LastMessage(NamedTuple):
    """The last visible message of a conversation. Made with ``tuple.__new__``, which costs two thirds of a call of the class."""

    msg_id: int
    msg_type: int
    from_id: int
    content: bytes


@dataclass(frozen=True, slots=True)
class FoundSummaries:
    """The last messages that were found."""

    pairs: dict[Pair, LastMessage]
    groups: Mapping[int, LastMessage]

    def get(self, user_id: int, peer_id: int, session_type: int) -> LastMessage | None:
        """The last message of a session, None when it has none. The sender given for a session with a user is that user, whoever wrote."""
        if session_type != SINGLE:
            return self.groups.get(peer_id)
        last = self.pairs.get(pair_of(user_id, peer_id))
        if last is None:
            return None
        msg_id, msg_type, _, content = last
        return tuple.__new__(LastMessage, (msg_id, msg_type, peer_id, content))


class Summaries:
    """Looks up the last messages of many conversations of both kinds with one round trip."""

    def __init__(self, slave: ReadPool, relations: RelationModel, sound_label: bytes) -> None:
        """``sound_label`` stands in for the content of a sound."""
        self._slave = slave
        self._relations = relations
        self._sound_label = sound_label

    def get_many(self, pairs: Iterable[Pair], group_ids: Iterable[int]) -> FoundSummaries:
        """Find the last messages of these pairs of users and these groups, with one round trip for every ``PAIRS_PER_LOOKUP`` pairs."""
        remaining = iter(pairs)
        found = self._look_up(set(islice(remaining, PAIRS_PER_LOOKUP)), sorted(set(group_ids)))
        while more := set(islice(remaining, PAIRS_PER_LOOKUP)):
            found.pairs.update(self._look_up(more, ()).pairs)
        return found

    def _look_up(self, pairs: Collection[Pair], group_ids: Sequence[int]) -> FoundSummaries:
        group_queries = [_groups_query(group_ids[start : start + IDS_PER_QUERY]) for start in range(0, len(group_ids), IDS_PER_QUERY)]
        for _ in range(READ_ATTEMPTS):
            relations = self._relations.find(self._slave, pairs)
            script = [_pairs_query(relations.values()), *group_queries] if relations else group_queries
            results = self._slave.read(partial(DBConn.script, statements=script)) if script else []
            confirmed: list[tuple[bytes, bytes, bytes]] = []
            found: dict[Pair, LastMessage] = {}
            for (text,) in results.pop(0) if relations else ():
                relate_id, small, big, *last = text.split(SEPARATOR, 3)
                confirmed.append((relate_id, small, big))
                if last:
                    self._add(found, (int(small), int(big)), last[0])
            if self._relations.confirm(relations, confirmed):
                return FoundSummaries(found, self._groups(results))
        raise RelationsChangedError

    def _groups(self, results: Iterable[Sequence[Row]]) -> dict[int, LastMessage]:
        found: dict[int, LastMessage] = {}
        for rows in results:
            for group_id, last in rows:
                if last is not None:
                    self._add(found, int(group_id), last)
        return found

    def _add(self, found: dict[Conversation, LastMessage], conversation: Conversation, text: bytes) -> None:
        """Add a row of ``_last_message``, unless the protocol does not know the type of the message."""
        msg_id, type_, from_id, content = text.split(SEPARATOR, 3)
        msg_type = MSG_TYPES.get(type_)
        if msg_type is not None:
            shown = self._sound_label if msg_type in SOUNDS else content
            found[conversation] = tuple.__new__(LastMessage, (int(msg_id), msg_type, int(from_id), shown))


def _pairs_query(relate_ids: Iterable[int]) -> str:
    """The query for packed (relate_id, smaller user id, bigger user id, last message) of the visible relations, and so for what
    ``RelationModel.confirm`` takes as well.
    """
    ids = sorted(set(relate_ids))
    last = names.by_shard(ids, partial(_last_message, SINGLE_CHAT))
    columns = packed("c.id", "c.smallId", "c.bigId", last)  # without messages, ``last`` is NULL and left out
    return f"select {columns} from IMRelationShip c force index (primary) where c.id in ({','.join(map(str, ids))}) and c.status=0"


def _groups_query(group_ids: Sequence[int]) -> str:
    """The query for (group id, last message)."""
    return names.each_in_its_table(group_ids, partial(_last_message, GROUP_CHAT))


def _last_message(kind: ConversationKind, shard: int) -> str:
    """The subquery for the packed last visible message of conversation ``c.id``, which is in the table of ``shard``: one step in the
    index, however long the history is. In a correlated subquery MySQL does not see that the leading columns are constants: unless the
    order names them too, it reads and sorts all rows.
    """
    columns = packed("m.msgId", "m.type", f"m.{kind.sender_column}", text="m.content")
    return (
        f"select {columns} from {kind.table(shard)} m force index ({kind.time_index}) "
        f"where m.{kind.id_column}=c.id and m.status=0 "
        f"order by m.{kind.id_column} desc,m.status desc,m.created desc,m.id desc limit 1"
    )
