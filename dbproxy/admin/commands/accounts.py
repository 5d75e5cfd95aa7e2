"""The commands of ``dbproxy-admin accounts``: who may use the web application. They need neither MySQL nor Redis."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.audit_log import AuditLog, command_line_actor
from dbproxy.admin.access.roles import Role
from dbproxy.admin.commands.frame import EXIT_OK, Commands, add_command, add_topic, print_json, print_rows
from dbproxy.admin.commands.password_input import add_password_options, password_from, print_saved
from dbproxy.admin.commands.times import shown_time
from dbproxy.admin.errors import RefusedError
from dbproxy.config import Config

if TYPE_CHECKING:  # the module needs a library that only the extra installs
    from dbproxy.admin.access.accounts import Account, Accounts

DESCRIPTION = "People who may use the web application; they have nothing to do with the users of TeamTalk."
INSTALL = "install it with: pip install dbproxy[admin]"


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add ``accounts`` with its commands."""
    commands = add_topic(topics, "accounts", "people who may use the web application", DESCRIPTION)
    command = add_command(commands, "list", _list, "list the accounts")
    command.set_defaults(without_backends=True)
    command = _named(commands, "add", "make an account; its password is asked for, or generated")
    roles = (
        "viewer sees lists and statistics; operator also reads conversations and changes things; owner does everything (default: operator)"
    )
    command.add_argument("--role", choices=[role.value for role in Role], default=Role.OPERATOR.value, help=roles)
    add_password_options(command)
    add_password_options(_named(commands, "passwd", "give an account another password, which ends its sessions"))
    command = _named(commands, "role", "give an account another role, which ends its sessions")
    command.add_argument("role", choices=[role.value for role in Role])
    _named(commands, "disable", "keep an account from logging in, and end its sessions")
    _named(commands, "enable", "let a disabled account log in again")
    _named(commands, "remove", "delete an account and end its sessions")


def _named(commands: Commands[argparse.ArgumentParser], name: str, summary: str) -> argparse.ArgumentParser:
    command = add_command(commands, name, _change, summary, changes=True)
    command.add_argument("name", metavar="NAME")
    command.set_defaults(without_backends=True, change=name)
    return command


def _list(config: Config, options: argparse.Namespace) -> int:
    accounts = _accounts(config).all()
    if options.json:
        print_json(accounts)
        return EXIT_OK
    columns = ("name", "role", "status", "created", "last login")
    rows = [(one.name, one.role.value, _STATES[one.enabled], shown_time(one.created), _last(one.last_login)) for one in accounts]
    print_rows(columns, rows, "no accounts")
    return EXIT_OK


def _change(config: Config, options: argparse.Namespace) -> int:
    accounts, name, change = _accounts(config), options.name, options.change
    if change != "add":
        account = accounts.get(name)  # before a password is asked for
        name = account.name
    password = generated = None
    if change in ("add", "passwd") and not options.dry_run:
        password = password_from(options, name)
        if password is None:
            password = generated = _generated_password()
    if options.dry_run:
        account = _changed(accounts, change, name, password, options)
    else:
        details = {"role": options.role} if change in ("add", "role") else {}
        with _recorded(config, f"accounts.{change}", name, details):
            account = _changed(accounts, change, name, password, options)
    document = {"name": name, "change": change, "dry_run": options.dry_run, "password": generated} if options.json else None
    if options.dry_run:
        done = f"{name}: {_WOULD_BE[change].format(role=getattr(options, 'role', ''))}"
    else:
        done = f"{account.name}: {account.role.value}, {_DONE[change]}"
    print_saved(name, done, generated, document)
    return EXIT_OK


_STATES = {True: "active", False: "disabled"}

_DONE = {
    "add": "made",
    "passwd": "has another password",
    "role": "has this role now",
    "disable": "disabled",
    "enable": "enabled",
    "remove": "removed",
}


_WOULD_BE = {
    "add": "{role}, would be made",
    "passwd": "would have another password",
    "role": "would have the role {role}",
    "disable": "would be disabled",
    "enable": "would be enabled",
    "remove": "would be removed",
}


def _changed(accounts: Accounts, change: str, name: str, password: str | None, options: argparse.Namespace) -> Account:
    dry_run = options.dry_run
    if change == "add":
        return accounts.add(name, password or "", Role(options.role), dry_run=dry_run)
    if change == "passwd":
        return accounts.get(name) if dry_run else accounts.set_password(name, password or "")
    if change == "role":
        return accounts.set_role(name, Role(options.role), dry_run=dry_run)
    if change == "remove":
        return accounts.remove(name, dry_run=dry_run)
    return accounts.set_enabled(name, change == "enable", dry_run=dry_run)


def _accounts(config: Config) -> Accounts:
    try:
        from dbproxy.admin.access.accounts import Accounts
    except ImportError as error:
        raise RefusedError(f"accounts need the extra of the web application, which is not installed ({error}); {INSTALL}") from None
    return Accounts(AccountsDatabase(Path(config.admin.data_dir)))


@contextmanager
def _recorded(config: Config, action: str, name: str, details: dict[str, object]) -> Iterator[None]:
    with AuditLog(Path(config.admin.data_dir)).recorded(command_line_actor(), action, f"account {name}", details):
        yield


def _generated_password() -> str:
    from dbproxy.admin.access.accounts import generated_password

    return generated_password()


def _last(seconds: int | None) -> str:
    return "never" if seconds is None else shown_time(seconds)
