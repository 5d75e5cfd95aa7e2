"""MessageReader: stored messages of one conversation page by page, hidden ones too, and what else is shown with them. Any thread.

The order is the proxy's: by time, then by row id. A page begins behind a position, so pages neither overlap nor miss a message when others
arrive or are removed in between, and each costs the same, however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT, ConversationKind
from dbproxy.models.relation import Pair, used_last
from dbproxy.stores.mysql import DBConn, ReadablePool, Row
from dbproxy.stores.mysql.schema import SHARDS

VISIBLE, HIDDEN = 0, 1
"""Status of messages and relations; any other than ``VISIBLE`` is not sent to clients."""

END_OF_TIME = 1 << 32
"""Unix seconds above what the columns hold."""

MOST_STATUSES = 16
"""Different statuses of the messages of one conversation that are read; an installation has two."""

IDS_PER_QUERY = 1000

_ROW_ID_BITS = 64


class MessageRow(NamedTuple):
    """A stored message: for a sound ``content`` is the id of its IMAudio row as text. ``created`` in unix seconds."""

    row_id: int
    msg_id: int
    from_id: int
    created: int
    msg_type: int
    status: int
    content: bytes

    @property
    def position(self) -> int:
        """Where it is in the order of its conversation: a number that is larger for what comes later."""
        return position_of(self.created, self.row_id)


class SoundRow(NamedTuple):
    """A row of IMAudio: size in bytes, duration in seconds."""

    path: bytes
    size: int
    duration: int


class RelationRow(NamedTuple):
    """A row of IMRelationShip."""

    relate_id: int
    small_id: int
    big_id: int
    status: int


class ActiveConversation(NamedTuple):
    """What the newest rows of a table say of a conversation. ``last`` in unix seconds; ``messages`` counts those in the time asked for."""

    conversation_id: int
    messages: int
    last: int


def position_of(created: int, row_id: int) -> int:
    """Return the position of a message; see ``MessageRow.position``."""
    return created << _ROW_ID_BITS | row_id


def time_of(position: int) -> int:
    """Return the time, in unix seconds, of the message at a position."""
    return position >> _ROW_ID_BITS


class MessageReader:
    """Reads IMMessage_0..7 and IMGroupMessage_0..7 for people, not for clients."""

    def __init__(self, database: ReadablePool) -> None:
        self._database = database

    # messages

    def page(
        self,
        kind: ConversationKind,
        conversation_id: int,
        limit: int,
        *,
        after: int | None = None,
        since: int = 0,
        until: int = END_OF_TIME,
        oldest_first: bool = False,
    ) -> list[MessageRow]:
        """Return up to ``limit`` messages with ``since`` <= time < ``until`` (unix seconds) that come after the position ``after`` in the
        order asked for: newest first, or ``oldest_first``.
        """

        def read(connection: DBConn) -> list[MessageRow]:
            statuses = statuses_of(connection, kind, conversation_id)
            if not statuses:
                return []
            queries = [_page_query(kind, conversation_id, status, limit, after, since, until, oldest_first) for status in statuses]
            return [_message(row) for row in connection.select(" union all ".join(queries))]

        rows = self._database.read(read)
        rows.sort(key=lambda row: row.position, reverse=not oldest_first)
        return rows[:limit]

    def sounds(self, audio_ids: Iterable[int]) -> dict[int, SoundRow]:
        """Those of the IMAudio ids that exist."""
        among = ",".join(map(str, sorted(set(audio_ids))))
        if not among:
            return {}
        rows = self._database.select(f"select id,ifnull(path,''),size,duration from IMAudio where id in ({among})")
        return {int(row_id): SoundRow(path, int(size), int(duration)) for row_id, path, size, duration in rows}

    # conversations

    def relations_of(self, pair: Pair) -> list[RelationRow]:
        """All relations of two users: first the one that clients read, if any of them is visible; then the others, the oldest first."""
        rows = self._database.select(
            f"select id,smallId,bigId,ifnull(status,0) from IMRelationShip where smallId={pair[0]} and bigId={pair[1]} "
            f"order by ifnull(status,0)<>{VISIBLE},id limit {IDS_PER_QUERY}"
        )
        relations = [RelationRow(*map(int, row)) for row in rows]
        visible = [relation.relate_id for relation in relations if relation.status == VISIBLE]
        if len(visible) > 1:
            read = used_last(self._database, visible)
            relations.sort(key=lambda relation: relation.relate_id != read)
        return relations

    def with_messages(self, relate_ids: Iterable[int]) -> set[int]:
        """Those of the relations that have messages, hidden ones too."""
        tables: dict[int, list[int]] = {}
        for relate_id in relate_ids:
            tables.setdefault(relate_id % SHARDS, []).append(relate_id)
        found: set[int] = set()
        for shard, its in sorted(tables.items()):
            among = ",".join(map(str, its))
            rows = self._database.select(
                f"select id from IMRelationShip r where id in ({among}) "
                f"and exists(select 1 from {SINGLE_CHAT.table(shard)} where relateId=r.id)"
            )
            found |= {int(row[0]) for row in rows}
        return found

    def relations(self, relate_ids: Iterable[int]) -> dict[int, RelationRow]:
        """Those of the relations that exist, by id."""
        among = ",".join(map(str, sorted(set(relate_ids))))
        if not among:
            return {}
        rows = self._database.select(f"select id,smallId,bigId,ifnull(status,0) from IMRelationShip where id in ({among})")
        return {int(row[0]): RelationRow(*map(int, row)) for row in rows}

    def group_names(self, group_ids: Iterable[int]) -> Mapping[int, bytes]:
        """The names of those groups that have a row, by id."""
        among = ",".join(map(str, sorted(set(group_ids))))
        if not among:
            return {}
        return {int(group_id): name for group_id, name in self._database.select(f"select id,name from IMGroup where id in ({among})")}

    def newest(self, kind: ConversationKind, rows: int, since: int = 0) -> tuple[list[ActiveConversation], bool]:
        """What the newest ``rows`` rows of each table say of the conversations of one kind, without messages from before ``since`` (unix
        seconds), the last used first; and whether these rows reach back to ``since`` in every table, so that nothing is missing.

        The rows are found by their ids, so it costs the same however large the tables are; a table is asked with one statement.
        """
        found: list[ActiveConversation] = []
        complete = True
        for shard in range(SHARDS):
            newest = f"select {kind.id_column} as c,created from {kind.table(shard)} order by id desc limit {rows}"
            tables = self._database.select(
                f"select c,sum(created>={since}),max(created),count(*),min(created) from ({newest}) m group by c",
            )
            complete = complete and (sum(int(row[3]) for row in tables) < rows or any(int(row[4]) < since for row in tables))
            found += [ActiveConversation(int(c), int(sent), int(last)) for c, sent, last, _, _ in tables if int(sent)]
        found.sort(key=lambda conversation: (-conversation.last, conversation.conversation_id))
        return found, complete


def _message(row: Row) -> MessageRow:
    row_id, msg_id, from_id, created, msg_type, status, content = row
    return MessageRow(int(row_id), int(msg_id), int(from_id), int(created), int(msg_type), int(status), content)


def statuses_of(connection: DBConn, kind: ConversationKind, conversation_id: int) -> list[int]:
    """The statuses that the messages of a conversation have, found by jumping from one to the next in the index: the server itself would
    read the whole conversation for a ``distinct``. With them each query reads nothing but its own rows, in the order of the index.
    """
    found: list[int] = []
    while len(found) < MOST_STATUSES:
        rows = connection.select(
            f"select status from {kind.table(conversation_id)} force index ({kind.time_index}) "
            f"where {kind.id_column}={conversation_id} and status>{found[-1] if found else -1} order by status limit 1"
        )
        if not rows:
            break
        found.append(int(rows[0][0]))
    return found


def _page_query(
    kind: ConversationKind, conversation_id: int, status: int, limit: int, after: int | None, since: int, until: int, oldest_first: bool
) -> str:
    direction, beyond = ("asc", ">") if oldest_first else ("desc", "<")
    conditions = [f"{kind.id_column}={conversation_id}", f"status={status}", f"created>={since}", f"created<{until}"]
    if after is not None:
        created, row_id = time_of(after), after & ((1 << _ROW_ID_BITS) - 1)
        conditions.append(f"created{beyond}={created} and (created{beyond}{created} or id{beyond}{row_id})")
    return (
        f"(select id,msgId,{kind.sender_column},created,type,status,ifnull(content,'') "
        f"from {kind.table(conversation_id)} force index ({kind.time_index}) "
        f"where {' and '.join(conditions)} order by created {direction},id {direction} limit {limit})"
    )


KINDS: Mapping[str, ConversationKind] = {"people": SINGLE_CHAT, "group": GROUP_CHAT}
"""What the two kinds of conversations are called where people see them."""
