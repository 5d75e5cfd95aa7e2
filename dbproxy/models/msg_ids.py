"""MsgIds: the msg_ids of one run of messages, from the counters in Redis. It belongs to the thread that stores the run.

The original takes its ids from these counters, and so do other proxies. They may be wrong: Redis forgets, or comes back with an old
snapshot. So an id is used only if it is above the largest one stored, as it is known under the lock of the conversation. What has been
taken stays taken when a transaction is begun anew; if somebody else was faster in between, others are taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeGuard

from dbproxy.models.draft import Draft
from dbproxy.stores.redis import LARGEST, BrokenKey, CacheCommand, CachePool

logger = logging.getLogger(__name__)


class MsgIds:
    """Takes ids for drafts, and gives them out."""

    def __init__(self, unread: CachePool, counter_key: Callable[[int], str], drafts: Sequence[Draft]) -> None:
        """``counter_key`` names the counter of a conversation."""
        self._unread = unread
        self._counter_key = counter_key
        self._drafts = drafts
        self._taken: dict[int, int | BrokenKey] = {}  # conversation → the last of the ids taken

    def take(self) -> None:
        """Take ids for all drafts whose conversation is known, unless that has happened before. The locks of the conversations are held.

        Raises:
            StoreUnavailableError: Redis cannot be asked.

        """
        self._take({c: count for c, count in self._counts().items() if c and c not in self._taken})

    def give_out(self, last_ids: Mapping[int, int], new_ids: Collection[int]) -> None:
        """Give the drafts their ids. The locks of the conversations are held, so nobody else gives out ids for them now. ``last_ids``: the
        largest stored id of each conversation, if it has any. ``new_ids``: conversations that begin with these drafts.

        Raises:
            StoreUnavailableError: Redis cannot be asked.

        """
        counts = self._counts()
        begin = {conversation_id: last_ids.get(conversation_id, 0) for conversation_id in counts}
        self._take({c: count for c, count in counts.items() if c in new_ids or not _usable(self._taken.get(c), count, begin[c])}, new_ids)
        repairs: list[CacheCommand] = []
        for conversation_id, count in counts.items():
            last, stored = self._taken[conversation_id], begin[conversation_id]
            if _usable(last, count, stored):
                begin[conversation_id] = last - count
            else:
                key = self._counter_key(conversation_id)
                logger.warning("counter %s was not right, it goes on from the stored messages: %s, %d", key, last, stored)
                repairs.append(("SET", key, stored + count))
        self._unread.execute(repairs)
        for draft in self._drafts:
            begin[draft.conversation_id] += 1
            draft.msg_id = begin[draft.conversation_id]

    def _counts(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for draft in self._drafts:
            counts[draft.conversation_id] = counts.get(draft.conversation_id, 0) + 1
        return counts

    def _take(self, counts: Mapping[int, int], new_ids: Collection[int] = ()) -> None:
        commands: list[CacheCommand] = [("SET", self._counter_key(new), 0) for new in new_ids]
        commands += [("INCRBY", self._counter_key(conversation_id), count) for conversation_id, count in counts.items()]
        self._taken.update(zip(counts, self._unread.execute_with_errors(commands)[len(new_ids) :], strict=True))


def _usable(last: int | BrokenKey | None, count: int, stored: int) -> TypeGuard[int]:
    """Whether so many ids up to ``last`` are above what is stored, and can be named."""
    return isinstance(last, int) and stored <= last - count <= LARGEST - count
