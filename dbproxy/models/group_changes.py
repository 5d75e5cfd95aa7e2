"""GroupChanges: what only the administration does with a group: rename it, give it another creator, dismiss it. Any thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from dbproxy.errors import OutcomeUnknownError
from dbproxy.models.group_members import GroupMembers
from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.group_transaction import ACTIVE, DISMISSED, GroupTransactions
from dbproxy.stores.mysql import DBConn, DBPool

logger = logging.getLogger(__name__)


class GroupChanges:
    """Changes IMGroup rows of active groups, under the same locks as a change of members.

    Each change raises ``version``: a client asks for groups with the versions it has and gets those that are higher now, and by nothing
    else does it notice a change. It sets ``updated`` too, which says when the properties of a group were last changed, and by which the
    proxy sorts lists of groups.
    """

    def __init__(self, master: DBPool, members: GroupMembers, messages: GroupMessageModel) -> None:
        self._master = master
        self._transactions = GroupTransactions(master, members, messages)

    def rename(self, group_id: int, name: str) -> bool:
        """Give a group another name; False when there is no active group with this id.

        Raises:
            StatementError: the database refuses the name.
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """
        return self._set(group_id, "name", name, lambda stored: stored == name.encode())

    def transfer(self, group_id: int, user_id: int) -> bool:
        """Make a member the creator; False when there is no active group with this id, or the user is not in it. Errors as ``rename``."""
        return self._set(group_id, "creator", user_id, lambda stored: int(stored) == user_id, member=user_id)

    def dismiss(self, group_id: int) -> Sequence[int] | None:
        """Remove all members and set the status, in one transaction; messages stay. Returns the former members, ascending; None when there
        is no active group with this id. The transaction has all of these rows and their sessions, as when a proxy removes so many
        members.

        Raises:
            StoreError: as ``rename``.

        """
        former: list[int] = []

        def is_dismissed(connection: DBConn) -> bool:
            return bool(connection.select(f"select 1 from IMGroup where id={group_id} and status={DISMISSED}"))

        if not self._write(group_id, lambda connection: self._dismiss(connection, group_id, former), is_dismissed):
            return None
        return former

    def _dismiss(self, connection: DBConn, group_id: int, former: list[int]) -> bool:
        now = int(time.time())
        former.clear()
        with self._transactions.begun(connection, group_id) as group:
            if group is None or not group.is_active:
                connection.execute("rollback")
                return False
            rows = connection.select(f"select distinct userId from IMGroupMember where groupId={group_id} and status=0")
            hashed = self._transactions.read_hash(connection, group_id)
            former += sorted({int(user_id) for (user_id,) in rows} | {int(user_id) for user_id in hashed if user_id.isdigit()})
            if former:
                GroupTransactions.remove_members(connection, group_id, former, now)
            self._transactions.commit(connection, group_id, former, {}, (f"status={DISMISSED}", f"updated={now}"))
        return True

    def _set(self, group_id: int, column: str, value: str | int, is_value: Callable[[bytes], bool], *, member: int | None = None) -> bool:
        """Set a column of an active group; with ``member`` only if that user is in it."""

        def change(connection: DBConn) -> bool:
            with self._transactions.begun(connection, group_id) as group:
                if group is None or not group.is_active or not self._has_member(connection, group_id, member):
                    connection.execute("rollback")
                    return False
                literal = connection.escape(value)
                now = int(time.time())
                connection.commit_script((f"update IMGroup set {column}={literal},version=version+1,updated={now} where id={group_id}",))
            return True

        def is_changed(connection: DBConn) -> bool:
            rows = connection.select(f"select {column} from IMGroup where id={group_id} and status={ACTIVE}")
            return any(is_value(stored) for (stored,) in rows)

        return self._write(group_id, change, is_changed)

    def _write(self, group_id: int, change: Callable[[DBConn], bool], is_changed: Callable[[DBConn], bool]) -> bool:
        try:
            return self._master.write(change)
        except OutcomeUnknownError as error:
            logger.warning("%s; looking for the group", error)
            if not self._transactions.resolve_outcome(group_id, is_changed):
                raise
            return True

    @staticmethod
    def _has_member(connection: DBConn, group_id: int, user_id: int | None) -> bool:
        return user_id is None or bool(
            connection.select(f"select 1 from IMGroupMember where groupId={group_id} and userId={user_id} and status=0 limit 1")
        )
