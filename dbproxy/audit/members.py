"""Group members: the hashes in Redis compared with IMGroupMember, which is authoritative, and IMGroup.userCnt compared with the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from dbproxy.audit.finding import Finding, Severity, listed
from dbproxy.audit.walk import PIPELINE, AuditBackends, batches, scan, split_by_type
from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.mysql import DBConn, ReadablePool
from dbproxy.stores.mysql.literals import id_list
from dbproxy.stores.mysql.slices import slices
from dbproxy.stores.redis import pairs

GROUPS_AT_ONCE = 50
"""Groups whose members are in memory at the same time; some have thousands."""

GROUPS_PER_STATEMENT = 500

JOIN_TOLERANCE = 2
"""Seconds: the original reads the clock once for the row and once for the hash."""

Rows = dict[int, set[int]]
"""User id → unix times of joining that the rows say; more than one when there are duplicate rows."""

Hash = dict[bytes, bytes]
"""Field → value of a member hash."""


@dataclass(frozen=True, slots=True)
class Differences:
    """The changes by which a member hash becomes equal to the rows."""

    missing: dict[int, int]
    extra: tuple[bytes, ...]
    late: dict[int, int]
    """Members with another time of joining; user id → the correct one."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.late)


def compare(rows: Rows, hashed: Hash) -> Differences:
    """Compare the rows of a group with its hash."""
    missing: dict[int, int] = {}
    late: dict[int, int] = {}
    for user_id, times in rows.items():
        found = hashed.get(b"%d" % user_id)
        if found is None:
            missing[user_id] = max(times)
        elif not found.isdigit() or all(abs(int(found) - joined) > JOIN_TOLERANCE for joined in times):
            late[user_id] = max(times)
    known = {b"%d" % user_id for user_id in rows}
    return Differences(missing, tuple(field for field in hashed if field not in known), late)


class Membership:
    """The member hashes. A difference is checked again under the group's named lock, under which proxies change rows and hash."""

    title = "group members"

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends
        self._cache = backends.caches.group_member

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        suspects: dict[int, None] = {}
        for keys in scan(self._cache, "group_member_*"):
            right, wrong = split_by_type(self._cache, keys, b"hash")
            for key in wrong:
                yield self._wrong_type(key)
            group_ids = sorted(int(number) for key in right if (number := key.removeprefix(b"group_member_")).isdigit())
            for batch in batches(group_ids, GROUPS_AT_ONCE):
                suspects |= dict.fromkeys(self._differing(batch))
        suspects |= dict.fromkeys(self._without_hash())
        self._backends.wait_before_recheck(suspects)
        for group_id in suspects:
            rows, hashed = self._backends.with_locks(partial(self._read, group_ids=(group_id,)), *_locks_of(group_id))[group_id]
            yield from self._describe(group_id, rows, hashed)

    def _differing(self, group_ids: Sequence[int]) -> list[int]:
        return [group_id for group_id, (rows, hashed) in self._read(self._backends.slave, group_ids).items() if compare(rows, hashed)]

    def _without_hash(self) -> Iterator[int]:
        for low, high in slices(self._backends.slave, "IMGroupMember", "groupId"):
            rows = self._backends.slave.select(
                f"select groupId from IMGroupMember where groupId between {low} and {high} and status=0 group by groupId"
            )
            for batch in batches((int(group_id) for (group_id,) in rows), PIPELINE):
                replies = self._cache.execute([("EXISTS", names.group_member_key(group_id)) for group_id in batch])
                yield from (group_id for group_id, exists in zip(batch, replies, strict=True) if not exists)

    def _read(self, database: ReadablePool | DBConn, group_ids: Sequence[int]) -> dict[int, tuple[Rows, Hash]]:
        """Read rows and hashes. Rows first: a member who joins in between is in the hash, and not missing."""
        groups: dict[int, tuple[Rows, Hash]] = {group_id: ({}, {}) for group_id in group_ids}
        found = database.select(f"select groupId,userId,updated from IMGroupMember where groupId in ({id_list(group_ids)}) and status=0")
        for group_id, user_id, joined in found:
            groups[int(group_id)][0].setdefault(int(user_id), set()).add(int(joined))
        replies = self._cache.execute([("HGETALL", names.group_member_key(group_id)) for group_id in group_ids])
        return {group_id: (groups[group_id][0], pairs(reply)) for group_id, reply in zip(group_ids, replies, strict=True)}

    def _describe(self, group_id: int, rows: Rows, hashed: Hash) -> Iterator[Finding]:
        different = compare(rows, hashed)
        key = names.group_member_key(group_id)
        if rows and not hashed:
            yield Finding(
                "members-lost",
                Severity.MINOR,
                key,
                f"Redis has lost the {len(rows)} members of the group; a proxy of this project restores them when they are needed",
                "restores them from IMGroupMember",
                lambda: self._correct(group_id, "restored", lambda found: found.missing),
            )
            return
        if different.missing:
            yield Finding(
                "member-missing",
                Severity.WRONG,
                key,
                f"{listed(different.missing)} are members, but not in Redis: they cannot write or read",
                "adds them",
                lambda: self._correct(group_id, "added", lambda found: found.missing),
            )
        if different.extra:
            strange = not all(field.isdigit() for field in different.extra)
            yield Finding(
                "member-extra",
                Severity.SEVERE if strange else Severity.WRONG,
                key,
                f"{listed(field.decode(errors='backslashreplace') for field in different.extra)} are not members, but in Redis they are: "
                + ("not even user ids; lookups of this group fail" if strange else "they can write and read"),
                "removes them",
                lambda: self._drop(group_id),
            )
        if different.late:
            yield Finding(
                "join-time",
                Severity.WRONG,
                key,
                f"{listed(different.late)} joined at another time than in Redis: they see too much or too little of the history",
                "sets the times of IMGroupMember",
                lambda: self._correct(group_id, "set the time of", lambda found: found.late),
            )

    def _correct(self, group_id: int, did: str, choose: Callable[[Differences], dict[int, int]]) -> str | None:
        done = ""

        def correct(connection: DBConn) -> None:
            nonlocal done
            chosen = choose(compare(*self._read(connection, (group_id,))[group_id]))
            if not chosen:
                return
            if connection.needs_lock_rows:
                done = self._delete_hash(group_id)
                return
            fields = [argument for entry in chosen.items() for argument in entry]
            self._cache.execute([("HSET", names.group_member_key(group_id), *fields)])
            done = f"{did} {listed(chosen)}"

        self._backends.with_locks(correct, *_locks_of(group_id))
        return done or None  # also if it was done in an attempt whose transaction was lost

    def _drop(self, group_id: int) -> str | None:
        done = ""

        def drop(connection: DBConn) -> None:
            nonlocal done
            extra = compare(*self._read(connection, (group_id,))[group_id]).extra
            if not extra:
                return
            if connection.needs_lock_rows:
                done = self._delete_hash(group_id)
                return
            self._cache.execute([("HDEL", names.group_member_key(group_id), *extra)])
            done = f"removed {listed(field.decode(errors='backslashreplace') for field in extra)}"

        self._backends.with_locks(drop, *_locks_of(group_id))
        return done or None

    def _delete_hash(self, group_id: int) -> str:
        """In a cluster with several writers: a proxy writes it anew. What is written here might be late; see ``staged_members.py``."""
        self._cache.execute([("DEL", names.group_member_key(group_id))])
        return "deleted the hash, it is restored when it is needed"

    def _wrong_type(self, key: bytes) -> Finding:
        def drop() -> str | None:
            if not split_by_type(self._cache, [key], b"hash")[1]:
                return None
            self._cache.execute([("DEL", key)])
            return "deleted it"

        return Finding(
            "wrong-type",
            Severity.SEVERE,
            key.decode(errors="backslashreplace"),
            "it is no hash; every request about this group fails",
            "deletes it; it is restored from IMGroupMember",
            drop,
        )


