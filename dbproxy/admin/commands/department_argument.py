"""How a department is named on the command line. The main thread."""

from __future__ import annotations

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError
from dbproxy.admin.people.department_paths import DepartmentPaths
from dbproxy.admin.texts import shown


def department_of(administration: Administration, text: str) -> int:
    """Return the id of the department with a path, or with an id.

    Raises:
        NotFoundError: there is none, or more than one with the path.

    """
    found = DepartmentPaths(administration.installation.depart_writer.all()).find(text)
    if found is None:
        raise NotFoundError(f"there is no department {shown(text)}, or more than one; see dbproxy-admin departments tree")
    return found
