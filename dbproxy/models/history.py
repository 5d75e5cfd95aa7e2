"""Reading stored messages: what one-to-one and group messages have in common. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dbproxy.stores.db_conn import Row

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
