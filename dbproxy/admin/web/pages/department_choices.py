"""The departments as the choices of a form. The thread of the request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbproxy.admin.administration import Administration
from dbproxy.admin.people.departments import DepartmentNode, Departments

Choice = tuple[int, str]
"""The id of a department; its name, behind a space for each level above it."""

_INDENT = "\N{EM SPACE}"
_ISOLATED = "\N{FIRST STRONG ISOLATE}%s\N{POP DIRECTIONAL ISOLATE}"
"""A choice cannot have elements inside, so the direction of its text is kept to itself by these characters."""


def department_choices(administration: Administration) -> list[Choice]:
    """Return the departments in the order in which their tree is read."""
    return list(_choices(Departments(administration).tree(), 0))


def _choices(nodes: Sequence[DepartmentNode], depth: int) -> Iterator[Choice]:
    for node in nodes:
        yield node.department_id, _INDENT * depth + _ISOLATED % node.name
        yield from _choices(node.children, depth + 1)
