"""GroupMessage: group messages, their history and their unread counters. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.models.conversation_kind import GROUP_CHAT
from dbproxy.models.group_counter_recovery import GroupCounterRecovery, looks_lost
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.history import StoredMessage, by_id_query, page_query, read_history, union
from dbproxy.models.message_store import MessageStore
from dbproxy.models.new_message import NewMessage
from dbproxy.models.recoveries import Recoveries
from dbproxy.models.session import SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, ReadPool
from dbproxy.stores.redis import LARGEST, BrokenKey, CacheCommand, CachePool, number

logger = logging.getLogger(__name__)


class GroupMessageModel:
    """IMGroupMessage_0..7 by group id, and the group counters.

    Unread is a difference of two counters, the group's and the user's copy of it, so that a message to a group of 5,000 costs one
    increment; see group_counter_recovery.py for what that means when Redis loses them.
    """

    def __init__(
        self,
        master: DBPool,
        slave: ReadPool,
        unread: CachePool,
        members: GroupMembers,
        sessions: SessionModel,
        content_limit: int,
        outcome_timeout: float,
        recoveries: Recoveries | None = None,
    ) -> None:
        """The limits are those of MessageStore."""
        self._slave = slave
        self._unread = unread
        self._members = members
        self._counter_recovery = GroupCounterRecovery(master, unread, recoveries)
        self._store = MessageStore(
            GROUP_CHAT, master, unread, sessions, None, self._count_unread, content_limit, outcome_timeout, recoveries
        )

    def configure(self, content_limit: int, outcome_timeout: float) -> None:
        """Change the limits; see MessageStore."""
        self._store.configure(content_limit, outcome_timeout)

    def others_write(self) -> bool:
        """Whether other processes seem to store such messages, too. Never blocks."""
        return self._store.others_write()

    # storing

    def store(self, messages: Sequence[NewMessage]) -> None:
        """Store group messages; see MessageStore."""
        self._store.store(messages)

    # history

    def history(self, wanted: Sequence[tuple[int, int, int, int]]) -> list[list[StoredMessage]]:
        """For each (user id, group id, msg_id_begin, msg_cnt): the messages from msg_id_begin (0: the newest) downwards, newest first,
        none from before the user joined.
        """
        joined = self._members.join_times([(group_id, user_id) for user_id, group_id, _, _ in wanted])
        queries = [
            page_query(GROUP_CHAT, index, group_id, msg_id_begin, msg_cnt, since)
            for index, ((_, group_id, msg_id_begin, msg_cnt), since) in enumerate(zip(wanted, joined, strict=True))
            if since is not None
        ]
        return self._read(queries, len(wanted))

    def by_id(self, wanted: Sequence[tuple[int, int, Sequence[int]]]) -> list[list[StoredMessage]]:
        """For each (user id, group id, msg_ids): those messages, newest first, at most 100, none from before the user joined."""
        joined = self._members.join_times([(group_id, user_id) for user_id, group_id, _ in wanted])
        queries = [
            by_id_query(GROUP_CHAT, index, group_id, msg_ids, since)
            for index, ((_, group_id, msg_ids), since) in enumerate(zip(wanted, joined, strict=True))
            if since is not None and msg_ids
        ]
        return self._read(queries, len(wanted))

    def _read(self, queries: Sequence[str], count: int) -> list[list[StoredMessage]]:
        if not queries:
            return [[] for _ in range(count)]
        return read_history(self._slave.read(partial(DBConn.script, statements=union(queries))), count)

    # unread counters

    def clear_unread(self, memberships: Sequence[tuple[int, int]]) -> None:
        """For each (user id, group id): mark all messages of the group as read; for a group without counter nothing is written."""
        group_ids = list(dict.fromkeys(group_id for _, group_id in memberships))
        counts = self._counts(group_ids)
        self._write_copies({membership: count for membership in memberships if (count := counts[membership[1]]) is not None})

    def _counts(self, group_ids: Sequence[int]) -> dict[int, int | None]:
        """The counters of groups, None of those that have none."""
        replies = self._unread.read([("HGET", names.group_count_key(group_id), names.COUNT_FIELD) for group_id in group_ids])
        return {group_id: None if reply is None else number(reply) for group_id, reply in zip(group_ids, replies, strict=True)}

    def _write_copies(self, copies: Mapping[tuple[int, int], int]) -> None:
        """Write copies, (user id, group id) → value. Nothing orders concurrent writes of one copy (two acks on two connections), so a
        later value that was overwritten is written back; otherwise messages that were read would be unread again.
        """
        commands: list[CacheCommand] = []
        for membership, copy in copies.items():
            key = names.user_group_count_key(*membership)
            commands += [("HGET", key, names.COUNT_FIELD), ("HSET", key, names.COUNT_FIELD, copy)]
        replaced = self._unread.write_or_reset(commands)[::2]
        later = {membership: old for membership, reply in zip(copies, replaced, strict=True) if (old := number(reply)) > copies[membership]}
        if later:
            counts = self._counts(list({group_id for _, group_id in later}))
            # a copy above the counter belongs to a counter that Redis has lost since: it is wrong, not later
            self._write_copies({membership: old for membership, old in later.items() if old <= (counts[membership[1]] or 0)})

    def reset_counters(self, group_id: int, members: Iterable[int]) -> None:
        """Let the msg_ids of a new group begin at 1, and its counters at 0, whatever a former group with this id has left."""
        counters = [names.user_group_count_key(user_id, group_id) for user_id in members]
        commands: list[CacheCommand] = [("DEL", key) for key in (names.group_count_key(group_id), *counters)]
        self._unread.execute([("SET", names.group_msg_id_key(group_id), 0), *commands])

    def _count_unread(self, messages: Sequence[NewMessage]) -> None:
        """Raise the groups' counters; the copies of the senders get the value that the counter had with their last message."""
        by_group: dict[int, list[NewMessage]] = {}
        for message in messages:
            by_group.setdefault(message.to_id, []).append(message)
        commands: list[CacheCommand] = [
            ("HINCRBY", names.group_count_key(group_id), names.COUNT_FIELD, len(sent)) for group_id, sent in by_group.items()
        ]
        counts = dict(zip(by_group, self._unread.execute_with_errors(commands), strict=True))
        self._repair_counters(counts, by_group)
        copies: dict[tuple[int, int], int] = {}
        for group_id, sent in by_group.items():
            for position, message in enumerate(sent):
                if group_id in counts:
                    copies[message.from_id, group_id] = max(0, counts[group_id] - len(sent) + position + 1)
        self._write_copies(copies)

    def _repair_counters(self, counts: dict[int, Any], by_group: Mapping[int, Sequence[NewMessage]]) -> None:
        """Restore the counters that Redis has lost or cannot raise; one that stays broken is removed from ``counts``."""
        broken = {group_id: count for group_id, count in counts.items() if isinstance(count, BrokenKey) or count > LARGEST}
        for group_id, count in broken.items():
            logger.warning("group %d: its counter is no number of messages: %s", group_id, count)
            del counts[group_id]
        last_ids = {group_id: sent[-1].msg_id for group_id, sent in by_group.items()}
        lost = {
            group_id: last_ids[group_id]
            for group_id, count in counts.items()
            if looks_lost(count, len(by_group[group_id]), last_ids[group_id])
        }
        if not lost and not broken:
            return
        try:
            for group_id in (lost.keys() - self._counter_recovery.late(lost)) | broken.keys():
                restored = self._counter_recovery.restore(group_id, last_ids[group_id], len(by_group[group_id]))
                if restored is not None:
                    counts[group_id] = restored
        except StoreError as error:
            logger.error("counters of groups could not be restored: %s", error)
