"""LostCounters: makes the counter of a group anew when Redis has lost it (restart without persistence, FLUSHALL, eviction). Any thread.

A group's unread number is a difference of two counters, the group's and the user's copy of it. So both are raised by the same amount: the
differences stay what they are, and nobody sees as unread what was written before the loss. Nothing here is a transaction, because
Redis Cluster would not allow one; instead the order of the steps, and a second look, see to it that whoever comes in between (a
reader, a sender, another loss) finds an unread number that is too low at worst.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence

from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.cache import CacheCommand, CachePool, number
from dbproxy.stores.mysql import DBPool

logger = logging.getLogger(__name__)

COPIES_PER_PIPELINE = 1000

LOOKS, LOOK_PAUSE = 5, 0.02
"""How often, and with how many seconds in between, one looks whether a counter is only late: its messages are committed first and counted
afterwards, so those of another proxy may be stored before ours and counted after them.
"""


def looks_lost(count: int, added: int, last_msg_id: int) -> bool:
    """Whether a group's counter, ``count`` after it was raised by ``added``, has forgotten most of the messages up to ``last_msg_id``."""
    return (count == added and last_msg_id > added) or 2 * count < last_msg_id


def has_jumped(before: int, now: int) -> bool:
    """Whether a counter was made anew since it was read: then a copy of what was read is far too low."""
    return now > before + 1 and now >= 2 * before


class LostCounters:
    """The fields ``count`` of ``{group}_im_group_msg`` and ``{user}_{group}_im_user_group`` after a loss."""

    def __init__(self, master: DBPool, unread: CachePool, members: GroupMembers, lock_timeout: float) -> None:
        self._master = master
        self._unread = unread
        self._members = members
        self._lock_timeout = lock_timeout

    def restore(self, group_id: int, last_msg_id: int) -> int:
        """Raise the group's counter to the number of messages up to ``last_msg_id``, and every member's copy by as much; returns the
        counter.

        The group's named lock makes it happen once, also between proxies; who joins while it happens has to wait.

        Raises:
            StoreError: a backend failed, or the lock was not free in time; the next message tries again.

        """
        for _ in range(LOOKS):
            counted = self._counted(group_id)
            if counted >= last_msg_id:
                return counted
            time.sleep(LOOK_PAUSE)
        self._members.of((group_id,))  # brings back the list of the members, should it be lost as well
        with (
            self._master.connection() as connection,
            connection.named_locks((GroupMembers.lock_name(group_id),), self._lock_timeout),
        ):
            table = names.group_message_table(group_id)
            rows = connection.select(f"select count(*) from {table} where groupId={group_id} and msgId<={last_msg_id}")
            stored = int(rows[0][0])
            # Where most rows have been taken elsewhere the number of the last message says more, and nothing looks lost afterwards.
            return self._restore(group_id, last_msg_id if looks_lost(stored, 0, last_msg_id) else stored)

    def _counted(self, group_id: int) -> int:
        return number(self._unread.run([("HGET", names.group_count_key(group_id), names.COUNT_FIELD)])[0])

    def _restore(self, group_id: int, stored: int) -> int:
        count_key = names.group_count_key(group_id)
        counted = self._counted(group_id)
        if counted >= stored:
            return counted  # somebody else was faster, or the ids have gaps
        before = stored - counted
        logger.warning("group %d: Redis had lost its counter, it goes on from %d", group_id, before)
        users = self._members.listed(group_id)
        older: dict[int, int] = {}
        for copies in self._copies(group_id, users):
            # A copy above the counter is from before the loss, and right.
            older |= {user_id: copy for user_id, copy in copies.items() if copy is not None and copy > counted}
            self._raise(group_id, {user_id: copy for user_id, copy in copies.items() if user_id not in older}, before)
        count = int(self._unread.run([("HINCRBY", count_key, names.COUNT_FIELD, before)])[0])
        if count < before + counted:
            logger.warning("group %d: Redis has lost its counter again", group_id)
            self._unread.run([("DEL", count_key)])  # or all of it would be unread for those whose copies were lost
            return 0
        for copies in self._copies(group_id, users):  # who has read or written meanwhile took a copy of the low counter
            late = {user_id: copy for user_id, copy in copies.items() if (copy or 0) < before and older.get(user_id) != copy}
            self._raise(group_id, late, before)
        return count

    def _copies(self, group_id: int, users: Sequence[int]) -> Iterator[dict[int, int | None]]:
        for start in range(0, len(users), COPIES_PER_PIPELINE):
            part = users[start : start + COPIES_PER_PIPELINE]
            replies = self._unread.run([("HGET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD) for user_id in part])
            yield {user_id: None if reply is None else number(reply) for user_id, reply in zip(part, replies, strict=True)}

    def _raise(self, group_id: int, copies: Mapping[int, int | None], by: int) -> None:
        commands: list[CacheCommand] = [
            ("HSETNX" if copy is None else "HSET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD, (copy or 0) + by)
            for user_id, copy in copies.items()
        ]
        self._unread.run(commands)
