"""Accounts: who may use dbproxy-admin in the browser. They have nothing to do with the users of TeamTalk. Any thread, any process."""

from __future__ import annotations

import re
import secrets
import sqlite3
import string
import threading
import time
import unicodedata
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.roles import Permission, Role, may
from dbproxy.admin.errors import NotFoundError, RefusedError

MOST_ACCOUNTS = 1000

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256
"""Characters."""

NAME_RULE = "1 to 64 letters, digits and . _ - @, a letter or digit first"
_NAME = re.compile(r"[^\W_][\w.@-]{0,63}")
"""No colon: the audit log names users of the system as ``os:NAME``."""

PASSWORD_RULE = f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, and not the name of the account"

_GENERATED_LENGTH = 20
_GENERATED_FROM = "".join(sorted({*string.ascii_letters, *string.digits} - set("0O1lI")))

_HASHES_AT_ONCE = 2
_HASH_WAIT = 10.0
"""Each hash takes 64 MiB and 50 ms or more of a core: whatever is sent to the login page, so many at once and no more."""

_COLUMNS = "id, name, role, enabled, created, last_login"


@dataclass(frozen=True, slots=True)
class Account:
    """One account; times are unix seconds."""

    account_id: int
    name: str
    role: Role
    enabled: bool
    created: int
    last_login: int | None


class Accounts:
    """The accounts in ``database``. Every method raises AdminError if the file cannot be used.

    A change of the role or of the password, and disabling, end the sessions of the account at once. With ``dry_run`` everything but the
    password is checked and nothing is changed; what is returned is what would be.
    """

    def __init__(self, database: AccountsDatabase, hasher: PasswordHasher | None = None) -> None:
        """``hasher``: None is argon2id with the parameters that argon2-cffi recommends."""
        self._database = database
        self._hasher = hasher or PasswordHasher()
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._nobodys_hash: str | None = None

    def all(self) -> list[Account]:
        """Return all accounts by name."""
        with self._database.reading() as connection:
            rows = connection.execute(f"select {_COLUMNS} from account order by spelling limit ?", (MOST_ACCOUNTS,)).fetchall()
        return [_account(row) for row in rows]

    def get(self, name: str) -> Account:
        """Return the account with this name, in whatever case.

        Raises:
            NotFoundError: there is none.

        """
        with self._database.reading() as connection:
            return _found(connection, name)

    def has(self, name: str, permission: Permission) -> bool:
        """Whether there is an enabled account with this name and a permission."""
        try:
            account = self.get(name)
        except NotFoundError:
            return False
        return account.enabled and may(account.role, permission)

    def add(self, name: str, password: str, role: Role, *, dry_run: bool = False) -> Account:
        """Make an account.

        Raises:
            RefusedError: the name is taken or not accepted, or the password is not.

        """
        shown = unicodedata.normalize("NFKC", name)
        if not _NAME.fullmatch(shown):
            raise RefusedError(f"{name!r} cannot be the name of an account; accepted are {NAME_RULE}")
        hashed = "" if dry_run else self._hash(_checked(password, shown))
        with self._database.writing(dry_run=dry_run) as connection:
            if connection.execute("select count(*) from account").fetchone()[0] >= MOST_ACCOUNTS:
                raise RefusedError(f"there are {MOST_ACCOUNTS} accounts already, and there may not be more")
            statement = "insert into account (name, spelling, password, role, enabled, created) values (?, ?, ?, ?, 1, ?)"
            try:
                connection.execute(statement, (shown, _spelling(shown), hashed, role.value, int(time.time())))
            except sqlite3.IntegrityError:
                raise RefusedError(f"there is an account {shown} already") from None
            return _found(connection, shown)

    def set_password(self, name: str, password: str) -> Account:
        """Give an account another password.

        Raises:
            NotFoundError: there is no such account.
            RefusedError: the password is not accepted.

        """
        account = self.get(name)
        hashed = self._hash(_checked(password, account.name))
        return self._change(name, "password = ?", hashed)

    def set_role(self, name: str, role: Role, *, dry_run: bool = False) -> Account:
        """Give an account another role.

        Raises:
            NotFoundError: there is no such account.
            RefusedError: it is the last enabled owner.

        """
        return self._change(name, "role = ?", role.value, dry_run=dry_run)

    def set_enabled(self, name: str, enabled: bool, *, dry_run: bool = False) -> Account:
        """Disable an account, which then cannot log in, or enable it again.

        Raises:
            NotFoundError: there is no such account.
            RefusedError: it is the last enabled owner.

        """
        return self._change(name, "enabled = ?", int(enabled), dry_run=dry_run)

    def remove(self, name: str, *, dry_run: bool = False) -> Account:
        """Delete an account and return what it was.

        Raises:
            NotFoundError: there is no such account.
            RefusedError: it is the last enabled owner.

        """
        with self._database.writing(dry_run=dry_run) as connection:
            account = _found(connection, name)
            connection.execute("delete from account where id = ?", (account.account_id,))
            _require_owner(connection, account)
        return account

    def check(self, name: str, password: str) -> Account | None:
        """Return the enabled account with this name and password, or None. It takes as long for a name that nobody has.

        A hash that was made with other parameters than today's is replaced.

        Raises:
            RefusedError: too many others are logging in at this moment.

        """
        with self._database.reading() as connection:
            statement = f"select {_COLUMNS}, password from account where spelling = ?"
            row = connection.execute(statement, (_spelling(name),)).fetchone()
        hashed = row[-1] if row is not None else self._hash_of_nobody()
        right = len(password) <= LONGEST_PASSWORD and self._verify(hashed, password)
        if row is None or not right:
            return None
        account = _account(row[:-1])
        if not account.enabled:
            return None
        if self._hasher.check_needs_rehash(hashed):
            replacement = self._hash(password)
            with self._database.writing() as connection:
                statement = "update account set password = ? where id = ? and password = ?"
                connection.execute(statement, (replacement, account.account_id, hashed))
        return account

    def _change(self, name: str, assignment: str, value: object, *, dry_run: bool = False) -> Account:
        with self._database.writing(dry_run=dry_run) as connection:
            before = _found(connection, name)
            connection.execute(f"update account set {assignment} where id = ?", (value, before.account_id))
            connection.execute("delete from session where account_id = ?", (before.account_id,))
            _require_owner(connection, before)
            return _found(connection, name)

    def _hash(self, password: str) -> str:
        with _Turn(self._hashing):
            return self._hasher.hash(password)

    def _verify(self, hashed: str, password: str) -> bool:
        with _Turn(self._hashing):
            try:
                return self._hasher.verify(hashed, password)
            except (VerificationError, InvalidHashError):
                return False

    def _hash_of_nobody(self) -> str:
        if self._nobodys_hash is None:
            self._nobodys_hash = self._hash(secrets.token_urlsafe(32))
        return self._nobodys_hash


