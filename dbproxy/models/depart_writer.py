"""DepartWriter: adds, changes and removes departments (IMDepart). Any thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import TypeVar

from dbproxy.errors import OutcomeUnknownError
from dbproxy.models.directory import TextColumn, in_directory, text_columns, with_directory
from dbproxy.models.user import LEFT_COMPANY
from dbproxy.stores.mysql import DBConn, DBPool

_Result = TypeVar("_Result")

EXISTING, REMOVED = 0, 1
"""IMDepart.status; clients are told of both."""

MAX_DEPTH = 20
"""Levels of departments, at most."""

MAX_DEPARTMENTS = 20_000
"""Departments, at most: every client gets all of them."""


@dataclass(frozen=True, slots=True)
class StoredDepartment:
    """A department that exists."""

    department_id: int
    name: str
    priority: int
    parent_id: int


class Reason(Enum):
    """Why a department is not changed."""

    NOT_FOUND = auto()
    """It does not exist."""
    NO_PARENT = auto()
    """The department that it shall belong to does not exist."""
    NAME_TAKEN = auto()
    """Another department of the same parent has the name, in the collation of the column."""
    CYCLE = auto()
    """It would belong to itself."""
    TOO_DEEP = auto()
    """There would be more than ``MAX_DEPTH`` levels."""
    TOO_MANY = auto()
    """There are ``MAX_DEPARTMENTS``."""
    HAS_CHILDREN = auto()
    HAS_USERS = auto()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why it is not done; ``number``: the id that is missing or has the name, or how many children or users there are."""

    reason: Reason
    number: int = 0


class DepartWriter:
    """Writes IMDepart under the lock of the directory."""

    def __init__(self, master: DBPool) -> None:
        self._master = master

    @cached_property
    def columns(self) -> Mapping[str, TextColumn]:
        """The text columns of IMDepart by name."""
        return text_columns(self._master, "IMDepart")

    def all(self) -> dict[int, StoredDepartment]:
        """The departments that exist, from the master, by priority and id."""
        return self._master.read(_departments)

    def names(self, department_ids: Iterable[int]) -> dict[int, str]:
        """The names of those of the departments that exist; up to some thousand."""
        among = ",".join(map(str, set(department_ids)))
        if not among:
            return {}
        rows = self._master.select(f"select id,departName from IMDepart where id in ({among}) and status={EXISTING}")
        return {int(department_id): name.decode("utf-8", "replace") for department_id, name in rows}

    def user_counts(self, *, with_disabled: bool = False) -> dict[int, int]:
        """Department id → users; 0 is left out. Users who have left only count ``with_disabled``."""
        which = "" if with_disabled else f" where ifnull(status,0)<>{LEFT_COMPANY}"
        rows = self._master.select(f"select departId,count(*) from IMUser{which} group by departId")
        return {int(department_id): int(count) for department_id, count in rows}

    def add(self, name: str, parent_id: int, priority: int, *, dry_run: bool = False) -> int | Conflict:
        """Add a department and return its id, 0 with ``dry_run``.

        Raises:
            StoreError: a backend failed, and nothing has changed (OutcomeUnknownError: perhaps it has).

        """

        def work(connection: DBConn) -> int | Conflict:
            departments = _departments(connection)
            if len(departments) >= MAX_DEPARTMENTS:
                return Conflict(Reason.TOO_MANY)
            if parent_id and parent_id not in departments:
                return Conflict(Reason.NO_PARENT, parent_id)
            if _depth(departments, parent_id) + 1 > MAX_DEPTH:
                return Conflict(Reason.TOO_DEEP)
            if other := _same_name(connection, name, parent_id):
                return Conflict(Reason.NAME_TAKEN, other)
            if dry_run:
                return 0
            created = int(time.time())
            connection.execute(
                "insert into IMDepart (departName,priority,parentId,status,created,updated) values (%s,%s,%s,%s,%s,%s)",
                (name, priority, parent_id, EXISTING, created, _time_of_change(connection)),
            )
            return int(connection.insert_id())

        try:
            return self._run(work, dry_run=dry_run)
        except OutcomeUnknownError:
            found = self._master.resolve_outcome(
                lambda connection: with_directory(connection, lambda connection: _same_name(connection, name, parent_id))
            )
            return found or self._run(work, dry_run=dry_run)

    def rename(self, department_id: int, name: str, *, dry_run: bool = False) -> Conflict | None:
        """Change the name. Errors as for ``add``."""

        def work(connection: DBConn) -> Conflict | None:
            department = _departments(connection).get(department_id)
            if department is None:
                return Conflict(Reason.NOT_FOUND, department_id)
            if other := _same_name(connection, name, department.parent_id, besides=department_id):
                return Conflict(Reason.NAME_TAKEN, other)
            if not dry_run:
                _update(connection, department_id, "departName=%s", name)
            return None

        return self._run(work, dry_run=dry_run)

    def move(self, department_id: int, parent_id: int, priority: int | None, *, dry_run: bool = False) -> Conflict | None:
        """Put a department, with all below it, below another one, 0: at the top; and change its priority unless that is None. Errors as
        for ``add``.
        """

        def work(connection: DBConn) -> Conflict | None:
            departments = _departments(connection)
            conflict = _conflict_of_move(connection, departments, department_id, parent_id)
            if conflict is not None or dry_run:
                return conflict
            wanted = departments[department_id].priority if priority is None else priority
            _update(connection, department_id, "parentId=%s,priority=%s", parent_id, wanted)
            return None

        return self._run(work, dry_run=dry_run)

    def remove(self, department_id: int, *, with_users: bool = False, dry_run: bool = False) -> Conflict | None:
        """Mark a department that has no users, of whatever status, and no departments below it as removed. ``with_users``: its users do
        not matter (for a dry run before they are moved). Errors as for ``add``.
        """

        def work(connection: DBConn) -> Conflict | None:
            departments = _departments(connection)
            if department_id not in departments:
                return Conflict(Reason.NOT_FOUND, department_id)
            children = sum(department.parent_id == department_id for department in departments.values())
            if children:
                return Conflict(Reason.HAS_CHILDREN, children)
            users = int(connection.select(f"select count(*) from IMUser where departId={department_id}")[0][0])
            if users and not with_users:
                return Conflict(Reason.HAS_USERS, users)
            if not dry_run:
                _update(connection, department_id, f"status={REMOVED}")
            return None

        return self._run(work, dry_run=dry_run)

    def _run(self, work: Callable[[DBConn], _Result], *, dry_run: bool) -> _Result:
        return self._master.read(work) if dry_run else in_directory(self._master, work)


