"""LastIds: the largest stored msg_id of conversations, read from MySQL at a cost that does not grow with the history. Any thread.

Storing a message needs the largest stored msg_id of its conversation, because the counter in Redis may have been lost. Reading it takes
MySQL a quarter of the time that storing takes. Reading the newest row of a table takes nearly none, and is enough while no other process
writes to the table. So this is cached:

- for each table, the contiguous range of row ids (AUTO_INCREMENT) that this proxy has inserted, and the contents of the last of these rows;
- for each conversation, its last msg_id, and the id of the row that was the newest of its table at that time.

The cached msg_id of a conversation is valid if the newest row of its table still is the last one of the range, and the row id of the
conversation lies in the range. Another process that stores in this conversation must hold its lock, so it inserts after our transaction,
and its row gets a higher id than ours. Then either that row is the newest, or rows of ours follow it, and the range begins behind it. An
uncommitted row of another process cannot belong to a conversation that we have locked. Deleted rows, reloaded tables and servers that
increment ids by more than 1 end the range as well. Without a valid range the ids are read.

With two busy proxies a range is over nearly as soon as it has begun. To find that out takes a round trip, and reading the ids then another
one, while the conversations are locked. So after each sign of others (a range that they have ended, an insert of ours whose ids do not
follow those of the one before) the ids of this table are read at once, until ``ALONE_AFTER`` inserts in turn have followed each other. That
decides only which of two exact queries is used.

``others_write`` needs more than that: a gap may be an insert of ours that was rolled back. So as long as nothing else is known the newest
row is looked at as well, and only one that is not ours counts. It may be one of ours whose transaction is not recorded yet; then it is
taken back when that is. With others there are gaps all the time, so each of them lets the sign last.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.names import each_in_its_table
from dbproxy.models.new_message import NewMessage
from dbproxy.models.packing import SEPARATOR, packed
from dbproxy.stores.mysql import DBConn, Row

CACHED_CONVERSATIONS = 100_000

ALONE_AFTER = 8
"""Inserts into a table, one behind the other, after which nobody else seems to write to it. Two proxies with the same load pass it in one
of 256 cases; a smaller number would add failed attempts, a larger one reads of ids after the other one has ended.
"""

SIGN_LASTS = 5.0
"""Seconds after the last sign of others for which they are supposed to write."""

NO_MESSAGE = b"0|0"
"""Packed status and msgId of a conversation without messages."""


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows ``first`` to ``last`` of a table, all inserted by this proxy. ``newest`` is the packed last row, ``epoch`` counts how often
    the range was invalidated, and ``alone`` the inserts since the last sign of others, up to ``ALONE_AFTER``.
    """

    epoch: int
    first: int
    last: int
    newest: bytes
    alone: int = ALONE_AFTER

    def has(self, entry: _CachedId) -> bool:
        """Whether what is cached of a conversation is valid, if the newest row still is ours."""
        return entry.epoch == self.epoch and self.first <= entry.row_id <= self.last


@dataclass(frozen=True, slots=True)
class _CachedId:
    msg_id: int
    row_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class LastIdsQuery:
    """Statements to be executed; ``LastIds.read`` takes their results."""

    statements: Sequence[str]
    newest: Mapping[str, bytes]
    """table → its newest row if no other process has written to it; if there are any, the first statement reads these rows."""
    cached: Mapping[int, tuple[str, int]]
    """conversation → its table, and its last msg_id if that is so. The second statement reads those of all others, if there are any."""


