"""Group: groups, their members and who muted them. Any thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from dbproxy.errors import DeadlockError, OutcomeUnknownError, StatementError, StoreError
from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.session import SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, Row
from dbproxy.stores.redis import CacheCommand, CachePool, number

logger = logging.getLogger(__name__)

NORMAL, TEMPORARY = 1, 2
"""GroupType of the protocol."""

ADD, REMOVE = 1, 2
"""GroupModifyType of the protocol."""

OUTCOME_TIMEOUT = 10.0
"""Seconds after which finding out about a lost commit is given up."""

IDS_PER_QUERY = 1000
"""Groups of a list that are looked up with one query."""

GROUPS_PER_PIPELINE = 100
"""Groups whose members are read with one round trip; a group may have thousands."""

USERS_PER_COMMAND = 1000
"""Fields that are read of one hash with one command."""

_UPDATED = 6

SYSTEM_USER = 0
"""The user id with which the system itself changes groups; it always may."""


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group as others see it; the name and the avatar are the bytes that the database has."""

    group_id: int
    version: int
    name: bytes
    avatar: bytes
    creator: int
    group_type: int
    members: Sequence[int]


@dataclass(frozen=True, slots=True)
class MemberChange:
    """What became of a change of members: all members now in text order of their ids, and those it was about, ascending."""

    current: Sequence[int]
    changed: Sequence[int]


