"""UserWriter: adds users and changes what others see of them, their passwords, and whether they may log in (IMUser). Any thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import NamedTuple, TypeVar

from dbproxy.errors import OutcomeUnknownError, StoreError
from dbproxy.models import names
from dbproxy.models.directory import TextColumn, in_directory, text_columns, with_directory
from dbproxy.models.user import publish_user_change
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.redis import CachePool

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

ACTIVE = 0
"""IMUser.status of a user who may log in."""

MAX_USERS = 1000
"""Users that are added or moved with one transaction, at most."""

_ROWS_PER_INSERT = 500
"""Rows of one statement: at most about 1 MB, which every server takes."""

_ATTEMPTS = 3
"""How often users are added whose transaction was lost during the commit, and not committed."""

_MOST_SKEW = 86400
"""Seconds that the time of the last change may be ahead of our clock, at most, to be believed."""

_TOUCHES = 5
"""How often the time of a change is set anew, at most."""


class UserRecord(NamedTuple):
    """The values of a new row, in the order of the columns."""

    sex: int
    name: str
    domain: str
    nick: str
    password: str
    salt: str
    phone: str
    email: str
    avatar: str
    depart_id: int
    sign_info: str


COLUMNS = ("sex", "name", "domain", "nick", "password", "salt", "phone", "email", "avatar", "departId", "sign_info")
"""The columns of ``UserRecord``."""


class Reason(Enum):
    """Why a user is not added, or not changed."""

    NAME_TAKEN = auto()
    """Another user has the name, in the collation of the column."""
    SAME_NAME = auto()
    """Another one of those to be added has the name."""
    NO_DEPARTMENT = auto()
    """The department does not exist, or was removed."""
    NO_USER = auto()
    """The user does not exist."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why one is refused; ``other`` is the id of who has the name, the place of the other one to be added, or the id that is missing."""

    reason: Reason
    other: int


