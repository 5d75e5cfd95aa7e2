"""Summaries: the last message of each conversation in a list. Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

from dbproxy.models import names
from dbproxy.models.history import MSG_TYPES, SOUNDS
from dbproxy.models.relation import Pair, RelationModel, pair_of
from dbproxy.models.session import SINGLE
from dbproxy.stores.mysql import DBPool, Row, schema

Conversation = TypeVar("Conversation", Pair, int)
"""What a conversation is known by here: a pair of users, or the id of a group."""

IDS_PER_QUERY = 200
"""Groups in one statement, each of which is a small query in it."""

PAIRS_PER_LOOKUP = 2000
"""Pairs of users whose conversations are looked up with one round trip; somebody may have unread messages of a million."""


class LastMessage(NamedTuple):
    """The last visible message of a conversation; made by ``tuple.__new__``, because lists have many and a call costs 1.5 times as much."""

    msg_id: int
    msg_type: int
    from_id: int
    content: bytes


@dataclass(frozen=True, slots=True)
class FoundSummaries:
    """The last messages that were found."""

    people: dict[Pair, LastMessage]
    groups: Mapping[int, LastMessage]

    def get(self, user_id: int, peer_id: int, session_type: int) -> LastMessage | None:
        """The summary of one session, None when it has no message. Of a person, the peer is given as the sender, whoever wrote."""
        if session_type != SINGLE:
            return self.groups.get(peer_id)
        last = self.people.get(pair_of(user_id, peer_id))
        if last is None:
            return None
        msg_id, msg_type, _, content = last
        return tuple.__new__(LastMessage, (msg_id, msg_type, peer_id, content))


class Summaries:
    """Looks up the last messages of many conversations, of people and of groups, with one round trip."""

    def __init__(self, slave: DBPool, relations: RelationModel, sound_label: bytes) -> None:
        """``sound_label`` stands in for the content of a sound."""
        self._slave = slave
        self._relations = relations
        self._sound_label = sound_label

    def of(self, people: Iterable[Pair], group_ids: Iterable[int]) -> FoundSummaries:
        """Find the last messages of these pairs of users and these groups; with one round trip, unless there are very many pairs.

        Raises:
            StoreError: MySQL cannot be asked.

        """
        pairs = iter(people)
        found = self._look_up(set(islice(pairs, PAIRS_PER_LOOKUP)), sorted(set(group_ids)))
        while more := set(islice(pairs, PAIRS_PER_LOOKUP)):
            found.people.update(self._look_up(more, ()).people)
        return found

    def _look_up(self, people: Collection[Pair], group_ids: Sequence[int]) -> FoundSummaries:
        def read(relations: dict[Pair, int]) -> tuple[list[tuple[bytes, bytes, bytes]], FoundSummaries]:
            script = [_of_people(relations.values())] if relations else []
            script += [_of_groups(group_ids[start : start + IDS_PER_QUERY]) for start in range(0, len(group_ids), IDS_PER_QUERY)]
            results = self._slave.read(lambda connection: connection.script(script)) if script else []
            confirmed: list[tuple[bytes, bytes, bytes]] = []
            found: dict[Pair, LastMessage] = {}
            for (text,) in results.pop(0) if relations else ():
                relate_id, small, big, *last = text.split(b"|", 3)
                confirmed.append((relate_id, small, big))
                if last:
                    self._add(found, (int(small), int(big)), last[0])
            return confirmed, FoundSummaries(found, self._groups(results))

        return self._relations.confirmed(self._slave, people, read)

    def _groups(self, results: Iterable[Sequence[Row]]) -> dict[int, LastMessage]:
        found: dict[int, LastMessage] = {}
        for rows in results:
            for group_id, last in rows:
                if last is not None:
                    self._add(found, int(group_id), last)
        return found

    def _add(self, found: dict[Conversation, LastMessage], conversation: Conversation, text: bytes) -> None:
        """Keep what ``_last`` has found; a type of message that the protocol does not know is left out."""
        msg_id, type_, from_id, content = text.split(b"|", 3)
        msg_type = MSG_TYPES.get(type_)
        if msg_type is not None:
            shown = self._sound_label if msg_type in SOUNDS else content
            found[conversation] = tuple.__new__(LastMessage, (int(msg_id), msg_type, int(from_id), shown))


def _of_people(relate_ids: Iterable[int]) -> str:
    """Rows of "relate_id|small|big|last message" of the visible relations; they confirm the relations as well."""
    ids = sorted(set(relate_ids))
    last = names.by_shard(ids, lambda shard: _last(names.message_table(shard), "relateId", "fromId", schema.MESSAGE_BY_TIME))
    return (
        f"select concat_ws('|',c.id,c.smallId,c.bigId,{last}) from IMRelationShip c force index (primary) "
        f"where c.id in ({','.join(map(str, ids))}) and c.status=0"
    )


def _of_groups(group_ids: Sequence[int]) -> str:
    """Rows of (group id, last message)."""
    return names.each_in_its_table(
        group_ids, lambda shard: _last(names.group_message_table(shard), "groupId", "userId", schema.GROUP_MESSAGE_BY_TIME)
    )


def _last(table: str, column: str, sender: str, index: str) -> str:
    """The subquery for the last visible message of conversation ``c.id``: one step in the index, however long the history is. One field,
    because reading a field costs about as much as all else about a row; the content, which may hold anything, comes last. In a correlated
    subquery MySQL does not see that the leading columns are constants: unless the order names them too, it reads and sorts all rows.
    """
    return (
        f"select concat_ws('|',m.msgId,m.type,m.{sender},ifnull(m.content,'')) from {table} m force index ({index}) "
        f"where m.{column}=c.id and m.status=0 "
        f"order by m.{column} desc,m.status desc,m.created desc,m.id desc limit 1"
    )
