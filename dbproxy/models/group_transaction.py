"""GroupTransactions: how a group and its members are changed: under the group's locks, with its member hash and counters. Any thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, TypeVar

from dbproxy.errors import StoreError
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.session import SessionModel
from dbproxy.stores.mysql import DBConn, DBPool, lock_rows, named_locks

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

ACTIVE, DISMISSED = 0, 1
"""IMGroup.status. A group that is dismissed has no members."""

USERS_PER_STATEMENT = 1000
"""Users whose rows one statement changes."""


class LockedGroup(NamedTuple):
    """A row of IMGroup that a transaction has locked."""

    creator: int
    group_type: int
    status: bytes | None

    @property
    def is_active(self) -> bool:
        """Whether it has the status of a group that exists."""
        return self.status == b"%d" % ACTIVE

    @property
    def is_dismissed(self) -> bool:
        """Whether it has another status."""
        return self.status is not None and not self.is_active


class GroupTransactions:
    """Transactions on a group's row, members, member hash, sessions and unread counters."""

    def __init__(self, master: DBPool, members: GroupMembers, messages: GroupMessageModel) -> None:
        self._master = master
        self._members = members
        self._messages = messages

    @contextmanager
    def begun(self, connection: DBConn, group_id: int) -> Iterator[LockedGroup | None]:
        """Hold the group's locks for the length of the block, and begin a transaction, which the block ends. Yields the group as it is
        under these locks, None if it has no row.

        Raises:
            LockWaitError: the named lock was not free within DBLockTimeout.

        """
        with self._members.locked(connection, group_id):
            # The group comes before its sessions, as where messages are stored: in another order they would end one another as deadlocks.
            group = f"select ifnull(creator,0),ifnull(type,0),status from IMGroup force index (primary) where id={group_id} for update"
            rows = connection.script(("begin", *lock_rows(connection, (GroupMembers.lock_row_name(group_id),)), group))[-1]
            yield LockedGroup(int(rows[0][0]), int(rows[0][1]), rows[0][2]) if rows else None

    def read_hash(self, connection: DBConn, group_id: int) -> dict[bytes, bytes]:
        """See GroupMembers."""
        return self._members.read_hash(connection, group_id)

    @staticmethod
    def insert_members(connection: DBConn, group_id: int, user_ids: Iterable[int], now: int) -> None:
        """Add rows for members who have none."""
        rows = ",".join(f"({group_id},{user_id},0,{now},{now})" for user_id in user_ids)
        connection.execute(f"insert into IMGroupMember (groupId,userId,status,created,updated) values {rows}")

    @staticmethod
    def add_members(connection: DBConn, group_id: int, user_ids: Sequence[int], now: int) -> None:
        """Make users members, who may have been it before."""
        former: set[int] = set()
        for some in _portions(user_ids):
            former |= _update_members(connection, group_id, some, f"status=0,updated={now}")
        new = [user_id for user_id in user_ids if user_id not in former]
        if new:
            GroupTransactions.insert_members(connection, group_id, new, now)

    @staticmethod
    def remove_members(connection: DBConn, group_id: int, user_ids: Sequence[int], now: int) -> None:
        """Make users members no longer, and their sessions with the group invisible."""
        for some in _portions(user_ids):
            _update_members(connection, group_id, some, "status=1")
            SessionModel.remove_group_sessions(connection, group_id, some, now)

    def commit(
        self, connection: DBConn, group_id: int, affected: Sequence[int], fields: Mapping[bytes, bytes], also: Sequence[str] = ()
    ) -> None:
        """Raise the group's version, count its members, and commit. If users are ``affected``, the members are ``fields`` (user id → time
        of joining) then, and nothing of the group is unread for these users. ``also``: further assignments to columns of IMGroup.
        """
        token = self._members.prepare_change(connection, group_id, fields) if affected else None
        assignments = (
            "version=version+1",
            f"userCnt=(select count(distinct userId) from IMGroupMember where groupId={group_id} and status=0)",
            *also,
        )
        connection.commit_script((f"update IMGroup set {','.join(assignments)} where id={group_id}",))
        if affected:
            self._rewrite_hash(connection, group_id, fields, token)
            self.clear_unread(group_id, affected)

    def _rewrite_hash(self, connection: DBConn, group_id: int, fields: Mapping[bytes, bytes], token: bytes | None) -> None:
        """Write the committed members to Redis. If that fails, the hash does not exist, and is restored from MySQL when it is needed."""
        try:
            self._members.finish_change(connection, group_id, fields, token)
        except StoreError as error:
            logger.error("group %d: its members will be written to Redis when they are needed: %s", group_id, error)

    def clear_unread(self, group_id: int, user_ids: Sequence[int]) -> None:
        """Let nothing of the group be unread for these users; a failure is logged."""
        try:
            self._messages.clear_unread([(user_id, group_id) for user_id in user_ids])
        except StoreError as error:
            logger.error("group %d: the counters of %d users could not be cleared: %s", group_id, len(user_ids), error)

    def resolve_outcome(self, group_id: int, find: Callable[[DBConn], Result]) -> Result:
        """Return what ``find`` says of a transaction whose connection was lost during the commit. It is called with the named lock, which
        is free when that transaction is over.

        Raises:
            OutcomeUnknownError: it could not be found out.

        """

        def locked(connection: DBConn) -> Result:
            with named_locks(connection, (GroupMembers.lock_name(group_id),)):
                return self.look_up(connection, group_id, find)

        return self._master.resolve_outcome(locked)

    def look_up(self, connection: DBConn, group_id: int, find: Callable[[DBConn], Result]) -> Result:
        """Call ``find`` in a transaction that has the lock row: it lets the one that is looked for fail, should it still be under way."""
        self._members.begin(connection, group_id)
        found = find(connection)
        if connection.needs_lock_rows:
            connection.execute("commit")
        return found


def _update_members(connection: DBConn, group_id: int, user_ids: Iterable[int], assignments: str) -> set[int]:
    """Set columns of those rows of the users that there are; returns these users.

    The rows are changed by their ids, which are read without locks. A server that is given the users to change uses no index if these are
    many, or if it takes the table for a small one, and locks all that it reads: nobody could send messages meanwhile.
    """
    among = ",".join(map(str, user_ids))
    rows = connection.select(f"select id,userId from IMGroupMember where groupId={group_id} and userId in ({among})")
    if rows:
        row_ids = b",".join(row_id for row_id, _ in rows).decode()
        connection.execute(f"update IMGroupMember force index (primary) set {assignments} where id in ({row_ids})")
    return {int(user_id) for _, user_id in rows}


def _portions(user_ids: Iterable[int]) -> Iterator[list[int]]:
    remaining = iter(user_ids)
    while some := list(islice(remaining, USERS_PER_STATEMENT)):
        yield some
