"""Reading stored messages: what one-to-one and group messages have in common. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from dbproxy.stores.mysql import Row

SINGLE_TEXT, SINGLE_SOUND, GROUP_TEXT, GROUP_SOUND = 1, 2, 17, 18
"""MsgType of the protocol."""

SOUNDS = frozenset((SINGLE_SOUND, GROUP_SOUND))
MSG_TYPES = frozenset((SINGLE_TEXT, SINGLE_SOUND, GROUP_TEXT, GROUP_SOUND))

MAX_BY_ID = 100
"""Messages in one answer to a request by msg_id, at most."""

MAX_LIST = 2000
"""Messages in one list, at most, however many were asked for: one reply must not swell the process."""

HISTORY_COLUMNS = "concat_ws('|',{index},msgId,{sender},created,type,content)"
"""One field per row: reading a field costs about as much as all else about a row. Numbers first, so that the content may hold
anything; a content of NULL leaves its part out."""

UNION_LIMIT = 200
"""Queries in one union, so that no statement grows without bound."""


class StoredMessage(NamedTuple):
    """A message as it is stored: for a sound, ``content`` is the id of its IMAudio row as text. ``created`` in unix seconds."""

    msg_id: int
    from_id: int
    created: int
    msg_type: int
    content: bytes


class LastMessage(NamedTuple):
    """The last visible message of a conversation, for summaries."""

    msg_id: int
    msg_type: int
    from_id: int
    content: bytes


def union(queries: Iterable[str]) -> list[str]:
    """Put queries together into as few statements as is sensible."""
    queries = list(queries)
    return [" union all ".join(queries[start : start + UNION_LIMIT]) for start in range(0, len(queries), UNION_LIMIT)]


def read_history(results: Iterable[Sequence[Row]], count: int) -> list[list[StoredMessage]]:
    """Turn rows of HISTORY_COLUMNS into ``count`` lists by their index. Unknown message types are left out."""
    lists: list[list[StoredMessage]] = [[] for _ in range(count)]
    for rows in results:
        for (text,) in rows:
            index, msg_id, from_id, created, msg_type, *content = text.split(b"|", 5)
            message = StoredMessage(int(msg_id), int(from_id), int(created), int(msg_type), content[0] if content else b"")
            if message.msg_type in MSG_TYPES:
                lists[int(index)].append(message)
    return lists


def last_message_queries(
    conversation_ids: Iterable[int], table_of: Callable[[int], str], column: str, sender: str, index: str
) -> list[str]:
    """The statements whose rows ``last_messages`` takes: the last visible message of each conversation.

    The innermost query finds a message by one step in ``index``, however long the history is; asking for many conversations like this
    costs the server a quarter of what a union of as many queries costs.
    """
    tables: dict[str, list[str]] = {}
    for conversation_id in conversation_ids:
        tables.setdefault(table_of(conversation_id), []).append(str(conversation_id))
    return union(
        f"(select concat_ws('|',m.{column},m.msgId,m.type,m.{sender},m.content) from (select "
        f"(select i.id from {table} i force index ({index}) where i.{column}=c.id and i.status=0 order by i.created desc,i.id desc limit 1)"
        f" as id from ({' union all '.join(['select ' + ids[0] + ' as id', *('select ' + other for other in ids[1:])])}) c) l"
        f" join {table} m on m.id=l.id)"
        for table, ids in sorted(tables.items())
    )


def last_messages(results: Iterable[Sequence[Row]]) -> dict[int, LastMessage]:
    """Turn the rows of ``last_message_queries`` into a dict by conversation. Unknown message types are left out."""
    messages: dict[int, LastMessage] = {}
    for rows in results:
        for (text,) in rows:
            conversation_id, msg_id, msg_type, from_id, *content = text.split(b"|", 4)
            if int(msg_type) in MSG_TYPES:
                messages[int(conversation_id)] = LastMessage(int(msg_id), int(msg_type), int(from_id), content[0] if content else b"")
    return messages