class UserCount:
    """IMGroup.userCnt. The original doubles it at creation and never decrements it, so many old groups are wrong."""

    title = "userCnt"

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        suspects: list[int] = []
        for low, high in slices(self._backends.slave, "IMGroup", "id", GROUPS_PER_STATEMENT):
            suspects += [group_id for group_id, _, _ in self._wrong(self._backends.slave, f"between {low} and {high}")]
        self._backends.wait_before_recheck(suspects)
        for batch in batches(suspects, GROUPS_PER_STATEMENT):
            for group_id, counted, members in list(self._wrong(self._backends.master, f"in ({id_list(batch)})")):
                yield Finding(
                    "user-count",
                    Severity.MINOR,
                    f"IMGroup, group {group_id}",
                    f"userCnt is {counted}, members are {members}",
                    f"sets it to {members}",
                    lambda group_id=group_id: self._set(group_id),  # type: ignore[misc]
                )

    @staticmethod
    def _wrong(database: ReadablePool | DBConn, condition: str) -> Iterable[tuple[int, int, int]]:
        rows = database.select(
            "select g.id,g.userCnt,count(distinct m.userId) n from IMGroup g left join IMGroupMember m on m.groupId=g.id and m.status=0 "
            f"where g.id {condition} group by g.id,g.userCnt having g.userCnt<>n"
        )
        return ((int(group_id), int(counted), int(members)) for group_id, counted, members in rows)

    def _set(self, group_id: int) -> str | None:
        def count(connection: DBConn) -> int:
            return connection.execute(
                "update IMGroup set userCnt=(select count(distinct userId) from IMGroupMember "
                f"where groupId={group_id} and status=0) where id={group_id}"
            )

        return "set it" if self._backends.with_locks(count, *_locks_of(group_id)) else None


def _locks_of(group_id: int) -> tuple[str, str]:
    """The named lock and the lock row under which proxies change rows and hash of a group."""
    return GroupMembers.lock_name(group_id), GroupMembers.lock_row_name(group_id)