class LastIds:
    """The largest msg_ids of the conversations of one kind."""

    def __init__(self, kind: ConversationKind, clock: Callable[[], float] = time.monotonic) -> None:
        self._kind = kind
        self._cached: BoundedCache[int, _CachedId] = BoundedCache(CACHED_CONVERSATIONS)
        self._ranges: dict[str, RowRange] = {}
        self._clock = clock
        self._signs: dict[str, tuple[int, float]] = {}
        """table → id of the newest row that was not ours, and when it was last supposed that others write (``clock``)."""
        self._sign_ends = -math.inf
        self._lock = threading.Lock()

    def others_write(self) -> bool:
        """Whether other processes seem to write to any of the tables. Never blocks."""
        return self._sign_ends > self._clock()

    def query(self, conversation_ids: Iterable[int]) -> LastIdsQuery:
        """Return the query for the largest msg_ids of these conversations. Their locks must be held when it is executed, in the
        transaction that inserts the messages.
        """
        newest: dict[str, bytes] = {}
        cached: dict[int, tuple[str, int]] = {}
        unknown: list[int] = []
        for conversation_id in conversation_ids:
            table = self._kind.table(conversation_id)
            entry, rows = self._cached.get(conversation_id), self._ranges.get(table)
            if entry and rows and rows.alone >= ALONE_AFTER and rows.has(entry):
                cached[conversation_id] = (table, entry.msg_id)
                newest[table] = rows.newest
            else:
                unknown.append(conversation_id)
                if rows and rows.newest and rows.alone < ALONE_AFTER and table not in self._signs:
                    newest[table] = rows.newest  # whether the gap is of others
        statements = []
        if newest:
            row = packed("id", self._kind.id_column, "msgId", "created")
            statements.append("select " + ",".join(f"(select {row} from {table} order by id desc limit 1)" for table in newest))
        if unknown:
            statements.append(self._largest(unknown))
        return LastIdsQuery(statements, newest, cached)

    def read(self, connection: DBConn, query: LastIdsQuery, results: Sequence[Sequence[Row]]) -> dict[int, int]:
        """Return conversation → largest stored msg_id (0: none), given the results of ``query``. Where other processes have written to a
        table, the ids are read with one more round trip.
        """
        remaining = list(results)
        newest = remaining.pop(0)[0] if query.newest else ()
        rows = list(remaining.pop(0)) if remaining else []
        found_newest = dict(zip(query.newest, newest, strict=True))
        unchanged = {table for table, expected in query.newest.items() if found_newest[table] == expected}
        found = {conversation_id: msg_id for conversation_id, (table, msg_id) in query.cached.items() if table in unchanged}
        for table, expected in query.newest.items():
            if table not in unchanged:
                self._end_range(table, expected, found_newest[table])
        if len(found) < len(query.cached):
            rows += connection.select(self._largest([conversation_id for conversation_id in query.cached if conversation_id not in found]))
        removed: list[int] = []
        for conversation_id, largest in rows:
            status, _, msg_id = (largest or NO_MESSAGE).partition(SEPARATOR)
            if status != b"0" and self._kind.msg_id_index_has_status_first:
                removed.append(int(conversation_id))
            else:
                found[int(conversation_id)] = int(msg_id)
        if removed:
            for conversation_id, msg_id in connection.select(self._largest_of_all_statuses(removed)):
                found[int(conversation_id)] = max(found.get(int(conversation_id), 0), int(msg_id))
        return found

    def record(self, table: str, first_row_id: int, messages: Sequence[NewMessage]) -> None:
        """Cache what was committed: one insert of these messages into ``table``, whose rows have the ids from ``first_row_id`` on."""
        last, last_row_id = messages[-1], first_row_id + len(messages) - 1
        newest = b"%d|%d|%d|%d" % (last_row_id, last.conversation_id, last.msg_id, last.created)
        with self._lock:
            before = self._ranges.get(table) or RowRange(0, 0, 0, b"")
            # A lower id than before: another thread of ours was faster, or the table was emptied and the ids begin again.
            epoch = before.epoch + 1 if first_row_id <= before.last else before.epoch
            follows = first_row_id == before.last + 1
            self._look_for_signs(table, first_row_id, last_row_id, is_gap=not follows and first_row_id > before.last > 0)
            alone = min(before.alone + 1, ALONE_AFTER) if follows or not before.last else 0
            self._ranges[table] = RowRange(epoch, before.first if follows else first_row_id, last_row_id, newest, alone)
            for message in messages:
                self._cached.put(message.conversation_id, _CachedId(message.msg_id, last_row_id, epoch))

    def _end_range(self, table: str, newest: bytes, found: bytes | None) -> None:
        """Invalidate all that was cached with this newest row, also if the next row of ours gets the id behind it. ``found``: the row that
        is the newest instead.
        """
        row_id = int(found.partition(SEPARATOR)[0]) if found else 0
        with self._lock:
            rows = self._ranges[table]
            if row_id > rows.last:
                self._sign(table, row_id)
            if rows.newest == newest:
                self._ranges[table] = RowRange(rows.epoch + 1, rows.last + 1, rows.last, b"", alone=0)

    def _look_for_signs(self, table: str, first: int, last: int, *, is_gap: bool) -> None:
        """Before rows ``first`` to ``last`` of ours are recorded; the lock is held."""
        sign = self._signs.get(table)
        if sign is None:
            return
        row_id, at = sign
        if first <= row_id <= last:
            self._sign(table, None)
        elif is_gap and at + SIGN_LASTS > self._clock():
            self._sign(table, row_id)
        elif at + SIGN_LASTS <= self._clock():
            self._sign(table, None)

    def _sign(self, table: str, row_id: int | None) -> None:
        """Others write to ``table``, or None: they do not; the lock is held."""
        if row_id is None:
            del self._signs[table]
        else:
            self._signs[table] = row_id, self._clock()
        self._sign_ends = max((at for _, at in self._signs.values()), default=-math.inf) + SIGN_LASTS

    def _largest(self, conversation_ids: Sequence[int]) -> str:
        """The query for (conversation id, packed status and msgId) of the largest msg_id of each conversation. If the index is sorted by
        status first, it is the largest among the messages of the highest status.

        The order names the conversation too, though it is the same in all rows: without it MySQL reads and sorts the whole history.
        """
        kind = self._kind
        order = f"{kind.id_column} desc,{'status desc,' if kind.msg_id_index_has_status_first else ''}msgId desc"
        return each_in_its_table(
            conversation_ids,
            lambda shard: (
                f"select {packed('status', 'msgId')} from {kind.table(shard)} force index ({kind.msg_id_index}) "
                f"where {kind.id_column}=c.id order by {order} limit 1"
            ),
        )

    def _largest_of_all_statuses(self, conversation_ids: Iterable[int]) -> str:
        """The query for conversations with removed messages (TeamTalk itself removes none); it may return several rows of each."""
        table_of, column = self._kind.table, self._kind.id_column
        tables: dict[str, list[str]] = {}
        for conversation_id in conversation_ids:
            tables.setdefault(table_of(conversation_id), []).append(str(conversation_id))
        return " union all ".join(
            f"(select {column},max(msgId) from {table} where {column} in ({','.join(ids)}) group by {column},status)"
            for table, ids in sorted(tables.items())
        )
