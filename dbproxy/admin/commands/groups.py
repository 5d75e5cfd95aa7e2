"""``dbproxy-admin groups``: lists groups, creates them, changes their members, renames, transfers and dismisses them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.frame import (
    EXIT_OK,
    Commands,
    add_command,
    add_paging,
    add_topic,
    print_details,
    print_json,
    print_line,
    print_note,
    print_page,
)
from dbproxy.admin.commands.times import shown_time
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.groups.group_views import STATUSES, GroupChange, GroupDetails, GroupRow
from dbproxy.admin.groups.groups import Groups
from dbproxy.admin.people.named_users import listed
from dbproxy.option_types import whole_number

LARGEST_FILE = 8 << 20
"""Bytes of a file with users; 100,000 of them have some 3 MB."""

_GROUP_ID = whole_number(1, 2**31 - 1)


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    commands = add_topic(topics, "groups", "list and create groups, change their members, rename, transfer and dismiss them")
    parser = add_command(commands, "list", _list, "list groups by id")
    parser.add_argument(
        "text", metavar="TEXT", nargs="?", default="", help="those whose name contains it, in any letter case, or whose id it is"
    )
    parser.add_argument("--status", choices=list(STATUSES), help="only active or only dismissed ones (default: both)")
    add_paging(parser)
    _add_group(add_command(commands, "show", _show, "show a group"))
    parser = add_command(commands, "create", _create, "create a group", changes=True)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--creator", metavar="USER", required=True, help="id or login name; is a member, too")
    parser.add_argument("--members", metavar="USERS", type=_separated, default=[], help="ids or login names, ',' between them")
    _add_file(parser, "--members-from")
    parser.add_argument("--temporary", action="store_true", help="one that any member may add users to, and that is in no list of groups")
    parser.add_argument("--avatar", metavar="URL", default="")
    parser = _add_group(add_command(commands, "rename", _rename, "give a group another name", changes=True))
    parser.add_argument("name", metavar="NAME")
    parser = _add_group(add_command(commands, "transfer", _transfer, "make a member the creator of a group", changes=True))
    parser.add_argument("user", metavar="USER", help="id or login name of a member")
    _add_group(add_command(commands, "dismiss", _dismiss, "remove all members of a group for good; its messages stay", changes=True))
    _add_members(commands)


def _add_members(commands: Commands[argparse.ArgumentParser]) -> None:
    members = add_topic(commands, "members", "list, add and remove the members of a group")
    add_paging(_add_group(add_command(members, "list", _members, "list the members of a group by id")))
    for name, run, what in (("add", _add, "add users to a group"), ("remove", _remove, "remove users from a group, at once")):
        parser = _add_group(add_command(members, name, run, what, changes=True))
        parser.add_argument("users", metavar="USER", nargs="*", help="id or login name")
        _add_file(parser, "--members-from")


def _add_group(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("group", metavar="ID", type=_GROUP_ID, help="id of the group")
    return parser


def _add_file(parser: argparse.ArgumentParser, option: str) -> None:
    parser.add_argument(option, dest="file", metavar="FILE", type=Path, help="a text file in UTF-8 with an id or a login name in each line")


def _list(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    page = Groups(administration).find(options.text, options.status, options.after, options.limit)
    if options.json:
        print_json(page)
        return EXIT_OK
    columns = ("id", "name", "kind", "creator", "members", "status", "last message")
    print_page(page, columns, _cells, "no groups")
    return EXIT_OK


def _show(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    group = Groups(administration).get(options.group)
    if options.json:
        print_json(group)
    else:
        _print_group(group)
    return EXIT_OK


def _members(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    page = Groups(administration).members(options.group, options.after, options.limit)
    if options.json:
        print_json(page)
        return EXIT_OK
    columns = ("id", "name", "nick", "joined")
    print_page(page, columns, lambda user: (user.user_id, user.name, user.nick, shown_time(user.joined)), "no members")
    return EXIT_OK


def _create(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    kind = "temporary" if options.temporary else "normal"
    users = [*options.members, *_users_of(options.file)]
    change = Groups(administration).create(options.name, options.creator, users, kind, options.avatar, dry_run=options.dry_run)
    return _print_change(change, options, "a group with {} would be created", "the group is created with {}")


def _rename(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    change = Groups(administration).rename(options.group, options.name, dry_run=options.dry_run)
    return _print_change(change, options, "the group would be renamed", "the group is renamed")


def _transfer(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    change = Groups(administration).transfer(options.group, options.user, dry_run=options.dry_run)
    return _print_change(change, options, "{} would become the creator", "{} is the creator now")


def _dismiss(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    change = Groups(administration).dismiss(options.group, dry_run=options.dry_run)
    return _print_change(change, options, "the group would be dismissed, with {}", "the group is dismissed; it had {}")


def _add(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    change = Groups(administration).add_members(options.group, _given(options), dry_run=options.dry_run)
    return _print_change(change, options, "{} would be added", "{} added")


def _remove(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    change = Groups(administration).remove_members(options.group, _given(options), dry_run=options.dry_run)
    return _print_change(change, options, "{} would be removed", "{} removed")


def _given(options: Any) -> list[str]:  # noqa: ANN401 - argparse
    return [*options.users, *_users_of(options.file)]


def _users_of(path: Path | None) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        RefusedError: it cannot be read, is longer than ``LARGEST_FILE``, or is not UTF-8.

    """
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise RefusedError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise RefusedError(f"{path} is longer than {LARGEST_FILE >> 20} MiB, which is the most that is accepted")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RefusedError(f"{path}, line {line}: not UTF-8, which alone is accepted") from None
    return _stripped(lines)


def _separated(text: str) -> list[str]:
    return _stripped(text.replace("，", ",").split(","))


def _stripped(texts: Iterable[str]) -> list[str]:
    return [text.strip() for text in texts if text.strip()]


def _print_change(change: GroupChange, options: Any, would: str, done: str) -> int:  # noqa: ANN401 - argparse
    if options.json:
        print_json({"dry_run": options.dry_run, "group": change.group, "changed": change.changed, "notice": change.notice})
        return EXIT_OK
    print_line((would if options.dry_run else done).format(_counted(change.changed)))
    if change.group is not None:
        _print_group(change.group)
    print_note(change.notice)
    return EXIT_OK


def _counted(users: Sequence[int]) -> str:
    return "no users" if not users else f"{len(users)} user{'s' if len(users) > 1 else ''} ({listed(users)})"


def _print_group(group: GroupDetails) -> None:
    values = {
        "id": group.group_id,
        "name": group.name,
        "kind": group.kind,
        "status": group.status,
        "creator": f"{group.creator} ({group.creator_id})" if group.creator else group.creator_id,
        "members": group.members,
        "messages": group.messages,
        "version": group.version,
        "created": shown_time(group.created),
        "last message": _last(group),
        "avatar": group.avatar,
    }
    print_details(values)


def _cells(group: GroupRow) -> Sequence[object]:
    return group.group_id, group.name, group.kind, group.creator or group.creator_id, group.members, group.status, _last(group)


def _last(group: GroupRow) -> str:
    return shown_time(group.last_chated) if group.last_chated else "never"
