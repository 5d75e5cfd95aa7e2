"""Departments: the tree, and how it is changed. Any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, NotFoundError, RefusedError
from dbproxy.admin.people.department_paths import SEPARATOR
from dbproxy.admin.texts import check_name, shown
from dbproxy.models.depart_writer import MAX_DEPARTMENTS, MAX_DEPTH, Conflict, Reason, StoredDepartment
from dbproxy.models.user_writer import MAX_USERS

LARGEST_PRIORITY = 0x7FFFFFFF
"""What every client can show."""

DEEPEST_SHOWN = 4 * MAX_DEPTH
"""Levels of a tree that is shown; what is deeper, in a table that others have filled, is shown at the top."""


@dataclass(frozen=True, slots=True)
class DepartmentNode:
    """A department with those below it, which are sorted by priority. ``users``: those who have not been disabled."""

    department_id: int
    name: str
    priority: int
    parent_id: int
    users: int
    children: tuple[DepartmentNode, ...] = ()


@dataclass(frozen=True, slots=True)
class RemovedDepartment:
    """A department that was removed, and how many users were moved to another one before."""

    department_id: int
    name: str
    moved_users: int


class Departments:
    """What may be done with departments. Clients are told of every change the next time they ask."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        installation = administration.installation
        self._writer = installation.depart_writer
        self._users = installation.user_writer
        self._directory = installation.user_directory

    def tree(self) -> tuple[DepartmentNode, ...]:
        """Return the departments at the top. One whose parent does not exist, or that belongs to itself, is shown there too."""
        return _tree(self._writer.all(), self._writer.user_counts())

    def get(self, department_id: int) -> DepartmentNode:
        """Return a department, without those below it.

        Raises:
            NotFoundError: there is none with this id.

        """
        department = self._stored(department_id)
        return _node(department, self._writer.user_counts(), ())

    def add(self, name: str, parent_id: int = 0, priority: int = 0, *, dry_run: bool = False) -> DepartmentNode:
        """Add a department below another one, or with 0 at the top. Its id is 0 in a dry run.

        Raises:
            RefusedError: a value is not accepted, or a department of the same parent has the name.
            NotFoundError: the parent does not exist.

        """
        with self._administration.recorded("departments.add", name, dry_run=dry_run, parent_id=parent_id, priority=priority) as details:
            self.check_name(name)
            _check_priority(priority)
            result = self._writer.add(name, parent_id, priority, dry_run=dry_run)
            if isinstance(result, Conflict):
                raise _refusal(result, name)
            details["department_id"] = result
        return DepartmentNode(result, name, priority, parent_id, 0)

    def rename(self, department_id: int, name: str, *, dry_run: bool = False) -> DepartmentNode:
        """Change the name of a department.

        Raises:
            RefusedError: the name is not accepted, or another department of the same parent has it.
            NotFoundError: there is no such department.

        """
        with self._administration.recorded("departments.rename", str(department_id), dry_run=dry_run, name=name) as details:
            self.check_name(name)
            former = self._stored(department_id)
            details["former_name"] = former.name
            conflict = self._writer.rename(department_id, name, dry_run=dry_run)
            if conflict is not None:
                raise _refusal(conflict, name)
        return DepartmentNode(department_id, name, former.priority, former.parent_id, self._writer.user_counts().get(department_id, 0))

    def move(self, department_id: int, parent_id: int, priority: int | None = None, *, dry_run: bool = False) -> DepartmentNode:
        """Put a department, with all below it, below another one, or with 0 at the top; and change its priority unless that is None.

        Raises:
            RefusedError: it would belong to itself, the tree would become too deep, or the name is taken there.
            NotFoundError: one of them does not exist.

        """
        with self._administration.recorded(
            "departments.move", str(department_id), dry_run=dry_run, parent_id=parent_id, priority=priority
        ) as details:
            if priority is not None:
                _check_priority(priority)
            former = self._stored(department_id)
            details |= {"name": former.name, "former_parent_id": former.parent_id, "former_priority": former.priority}
            conflict = self._writer.move(department_id, parent_id, priority, dry_run=dry_run)
            if conflict is not None:
                raise _refusal(conflict, former.name)
        now = former.priority if priority is None else priority
        return DepartmentNode(department_id, former.name, now, parent_id, self._writer.user_counts().get(department_id, 0))

    def remove(self, department_id: int, move_users_to: int | None = None, *, dry_run: bool = False) -> RemovedDepartment:
        """Remove a department that has neither users, of whatever status, nor departments below it. With ``move_users_to`` its users are
        put into another department before, ``MAX_USERS`` with one transaction; if that is interrupted it can be run again.

        Raises:
            RefusedError: it has users or departments below it; the text says how many.
            NotFoundError: one of them does not exist.

        """
        with self._administration.recorded(
            "departments.remove", str(department_id), dry_run=dry_run, move_users_to=move_users_to
        ) as details:
            former = self._stored(department_id)
            details["name"] = former.name
            moved = 0
            if move_users_to is not None:
                if move_users_to == department_id:
                    raise RefusedError(f"the users of department {department_id} cannot be moved to the department itself")
                self._stored(move_users_to)
                self._check_removal(department_id, former.name)
                moved = self._writer.user_counts(with_disabled=True).get(department_id, 0)
                details["moved_users"] = moved
                if not dry_run:
                    self._move_users(department_id, move_users_to)
            conflict = self._writer.remove(department_id, with_users=dry_run and move_users_to is not None, dry_run=dry_run)
            if conflict is not None:
                raise _refusal(conflict, former.name)
        return RemovedDepartment(department_id, former.name, moved)

    def _check_removal(self, department_id: int, name: str) -> None:
        """Refuse before any user is moved what would be refused afterwards."""
        conflict = self._writer.remove(department_id, with_users=True, dry_run=True)
        if conflict is not None:
            raise _refusal(conflict, name)

    def _move_users(self, department_id: int, to: int) -> None:
        after = 0
        while user_ids := self._directory.ids_in_department(department_id, after, MAX_USERS):
            if self._users.move(user_ids, department_id, to) is not None:
                raise NotFoundError(f"there is no department with the id {to} any more; some users have been moved to it already")
            after = user_ids[-1]

    def check_name(self, name: str) -> None:
        """Check a name, but not whether it is taken.

        Raises:
            RefusedError: it is not accepted.

        """
        check_name("name of the department", name, self._writer.columns["departname"])
        if SEPARATOR in name:
            raise RefusedError(f"the name of the department {shown(name)} has a {SEPARATOR}, which separates the names in a path")

    def _stored(self, department_id: int) -> StoredDepartment:
        department = self._writer.all().get(department_id)
        if department is None:
            raise NotFoundError(f"there is no department with the id {department_id}")
        return department


