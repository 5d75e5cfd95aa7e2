"""The web application of dbproxy-admin as a process of its own, and an account for it whose password is new at each start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbproxy.admin.access.accounts import Accounts, generated_password
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.roles import Role
from dbproxy.admin.errors import NotFoundError
from dbproxy.testing.process import ChildProcess, can_connect
from dbproxy.testing.proxy import own_path

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ACCOUNT = "admin"

START_TIMEOUT = 60.0
"""Seconds until it accepts connections."""


class WebAdmin(ChildProcess):
    """``dbproxy-admin serve`` with the configuration at ``config``, at ``port`` of 127.0.0.1; use it with ``with``. One thread."""

    def __init__(self, config: Path, port: int, log_path: Path, scheme: str = "http") -> None:
        super().__init__("dbproxy-admin serve", log_path)
        self.port = port
        self._config = config
        self._scheme = scheme

    @property
    def url(self) -> str:
        """Where it is in the browser, with a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self.port}/"

    def start(self) -> Self:
        """Start it and wait until it accepts connections; StartupError with its log if it does not."""
        command = [sys.executable, "-m", "dbproxy.admin", "--config", self._config.name, "serve", "--listen", f"127.0.0.1:{self.port}"]
        self._spawn(command, self._config.parent, {**own_path(), "PYTHONUNBUFFERED": "1"})
        self._await_ready(lambda: can_connect("127.0.0.1", self.port), START_TIMEOUT)
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def new_password(data_directory: Path) -> str:
    """Give the account ``ACCOUNT`` a new password, and make it first if there is none; return the password."""
    accounts = Accounts(AccountsDatabase(data_directory))
    password = generated_password()
    try:
        accounts.set_password(ACCOUNT, password)
    except NotFoundError:
        accounts.add(ACCOUNT, password, Role.OWNER)
    return password
