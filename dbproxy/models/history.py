"""History: queries for stored messages, and reading their rows, for both kinds of conversations. Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import nlargest
from itertools import islice
from typing import NamedTuple

from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.packing import SEPARATOR, packed
from dbproxy.stores.mysql import Row

SINGLE_TEXT, SINGLE_SOUND, GROUP_TEXT, GROUP_SOUND = 1, 2, 17, 18
"""MsgType of the protocol."""

SOUNDS = frozenset((SINGLE_SOUND, GROUP_SOUND))
GROUP_TYPES = frozenset((GROUP_TEXT, GROUP_SOUND))
MSG_TYPES = {b"%d" % msg_type: msg_type for msg_type in (SINGLE_TEXT, SINGLE_SOUND, GROUP_TEXT, GROUP_SOUND)}
"""The types of messages that the protocol knows, by their text."""

MAX_BY_ID = 100
"""Messages in one answer to a request by msg_id, at most."""

MAX_ASKED_IDS = 2000
"""msg_ids of one request that are looked up; of more the largest, which are the newest messages."""

MAX_LIST = 2000
"""Messages in one list, at most, however many were asked for: bounds the memory that one reply takes."""

UNION_LIMIT = 200
"""Queries in one union: bounds the length of a statement."""

ROWS_PER_STEP = 250
"""Rows that are read before their memory is released."""


class StoredMessage(NamedTuple):
    """A message as it is stored: for a sound, ``content`` is the id of its IMAudio row as text. ``created`` in unix seconds."""

    msg_id: int
    from_id: int
    created: int
    msg_type: int
    content: bytes


def page_query(kind: ConversationKind, index: int, conversation_id: int, msg_id_begin: int, msg_cnt: int, since: int = 0) -> str:
    """Return the query for the newest ``msg_cnt`` messages (at most ``MAX_LIST``) up to ``msg_id_begin`` (0: the last one) that are not
    older than ``since`` (unix seconds), newest first. ``index``: see ``read_history``.
    """
    below = f" and msgId<={msg_id_begin}" if msg_id_begin else ""
    table = f"{kind.table(conversation_id)} force index ({kind.time_index})"
    return _query(kind, index, conversation_id, table, f"{below}{_not_before(since)}", min(msg_cnt, MAX_LIST))


def by_id_query(kind: ConversationKind, index: int, conversation_id: int, msg_ids: Collection[int], since: int = 0) -> str:
    """Return the query for the messages with these ids (at least one), newest first, at most ``MAX_BY_ID``; see ``page_query``."""
    distinct: set[int] = set()
    remaining = iter(msg_ids)
    while some := list(islice(remaining, MAX_ASKED_IDS)):  # in steps: one for all of them would let no other thread run
        distinct.update(some)
        if len(distinct) > MAX_ASKED_IDS:
            distinct = set(nlargest(MAX_ASKED_IDS, distinct))
    among = ",".join(map(str, distinct))
    return _query(kind, index, conversation_id, kind.table(conversation_id), f"{_not_before(since)} and msgId in ({among})", MAX_BY_ID)


def _not_before(since: int) -> str:
    return f" and created>={since}" if since else ""


def _query(kind: ConversationKind, index: int, conversation_id: int, table: str, conditions: str, limit: int) -> str:
    columns = packed(str(index), "msgId", kind.sender_column, "created", "type", text="content")
    return (
        f"(select {columns} from {table} where {kind.id_column}={conversation_id} and status=0{conditions} "
        f"order by created desc,id desc limit {limit})"
    )


def union(queries: Sequence[str]) -> list[str]:
    """Put queries together into statements of at most ``UNION_LIMIT`` queries."""
    return [" union all ".join(queries[start : start + UNION_LIMIT]) for start in range(0, len(queries), UNION_LIMIT)]


def read_history(results: Iterable[list[Row]], count: int) -> list[list[StoredMessage]]:
    """Turn the rows of history queries into ``count`` lists, by the ``index`` of their queries. Messages of unknown types are left out.
    The rows are consumed, so that a long history is in memory once.
    """
    lists: list[list[StoredMessage]] = [[] for _ in range(count)]
    new = tuple.__new__  # StoredMessage(...) costs half as much again, and a list is mostly this loop
    for rows in results:
        for start in range(0, len(rows), ROWS_PER_STEP):
            portion = rows[start : start + ROWS_PER_STEP]
            rows[start : start + ROWS_PER_STEP] = [()] * len(portion)
            for (text,) in portion:
                index, msg_id, from_id, created, type_, content = text.split(SEPARATOR, 5)
                msg_type = MSG_TYPES.get(type_)
                if msg_type is not None:
                    message = new(StoredMessage, (int(msg_id), int(from_id), int(created), msg_type, content))
                    lists[int(index)].append(message)
    return lists