class GroupModel:
    """IMGroup and IMGroupMember, the member hashes and ``group_set_{group}``."""

    def __init__(
        self,
        master: DBPool,
        slave: DBPool,
        group_set: CachePool,
        members: GroupMembers,
        messages: GroupMessageModel,
        lock_timeout: float,
    ) -> None:
        self._master = master
        self._slave = slave
        self._group_set = group_set
        self._members = members
        self._messages = messages
        self._lock_timeout = lock_timeout

    # reading

    def groups_of(self, user_ids: Iterable[int]) -> dict[int, list[int]]:
        """The groups that each user is in, last changed membership first."""
        groups: dict[int, dict[int, None]] = {user_id: {} for user_id in user_ids}  # sets that keep their order
        if groups:
            among = ",".join(map(str, groups))
            rows = self._slave.select(
                f"select userId,groupId from IMGroupMember where userId in ({among}) and status=0 order by updated desc,id desc"
            )
            for user_id, group_id in rows:
                groups[int(user_id)][int(group_id)] = None
        return {user_id: list(group_ids) for user_id, group_ids in groups.items()}

    def normal_groups(self, user_ids: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """(group id, version) of each user's normal groups, last updated first."""
        groups = self.groups_of(user_ids)
        group_ids = {group_id for ids in groups.values() for group_id in ids}
        if not group_ids:
            return {user_id: [] for user_id in user_ids}
        among = ",".join(map(str, group_ids))
        rows = self._slave.select(f"select id,version from IMGroup where id in ({among}) and type={NORMAL} order by updated desc")
        versions = [(int(group_id), int(version)) for group_id, version in rows]
        lists: dict[int, list[tuple[int, int]]] = {}
        for user_id, ids in groups.items():
            own = set(ids)
            lists[user_id] = [entry for entry in versions if entry[0] in own]
        return lists

    def changed(self, wanted: Sequence[Iterable[tuple[int, int]]]) -> tuple[list[list[int]], Iterator[GroupInfo]]:
        """For each list of (group id, version that is known): the ids of the existing groups with a higher version, last updated first; and
        what is to be told about all of these groups, each once. A group without members is not told about.

        However long the lists are, what is kept is bounded by the groups that exist, and at work are ``IDS_PER_QUERY`` ids at a time.

        Raises:
            StoreError: a backend cannot be asked, also while the groups are iterated over.

        """
        rows: dict[int, Row] = {}
        known: list[dict[int, int]] = [{} for _ in wanted]
        entries: Iterator[tuple[int, int, int]] = (
            (index, group_id, version) for index, of_one in enumerate(wanted) for group_id, version in of_one
        )
        largest: int | None = None
        while portion := list(islice(entries, IDS_PER_QUERY)):
            if largest is None and len(portion) == IDS_PER_QUERY:  # of so many ids, most may be made up
                largest = int(self._slave.select("select ifnull(max(id),0) from IMGroup")[0][0])
                entries = _up_to(largest, entries)
            rows |= self._info_rows({group_id for _, group_id, _ in portion} - rows.keys())
            for index, group_id, version in portion:
                if group_id in rows:
                    known[index][group_id] = version
        order = sorted(rows, key=lambda group_id: -int(rows[group_id][_UPDATED]))
        changed = [
            [group_id for group_id in order if group_id in versions and int(rows[group_id][1]) > versions[group_id]] for versions in known
        ]
        told = set(chain.from_iterable(changed))
        return changed, self._infos([row for group_id, row in rows.items() if group_id in told])

    def _info_rows(self, group_ids: Collection[int]) -> dict[int, Row]:
        if not group_ids:
            return {}
        among = ",".join(map(str, sorted(group_ids)))
        rows = self._slave.select(
            f"select id,version,name,avatar,creator,type,updated from IMGroup where id in ({among}) and type in ({NORMAL},{TEMPORARY}) "
            "order by updated desc"
        )
        return {int(row[0]): row for row in rows}

    def _infos(self, rows: Sequence[Row]) -> Iterator[GroupInfo]:
        """Yield what is to be told about groups; the members of few of them are in memory at a time."""
        for start in range(0, len(rows), GROUPS_PER_PIPELINE):
            portion = rows[start : start + GROUPS_PER_PIPELINE]
            members = self._members.of(int(row[0]) for row in portion)
            for row in portion:
                group_id = int(row[0])
                if group_id in members:
                    yield GroupInfo(group_id, int(row[1]), row[2], row[3], int(row[4]), int(row[5]), members[group_id])

    # changing

    def create(self, creator: int, name: str, avatar: str, group_type: int, user_ids: Iterable[int]) -> int | None:
        """Make a group and return its id; None when the name is empty, nobody is to be in it, or the database refuses the name.

        Raises:
            StoreError: a backend failed, and the group does not exist (unless the outcome is unknown and cannot be found out).

        """
        members = sorted(set(user_ids))
        if not name or not members:
            return None
        row = (name, avatar, creator, group_type, len(members), int(time.time()))
        made: list[int] = []
        try:
            self._master.write(lambda connection: self._create(connection, row, members, made))
        except DeadlockError:
            raise
        except StatementError as error:
            logger.warning("group of user %d not created: %s", creator, error)
            return None
        except OutcomeUnknownError as error:
            logger.warning("%s; looking for the group", error)
            exists = f"select 1 from IMGroup where id={made[-1]} for update"
            if not self._master.resolve_outcome(lambda connection: bool(connection.select(exists)), OUTCOME_TIMEOUT):
                raise
        group_id = made[-1]
        try:
            self._members.restore(group_id)
        except StoreError as error:
            logger.error("group %d is made; its members will come into Redis when they are needed: %s", group_id, error)
        return group_id

    def _create(self, connection: DBConn, row: tuple[str, str, int, int, int, int], members: Sequence[int], made: list[int]) -> None:
        now = row[-1]
        connection.execute("begin")
        connection.execute(
            "insert into IMGroup (name,avatar,creator,type,userCnt,status,version,lastChated,updated,created) "
            "values (%s,%s,%s,%s,%s,0,1,0,%s,%s)",
            (*row, now),
        )
        group_id = int(connection.insert_id())
        made.append(group_id)
        self._insert_members(connection, group_id, members, now)
        # Leftovers of a group that had this id before a database was loaded anew; nobody else knows of the group before the commit.
        self._messages.reset_counters(group_id, members)
        self._members.forget(group_id)
        connection.commit_script(())

    def change_members(self, user_id: int, group_id: int, change_type: int, user_ids: Iterable[int]) -> MemberChange | None:
        """Add or remove members; None when this user may not, or when there is nobody to add. The group must exist.

        Raises:
            StoreError: a backend failed, and nothing has changed (unless the outcome is unknown and cannot be found out).

        """
        wanted = sorted(set(user_ids))
        affected: list[int] = []
        try:
            if not self._master.write(lambda connection: self._change(connection, user_id, group_id, change_type, wanted, affected)):
                return None
        except OutcomeUnknownError as error:
            logger.warning("%s; looking for the members", error)
            if not affected or not self._master.resolve_outcome(
                lambda connection: self._has_changed(connection, group_id, change_type, affected), OUTCOME_TIMEOUT
            ):
                raise
            self._clear_unread(group_id, affected)
        if not affected:
            return MemberChange((), ())
        return MemberChange(self._members.of((group_id,)).get(group_id, []), affected)

    def _change(
        self, connection: DBConn, user_id: int, group_id: int, change_type: int, wanted: Sequence[int], affected: list[int]
    ) -> bool:
        """Fill in who is affected and change rows, hash and counters; False when there is nothing to do for this user."""
        now = int(time.time())
        affected.clear()
        with self._members.locked(connection, group_id):
            connection.execute("begin")
            if not self._may_change(connection, user_id, group_id, change_type):
                connection.execute("rollback")
                return False
            fields = self._members.fields(connection, group_id)
            if change_type == ADD:
                affected += [user for user in wanted if b"%d" % user not in fields]
                if not affected:
                    connection.execute("rollback")
                    return False
                self._add_rows(connection, group_id, affected, now)
            elif wanted:
                affected += wanted
                self._remove_rows(connection, group_id, affected, now)
            if affected:
                self._members.forget(group_id)
            connection.commit_script(
                (
                    f"update IMGroup set version=version+1,userCnt=(select count(distinct userId) from IMGroupMember "
                    f"where groupId={group_id} and status=0) where id={group_id}",
                )
            )
            if affected:
                self._rewrite_hash(connection, group_id, fields, change_type, affected, now)
                self._clear_unread(group_id, affected)
        return True

    def _rewrite_hash(
        self, connection: DBConn, group_id: int, fields: dict[bytes, bytes], change_type: int, affected: Sequence[int], now: int
    ) -> None:
        """Let Redis follow what was committed. When it does not, the hash is not there, and comes back from MySQL."""
        for user_id in affected:
            if change_type == ADD:
                fields[b"%d" % user_id] = b"%d" % now
            else:
                fields.pop(b"%d" % user_id, None)
        try:
            self._members.replace(connection, group_id, fields)
        except StoreError as error:
            logger.error("group %d: its members will come into Redis when they are needed: %s", group_id, error)

    def _clear_unread(self, group_id: int, affected: Sequence[int]) -> None:
        try:
            self._messages.clear_unread([(user_id, group_id) for user_id in affected])
        except StoreError as error:
            logger.error("group %d: the counters of %d users could not be cleared: %s", group_id, len(affected), error)

    def _has_changed(self, connection: DBConn, group_id: int, change_type: int, affected: Sequence[int]) -> bool:
        """Whether the rows say what a change wanted them to say. The lock is free when the lost transaction is over."""
        among = ",".join(map(str, affected))
        with connection.named_locks((GroupMembers.lock_name(group_id),), self._lock_timeout):
            rows = connection.select(
                f"select distinct userId from IMGroupMember where groupId={group_id} and userId in ({among}) and status=0"
            )
        return len(rows) == (len(affected) if change_type == ADD else 0)

    @staticmethod
    def _may_change(connection: DBConn, user_id: int, group_id: int, change_type: int) -> bool:
        if user_id == SYSTEM_USER:
            return True
        rows = connection.select(f"select creator,type from IMGroup where id={group_id} for update")
        return any(int(creator) == user_id or (int(kind) == TEMPORARY and change_type == ADD) for creator, kind in rows)

    @staticmethod
    def _insert_members(connection: DBConn, group_id: int, user_ids: Iterable[int], now: int) -> None:
        rows = ",".join(f"({group_id},{user_id},0,{now},{now})" for user_id in user_ids)
        connection.execute(f"insert into IMGroupMember (groupId,userId,status,created,updated) values {rows}")

    def _add_rows(self, connection: DBConn, group_id: int, user_ids: Sequence[int], now: int) -> None:
        among = ",".join(map(str, user_ids))
        rows = connection.select(f"select distinct userId from IMGroupMember where groupId={group_id} and userId in ({among})")
        former = {int(user_id) for (user_id,) in rows}
        if former:
            connection.execute(
                f"update IMGroupMember set status=0,updated={now} where groupId={group_id} and userId in ({','.join(map(str, former))})"
            )
        new = [user_id for user_id in user_ids if user_id not in former]
        if new:
            self._insert_members(connection, group_id, new, now)

    @staticmethod
    def _remove_rows(connection: DBConn, group_id: int, user_ids: Sequence[int], now: int) -> None:
        among = ",".join(map(str, user_ids))
        connection.execute(f"update IMGroupMember set status=1 where groupId={group_id} and userId in ({among})")
        connection.execute(SessionModel.remove_group_sessions(group_id, user_ids, now))

    # muting

    def shield(self, user_id: int, group_id: int, status: int) -> bool:
        """Mute or unmute a group for a user; False when they are not in it. The group must exist."""
        if self._members.join_times([(group_id, user_id)])[0] is None:
            return False
        self._group_set.write_or_reset([("HSET", names.group_set_key(group_id), names.shield_field(user_id), status)])
        return True

    def shields(self, wanted: Sequence[tuple[int, Sequence[int]]]) -> list[list[int]]:
        """For each group and its users: the users' mute status, 0 when unset."""
        statuses: list[list[int]] = [[] for _ in wanted]
        portions = (
            (index, group_id, users[start : start + USERS_PER_COMMAND])
            for index, (group_id, users) in enumerate(wanted)
            for start in range(0, len(users), USERS_PER_COMMAND)
        )
        while some := list(islice(portions, GROUPS_PER_PIPELINE)):
            commands: list[CacheCommand] = [
                ("HMGET", names.group_set_key(group_id), *map(names.shield_field, users)) for _, group_id, users in some
            ]
            for (index, _, users), reply in zip(some, self._group_set.read(commands), strict=True):
                statuses[index] += [number(status) for status in reply or [None] * len(users)]
        return statuses


def _up_to(largest: int, entries: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Those entries (index, group id, version) whose group can exist."""
    return (entry for entry in entries if entry[1] <= largest)
