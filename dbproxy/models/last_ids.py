"""LastIds: the largest stored msg_id of conversations, asked of MySQL at a price that does not grow with the history. Any thread.

Who stores a message needs the largest stored msg_id of its conversation, because the counter in Redis may have been lost. Asking for it
costs MySQL a quarter of what storing costs. Asking for the newest row of a table costs nearly nothing, and says the same when nobody but
this proxy has written to the table. So this is remembered:

- of each table, a *stretch* of row ids (AUTO_INCREMENT) that this proxy has inserted without a gap, and what stands in the last of them;
- of each conversation, its last msg_id, and the id of the row with which that was true.

What is remembered of a conversation holds if the newest row of its table is still the end of the stretch, and the conversation's row lies
in the stretch. For whoever else stores in this conversation must hold its lock, so they insert after our transaction, and their row
gets a higher id than ours. Either theirs is the newest row then, or rows of ours came after it, and our stretch begins anew behind it. A
row of theirs that is not committed yet cannot be of a conversation that we have locked. Rows that were removed, tables that were loaded
anew and servers that count in steps of more than 1 break the stretch as well. Whenever it is broken, with two busy proxies nearly
always, the ids are asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.models.draft import Draft
from dbproxy.models.names import each_in_its_table
from dbproxy.stores.mysql import DBConn, Row

CACHED_CONVERSATIONS = 100_000


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows ``first`` to ``last`` of a table, all inserted by this proxy; ``newest`` is what the last one says, and ``epoch`` counts how
    often the table began to count from the start again.
    """

    epoch: int
    first: int
    last: int
    newest: bytes


@dataclass(frozen=True, slots=True)
class _Known:
    msg_id: int
    row_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class LastIdsQuery:
    """What has to be asked; ``LastIds.read`` understands the results."""

    statements: Sequence[str]
    newest: Mapping[str, bytes]
    """table → what its newest row says if nobody else has written to it; the first statement asks for that, if there are any."""
    known: Mapping[int, tuple[str, int]]
    """conversation → its table, and its last msg_id if that is so; the second statement asks for all others, if there are any."""


class LastIds:
    """Of the conversations of one kind. ``column`` has the conversation in the tables of ``table_of``; ``index`` begins with it and finds
    its largest msg_id in one step, of each status for itself if ``by_status``.
    """

    def __init__(self, column: str, table_of: Callable[[int], str], index: str, *, by_status: bool) -> None:
        self._column = column
        self._table_of = table_of
        self._index = index
        self._by_status = by_status
        self._known: BoundedCache[int, _Known] = BoundedCache(CACHED_CONVERSATIONS)
        self._ranges: dict[str, RowRange] = {}
        self._lock = threading.Lock()

    def query(self, conversation_ids: Iterable[int]) -> LastIdsQuery:
        """What to ask about the largest msg_ids of these conversations. Their locks must be held when it is executed, in the transaction
        that will store.
        """
        newest: dict[str, bytes] = {}
        known: dict[int, tuple[str, int]] = {}
        asked: list[int] = []
        for conversation_id in conversation_ids:
            table = self._table_of(conversation_id)
            entry, stretch = self._known.get(conversation_id), self._ranges.get(table)
            if entry and stretch and entry.epoch == stretch.epoch and stretch.first <= entry.row_id <= stretch.last:
                known[conversation_id] = (table, entry.msg_id)
                newest[table] = stretch.newest
            else:
                asked.append(conversation_id)
        statements = []
        if newest:
            row = f"concat_ws('|',id,{self._column},msgId,created)"
            statements.append("select " + ",".join(f"(select {row} from {table} order by id desc limit 1)" for table in newest))
        if asked:
            statements.append(self._largest(asked))
        return LastIdsQuery(statements, newest, known)

    def read(self, connection: DBConn, query: LastIdsQuery, results: Sequence[Sequence[Row]]) -> dict[int, int]:
        """Return conversation → largest stored msg_id, given the results of the query; asks again where others have written."""
        remaining = list(results)
        newest = remaining.pop(0)[0] if query.newest else ()
        rows = list(remaining.pop(0)) if remaining else []
        still_ours = {table for (table, expected), row in zip(query.newest.items(), newest, strict=True) if row == expected}
        found = {conversation_id: msg_id for conversation_id, (table, msg_id) in query.known.items() if table in still_ours}
        for table, expected in query.newest.items():
            if table not in still_ours:
                self._break(table, expected)
        if len(found) < len(query.known):
            rows += connection.select(self._largest([conversation_id for conversation_id in query.known if conversation_id not in found]))
        removed: list[int] = []
        for conversation_id, largest in rows:
            status, _, msg_id = (largest or b"0|0").partition(b"|")
            if status != b"0" and self._by_status:
                removed.append(int(conversation_id))
            else:
                found[int(conversation_id)] = int(msg_id)
        if removed:
            for conversation_id, msg_id in connection.select(self._largest_of_all_statuses(removed)):
                found[int(conversation_id)] = max(found.get(int(conversation_id), 0), int(msg_id))
        return found

    def stored(self, table: str, first_row_id: int, drafts: Sequence[Draft]) -> None:
        """Note what was committed: one insert into ``table`` of these drafts, whose rows have the ids from ``first_row_id`` on."""
        last, last_row_id = drafts[-1], first_row_id + len(drafts) - 1
        newest = b"%d|%d|%d|%d" % (last_row_id, last.conversation_id, last.msg_id, last.created)
        with self._lock:
            before = self._ranges.get(table) or RowRange(0, 0, 0, b"")
            # Backwards: another thread of ours was faster, or the table was emptied and the ids begin again.
            epoch = before.epoch + 1 if first_row_id <= before.last else before.epoch
            begins = before.first if first_row_id == before.last + 1 else first_row_id
            self._ranges[table] = RowRange(epoch, begins, last_row_id, newest)
            for draft in drafts:
                self._known.put(draft.conversation_id, _Known(draft.msg_id, last_row_id, epoch))

    def _break(self, table: str, newest: bytes) -> None:
        """Trust nothing any more that was known with this newest row, also if the next row of ours gets the id behind it."""
        with self._lock:
            stretch = self._ranges[table]
            if stretch.newest == newest:
                self._ranges[table] = RowRange(stretch.epoch + 1, stretch.last + 1, stretch.last, b"")

    def _largest(self, conversation_ids: Sequence[int]) -> str:
        """The query for "status|msgId" of the largest msg_id of each conversation; if ``by_status``, among those of its highest status.

        The order names the conversation too, though it is the same in all rows: without it MySQL reads and sorts the whole history.
        """
        order = f"{self._column} desc,{'status desc,' if self._by_status else ''}msgId desc"
        return each_in_its_table(
            conversation_ids,
            lambda shard: (
                f"select concat_ws('|',status,msgId) from {self._table_of(shard)} force index ({self._index}) "
                f"where {self._column}=c.id order by {order} limit 1"
            ),
        )

    def _largest_of_all_statuses(self, conversation_ids: Iterable[int]) -> str:
        """The query for conversations with removed messages: TeamTalk itself removes none. Several rows of one may come."""
        tables: dict[str, list[str]] = {}
        for conversation_id in conversation_ids:
            tables.setdefault(self._table_of(conversation_id), []).append(str(conversation_id))
        return " union all ".join(
            f"(select {self._column},max(msgId) from {table} where {self._column} in ({','.join(ids)}) group by {self._column},status)"
            for table, ids in sorted(tables.items())
        )
