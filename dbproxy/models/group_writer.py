"""GroupWriter: creates groups and changes their members. Any thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dbproxy.errors import DeadlockError, OutcomeUnknownError, StatementError, StoreError
from dbproxy.models.group import TEMPORARY
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.group_transaction import GroupTransactions, LockedGroup
from dbproxy.stores.mysql import DBConn, DBPool, lock_rows

logger = logging.getLogger(__name__)

ADD = 1
"""GroupModifyType of the protocol; any other value removes."""

SYSTEM_USER = 0
"""The user id with which the system itself changes groups; it has the right to change all."""

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
        self._transactions = GroupTransactions(master, members, messages)

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
            if not self._master.resolve_outcome(lambda connection: self._is_created(connection, created[-1], row)):
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
        GroupTransactions.insert_members(connection, group_id, members, now)
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
            if not affected or not self._transactions.resolve_outcome(
                group_id, lambda connection: self._has_changed(connection, group_id, change_type, affected)
            ):
                raise
            self._transactions.clear_unread(group_id, affected)
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
        with self._transactions.begun(connection, group_id) as group:
            if not _may_change(user_id, group, change_type):
                connection.execute("rollback")
                return False
            fields = self._transactions.read_hash(connection, group_id)
            if change_type == ADD:
                affected += [user for user in wanted if b"%d" % user not in fields]
                if not affected or (not fields and group is not None and group.is_dismissed):  # dismissed by somebody who was faster
                    connection.execute("rollback")
                    return False
                GroupTransactions.add_members(connection, group_id, affected, now)
                fields |= {b"%d" % user: b"%d" % now for user in affected}
            elif wanted:
                affected += wanted
                GroupTransactions.remove_members(connection, group_id, affected, now)
                for user in affected:
                    fields.pop(b"%d" % user, None)
            self._transactions.commit(connection, group_id, affected, fields)
        return True

    @staticmethod
    def _has_changed(connection: DBConn, group_id: int, change_type: int, affected: Sequence[int]) -> bool:
        """Whether a change whose connection was lost during the commit was committed."""
        among = ",".join(map(str, affected))
        rows = connection.select(f"select distinct userId from IMGroupMember where groupId={group_id} and userId in ({among}) and status=0")
        return len(rows) == (len(affected) if change_type == ADD else 0)

    def _is_created(self, connection: DBConn, group_id: int, row: _GroupRow) -> bool:
        """Whether a group exists whose connection was lost when it was committed. After a failover another one may have got its id. The
        server may have cut the name off.
        """
        name, _, creator, *_, created = row
        query = f"select name from IMGroup where id={group_id} and creator={creator} and created={created} for update"
        rows = self._transactions.look_up(connection, group_id, lambda found: found.select(query))
        return any(name.encode().startswith(stored) for (stored,) in rows)


def _may_change(user_id: int, group: LockedGroup | None, change_type: int) -> bool:
    if user_id == SYSTEM_USER:
        return True
    return group is not None and (group.creator == user_id or (group.group_type == TEMPORARY and change_type == ADD))


def _too_many(user_ids: Collection[int]) -> bool:
    if len(user_ids) <= MAX_MEMBERS:
        return False
    logger.warning("change of members refused: %d users, more than %d", len(user_ids), MAX_MEMBERS)
    return True
