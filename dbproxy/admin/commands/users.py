"""``dbproxy-admin users``: the main thread."""

from __future__ import annotations

import argparse
import dataclasses
from datetime import datetime

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands import users_csv
from dbproxy.admin.commands.department_argument import department_of
from dbproxy.admin.commands.frame import EXIT_OK, Options, add_command, print_json, print_line, print_table
from dbproxy.admin.commands.password_input import add_password_options, password_from
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.import_columns import sex_of
from dbproxy.admin.named_users import find_user
from dbproxy.admin.page import LARGEST_PAGE
from dbproxy.admin.user_checks import FIELDS, MALE, NewUser
from dbproxy.admin.users import SESSION_NOTE, SavedUser, UserDetails, Users
from dbproxy.models.user_lookup import KnownUser

_USER = "id or login name of the user (id:12 or name:12 if a number could be both)"


def add_commands(topics: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    topic = topics.add_parser("users", help="users: add, change, disable, find, import, export")
    commands = topic.add_subparsers(metavar="COMMAND", required=True)
    adding = add_command(commands, "add", _add, "add a user", changes=True)
    adding.add_argument("name", metavar="NAME", help="login name")
    _add_fields(adding)
    add_password_options(adding)
    passwd = add_command(commands, "passwd", _passwd, "give a user a new password", changes=True)
    passwd.add_argument("user", metavar="USER", help=_USER)
    add_password_options(passwd)
    edit = add_command(commands, "edit", _edit, "change what clients show of a user, or the login name", changes=True)
    edit.add_argument("user", metavar="USER", help=_USER)
    edit.add_argument("--name", help="new login name")
    _add_fields(edit)
    disable = add_command(commands, "disable", _disable, "let a user log in no more; may be repeated", changes=True)
    disable.add_argument("user", metavar="USER", help=_USER)
    enable = add_command(commands, "enable", _enable, "let a user log in again", changes=True)
    enable.add_argument("user", metavar="USER", help=_USER)
    listing = add_command(commands, "list", _list, "list users")
    listing.add_argument("text", metavar="TEXT", nargs="?", default="", help="only those with TEXT in name, nick, email or phone, or as id")
    listing.add_argument("--department", metavar="DEPARTMENT", help="only those of a department (id, or path like A/B)")
    listing.add_argument("--status", choices=("active", "disabled", "other"), help="only those with this status")
    listing.add_argument("--after", metavar="ID", type=int, help="begin after this id: the next page")
    listing.add_argument("--limit", metavar="N", type=int, default=50, help=f"users of a page, up to {LARGEST_PAGE} (default 50)")
    show = add_command(commands, "show", _show, "show all that is known of a user")
    show.add_argument("user", metavar="USER", help=_USER)
    users_csv.add_commands(commands)


def _add_fields(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nick", help="what others see (default: the name)")
    parser.add_argument("--sex", choices=("male", "female"))
    parser.add_argument("--department", metavar="DEPARTMENT", help="id, or path like A/B (default: the only one, if there is only one)")
    parser.add_argument("--email")
    parser.add_argument("--phone")
    parser.add_argument("--domain", help="usually the nick in Latin letters (default: the name)")
    parser.add_argument("--avatar", help="URL, or path on the file server, of the picture")
    parser.add_argument("--sign-info", help="text that is shown with the nick")


def _add(administration: Administration, options: Options) -> int:
    new = dataclasses.replace(NewUser(options.name), **_given(administration, options))  # type: ignore[arg-type]
    password = None if options.dry_run else password_from(options, options.name)
    saved = Users(administration).add(new, password, dry_run=options.dry_run)
    if options.json:
        print_json(saved)
    elif options.dry_run:
        print_line(f"the user {saved.name} would be added")
    else:
        print_line(f"added the user {saved.name} with the id {saved.user_id}")
        _print_password(saved)
    return EXIT_OK


def _passwd(administration: Administration, options: Options) -> int:
    users = Users(administration)
    user = _user(administration, options)
    password = None if options.dry_run else password_from(options, user.name.decode("utf-8", "replace"))
    saved = users.set_password(user.user_id, password, dry_run=options.dry_run)
    if options.json:
        print_json(saved)
    else:
        print_line(f"the password of {saved.name} {'would be' if options.dry_run else 'is'} changed")
        _print_password(saved)
    return EXIT_OK


def _edit(administration: Administration, options: Options) -> int:
    users = Users(administration)
    changes = _given(administration, options)
    if options.name is not None:
        changes["name"] = options.name
    if not changes:
        raise RefusedError("nothing is given that shall be changed; see dbproxy-admin users edit --help")
    user = _user(administration, options)
    return _print_user(users.edit(user.user_id, changes, dry_run=options.dry_run), options)


def _disable(administration: Administration, options: Options) -> int:
    users = Users(administration)
    user = users.disable(_user(administration, options).user_id, dry_run=options.dry_run)
    if options.json:
        print_json({**dataclasses.asdict(user), "note": SESSION_NOTE})
    else:
        print_line(f"{user.name} {'would be' if options.dry_run else 'is'} disabled")
        print_line(f"note: {SESSION_NOTE}")
    return EXIT_OK


def _enable(administration: Administration, options: Options) -> int:
    users = Users(administration)
    user = users.enable(_user(administration, options).user_id, dry_run=options.dry_run)
    if options.json:
        print_json(user)
    else:
        print_line(f"{user.name} {'would be' if options.dry_run else 'is'} enabled")
    return EXIT_OK


def _list(administration: Administration, options: Options) -> int:
    department_id = None if options.department is None else department_of(administration, options.department)
    page = Users(administration).find(options.text, department_id, options.status, options.after, options.limit)
    if options.json:
        print_json(page)
        return EXIT_OK
    columns = ("ID", "NAME", "NICK", "DEPARTMENT", "EMAIL", "PHONE", "STATUS")
    print_table(columns, ((row.user_id, row.name, row.nick, row.department, row.email, row.phone, row.status) for row in page.entries))
    if page.following is not None:
        print_line(f"there are more: --after {page.following}")
    return EXIT_OK


def _show(administration: Administration, options: Options) -> int:
    return _print_user(Users(administration).get(_user(administration, options).user_id), options)


def _user(administration: Administration, options: Options) -> KnownUser:
    return find_user(administration.installation.user_lookup, options.user)


def _given(administration: Administration, options: Options) -> dict[str, str | int]:
    """Fields of ``NewUser`` that are given as options, the name excepted."""
    given: dict[str, str | int] = {}
    for field in FIELDS.keys() - {"name", "sex", "department_id"}:
        value = getattr(options, field)
        if value is not None:
            given[field] = value
    if options.sex is not None:
        given["sex"] = sex_of(options.sex)
    if options.department is not None:
        given["department_id"] = department_of(administration, options.department)
    return given


def _print_user(user: UserDetails, options: Options) -> int:
    if options.json:
        print_json(user)
        return EXIT_OK
    values = {
        "id": user.user_id,
        "name": user.name,
        "nick": user.nick,
        "status": user.status,
        "sex": "male" if user.sex == MALE else "female",
        "department": f"{user.department} ({user.department_id})",
        "email": user.email,
        "phone": user.phone,
        "domain": user.domain,
        "avatar": user.avatar,
        "sign info": user.sign_info,
        "groups": user.groups,
        "push shield": "on" if user.push_shield else "off",
        "created": _local_time(user.created),
        "updated": _local_time(user.updated),
    }
    width = max(map(len, values))
    for name, value in values.items():
        print_line(f"{name:<{width}}  {value}".rstrip())
    return EXIT_OK


def _print_password(saved: SavedUser) -> None:
    """The one place where a generated password is shown; nothing else keeps it."""
    if saved.password is not None:
        print_line(f"password: {saved.password}")


def _local_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
