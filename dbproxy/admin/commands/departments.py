"""``dbproxy-admin departments``: the main thread."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.department_argument import department_of
from dbproxy.admin.commands.frame import EXIT_OK, Commands, Options, add_command, add_topic, print_json, print_line, print_rows
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people.departments import DepartmentNode, Departments

_DEPARTMENT = "id of the department, or its path like A/B"


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    commands = add_topic(topics, "departments", "show departments as a tree, add, rename, move and remove them")
    add_command(commands, "tree", _tree, "show all departments with the number of their users, disabled ones excepted")
    adding = add_command(commands, "add", _add, "add a department", changes=True)
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("--parent", metavar="DEPARTMENT", help=f"{_DEPARTMENT} (default: none, it is at the top)")
    adding.add_argument("--priority", metavar="N", type=int, default=0, help="smaller ones come first (default: %(default)s)")
    rename = add_command(commands, "rename", _rename, "change the name of a department", changes=True)
    rename.add_argument("department", metavar="DEPARTMENT", help=_DEPARTMENT)
    rename.add_argument("name", metavar="NAME")
    move = add_command(commands, "move", _move, "put a department below another one, or change its priority", changes=True)
    move.add_argument("department", metavar="DEPARTMENT", help=_DEPARTMENT)
    where = move.add_mutually_exclusive_group()
    where.add_argument("--parent", metavar="DEPARTMENT", help=_DEPARTMENT)
    where.add_argument("--to-top", action="store_true", help="it belongs to no other one")
    move.add_argument("--priority", metavar="N", type=int, help="smaller ones come first")
    remove = add_command(commands, "remove", _remove, "remove a department that has neither users nor departments below it", changes=True)
    remove.add_argument("department", metavar="DEPARTMENT", help=_DEPARTMENT)
    remove.add_argument("--move-users-to", metavar="DEPARTMENT", help="put its users into this department first")


def _tree(administration: Administration, options: Options) -> int:
    nodes = Departments(administration).tree()
    if options.json:
        print_json(nodes)
    else:
        rows = [(node.department_id, f"{'  ' * depth}{node.name}", node.priority, node.users) for depth, node in _with_depth(nodes)]
        print_rows(("id", "department", "priority", "users"), rows, "no departments")
    return EXIT_OK


def _add(administration: Administration, options: Options) -> int:
    parent_id = 0 if options.parent is None else department_of(administration, options.parent)
    node = Departments(administration).add(options.name, parent_id, options.priority, dry_run=options.dry_run)
    return _print(node, options, "added" if options.dry_run else f"added with the id {node.department_id}")


def _rename(administration: Administration, options: Options) -> int:
    department_id = department_of(administration, options.department)
    return _print(Departments(administration).rename(department_id, options.name, dry_run=options.dry_run), options, "renamed")


def _move(administration: Administration, options: Options) -> int:
    if not options.to_top and options.parent is None and options.priority is None:
        raise RefusedError("nothing is given that shall be changed; see dbproxy-admin departments move --help")
    departments = Departments(administration)
    department_id = department_of(administration, options.department)
    if options.to_top:
        parent_id = 0
    elif options.parent is not None:
        parent_id = department_of(administration, options.parent)
    else:
        parent_id = departments.get(department_id).parent_id
    return _print(departments.move(department_id, parent_id, options.priority, dry_run=options.dry_run), options, "moved")


def _remove(administration: Administration, options: Options) -> int:
    department_id = department_of(administration, options.department)
    to = None if options.move_users_to is None else department_of(administration, options.move_users_to)
    removed = Departments(administration).remove(department_id, to, dry_run=options.dry_run)
    if options.json:
        print_json(removed)
        return EXIT_OK
    done = "would be" if options.dry_run else "is"
    print_line(f"the department {removed.name} {done} removed")
    if to is not None:
        print_line(f"users {'that would be ' if options.dry_run else ''}moved to the department {to}: {removed.moved_users}")
    return EXIT_OK


def _print(node: DepartmentNode, options: Options, done: str) -> int:
    if options.json:
        print_json(node)
    else:
        print_line(f"the department {node.name} {'would be' if options.dry_run else 'is'} {done}")
    return EXIT_OK


def _with_depth(nodes: Sequence[DepartmentNode], depth: int = 0) -> Iterator[tuple[int, DepartmentNode]]:
    for node in nodes:
        yield depth, node
        yield from _with_depth(node.children, depth + 1)
