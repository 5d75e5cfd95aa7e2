"""Who is in which group: the member hashes in Redis, which come back from MySQL when Redis has lost them. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.redis import CacheCommand, CachePool, number, pairs

logger = logging.getLogger(__name__)

Membership = tuple[int, int]
"""(group id, user id)."""

HASH = b"hash"
"""What Redis says of a key that can be a member hash; any other type is none, and is replaced."""

BELIEVED_GROUPS = 100_000

RESTORE_ATTEMPTS = 3
"""How often a lookup begins anew because Redis has lost again what had just been brought back."""


class GroupMembers:
    """The hashes ``group_member_{group}``. A group exists when its hash does; MySQL (IMGroupMember, status 0) is the truth behind it.

    Whoever changes members holds the group's named lock, deletes the hash before the change is committed, and writes it anew
    afterwards. So there is no moment at which the hash says something that MySQL does not: should the proxy die in between, or Redis
    be out of reach, the hash is not there, and comes back from MySQL when it is asked for; for that the lock is needed as well.

    A Redis that was started again may have brought back a hash from an old snapshot, with people who have left and without those who
    have joined. So after a restart each hash is written anew from MySQL before it is believed.

    A proxy that stood still (frozen, its host suspended) has lost the lock meanwhile, without knowing it. What it writes then may be older
    than what others have written; so it deletes the hash when it finds that out.
    """

    def __init__(self, master: DBPool, cache: CachePool, lock_timeout: float) -> None:
        self._master = master
        self._cache = cache
        self._lock_timeout = lock_timeout
        self._believed: BoundedCache[int, int] = BoundedCache(BELIEVED_GROUPS)  # group id → restarts of Redis when its hash was right

    @staticmethod
    def lock_name(group_id: int) -> str:
        """The named lock for the rows and the hash of a group's members and for their group sessions."""
        return f"dbproxy.group.{group_id}"

    @contextmanager
    def locked(self, connection: DBConn, group_id: int) -> Iterator[None]:
        """Hold the group's named lock for the length of the block, which may write its hash.

        Raises:
            LockWaitError: somebody else held it for longer than the lock timeout.

        """
        holding = False
        try:
            with connection.named_locks((self.lock_name(group_id),), self._lock_timeout):
                holding = True
                yield
        finally:
            if holding and not connection.open:
                self._forget_doubtful(group_id)

    def _forget_doubtful(self, group_id: int) -> None:
        try:
            self.forget(group_id)
        except StoreError as error:
            logger.error("group %d: the lock was lost, and its members in Redis may be out of date: %s", group_id, error)
        else:
            logger.warning("group %d: the lock was lost; its members will come into Redis when they are needed", group_id)

    def join_times(self, memberships: Sequence[Membership]) -> list[int | None]:
        """For each (group, user): unix time at which the user joined, None when they are not in it."""
        commands: list[CacheCommand] = [("HGET", names.group_member_key(group_id), user_id) for group_id, user_id in memberships]
        replies = self._cache.read(commands)
        if self._renew_old(group_id for group_id, _ in memberships):
            replies = self._cache.read(commands)
        times = dict(zip(memberships, replies, strict=True))
        doubtful = [membership for membership, joined in times.items() if joined is None]
        for _ in range(RESTORE_ATTEMPTS):
            if not doubtful:
                break
            doubtful = self._look_again(doubtful, times)
            if not self._restore(list(dict.fromkeys(group_id for group_id, _ in doubtful))):
                break
        else:
            self._look_again(doubtful, times)
        return [None if joined is None else number(joined) for joined in map(times.get, memberships)]

    def _look_again(self, memberships: Sequence[Membership], times: dict[Membership, bytes | None]) -> list[Membership]:
        """Fill in the times of those whose group has a hash; returns the others."""
        commands: list[CacheCommand] = []
        for group_id, user_id in memberships:
            key = names.group_member_key(group_id)
            commands += [("TYPE", key), ("HGET", key, user_id)]
        replies = self._cache.read(commands)
        times.update(zip(memberships, replies[1::2], strict=True))
        return [membership for membership, kind in zip(memberships, replies[::2], strict=True) if kind != HASH]

    def existing(self, group_ids: Iterable[int]) -> set[int]:
        """Those of the groups that exist."""
        asked = list(dict.fromkeys(group_ids))
        commands: list[CacheCommand] = [("TYPE", names.group_member_key(group_id)) for group_id in asked]
        replies = self._cache.execute(commands)
        if self._renew_old(asked):
            replies = self._cache.execute(commands)
        found = {group_id for group_id, kind in zip(asked, replies, strict=True) if kind == HASH}
        return found | self._restore([group_id for group_id in asked if group_id not in found])

    def of(self, group_ids: Iterable[int]) -> dict[int, list[int]]:
        """The members of each group that exists, in text order of their ids, as the original lists them."""
        asked = list(dict.fromkeys(group_ids))
        members = self._read(asked)
        if self._renew_old(asked):
            members = self._read(asked)
        for _ in range(RESTORE_ATTEMPTS):
            lost = [group_id for group_id in asked if group_id not in members]
            if not self._restore(lost):
                break
            members |= self._read(lost)
        return members

    def restore(self, group_id: int) -> None:
        """Write the hash of a group from MySQL if it is not there."""
        with self._master.connection() as connection, self.locked(connection, group_id):
            self._restore_one(connection, group_id)

    # for callers that hold the group's named lock, under which nothing can be restored

    def fields(self, connection: DBConn, group_id: int) -> dict[bytes, bytes]:
        """User id → time of joining, from the hash, or from MySQL if Redis has lost it or was started again."""
        fields = self._cache.read([("HGETALL", names.group_member_key(group_id))])[0]
        if not fields or self._are_old((group_id,)):
            return self._rows(connection, group_id)
        return pairs(fields)

    def replace(self, connection: DBConn, group_id: int, fields: Mapping[bytes, bytes]) -> None:
        """Write the hash of a group, whatever was in it; not if ``connection``, which holds the lock, turns out to be lost."""
        if connection.is_lost:
            return
        key = names.group_member_key(group_id)
        commands: list[CacheCommand] = [("MULTI",), ("DEL", key)]
        if fields:
            commands.append(("HSET", key, *(argument for field in fields.items() for argument in field)))
        self._cache.execute([*commands, ("EXEC",)])

    def forget(self, group_id: int) -> None:
        """Delete the hash of a group: of a new group it is a leftover, of others it must not say what is about to change."""
        self._cache.execute([("DEL", names.group_member_key(group_id))])

    def _read(self, group_ids: Sequence[int]) -> dict[int, list[int]]:
        replies = self._cache.read([("HKEYS", names.group_member_key(group_id)) for group_id in group_ids])
        return {
            group_id: [int(user) for user in sorted(reply) if user.isdigit()]
            for group_id, reply in zip(group_ids, replies, strict=True)
            if reply
        }

    def _are_old(self, group_ids: Iterable[int]) -> list[int]:
        """Those of the groups whose hashes were read, but have not been made anew since Redis was started again."""
        restarts = self._cache.restarts
        return [group_id for group_id in set(group_ids) if (self._believed.get(group_id) or 0) < restarts] if restarts else []

    def _renew_old(self, group_ids: Iterable[int]) -> bool:
        """Make the hashes of these groups anew if Redis was started again since the last time; whether there was one to make."""
        old = self._are_old(group_ids)
        for group_id in old:
            restarts = self._cache.restarts
            with self._master.connection() as connection, self.locked(connection, group_id):
                fields = self._rows(connection, group_id)
                # a group of which MySQL knows nothing at all is somebody else's, and left alone
                if fields or connection.select(f"select 1 from IMGroupMember where groupId={group_id} limit 1"):
                    self.replace(connection, group_id, fields)
            self._believed.put(group_id, restarts)
            logger.info("group %d: its members are made anew from MySQL, because Redis was started again", group_id)
        return bool(old)

    def _restore(self, group_ids: Sequence[int]) -> set[int]:
        """Bring back the hashes of groups that have members in MySQL; returns the groups that exist now."""
        if not group_ids:
            return set()
        among = ",".join(map(str, group_ids))
        rows = self._master.select(f"select distinct groupId from IMGroupMember where groupId in ({among}) and status=0")
        restored = {int(group_id) for (group_id,) in rows}
        for group_id in sorted(restored):
            self.restore(group_id)
            logger.warning("group %d: Redis had lost its members, they are back from MySQL", group_id)
        return restored

    def _restore_one(self, connection: DBConn, group_id: int) -> None:
        if self._cache.execute([("TYPE", names.group_member_key(group_id))])[0] == HASH:
            return
        fields = self._rows(connection, group_id)
        if fields:
            self.replace(connection, group_id, fields)

    @staticmethod
    def _rows(connection: DBConn, group_id: int) -> dict[bytes, bytes]:
        """The members according to MySQL; "updated" is when they joined: joining again sets it, and nothing else does."""
        rows = connection.select(f"select userId,updated from IMGroupMember where groupId={group_id} and status=0")
        return dict(rows)