def _departments(connection: DBConn) -> dict[int, StoredDepartment]:
    rows = connection.select(f"select id,departName,priority,parentId from IMDepart where status={EXISTING} order by priority,id")
    return {
        int(department_id): StoredDepartment(int(department_id), name.decode("utf-8", "replace"), int(priority), int(parent_id))
        for department_id, name, priority, parent_id in rows
    }


def _same_name(connection: DBConn, name: str, parent_id: int, besides: int = 0) -> int:
    """The id of a department of this parent with this name, 0: there is none."""
    rows = connection.select(
        f"select id from IMDepart where departName=%s and parentId={parent_id} and status={EXISTING} and id<>{besides} limit 1", (name,)
    )
    return int(rows[0][0]) if rows else 0


def _ancestors(departments: Mapping[int, StoredDepartment], department_id: int) -> list[int]:
    """The department and those above it, in this order. Ends where they repeat themselves, should the table have a cycle."""
    found: list[int] = []
    while department_id in departments and department_id not in found:
        found.append(department_id)
        department_id = departments[department_id].parent_id
    return found


def _depth(departments: Mapping[int, StoredDepartment], department_id: int) -> int:
    return len(_ancestors(departments, department_id))


def _conflict_of_move(
    connection: DBConn, departments: Mapping[int, StoredDepartment], department_id: int, parent_id: int
) -> Conflict | None:
    department = departments.get(department_id)
    if department is None:
        return Conflict(Reason.NOT_FOUND, department_id)
    if parent_id and parent_id not in departments:
        return Conflict(Reason.NO_PARENT, parent_id)
    above = _ancestors(departments, parent_id)
    if department_id in above:
        return Conflict(Reason.CYCLE, parent_id)
    lines = (_ancestors(departments, other) for other in departments)
    height = max(line.index(department_id) + 1 for line in lines if department_id in line)
    if len(above) + height > MAX_DEPTH:
        return Conflict(Reason.TOO_DEEP)
    if other := _same_name(connection, department.name, parent_id, besides=department_id):
        return Conflict(Reason.NAME_TAKEN, other)
    return None


def _update(connection: DBConn, department_id: int, assignments: str, *values: str | int) -> None:
    connection.execute(f"update IMDepart set {assignments},updated=%s where id=%s", (*values, _time_of_change(connection), department_id))


def _time_of_change(connection: DBConn) -> int:
    """Unix seconds for ``updated``: now, but above all others of the table.

    Clients ask for departments changed *after* the largest time that they have seen. A second change in the same second would never reach
    one that has asked in between. Only the order of these times matters to clients, so they may be some seconds ahead.
    """
    return max(int(time.time()), 1 + int(connection.select("select ifnull(max(updated),0) from IMDepart")[0][0]))
