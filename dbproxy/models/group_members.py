"""Who is in which group: the member hashes in Redis, which come back from MySQL when Redis has lost them. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.stores.cache import CacheCommand, CachePool, number
from dbproxy.stores.mysql import DBConn, DBPool

logger = logging.getLogger(__name__)

Membership = tuple[int, int]
"""(group id, user id)."""


class GroupMembers:
    """The hashes ``group_member_{group}``. A group exists when its hash does; MySQL (IMGroupMember, status 0) is the truth behind it.

    Whoever writes a hash that readers may be rebuilding holds the group's named lock, so that no rebuild brings back who has just
    left.
    """

    def __init__(self, master: DBPool, cache: CachePool, lock_timeout: float) -> None:
        self._master = master
        self._cache = cache
        self._lock_timeout = lock_timeout
        self._stale: set[int] = set()

    @staticmethod
    def lock_name(group_id: int) -> str:
        """The named lock for the rows and the hash of a group's members and for their group sessions."""
        return f"dbproxy.group.{group_id}"

    def join_times(self, memberships: Sequence[Membership]) -> list[int | None]:
        """For each (group, user): unix time at which the user joined, None when they are not in it."""
        commands: list[CacheCommand] = [("HGET", names.group_member_key(group_id), user_id) for group_id, user_id in memberships]
        times = self._cache.run(commands)
        doubtful = {group_id for (group_id, _), joined in zip(memberships, times, strict=True) if joined is None}
        if doubtful and self._restore_lost(doubtful):
            times = self._cache.run(commands)
        return [None if joined is None else number(joined) for joined in times]

    def existing(self, group_ids: Iterable[int]) -> set[int]:
        """Those of the groups that exist."""
        asked = list(dict.fromkeys(group_ids))
        replies = self._cache.run([("EXISTS", names.group_member_key(group_id)) for group_id in asked])
        found = {group_id for group_id, reply in zip(asked, replies, strict=True) if reply}
        return found | self._restore([group_id for group_id in asked if group_id not in found])

    def of(self, group_ids: Iterable[int]) -> dict[int, list[int]]:
        """The members of each group that exists, in text order of their ids, as the original lists them."""
        asked = list(dict.fromkeys(group_ids))
        members = self._read(asked)
        lost = [group_id for group_id in asked if group_id not in members]
        if self._restore(lost):
            members |= self._read(lost)
        return members

    def not_in(self, group_id: int, user_ids: Sequence[int]) -> list[int]:
        """Those of the users that are not in the group, according to its hash alone: for callers that hold the group's named lock, under
        which nothing can be restored.
        """
        if not user_ids:
            return []
        times = self._cache.run([("HMGET", names.group_member_key(group_id), *user_ids)])[0]
        return [user_id for user_id, joined in zip(user_ids, times, strict=True) if joined is None]

    def add(self, group_id: int, user_ids: Iterable[int], joined: int) -> None:
        """Write users into the hash of a group."""
        fields = [argument for user_id in user_ids for argument in (user_id, joined)]
        self._cache.run([("HSET", names.group_member_key(group_id), *fields)])

    def drop(self, group_id: int, user_ids: Iterable[int]) -> None:
        """Take users out of the hash of a group."""
        self._cache.run([("HDEL", names.group_member_key(group_id), *user_ids)])

    def forget(self, group_id: int) -> None:
        """Delete the hash of a group: for a new group it is a leftover, for others it makes them come back from MySQL."""
        self._cache.run([("DEL", names.group_member_key(group_id))])

    def forget_later(self, group_id: int) -> None:
        """The hash of a group is wrong and Redis cannot be told: delete it as soon as it can."""
        self._stale.add(group_id)
        self.forget_stale()

    def forget_stale(self) -> None:
        """Delete the hashes that could not be corrected. Called again and again by the sync thread; never raises a StoreError."""
        for group_id in tuple(self._stale):
            try:
                self.forget(group_id)
            except StoreError as error:
                logger.error("group %d: its members in Redis are wrong and cannot be deleted yet: %s", group_id, error)
                return
            self._stale.discard(group_id)

    def _read(self, group_ids: Sequence[int]) -> dict[int, list[int]]:
        replies = self._cache.run([("HKEYS", names.group_member_key(group_id)) for group_id in group_ids])
        return {
            group_id: [int(user) for user in sorted(reply) if user.isdigit()]
            for group_id, reply in zip(group_ids, replies, strict=True)
            if reply
        }

    def _restore_lost(self, group_ids: Iterable[int]) -> bool:
        """Bring back those of the groups whose hash is not there; whether there was one."""
        asked = list(group_ids)
        replies = self._cache.run([("EXISTS", names.group_member_key(group_id)) for group_id in asked])
        return bool(self._restore([group_id for group_id, exists in zip(asked, replies, strict=True) if not exists]))

    def _restore(self, group_ids: Sequence[int]) -> set[int]:
        """Bring back the hashes of groups that have members in MySQL; returns the groups that exist now."""
        if not group_ids:
            return set()
        among = ",".join(map(str, group_ids))
        rows = self._master.select(f"select distinct groupId from IMGroupMember where groupId in ({among}) and status=0")
        restored = {int(group_id) for (group_id,) in rows}
        for group_id in sorted(restored):
            with (
                self._master.connection() as connection,
                connection.named_locks((self.lock_name(group_id),), self._lock_timeout),
            ):
                self._restore_one(connection, group_id)
        return restored

    def _restore_one(self, connection: DBConn, group_id: int) -> None:
        if self._cache.run([("EXISTS", names.group_member_key(group_id))])[0]:
            return
        rows = connection.select(f"select userId,updated from IMGroupMember where groupId={group_id} and status=0")
        if not rows:
            return
        # "updated" is when they joined: joining again sets it, and nothing else does.
        fields = [argument for user_id, updated in rows for argument in (user_id, updated)]
        self._cache.run([("HSET", names.group_member_key(group_id), *fields)])
        logger.warning("group %d: Redis had lost its members, %d are back from MySQL", group_id, len(rows))