class _Turn:
    """Waits for one of the places at which hashes are computed.

    Raises:
        RefusedError: none is free in time.

    """

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        if not self._places.acquire(timeout=_HASH_WAIT):
            raise RefusedError("too many people are logging in at this moment; try again in a minute")

    def __exit__(self, *_: object) -> None:
        self._places.release()


def generated_password() -> str:
    """Return a new random password of 20 letters and digits (some 115 bits), without those that look alike."""
    return "".join(secrets.choice(_GENERATED_FROM) for _ in range(_GENERATED_LENGTH))


def role_of(text: str) -> Role:
    """Return the role with this name.

    Raises:
        RefusedError: there is no such role.

    """
    try:
        return Role(text)
    except ValueError:
        raise RefusedError(f"there is no role {text!r}; accepted are {', '.join(role.value for role in Role)}") from None


def _checked(password: str, name: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD or _spelling(password) == _spelling(name):
        raise RefusedError(f"this password is not accepted: it needs {PASSWORD_RULE}")
    return password


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFKC", name[: LONGEST_PASSWORD + 1]).casefold()


def _found(connection: sqlite3.Connection, name: str) -> Account:
    row = connection.execute(f"select {_COLUMNS} from account where spelling = ?", (_spelling(name),)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no account {name}")
    return _account(row)


def _account(row: tuple[int, str, str, int, int, int | None]) -> Account:
    account_id, name, role, enabled, created, last_login = row
    return Account(account_id, name, Role(role), bool(enabled), created, last_login)


def _require_owner(connection: sqlite3.Connection, before: Account) -> None:
    """Without an owner nobody could manage the accounts in the browser any more."""
    if not (before.role is Role.OWNER and before.enabled):
        return
    if connection.execute("select count(*) from account where role = 'owner' and enabled").fetchone()[0] == 0:
        raise RefusedError(f"{before.name} is the last enabled owner; make another one first")
