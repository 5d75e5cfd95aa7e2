"""GroupWriter: creates groups and changes their members. Any thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dbproxy.errors import DeadlockError, OutcomeUnknownError, StatementError, StoreError
from dbproxy.models.group import TEMPORARY
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.session import SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, lock_rows, named_locks

logger = logging.getLogger(__name__)

ADD = 1
"""GroupModifyType of the protocol; any other value removes."""

SYSTEM_USER = 0
"""The user id with which the system itself changes groups; it has the right to change all."""

OUTCOME_TIMEOUT = 10.0
"""Seconds after which the lookup of a lost commit is given up."""


MAX_MEMBERS = 100_000
"""Users in one request to create or change a group, at most: a single step over millions would let no other thread run."""


@dataclass(frozen=True, slots=True)
class MemberChange:
    """The result of a change of members: all members now, in text order of their ids, and the added or removed ones, ascending."""

    current: Sequence[int]
    changed: Sequence[int]


_GroupRow = tuple[str, str, int, int, int, int]
"""Name, avatar, creator, type, number of members, Unix seconds of the creation."""


class GroupWriter:
    """Writes IMGroup, IMGroupMember, the member hashes, and the sessions and unread counters of members who come or leave."""

    def __init__(self, master: DBPool, members: GroupMembers, messages: GroupMessageModel) -> None:
        self._master = master
        self._members = members
        self._messages = messages

    def create(self, creator: int, name: str, avatar: str, group_type: int, user_ids: Collection[int]) -> int | None:
        """Create a group and return its id; None when the name or the list of members is empty, the list is longer than ``MAX_MEMBERS``,
        or the database refuses the name.

        Raises:
            StoreError: a backend failed, and the group does not exist (OutcomeUnknownError: perhaps it does).

        """
        if not name or not user_ids or _too_many(user_ids):
            return None
        members = sorted(set(user_ids))
        row = (name, avatar, creator, group_type, len(members), int(time.time()))
        created: list[int] = []
        try:
            self._master.write(lambda connection: self._create(connection, row, members, created))
        except DeadlockError:
            raise
        except StatementError as error:
            logger.warning("group of user %d not created: %s", creator, error)
            return None
        except OutcomeUnknownError as error:
            logger.warning("%s; looking for the group", error)
            if not self._master.resolve_outcome(lambda connection: self._is_created(connection, created[-1], row), OUTCOME_TIMEOUT):
                raise
        group_id = created[-1]
        try:
            self._members.restore_hash(group_id)
        except StoreError as error:
            logger.error("group %d is created; its members will be written to Redis when they are needed: %s", group_id, error)
        return group_id

    def _create(self, connection: DBConn, row: _GroupRow, members: Sequence[int], created: list[int]) -> None:
        now = row[-1]
        connection.execute("begin")
        connection.execute(
            "insert into IMGroup (name,avatar,creator,type,userCnt,status,version,lastChated,updated,created) "
            "values (%s,%s,%s,%s,%s,0,1,0,%s,%s)",
            (*row, now),
        )
        group_id = int(connection.insert_id())
        created.append(group_id)
        for statement in lock_rows(connection, (GroupMembers.lock_row_name(group_id),)):
            connection.execute(statement)
        self._insert_members(connection, group_id, members, now)
        # Keys of a former group with this id may be left from before the database was reloaded. No other process sees the new group
        # before the commit.
        self._messages.reset_counters(group_id, members)
        self._members.delete_hash(group_id)
        connection.commit_script(())

    def change_members(self, user_id: int, group_id: int, change_type: int, user_ids: Collection[int]) -> MemberChange | None:
        """Add or remove members; None when this user has no right to, when all users to be added are members, or when
        there are more than ``MAX_MEMBERS``. The group must exist.

        Raises:
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """
        if _too_many(user_ids):
            return None
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
        return MemberChange(self._members.get_many((group_id,)).get(group_id, []), affected)

    def _change(
        self, connection: DBConn, user_id: int, group_id: int, change_type: int, wanted: Sequence[int], affected: list[int]
    ) -> bool:
        """Set ``affected`` to the users to be added or removed, and change rows, hash and counters; False when this user has no right to,
        or when there is nothing to add.
        """
        now = int(time.time())
        affected.clear()
        with self._members.locked(connection, group_id):
            connection.script(("begin", *lock_rows(connection, (GroupMembers.lock_row_name(group_id),))))
            if not self._may_change(connection, user_id, group_id, change_type):
                connection.execute("rollback")
                return False
            fields = self._members.read_hash(connection, group_id)
            if change_type == ADD:
                affected += [user for user in wanted if b"%d" % user not in fields]
                if not affected:
                    connection.execute("rollback")
                    return False
                self._add_rows(connection, group_id, affected, now)
            elif wanted:
                affected += wanted
                self._remove_rows(connection, group_id, affected, now)
            token = None
            if affected:
                for user_id in affected:
                    if change_type == ADD:
                        fields[b"%d" % user_id] = b"%d" % now
                    else:
                        fields.pop(b"%d" % user_id, None)
                token = self._members.prepare_change(connection, group_id, fields)
            connection.commit_script(
                (
                    f"update IMGroup set version=version+1,userCnt=(select count(distinct userId) from IMGroupMember "
                    f"where groupId={group_id} and status=0) where id={group_id}",
                )
            )
            if affected:
                self._rewrite_hash(connection, group_id, fields, token)
                self._clear_unread(group_id, affected)
        return True

    def _rewrite_hash(self, connection: DBConn, group_id: int, fields: dict[bytes, bytes], token: bytes | None) -> None:
        """Write the committed members to Redis. If that fails, the hash does not exist, and is restored from MySQL when it is needed."""
        try:
            self._members.finish_change(connection, group_id, fields, token)
        except StoreError as error:
            logger.error("group %d: its members will be written to Redis when they are needed: %s", group_id, error)

    def _clear_unread(self, group_id: int, affected: Sequence[int]) -> None:
        try:
            self._messages.clear_unread([(user_id, group_id) for user_id in affected])
        except StoreError as error:
            logger.error("group %d: the counters of %d users could not be cleared: %s", group_id, len(affected), error)

    def _has_changed(self, connection: DBConn, group_id: int, change_type: int, affected: Sequence[int]) -> bool:
        """Whether a change whose connection was lost during the commit was committed. The lock is free when that transaction is over."""
        among = ",".join(map(str, affected))
        with named_locks(connection, (GroupMembers.lock_name(group_id),)):
            self._members.begin(connection, group_id)
            rows = connection.select(
                f"select distinct userId from IMGroupMember where groupId={group_id} and userId in ({among}) and status=0"
            )
            self._end_lookup(connection)
        return len(rows) == (len(affected) if change_type == ADD else 0)

    def _is_created(self, connection: DBConn, group_id: int, row: _GroupRow) -> bool:
        """Whether a group exists whose connection was lost when it was committed. After a failover another one may have got its id. The
        server may have cut the name off.
        """
        name, _, creator, *_, created = row
        self._members.begin(connection, group_id)
        rows = connection.select(f"select name from IMGroup where id={group_id} and creator={creator} and created={created} for update")
        self._end_lookup(connection)
        return any(name.encode().startswith(stored) for (stored,) in rows)

    @staticmethod
    def _end_lookup(connection: DBConn) -> None:
        """Commit the lock row of a lookup: it lets the transaction that is looked for fail, should it still be under way."""
        if connection.needs_lock_rows:
            connection.execute("commit")

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


def _too_many(user_ids: Collection[int]) -> bool:
    if len(user_ids) <= MAX_MEMBERS:
        return False
    logger.warning("change of members refused: %d users, more than %d", len(user_ids), MAX_MEMBERS)
    return True