def _check_priority(priority: int) -> None:
    if not 0 <= priority <= LARGEST_PRIORITY:
        raise RefusedError(f"the priority is {priority}; accepted are 0 to {LARGEST_PRIORITY}")


def _refusal(conflict: Conflict, name: str) -> AdminError:
    number = conflict.number
    if conflict.reason in (Reason.NOT_FOUND, Reason.NO_PARENT):
        return NotFoundError(f"there is no department with the id {number}")
    texts = {
        Reason.NAME_TAKEN: f"the department {number} of the same parent has the name {shown(name)}",
        Reason.CYCLE: f"the department {shown(name)} cannot be moved below itself: {number} belongs to it",
        Reason.TOO_DEEP: f"there would be more than {MAX_DEPTH} levels of departments",
        Reason.TOO_MANY: f"there are {MAX_DEPARTMENTS} departments, which is the most that are accepted",
        Reason.HAS_CHILDREN: f"the department {shown(name)} has departments below it: {number}; move or remove them first",
        Reason.HAS_USERS: (
            f"the department {shown(name)} has users: {number}, disabled ones included; say which department they are moved to "
            "(--move-users-to ID)"
        ),
    }
    return RefusedError(texts[conflict.reason])


def _node(department: StoredDepartment, users: Mapping[int, int], children: tuple[DepartmentNode, ...]) -> DepartmentNode:
    return DepartmentNode(
        department.department_id,
        department.name,
        department.priority,
        department.parent_id,
        users.get(department.department_id, 0),
        children,
    )


def _tree(departments: Mapping[int, StoredDepartment], users: Mapping[int, int]) -> tuple[DepartmentNode, ...]:
    below: dict[int, list[StoredDepartment]] = {}
    for department in departments.values():
        below.setdefault(department.parent_id, []).append(department)
    shown_ids: set[int] = set()

    def with_children(department: StoredDepartment, depth: int) -> DepartmentNode:
        shown_ids.add(department.department_id)
        children = below.get(department.department_id, ()) if depth < DEEPEST_SHOWN else ()
        nodes = tuple(with_children(child, depth + 1) for child in children if child.department_id not in shown_ids)
        return _node(department, users, nodes)

    top = [with_children(department, 1) for department in departments.values() if department.parent_id not in departments]
    others = sorted(departments.values(), key=lambda department: department.department_id)  # they belong to themselves, or are too deep
    top += (with_children(department, 1) for department in others if department.department_id not in shown_ids)
    return tuple(top)
