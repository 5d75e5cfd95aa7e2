"""GroupCounterShift: raises the counter of a group without a change to anybody's unread number. Any thread.

When messages of a group get higher msg_ids, its counter may look lost beside them, and the next message would restore it
(``group_counter_recovery.py``): what is unread would be forgotten. So before that the counter is raised by ``d``, and so are
``read_by_all`` and the copy of each member that is above it. The unread number, ``count - max(copy, read_by_all)``, stays the same.

These are several keys, and nothing orders writes to them. The copies come first, because a number that is too low for a moment, or until
the next message if this process is killed, is better than one that is too high. Then the two fields of the group's key are raised in one
step. A member who has read in between got a copy of the former counter, which is raised afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from dbproxy.models import names
from dbproxy.models.group_counter_recovery import looks_lost
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.redis import LARGEST, CacheCommand, CachePool, number

MEMBERS_AT_ONCE = 500

SETTLE = 0.1
"""Seconds after which a proxy that had read the former counter has written the copy that it made of it."""


class GroupCounterShift:
    """Raises counters ``{group}_im_group_msg`` with the copies of the members."""

    def __init__(self, master: DBPool, unread: CachePool) -> None:
        self._master = master
        self._unread = unread

    def raise_for(self, group_id: int, last_id: int) -> int:
        """Raise the counter so that it does not look lost when msg_ids up to ``last_id`` are stored; by how much, 0 if it need not be. A
        counter that is missing stays so: nothing is unread then.

        Raises:
            StoreError: a backend failed.

        """
        key = names.group_count_key(group_id)
        reply = self._unread.read([("HMGET", key, names.COUNT_FIELD, names.READ_BY_ALL_FIELD)])[0] or (None, None)
        count, read_by_all = map(number, reply)
        if not 0 < count < LARGEST or not looks_lost(count, 0, last_id):
            return 0
        stored = int(self._master.select(f"select count(*) from {names.group_message_table(group_id)} where groupId={group_id}")[0][0])
        by = (last_id if looks_lost(stored, 0, last_id) else max(stored, count)) - count
        raised: dict[int, int] = {}
        for members in self._members(group_id):
            copies = {user_id: copy + by for user_id, copy in self._copies(group_id, members).items() if copy > read_by_all}
            self._unread.write_or_reset([self._write(user_id, group_id, copy) for user_id, copy in copies.items()])
            raised |= copies
        results = self._unread.execute(
            [
                ("MULTI",),
                ("HINCRBY", key, names.COUNT_FIELD, by),
                ("HINCRBY", key, names.READ_BY_ALL_FIELD, by),
                ("EXEC",),
            ]
        )
        time.sleep(SETTLE)
        self._raise_former(group_id, raised, results[-1][0], by)
        return by

    def _raise_former(self, group_id: int, raised: Mapping[int, int], count: int, by: int) -> None:
        """Raise the copies that have been written since the first pass and are of the former counter: below ``count``, which all copies
        of the raised one reach.
        """
        for members in self._members(group_id):
            copies = self._copies(group_id, members)
            former = {u: copy + by for u, copy in copies.items() if raised.get(u) != copy and 0 < copy < count and copy + by <= count}
            replaced = self._unread.write_or_reset(
                [
                    command
                    for user_id, copy in former.items()
                    for command in (
                        ("HGET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD),
                        self._write(user_id, group_id, copy),
                    )
                ]
            )[::2]
            later = [(user_id, number(old)) for user_id, old in zip(former, replaced, strict=True) if number(old) > former[user_id]]
            self._unread.write_or_reset([self._write(user_id, group_id, copy) for user_id, copy in later])

    def _members(self, group_id: int) -> Iterator[Sequence[int]]:
        last = 0
        while True:
            rows = self._master.select(
                f"select distinct userId from IMGroupMember where groupId={group_id} and status=0 and userId>{last} "
                f"order by userId limit {MEMBERS_AT_ONCE}"
            )
            if not rows:
                return
            yield [int(user_id) for (user_id,) in rows]
            last = int(rows[-1][0])

    def _copies(self, group_id: int, members: Sequence[int]) -> dict[int, int]:
        keys = [names.user_group_count_key(user_id, group_id) for user_id in members]
        replies = self._unread.read([("HGET", key, names.COUNT_FIELD) for key in keys])
        return {user_id: number(reply) for user_id, reply in zip(members, replies, strict=True)}

    @staticmethod
    def _write(user_id: int, group_id: int, copy: int) -> CacheCommand:
        return ("HSET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD, copy)
