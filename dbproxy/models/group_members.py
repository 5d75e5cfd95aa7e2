"""GroupMembers: which users are in which groups; hashes in Redis, which are restored from MySQL when Redis has lost them. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.models.recoveries import Recoveries
from dbproxy.models.staged_members import StagedMembers
from dbproxy.stores.mysql import DBConn, DBPool, lock_rows, named_locks
from dbproxy.stores.redis import CacheCommand, CachePool, number, pairs

logger = logging.getLogger(__name__)

Membership = tuple[int, int]
"""(group id, user id)."""

HASH = b"hash"
"""The type of a member hash in Redis; a key of another type is replaced."""

CACHED_GROUPS = 100_000

RESTORE_ATTEMPTS = 3
"""How often a lookup is tried again because Redis has lost a hash that had just been restored."""


class GroupMembers:
    """The hashes ``group_member_{group}``. A group exists when its hash does; MySQL (IMGroupMember, status 0) is the truth behind it.

    To change members, a proxy takes the group's named lock, deletes the hash, commits the change, and writes the hash. So the hash never
    differs from MySQL: if the proxy dies in between, or Redis cannot be reached, the hash does not exist, and the next read restores it
    from MySQL, under the same lock.

    A Redis that was restarted may have loaded a hash from an old snapshot, with users who have left and without users who have joined. So
    after a restart each hash is rebuilt from MySQL before it is used. So it is after a failover of MySQL: a replica that takes the place of
    its master may lack the last changes, which Redis has.

    A proxy that was stopped for a while (SIGSTOP, a suspended host) may have lost the lock without noticing. What it writes then may be
    older than what other proxies have written, so it deletes the hash when it notices.

    In a cluster with several writers the named lock orders the proxies of one node only; what else it takes is in ``staged_members.py``.
    """

    def __init__(self, master: DBPool, cache: CachePool, recoveries: Recoveries | None = None) -> None:
        self._recoveries = recoveries or Recoveries()
        self._master = master
        self._cache = cache
        self._staged = StagedMembers(cache)
        self._verified: BoundedCache[int, int] = BoundedCache(CACHED_GROUPS)  # group id → losses when its hash was rebuilt

    @staticmethod
    def lock_name(group_id: int) -> str:
        """The named lock for the rows and the hash of a group's members and for their group sessions."""
        return f"dbproxy.group.{group_id}"

    @staticmethod
    def lock_row_name(group_id: int) -> str:
        """The name of the lock row for the rows and the hash of a group's members. Not the one of its messages and sessions, because of
        a busy group these change all the time.
        """
        return f"dbproxy.members.{group_id}"

    @contextmanager
    def locked(self, connection: DBConn, group_id: int) -> Iterator[None]:
        """Hold the group's named lock for the length of the block, which may write the group's hash.

        Raises:
            LockWaitError: it was not free within DBLockTimeout.

        """
        holding = False
        try:
            with named_locks(connection, (self.lock_name(group_id),)):
                holding = True
                yield
        finally:
            if holding and not connection.open and not connection.needs_lock_rows:
                self._delete_after_lost_lock(group_id)

    def _delete_after_lost_lock(self, group_id: int) -> None:
        try:
            self.delete_hash(group_id)
        except StoreError as error:
            logger.error("group %d: the lock was lost, and its members in Redis may be out of date: %s", group_id, error)
        else:
            logger.warning("group %d: the lock was lost; its members will be written to Redis when they are needed", group_id)

    def groups_for_users(self, user_ids: Iterable[int]) -> dict[int, list[int]]:
        """The groups that each user is in, according to the master, last changed membership first."""
        groups: dict[int, dict[int, None]] = {user_id: {} for user_id in user_ids}  # sets that keep their order
        if groups:
            among = ",".join(map(str, groups))
            rows = self._master.select(
                f"select userId,groupId from IMGroupMember where userId in ({among}) and status=0 order by updated desc,id desc"
            )
            for user_id, group_id in rows:
                groups[int(user_id)][int(group_id)] = None
        return {user_id: list(group_ids) for user_id, group_ids in groups.items()}

    def join_times(self, memberships: Sequence[Membership]) -> list[int | None]:
        """For each (group, user): unix time at which the user joined, None when they are not in it."""
        commands: list[CacheCommand] = [("HGET", names.group_member_key(group_id), user_id) for group_id, user_id in memberships]
        replies = self._cache.read(commands)
        if self._rebuild_outdated(group_id for group_id, _ in memberships):
            replies = self._cache.read(commands)
        times = dict(zip(memberships, replies, strict=True))
        missing = [membership for membership, joined in times.items() if joined is None]
        for _ in range(RESTORE_ATTEMPTS):
            if not missing:
                break
            missing = self._read_times(missing, times)
            if not self._restore_hashes(list(dict.fromkeys(group_id for group_id, _ in missing))):
                break
        else:
            self._read_times(missing, times)
        return [None if joined is None else number(joined) for joined in map(times.get, memberships)]

    def _read_times(self, memberships: Sequence[Membership], times: dict[Membership, bytes | None]) -> list[Membership]:
        """Read the times of joining again, into ``times``; returns the memberships whose group has no hash."""
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
        if self._rebuild_outdated(asked):
            replies = self._cache.execute(commands)
        found = {group_id for group_id, kind in zip(asked, replies, strict=True) if kind == HASH}
        return found | self._restore_hashes([group_id for group_id in asked if group_id not in found])

    def get_many(self, group_ids: Iterable[int]) -> dict[int, list[int]]:
        """The members of each group that exists, in text order of their ids, as the original lists them."""
        asked = list(dict.fromkeys(group_ids))
        members = self._read_members(asked)
        if self._rebuild_outdated(asked):
            members = self._read_members(asked)
        for _ in range(RESTORE_ATTEMPTS):
            lost = [group_id for group_id in asked if group_id not in members]
            if not self._restore_hashes(lost):
                break
            members |= self._read_members(lost)
        return members

    def restore_hash(self, group_id: int) -> None:
        """Write the hash of a group from MySQL if it does not exist."""
        self._master.write(lambda connection: self._restore(connection, group_id))

    def _restore(self, connection: DBConn, group_id: int) -> None:
        with self.locked(connection, group_id):
            if self._cache.execute([("TYPE", names.group_member_key(group_id))])[0] != HASH:
                self._write_from_rows(connection, group_id, bool)

    def _rebuild(self, connection: DBConn, group_id: int) -> None:
        def is_ours(fields: Mapping[bytes, bytes]) -> bool:
            """A group that never had a row in MySQL is not ours, and its hash is left as it is."""
            return bool(fields or connection.select(f"select 1 from IMGroupMember where groupId={group_id} limit 1"))

        with self.locked(connection, group_id):
            self._write_from_rows(connection, group_id, is_ours)

    def _write_from_rows(self, connection: DBConn, group_id: int, wanted: Callable[[Mapping[bytes, bytes]], bool]) -> None:
        """Write the hash of a group as the rows are, if ``wanted`` is true for them. With the group's named lock."""
        self.begin(connection, group_id)
        fields = self._select_fields(connection, group_id)
        if not wanted(fields):
            connection.end_transaction()
            return
        if not connection.needs_lock_rows:
            self.write_hash(connection, group_id, fields)
            return
        token = self._discard_and_stage(group_id, fields)
        connection.commit_script(())
        self.finish_change(connection, group_id, fields, token)

    def _discard_and_stage(self, group_id: int, fields: Mapping[bytes, bytes]) -> bytes | None:
        self._staged.discard(group_id)
        return self._staged.stage(group_id, fields) if fields else None

    # for callers that hold the group's named lock; they raise StoreError when a backend fails

    def begin(self, connection: DBConn, group_id: int) -> None:
        """Begin the transaction that changes the group's members or writes its hash, where the named lock is not enough for that."""
        rows = lock_rows(connection, (self.lock_row_name(group_id),))
        if rows:
            connection.script(("begin", *rows))

    def prepare_change(self, connection: DBConn, group_id: int, fields: Mapping[bytes, bytes]) -> bytes | None:
        """Delete the hash before a change of the members is committed, after which they are ``fields``. Returns what ``finish_change``
        takes.
        """
        if connection.needs_lock_rows:
            return self._discard_and_stage(group_id, fields)
        self.delete_hash(group_id)
        return None

    def finish_change(self, connection: DBConn, group_id: int, fields: Mapping[bytes, bytes], token: bytes | None) -> None:
        """Write the hash after the commit."""
        if not connection.needs_lock_rows:
            self.write_hash(connection, group_id, fields)
        elif token is not None:
            self._staged.publish(group_id, token)

    def read_hash(self, connection: DBConn, group_id: int) -> dict[bytes, bytes]:
        """User id → time of joining, from the hash, or from MySQL if Redis has lost it, or it is to be rebuilt, and in a cluster always."""
        if connection.needs_lock_rows:
            return self._select_fields(connection, group_id)
        fields = self._cache.read([("HGETALL", names.group_member_key(group_id))])[0]
        if not fields or self._outdated((group_id,)):
            return self._select_fields(connection, group_id)
        return pairs(fields)

    def write_hash(self, connection: DBConn, group_id: int, fields: Mapping[bytes, bytes]) -> None:
        """Replace the hash of a group, unless ``connection``, which holds the lock, turns out to be lost."""
        if connection.is_lost:
            return
        key = names.group_member_key(group_id)
        commands: list[CacheCommand] = [("MULTI",), ("DEL", key)]
        if fields:
            commands.append(("HSET", key, *(argument for field in fields.items() for argument in field)))
        self._cache.execute([*commands, ("EXEC",)])

    def delete_hash(self, group_id: int) -> None:
        """Delete the hash of a group, before its members change."""
        self._cache.execute([("DEL", names.group_member_key(group_id))])

    def _read_members(self, group_ids: Sequence[int]) -> dict[int, list[int]]:
        replies = self._cache.read([("HKEYS", names.group_member_key(group_id)) for group_id in group_ids])
        return {
            group_id: [int(user) for user in sorted(reply) if user.isdigit()]
            for group_id, reply in zip(group_ids, replies, strict=True)
            if reply
        }

    def _outdated(self, group_ids: Iterable[int]) -> list[int]:
        """Those of the groups whose hashes have not been rebuilt since either side may have lost something."""
        losses = self._losses()
        return [group_id for group_id in set(group_ids) if (self._verified.get(group_id) or 0) < losses] if losses else []

    def _losses(self) -> int:
        """How often Redis was restarted, or MySQL failed over."""
        return self._cache.restarts + self._master.failovers

    def _rebuild_outdated(self, group_ids: Iterable[int]) -> bool:
        """Rebuild the hashes of those groups for which it has not been done since either side may have lost something; whether there were
        any.
        """
        outdated = self._outdated(group_ids)
        for group_id in outdated:
            losses = self._losses()
            self._master.write(partial(self._rebuild, group_id=group_id))
            self._verified.put(group_id, losses)
            self._recoveries.add("members")
            logger.info("group %d: its members are rebuilt from MySQL, because Redis was restarted or MySQL failed over", group_id)
        return bool(outdated)

    def _restore_hashes(self, group_ids: Sequence[int]) -> set[int]:
        """Restore the hashes of those groups that have members in MySQL; returns these groups."""
        if not group_ids:
            return set()
        among = ",".join(map(str, group_ids))
        rows = self._master.select(f"select distinct groupId from IMGroupMember where groupId in ({among}) and status=0")
        restored = {int(group_id) for (group_id,) in rows}
        for group_id in sorted(restored):
            self.restore_hash(group_id)
            self._recoveries.add("members")
            logger.warning("group %d: Redis had lost its members, they are restored from MySQL", group_id)
        return restored

    @staticmethod
    def _select_fields(connection: DBConn, group_id: int) -> dict[bytes, bytes]:
        """The fields of the hash according to MySQL. "updated" is the time of joining: only joining again sets it."""
        rows = connection.select(f"select userId,updated from IMGroupMember where groupId={group_id} and status=0")
        return dict(rows)
