"""``dbproxy-admin users``: the main thread."""

from __future__ import annotations

import argparse
import dataclasses

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands import users_csv
from dbproxy.admin.commands.department_argument import department_of
from dbproxy.admin.commands.frame import (
    EXIT_OK,
    Commands,
    Options,
    add_command,
    add_paging,
    add_topic,
    print_details,
    print_json,
    print_line,
    print_note,
    print_page,
)
from dbproxy.admin.commands.password_input import add_password_options, password_from, print_saved
from dbproxy.admin.commands.times import shown_time
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people.import_columns import sex_of
from dbproxy.admin.people.named_users import find_user
from dbproxy.admin.people.user_checks import FIELDS, MALE, NewUser
from dbproxy.admin.people.users import SESSION_NOTE, UserDetails, Users
from dbproxy.models.user_lookup import KnownUser

_USER = "id or login name of the user (id:12 or name:12 if a number could be both)"


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    commands = add_topic(topics, "users", "list and add users, change, disable, import and export them")
    adding = add_command(commands, "add", _add, "add a user", changes=True)
    adding.add_argument("name", metavar="NAME", help="login name")
    _add_fields(adding, defaults=True)
    add_password_options(adding)
    passwd = add_command(commands, "passwd", _passwd, "give a user a new password", changes=True)
    passwd.add_argument("user", metavar="USER", help=_USER)
    add_password_options(passwd)
    edit = add_command(commands, "edit", _edit, "change what clients show of a user, or the login name", changes=True)
    edit.add_argument("user", metavar="USER", help=_USER)
    edit.add_argument("--name", help="new login name")
    _add_fields(edit, defaults=False)
    disable = add_command(commands, "disable", _disable, "let a user log in no more; may be repeated", changes=True)
    disable.add_argument("user", metavar="USER", help=_USER)
    enable = add_command(commands, "enable", _enable, "let a user log in again", changes=True)
    enable.add_argument("user", metavar="USER", help=_USER)
    listing = add_command(commands, "list", _list, "list users")
    listing.add_argument("text", metavar="TEXT", nargs="?", default="", help="only those with TEXT in name, nick, email or phone, or as id")
    listing.add_argument("--department", metavar="DEPARTMENT", help="only those of a department (id, or path like A/B)")
    listing.add_argument("--status", choices=("active", "disabled", "other"), help="only those with this status")
    add_paging(listing)
    show = add_command(commands, "show", _show, "show all that is known of a user")
    show.add_argument("user", metavar="USER", help=_USER)
    users_csv.add_commands(commands)


def _add_fields(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """Add the options of what clients show; ``defaults``: the help has what is taken for those that are not given."""

    def by_default(text: str) -> str:
        return f" (default: {text})" if defaults else ""

    parser.add_argument("--nick", help=f"what others see{by_default('the name')}")
    parser.add_argument("--sex", choices=("male", "female"), help=by_default("female").strip() or None)
    department = f"id, or path like A/B{by_default('the only one, if there is only one')}"
    parser.add_argument("--department", metavar="DEPARTMENT", help=department)
    parser.add_argument("--email")
    parser.add_argument("--phone")
    parser.add_argument("--domain", help=f"usually the nick in Latin letters{by_default('the name')}")
    parser.add_argument("--avatar", help="URL, or path on the file server, of the picture")
    parser.add_argument("--sign-info", help="text that is shown with the nick")


def _add(administration: Administration, options: Options) -> int:
    new = dataclasses.replace(NewUser(options.name), **_given(administration, options))  # type: ignore[arg-type]
    password = None if options.dry_run else password_from(options, options.name)
    saved = Users(administration).add(new, password, dry_run=options.dry_run)
    done = f"the user {saved.name} would be added" if options.dry_run else f"added the user {saved.name} with the id {saved.user_id}"
    print_saved(saved.name, done, saved.password, saved if options.json else None)
    return EXIT_OK


def _passwd(administration: Administration, options: Options) -> int:
    users = Users(administration)
    user = _user(administration, options)
    password = None if options.dry_run else password_from(options, user.name.decode("utf-8", "replace"))
    saved = users.set_password(user.user_id, password, dry_run=options.dry_run)
    done = f"the password of {saved.name} {'would be' if options.dry_run else 'is'} changed"
    print_saved(saved.name, done, saved.password, saved if options.json else None)
    return EXIT_OK


def _edit(administration: Administration, options: Options) -> int:
    users = Users(administration)
    changes = _given(administration, options)
    if options.name is not None:
        changes["name"] = options.name
    if not changes:
        raise RefusedError("nothing is given that shall be changed; see dbproxy-admin users edit --help")
    user = _user(administration, options)
    edited = users.edit(user.user_id, changes, dry_run=options.dry_run)
    if options.dry_run and not options.json:
        print_line("the user would be changed to:")
    return _print_user(edited, options)


def _disable(administration: Administration, options: Options) -> int:
    users = Users(administration)
    user = users.disable(_user(administration, options).user_id, dry_run=options.dry_run)
    if options.json:
        print_json({**dataclasses.asdict(user), "note": SESSION_NOTE})
    else:
        print_line(f"{user.name} {'would be' if options.dry_run else 'is'} disabled")
        print_note(SESSION_NOTE)
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
    columns = ("id", "name", "nick", "department", "email", "phone", "status")
    print_page(page, columns, lambda row: (row.user_id, row.name, row.nick, row.department, row.email, row.phone, row.status), "no users")
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
        "created": shown_time(user.created),
        "updated": shown_time(user.updated),
    }
    print_details(values)
    return EXIT_OK
