"""MsgIds: the msg_ids of one batch of messages, from the counters in Redis. It belongs to the thread that stores the batch.

The original takes its ids from these counters, and so do other proxies. They may be wrong: Redis may lose them, or restore an old
snapshot. So an id is used only if it is above the largest stored one, as it was read under the lock of the conversation. Ids that were
reserved are kept when the transaction begins again; if another proxy has stored higher ones meanwhile, new ones are reserved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeGuard

from dbproxy.errors import IdsUnavailableError, StoreUnavailableError
from dbproxy.models.new_message import NewMessage
from dbproxy.models.recoveries import Recoveries
from dbproxy.stores.redis import LARGEST, BrokenKey, CacheCommand, CachePool

logger = logging.getLogger(__name__)


class MsgIds:
    """Reserves ids for messages, and assigns them."""

    def __init__(
        self,
        unread: CachePool,
        counter_key: Callable[[int], str],
        messages: Sequence[NewMessage],
        recoveries: Recoveries | None = None,
    ) -> None:
        """``counter_key``: conversation id → key of its counter."""
        self._recoveries = recoveries or Recoveries()
        self._unread = unread
        self._counter_key = counter_key
        self._messages = messages
        self._reserved: dict[int, int | BrokenKey] = {}  # conversation id → the last of the ids reserved

    def reserve(self) -> None:
        """Reserve ids for all messages whose conversation exists, unless that has been done before. The caller holds the locks of the
        conversations.

        Raises:
            IdsUnavailableError: Redis cannot be asked.

        """
        self._reserve({c: count for c, count in self._counts().items() if c and c not in self._reserved})

    def assign(self, last_ids: Mapping[int, int], new_ids: Collection[int]) -> None:
        """Set the ids of the messages. The caller holds the locks of the conversations, so no other process assigns ids in them now.
        ``last_ids``: the largest stored id of each conversation that has one. ``new_ids``: conversations that begin with these messages.

        Raises:
            IdsUnavailableError: Redis cannot be asked.

        """
        counts = self._counts()
        begin = {conversation_id: last_ids.get(conversation_id, 0) for conversation_id in counts}
        self._reserve(
            {c: count for c, count in counts.items() if c in new_ids or not _usable(self._reserved.get(c), count, begin[c])}, new_ids
        )
        repairs: list[CacheCommand] = []
        for conversation_id, count in counts.items():
            last, stored = self._reserved[conversation_id], begin[conversation_id]
            if _usable(last, count, stored):
                begin[conversation_id] = last - count
            else:
                key = self._counter_key(conversation_id)
                logger.warning("counter %s was wrong, it continues after the stored messages: %s, %d", key, last, stored)
                self._recoveries.add("ids")
                repairs.append(("SET", key, stored + count))
        try:
            self._unread.execute(repairs)
        except StoreUnavailableError as error:
            raise IdsUnavailableError(str(error)) from error
        for message in self._messages:
            begin[message.conversation_id] += 1
            message.msg_id = begin[message.conversation_id]

    def _counts(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for message in self._messages:
            counts[message.conversation_id] = counts.get(message.conversation_id, 0) + 1
        return counts

    def _reserve(self, counts: Mapping[int, int], new_ids: Collection[int] = ()) -> None:
        commands: list[CacheCommand] = [("SET", self._counter_key(new), 0) for new in new_ids]
        commands += [("INCRBY", self._counter_key(conversation_id), count) for conversation_id, count in counts.items()]
        try:
            replies = self._unread.execute_with_errors(commands)
        except StoreUnavailableError as error:
            raise IdsUnavailableError(str(error)) from error
        self._reserved.update(zip(counts, replies[len(new_ids) :], strict=True))


def _usable(last: int | BrokenKey | None, count: int, stored: int) -> TypeGuard[int]:
    """Whether the ``count`` ids up to ``last`` are above the stored ones and fit into the protocol's field."""
    return isinstance(last, int) and stored <= last - count <= LARGEST - count
