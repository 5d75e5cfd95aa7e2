"""MessageRows: the stored messages of one conversation in the order in which they are listed, and moving them. One thread.

For tools that repair a conversation while proxies are running. Rows are never changed in place: a message that gets another msg_id, or
another conversation, is inserted again as a new row and its old row is deleted, in one transaction. There are two reasons:

- ``LastIds`` of a running proxy keeps the largest msg_id of a conversation for as long as the newest row of the table is one of its own.
  A new row ends that; an update would not;
- within one second messages are listed in the order of their row ids, and only new rows can stand behind others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain, takewhile
from typing import NamedTuple

from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.stores.mysql import DBConn, ReadablePool
from dbproxy.stores.mysql.literals import id_list

PAGE = 5000
"""Rows of an index that one statement reads, for each status."""

ROWS_AT_ONCE = 200
"""Rows that one statement moves, deletes, or reads as a whole."""

Place = tuple[int, int]
"""(created, row id): where a message stands in the list of its conversation."""

BEFORE_ALL: Place = (-1, 0)

NEVER = 1 << 40
"""A time after that of all messages, in unix seconds."""


class ListedMessage(NamedTuple):
    """What decides where a message is listed, and how it is found. ``created`` in unix seconds."""

    created: int
    row_id: int
    msg_id: int


class MessageRows:
    """The messages of the conversation ``conversation_id``, of every status."""

    def __init__(self, kind: ConversationKind, conversation_id: int) -> None:
        self.kind = kind
        self.conversation_id = conversation_id
        self.table = kind.table(conversation_id)

    def walk(
        self,
        database: ReadablePool | DBConn,
        *,
        after: Place = BEFORE_ALL,
        until: int = NEVER,
        backwards: bool = False,
        page: int = PAGE,
    ) -> Iterator[ListedMessage]:
        """Yield the messages behind ``after`` that are older than ``until`` (unix seconds) in the order of the list, oldest first, or
        newest first. Only one page is in memory; messages that are stored meanwhile may be left out.
        """
        statuses = self._statuses(database)
        low, high = after, (until, 0)
        while statuses:
            pages = [self._page(database, status, low, high, backwards=backwards, limit=page) for status in statuses]
            # of a status whose page is full, messages behind the page may be missing
            ends = [rows[-1] for rows in pages if len(rows) == page]
            end = None if not ends else max(ends) if backwards else min(ends)
            for message in merge(*pages, reverse=backwards):
                if end is not None and (message < end if backwards else message > end):
                    break
                yield message
            if end is None:
                return
            low, high = (low, end[:2]) if backwards else (end[:2], high)

    def since(self, database: ReadablePool | DBConn, time: int, *, after: Place, until: int) -> list[ListedMessage]:
        """Return the messages behind ``after`` from ``time`` on that are older than ``until``, oldest first."""
        newest_first = self.walk(database, after=after, until=until, backwards=True, page=ROWS_AT_ONCE)
        return list(takewhile(lambda message: message.created >= time, newest_first))[::-1]

    def count(self, database: ReadablePool | DBConn, *, after: Place = BEFORE_ALL, until: int = NEVER) -> int:
        """Return how many messages ``walk`` yields."""
        created, row_id = after
        statuses = self._statuses(database)
        if not statuses:
            return 0
        rows = database.select(
            f"select count(*) from {self.table} force index ({self.kind.time_index}) "
            f"where {self._here} and status in ({id_list(statuses)}) "
            f"and created>={max(created, 0)} and created<{until} and (created>{created} or id>{row_id})"
        )
        return int(rows[0][0])

    def largest_id(self, database: ReadablePool | DBConn, *, until: int = NEVER, below: int | None = None) -> int:
        """Return the largest msg_id of the messages that are older than ``until``, and of the ids smaller than ``below``; 0: none."""
        return max((int(largest or 0) for (largest,) in database.select(self.largest_query(until, below))), default=0)

    def largest_query(self, until: int = NEVER, below: int | None = None) -> str:
        """Return the query of ``largest_id``; the largest number in its rows is it. Without ``until`` it reads an entry of the index for
        each status.
        """
        before = "" if until == NEVER else f" and created<{until}"
        smaller = "" if below is None else f" and msgId<{below}"
        of_each = " group by status" if self.kind.msg_id_index_has_status_first else ""
        return f"select max(msgId) from {self.table} where {self._here}{smaller}{before}{of_each}"

    def oldest(self, database: ReadablePool | DBConn) -> int | None:
        """Return the time of the oldest message, None if there is none."""
        return next((message.created for message in self.walk(database, page=1)), None)

    def newest(self, database: ReadablePool | DBConn) -> int | None:
        """Return the time of the newest message, None if there is none."""
        return next((message.created for message in self.walk(database, page=1, backwards=True)), None)

    @property
    def any_query(self) -> str:
        """A query that has a row if there is a message."""
        return f"select 1 from {self.table} where {self._here} limit 1"

    def has_ids(self, database: ReadablePool | DBConn, first: int, last: int) -> bool:
        """Whether a message has one of these msg_ids."""
        statuses = self._statuses(database)
        if not statuses or last < first:
            return False
        return bool(
            database.select(
                f"select 1 from {self.table} force index ({self.kind.msg_id_index}) where {self._here} "
                f"and status in ({id_list(statuses)}) and msgId between {first} and {last} limit 1"
            )
        )

    def read(self, connection: DBConn, row_ids: Sequence[int]) -> Iterator[dict[str, bytes | None]]:
        """Yield whole rows, column → text, in the order of their ids; ``ROWS_AT_ONCE`` are in memory."""
        columns = columns_of(connection, self.table)
        for ids in _portions(sorted(row_ids)):
            rows = connection.select(f"select {_quoted(columns)} from {self.table} where id in ({id_list(ids)}) order by id")
            yield from (dict(zip(columns, row, strict=True)) for row in rows)

    def move(self, connection: DBConn, target: MessageRows, msg_ids: Mapping[int, int]) -> None:
        """Move rows into ``target``, which may be this conversation, in the running transaction: the new rows get row ids in the order of
        ``msg_ids``, row id → new msg_id. The caller holds the locks of both conversations.

        Only these rows are locked: with the index of the conversation, which a server prefers for small tables, the gap behind its newest
        message would be, too, and on a node of a cluster each new message would end the transaction.

        Columns that the target's table does not have are not copied, further ones of it get their defaults.
        """
        kept = (self.kind.id_column, "msgId", "id")
        known = set(columns_of(connection, target.table))
        copied = [column for column in columns_of(connection, self.table) if column in known and column not in kept]
        into = f"insert into {target.table} ({self.kind.id_column},msgId,{_quoted(copied)})"
        for row_ids in _portions(list(msg_ids)):
            order = {msg_ids[row_id]: row_id for row_id in row_ids}
            cases = " ".join(f"when {row_id} then {msg_id}" for msg_id, row_id in order.items())
            among = id_list(row_ids)
            connection.execute(
                f"{into} select {target.conversation_id},case id {cases} end,{_quoted(copied)} from {self.table} force index (primary) "
                f"where id in ({among}) and {self._here} order by field(id,{among})"
            )
            connection.execute(f"delete m from {self.table} m force index (primary) where m.id in ({among}) and m.{self._here}")

    @property
    def _here(self) -> str:
        return f"{self.kind.id_column}={self.conversation_id}"

    def _statuses(self, database: ReadablePool | DBConn) -> list[int]:
        """The index of times begins with the status, so each status is read separately."""
        rows = database.select(f"select distinct status from {self.table} force index ({self.kind.time_index}) where {self._here}")
        return sorted(int(status or 0) for (status,) in rows)

    def _page(
        self, database: ReadablePool | DBConn, status: int, low: Place, high: Place, *, backwards: bool, limit: int
    ) -> list[ListedMessage]:
        order = "created desc,id desc" if backwards else "created,id"
        rows = database.select(
            f"select created,id,msgId from {self.table} force index ({self.kind.time_index}) where {self._here} and status={status} "
            f"and created>={max(low[0], 0)} and created<={high[0]} and (created>{low[0]} or id>{low[1]}) "
            f"and (created<{high[0]} or id<{high[1]}) order by {order} limit {limit}"
        )
        return [ListedMessage(int(created), int(row_id), int(msg_id)) for created, row_id, msg_id in rows]


def columns_of(database: ReadablePool | DBConn, table: str) -> list[str]:
    """Return the columns of a table that can be inserted, in their order; StatementError when it does not exist."""
    return [
        str(name.decode())
        for name, _type, _null, _key, _default, extra in database.select(f"show columns from {table}")
        if not is_generated(extra)
    ]


def is_generated(extra: bytes | None) -> bool:
    """Whether the server computes the values of a column, given what it says of it as "Extra"."""
    return any(word in (extra or b"").upper() for word in (b"VIRTUAL", b"STORED", b"PERSISTENT"))


def largest_ids(connection: DBConn, conversations: Sequence[MessageRows]) -> int:
    """Return the largest msg_id of all these conversations, as ``MessageRows.largest_id`` does of one, with one round trip."""
    results = connection.script([rows.largest_query() for rows in conversations])
    return max((int(largest or 0) for result in results for (largest,) in result), default=0)


def are_empty(connection: DBConn, conversations: Sequence[MessageRows]) -> bool:
    """Whether none of these conversations has a message; one round trip."""
    if not conversations:
        return True
    return not any(connection.script([rows.any_query for rows in conversations]))


def in_order(relations: Sequence[Sequence[ListedMessage]]) -> list[tuple[int, ListedMessage]]:
    """Return the messages of several conversations in the order of their time, each with the index of its conversation. Those of one
    second are in the order of the conversations.
    """
    tagged = chain.from_iterable(
        ((message.created, index, message.row_id, message) for message in rows) for index, rows in enumerate(relations)
    )
    return [(index, message) for _, index, _, message in sorted(tagged)]


def _portions(items: Sequence[int]) -> Iterator[Sequence[int]]:
    return (items[start : start + ROWS_AT_ONCE] for start in range(0, len(items), ROWS_AT_ONCE))


def _quoted(columns: Iterable[str]) -> str:
    return ",".join(f"`{column}`" for column in columns)
