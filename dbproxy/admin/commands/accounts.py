"""The commands of ``dbproxy-admin accounts``: who may use the web application. They need neither MySQL nor Redis."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbproxy.admin.accounts_database import AccountsDatabase
from dbproxy.admin.audit_log import AuditLog, command_line_actor
from dbproxy.admin.commands.frame import EXIT_OK, add_command, print_json, print_line, print_table
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.roles import Role
from dbproxy.config import Config

if TYPE_CHECKING:  # the module needs a library that only the extra installs
    from dbproxy.admin.accounts import Account, Accounts

DESCRIPTION = "People who may use the web application; they have nothing to do with the users of TeamTalk."
INSTALL = "install it with: pip install dbproxy[admin]"


def add_commands(topics: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``accounts`` with its commands."""
    topic = topics.add_parser("accounts", help="people who may use the web application", description=DESCRIPTION)
    commands = topic.add_subparsers(metavar="COMMAND", required=True)
    command = add_command(commands, "list", _list, "list the accounts")
    command.set_defaults(without_backends=True)
    command = _named(commands, "add", "make an account; its password is asked for, or generated")
    roles = (
        "viewer sees lists and statistics; operator also reads conversations and changes things; owner does everything (default: operator)"
    )
    command.add_argument("--role", choices=[role.value for role in Role], default=Role.OPERATOR.value, help=roles)
    _add_generate(command)
    _add_generate(_named(commands, "passwd", "give an account another password, which ends its sessions"))
    command = _named(commands, "role", "give an account another role, which ends its sessions")
    command.add_argument("role", choices=[role.value for role in Role])
    _named(commands, "disable", "keep an account from logging in, and end its sessions")
    _named(commands, "enable", "let a disabled account log in again")
    _named(commands, "remove", "delete an account and end its sessions")


def _named(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str) -> argparse.ArgumentParser:
    command = add_command(commands, name, _change, summary, changes=True)
    command.add_argument("name", metavar="NAME")
    command.set_defaults(without_backends=True, change=name)
    return command


def _add_generate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--generate", action="store_true", help="generate the password and print it, once")


def _list(config: Config, options: argparse.Namespace) -> int:
    accounts = _accounts(config).all()
    if options.json:
        print_json(accounts)
        return EXIT_OK
    columns = ("name", "role", "state", "made", "last login")
    states = {True: "enabled", False: "disabled"}
    print_table(columns, ((one.name, one.role.value, states[one.enabled], _time(one.created), _time(one.last_login)) for one in accounts))
    return EXIT_OK


def _change(config: Config, options: argparse.Namespace) -> int:
    accounts, name, change = _accounts(config), options.name, options.change
    if change != "add":
        account = accounts.get(name)  # before a password is asked for
        name = account.name
    password = _password(options) if change in ("add", "passwd") and not options.dry_run else ""
    if not options.dry_run:
        details = {"role": options.role} if change in ("add", "role") else {}
        with _recorded(config, f"accounts.{change}", name, details):
            account = _changed(accounts, change, name, password, options)
    generated = password if getattr(options, "generate", False) else None
    if options.json:
        print_json({"name": name, "change": change, "dry_run": options.dry_run, "password": generated or None})
    elif options.dry_run:
        print_line(f"would {change} {name}")
    else:
        print_line(f"{account.name}: {account.role.value}, {_DONE[change]}")
        if generated:
            print_line(f"password: {generated}")
    return EXIT_OK


_DONE = {
    "add": "made",
    "passwd": "has another password",
    "role": "has this role now",
    "disable": "disabled",
    "enable": "enabled",
    "remove": "removed",
}


def _changed(accounts: Accounts, change: str, name: str, password: str, options: argparse.Namespace) -> Account:
    if change == "add":
        return accounts.add(name, password, Role(options.role))
    if change == "passwd":
        return accounts.set_password(name, password)
    if change == "role":
        return accounts.set_role(name, Role(options.role))
    if change == "remove":
        return accounts.remove(name)
    return accounts.set_enabled(name, change == "enable")


def _accounts(config: Config) -> Accounts:
    try:
        from dbproxy.admin.accounts import Accounts
    except ImportError as error:
        raise RefusedError(f"accounts need the extra of the web application, which is not installed ({error}); {INSTALL}") from None
    return Accounts(AccountsDatabase(Path(config.admin.data_dir)))


@contextmanager
def _recorded(config: Config, action: str, name: str, details: dict[str, object]) -> Iterator[None]:
    with AuditLog(Path(config.admin.data_dir)).recorded(command_line_actor(), action, f"account {name}", details):
        yield


def _password(options: argparse.Namespace) -> str:
    from dbproxy.admin.accounts import generated_password

    if options.generate:
        return generated_password()
    if not sys.stdin.isatty():
        raise RefusedError("the password is asked for on a terminal, and there is none here; --generate makes one and prints it")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise RefusedError("the two passwords differ")
    return password


def _time(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
