"""WebSessions: who is logged in to the web application. Any thread, any process.

The browser has a random token, the file only its SHA-256: who reads the file cannot use the sessions in it. Sessions survive a restart.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from dbproxy.admin.access.accounts import Account
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.roles import Role

LONGEST_SESSION = 12 * 3600.0
"""Seconds after which a person has to log in again, however busy."""

MOST_SESSIONS = 20
"""Of one account; a further login ends its oldest."""

_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class WebSession:
    """A session that is not over, with its account as it is now."""

    account: Account
    created: float
    """Unix seconds."""


class WebSessions:
    """The sessions in ``database``; they are over after ``idle`` seconds without a request. Every method raises AdminError if the file
    cannot be used.
    """

    def __init__(self, database: AccountsDatabase, idle: float, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._idle = idle
        self._clock = clock
        self._precision = min(60.0, idle / 10)
        """Not every request writes into the file: the time of the last one is known to so many seconds."""

    def begin(self, account: Account, address: str) -> str:
        """Begin a session and return its token."""
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock()
        with self._database.writing() as connection:
            connection.execute("delete from session where used < ? or created < ?", (now - self._idle, now - LONGEST_SESSION))
            statement = "insert into session (token_hash, account_id, address, created, used) values (?, ?, ?, ?, ?)"
            connection.execute(statement, (_hash(token), account.account_id, address, now, now))
            surplus = "select token_hash from session where account_id = ? order by created desc limit -1 offset ?"
            connection.execute(f"delete from session where token_hash in ({surplus})", (account.account_id, MOST_SESSIONS))
            connection.execute("update account set last_login = ? where id = ?", (int(now), account.account_id))
        return token

    def find(self, token: str) -> WebSession | None:
        """Return the session with this token, unless it is over or its account is disabled; a request counts as use."""
        now = self._clock()
        with self._database.reading() as connection:
            columns = "s.created, s.used, a.id, a.name, a.role, a.enabled, a.created, a.last_login"
            statement = f"select {columns} from session s join account a on a.id = s.account_id where s.token_hash = ?"
            row = connection.execute(statement, (_hash(token),)).fetchone()
            if row is None:
                return None
            created, used, account_id, name, role, enabled, made, last_login = row
            if not enabled or used < now - self._idle or created < now - LONGEST_SESSION:
                return None
            if used < now - self._precision:
                connection.execute("update session set used = ? where token_hash = ?", (now, _hash(token)))
        return WebSession(Account(account_id, name, Role(role), bool(enabled), made, last_login), created)

    def end(self, token: str) -> None:
        """End one session; nothing happens if it is over."""
        with self._database.writing() as connection:
            connection.execute("delete from session where token_hash = ?", (_hash(token),))

    def end_all(self, account: Account) -> int:
        """End every session of an account and return how many there were."""
        with self._database.writing() as connection:
            return connection.execute("delete from session where account_id = ?", (account.account_id,)).rowcount


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
