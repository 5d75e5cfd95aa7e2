"""DepartmentCells: which departments the cells of an import mean. One thread."""

from __future__ import annotations

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, NotFoundError
from dbproxy.admin.people.department_paths import SEPARATOR, DepartmentPaths
from dbproxy.admin.people.departments import Departments
from dbproxy.admin.people.users import Users
from dbproxy.admin.texts import shown

UNMADE = -1
"""The id that a dry run gives to departments that would be added."""

MOST_CELLS = 100_000
"""Different cells that are remembered."""


class DepartmentCells:
    """Finds departments by path or id; adds those that are missing if it ``creates``. ``default_id``: of empty cells, 0: the only one."""

    def __init__(self, administration: Administration, default_id: int, *, creates: bool, dry_run: bool) -> None:
        self._administration = administration
        self._default_id = default_id
        self._creates = creates
        self._dry_run = dry_run
        self._departments = Departments(administration)
        self._paths = self._read()
        self._found: dict[str, int | str] = {}  # cell → id, or why there is none
        self.added: list[str] = []
        """Paths of the departments that were added, or would be."""

    def find(self, cell: str) -> int:
        """Return the id of the department that a cell means.

        Raises:
            AdminError: there is none.

        """
        found = self._found.get(cell)
        if found is None:
            try:
                found = self._looked_up(cell)
            except AdminError as error:
                found = str(error)
            if len(self._found) < MOST_CELLS:
                self._found[cell] = found
        if isinstance(found, str):
            raise NotFoundError(found)
        return found

    def _looked_up(self, cell: str) -> int:
        if not cell:
            return self._default_id or Users(self._administration).default_department()
        department_id = self._paths.find(cell)
        if department_id is not None:
            return department_id
        if not self._creates:
            raise NotFoundError(f"there is no department {shown(cell)}, or more than one; accepted are paths like A{SEPARATOR}B, and ids")
        return self._make(self._paths.parts(cell))

    def _make(self, names: list[str]) -> int:
        for name in names:
            self._departments.check_name(name)
        parent_id = 0
        for depth, name in enumerate(names, start=1):
            path = SEPARATOR.join(names[:depth])
            found = UNMADE if path in self.added and self._dry_run else self._paths.find(path)
            if found is None:
                if parent_id == UNMADE:
                    found = UNMADE
                else:
                    found = self._departments.add(name, parent_id, dry_run=self._dry_run).department_id or UNMADE
                self.added.append(path)
                if not self._dry_run:
                    self._paths = self._read()
            parent_id = found
        return parent_id

    def _read(self) -> DepartmentPaths:
        return DepartmentPaths(self._administration.installation.depart_writer.all())
