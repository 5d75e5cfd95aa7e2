"""Reading stored messages: what one-to-one and group messages have in common. Any thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import nlargest
from typing import NamedTuple

from dbproxy.stores.mysql import Row

SINGLE_TEXT, SINGLE_SOUND, GROUP_TEXT, GROUP_SOUND = 1, 2, 17, 18
"""MsgType of the protocol."""

SOUNDS = frozenset((SINGLE_SOUND, GROUP_SOUND))
MSG_TYPES = {b"%d" % msg_type: msg_type for msg_type in (SINGLE_TEXT, SINGLE_SOUND, GROUP_TEXT, GROUP_SOUND)}
"""The types of messages that the protocol knows, by their text."""

MAX_BY_ID = 100
"""Messages in one answer to a request by msg_id, at most."""

MAX_ASKED_IDS = 2000
"""msg_ids of one request that are looked up; of more the largest, which are the newest messages."""

MAX_LIST = 2000
"""Messages in one list, at most, however many were asked for: one reply must not swell the process."""

HISTORY_COLUMNS = "concat_ws('|',{index},msgId,{sender},created,type,ifnull(content,''))"
"""One field per row: reading a field costs about as much as all else about a row. Numbers first, so that the content may hold
anything."""

UNION_LIMIT = 200
"""Queries in one union, so that no statement grows without bound."""


ROWS_PER_STEP = 250
"""Rows that are read before they are let go of."""


class StoredMessage(NamedTuple):
    """A message as it is stored: for a sound, ``content`` is the id of its IMAudio row as text. ``created`` in unix seconds."""

    msg_id: int
    from_id: int
    created: int
    msg_type: int
    content: bytes


def ids_to_look_up(msg_ids: Collection[int]) -> str:
    """The msg_ids of a request as they stand in a query, without repetitions."""
    distinct = set(msg_ids)
    return ",".join(map(str, distinct if len(distinct) <= MAX_ASKED_IDS else nlargest(MAX_ASKED_IDS, distinct)))


def union(queries: Iterable[str]) -> list[str]:
    """Put queries together into as few statements as is sensible."""
    queries = list(queries)
    return [" union all ".join(queries[start : start + UNION_LIMIT]) for start in range(0, len(queries), UNION_LIMIT)]


def read_history(results: Iterable[list[Row]], count: int) -> list[list[StoredMessage]]:
    """Turn rows of HISTORY_COLUMNS into ``count`` lists by their index. Unknown message types are left out. The rows are used up: a long
    history is in memory once.
    """
    lists: list[list[StoredMessage]] = [[] for _ in range(count)]
    new = tuple.__new__  # StoredMessage(...) costs half as much again, and a list is mostly this loop
    for rows in results:
        for start in range(0, len(rows), ROWS_PER_STEP):
            portion = rows[start : start + ROWS_PER_STEP]
            rows[start : start + ROWS_PER_STEP] = [()] * len(portion)
            for (text,) in portion:
                index, msg_id, from_id, created, type_, content = text.split(b"|", 5)
                msg_type = MSG_TYPES.get(type_)
                if msg_type is not None:
                    message = new(StoredMessage, (int(msg_id), int(from_id), int(created), msg_type, content))
                    lists[int(index)].append(message)
    return lists