class UserWriter:
    """Writes IMUser and ``total_user_update``. Everything is changed under the lock of the directory, so that the names of users stay
    different, and their departments exist.
    """

    def __init__(self, master: DBPool, unread: CachePool) -> None:
        self._master = master
        self._unread = unread

    @cached_property
    def columns(self) -> Mapping[str, TextColumn]:
        """The text columns of IMUser by name."""
        return text_columns(self._master, "IMUser")

    def conflicts(self, records: Sequence[UserRecord]) -> list[Conflict | None]:
        """What would keep each of these users from being added now; nothing is locked or changed."""
        return self._master.read(lambda connection: self._conflicts(connection, records))

    def add(self, record: UserRecord) -> int | Conflict:
        """Add a user and return the id.

        Raises:
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """
        (conflict,) = self.add_many((record,))
        if conflict is not None:
            return conflict
        rows = self._master.select("select id from IMUser where name=%s and password=%s order by id desc", (record.name, record.password))
        if not rows:
            raise OutcomeUnknownError(f"the user was added, and is not there any more: {self._master} has lost what was committed")
        return int(rows[0][0])

    def add_many(
        self, records: Sequence[UserRecord], before_commit: Callable[[Sequence[UserRecord]], None] | None = None
    ) -> list[Conflict | None]:
        """Add up to ``MAX_USERS`` users with one transaction: those without a conflict. ``before_commit`` is called with these, perhaps
        again, with the connection; what it raises keeps all from being added.

        Raises:
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """
        if not records:
            return []
        found: list[Conflict | None] = []
        added: list[UserRecord] = []
        changed = 0

        def work(connection: DBConn) -> None:
            nonlocal changed
            found[:] = self._conflicts(connection, records)
            added[:] = [record for record, conflict in zip(records, found, strict=True) if conflict is None]
            if before_commit is not None:
                before_commit(added)
            changed = self._time_of_change()
            for start in range(0, len(added), _ROWS_PER_INSERT):
                _insert(connection, added[start : start + _ROWS_PER_INSERT], changed)

        def is_added(connection: DBConn) -> bool:
            """Whether the transaction, if it had anything to add, was committed: its rows have salts that were made for them."""
            if not added:
                return True
            first = added[0]
            which = "name=%s and password=%s and salt=%s"
            return bool(connection.select(f"select 1 from IMUser where {which}", (first.name, first.password, first.salt)))

        for attempt in range(_ATTEMPTS):
            try:
                in_directory(self._master, work)
                break
            except OutcomeUnknownError:
                committed = self._master.resolve_outcome(lambda connection: with_directory(connection, is_added))
                if committed:
                    break
                if attempt == _ATTEMPTS - 1:
                    raise
        if added:
            self._publish(changed, f"name in ({','.join(['%s'] * len(added))})", [record.name for record in added])
        return found

    def change(self, user_id: int, values: Mapping[str, str | int]) -> Conflict | None:
        """Set columns of a user; ``name`` and ``departId`` only where that is possible.

        Raises:
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """

        def work(connection: DBConn) -> Conflict | int:
            conflict = self._conflict_of_change(connection, user_id, values)
            if conflict is not None:
                return conflict
            now = self._time_of_change()
            assignments = ",".join(f"{column}=%s" for column in values)
            connection.execute(f"update IMUser set {assignments},updated=%s where id=%s", (*values.values(), now, user_id))
            return now

        result = self._run_repeatedly(work)
        if isinstance(result, Conflict):
            return result
        self._publish(result, f"id={user_id}")
        return None

    def conflict_of_change(self, user_id: int, values: Mapping[str, str | int]) -> Conflict | None:
        """What would keep these columns from being set now; nothing is locked or changed."""
        return self._master.read(lambda connection: self._conflict_of_change(connection, user_id, values))

    def move(self, user_ids: Sequence[int], department_id: int, to: int) -> Conflict | None:
        """Put those of up to ``MAX_USERS`` users that are in a department into another one."""
        among = ",".join(map(str, user_ids))

        def work(connection: DBConn) -> Conflict | int:
            if _missing_departments(connection, {to}):
                return Conflict(Reason.NO_DEPARTMENT, to)
            now = self._time_of_change()
            connection.execute(f"update IMUser set departId={to},updated={now} where id in ({among}) and departId={department_id}")
            return now

        result = self._run_repeatedly(work)
        if isinstance(result, Conflict):
            return result
        self._publish(result, f"id in ({among}) and departId={to}")
        return None

    def _run_repeatedly(self, work: Callable[[DBConn], _Result]) -> _Result:
        """As ``in_directory``, for what is the same however often it is done: again if it is not known whether it was committed."""
        try:
            return in_directory(self._master, work)
        except OutcomeUnknownError:
            return self._master.resolve_outcome(lambda connection: with_directory(connection, work))

    def _publish(self, changed: int, which: str, arguments: Sequence[str] = ()) -> None:
        """Let clients hear of a change that was committed with ``updated`` = ``changed``, in the users for whom ``which`` is true.

        A client that has asked after a later change by somebody else, and before our commit, asks for what changed after ours from now on.
        So if the commit was in a later second, the users get the time of that one; until it was in the second that they have.
        """

        def touch(connection: DBConn) -> None:
            connection.execute(f"update IMUser set updated={changed} where {which} and updated<{changed}", arguments)

        for _ in range(_TOUCHES):
            now = self._time_of_change()
            if now <= changed:
                break
            changed = now
            try:
                self._run_repeatedly(touch)
            except StoreError as error:
                logger.error("users have changed, but clients that have asked meanwhile may not hear of it: %s", error)
                break
        publish_user_change(self._unread, changed)

    def _time_of_change(self) -> int:
        """Unix seconds for ``updated``. Not before the last change that is known of: clients ask for what changed at or after the largest
        time that they have seen, which another host may have written whose clock is ahead of ours.
        """
        now = int(time.time())
        try:
            last = self._unread.execute([("GET", names.TOTAL_USER_UPDATE_KEY)])[0]
        except StoreError:
            return now
        known = int(last) if last and last.isdigit() else 0
        return known if now < known <= now + _MOST_SKEW else now

    def _conflicts(self, connection: DBConn, records: Sequence[UserRecord]) -> list[Conflict | None]:
        if not records:
            return []
        missing = _missing_departments(connection, {record.depart_id for record in records})
        taken = self._name_conflicts(connection, [record.name for record in records])
        return [
            conflict or (Conflict(Reason.NO_DEPARTMENT, record.depart_id) if record.depart_id in missing else None)
            for record, conflict in zip(records, taken, strict=True)
        ]

    def _conflict_of_change(self, connection: DBConn, user_id: int, values: Mapping[str, str | int]) -> Conflict | None:
        if not connection.select(f"select 1 from IMUser where id={user_id}"):
            return Conflict(Reason.NO_USER, user_id)
        if "name" in values:
            conflict = self._name_conflicts(connection, [str(values["name"])], besides=user_id)[0]
            if conflict is not None:
                return conflict
        if "departId" in values and _missing_departments(connection, {int(values["departId"])}):
            return Conflict(Reason.NO_DEPARTMENT, int(values["departId"]))
        return None

    def _name_conflicts(self, connection: DBConn, wanted: Sequence[str], besides: int = 0) -> list[Conflict | None]:
        """For each name who has it, in the collation of the column, which only the database knows: a user other than ``besides``, or an
        earlier one of the names. Names that are equal have the same weights.
        """
        column = self.columns["name"]
        name = f"convert(%s using {column.charset}) collate {column.collation}"
        source = " union all ".join([f"select 0 as k,{name} as n", *(f"select {k},{name}" for k in range(1, len(wanted)))])
        rows = connection.select(
            f"select t.k,weight_string(t.n),min(u.id) from ({source}) t left join IMUser u on u.name=t.n and u.id<>{besides} "
            "group by t.k,t.n",
            wanted,
        )
        conflicts: list[Conflict | None] = [None] * len(wanted)
        first: dict[bytes, int] = {}
        for place, weights, user_id in sorted((int(k), weights, user_id) for k, weights, user_id in rows):
            if user_id is not None:
                conflicts[place] = Conflict(Reason.NAME_TAKEN, int(user_id))
            elif first.setdefault(weights, place) != place:
                conflicts[place] = Conflict(Reason.SAME_NAME, first[weights])
        return conflicts


def _insert(connection: DBConn, records: Sequence[UserRecord], now: int) -> None:
    marks = ",".join(["%s"] * len(COLUMNS))
    rows = ",".join([f"({marks},{ACTIVE},0,{now},{now})"] * len(records))
    connection.execute(
        f"insert into IMUser ({','.join(COLUMNS)},status,push_shield_status,created,updated) values {rows}",
        [value for record in records for value in record],
    )


def _missing_departments(connection: DBConn, department_ids: set[int]) -> set[int]:
    among = ",".join(map(str, sorted(department_ids)))
    rows = connection.select(f"select id from IMDepart where id in ({among}) and status=0")
    return department_ids - {int(department_id) for (department_id,) in rows}
