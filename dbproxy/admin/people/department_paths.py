"""DepartmentPaths: departments named by the names on the way to them, such as 总部/研发. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dbproxy.models.depart_writer import StoredDepartment

SEPARATOR = "/"


class DepartmentPaths:
    """The paths of departments. Two with the same path, or one that belongs to itself, can only be named by their ids."""

    def __init__(self, departments: Mapping[int, StoredDepartment]) -> None:
        self._departments = departments
        self._paths: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        ambiguous = set()
        for department_id in departments:
            path = SEPARATOR.join(self._names(department_id))
            if not path:
                continue
            if self._ids.setdefault(path, department_id) != department_id:
                ambiguous.add(path)
            self._paths[department_id] = path
        for path in ambiguous:
            del self._ids[path]

    def path_of(self, department_id: int) -> str:
        """Return the path of a department; empty if it has none of its own."""
        path = self._paths.get(department_id, "")
        return path if path in self._ids else ""

    def find(self, text: str) -> int | None:
        """Return the id of the department with a path, or with an id; None: there is none, or the path is not unique."""
        path = SEPARATOR.join(self.parts(text))
        if path in self._ids:
            return self._ids[path]
        if text.isascii() and text.isdigit() and int(text) in self._departments:
            return int(text)
        return None

    @staticmethod
    def parts(text: str) -> list[str]:
        """Return the names in a path; blanks around them do not count."""
        return [part.strip() for part in text.strip().strip(SEPARATOR).split(SEPARATOR)]

    def _names(self, department_id: int) -> Iterable[str]:
        names: list[str] = []
        seen: set[int] = set()
        while department_id in self._departments:
            if department_id in seen:
                return ()
            seen.add(department_id)
            names.append(self._departments[department_id].name)
            department_id = self._departments[department_id].parent_id
        return reversed(names)
