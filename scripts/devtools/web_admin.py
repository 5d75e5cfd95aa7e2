"""The web application of dbproxy-admin beside the proxy of ``scripts/run``, with an account whose password is new at each start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbproxy.admin.accounts import Accounts, generated_password
from dbproxy.admin.accounts_database import AccountsDatabase
from dbproxy.admin.errors import NotFoundError
from dbproxy.admin.roles import Role
from dbproxy.testing.process import ChildProcess, can_connect

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

ACCOUNT = "admin"

START_TIMEOUT = 30.0
"""Seconds until it accepts connections."""


class WebAdmin(ChildProcess):
    """``dbproxy-admin serve`` with the configuration at ``config``; use it with ``with``. The main thread."""

    def __init__(self, config: Path, port: int, data_directory: Path) -> None:
        super().__init__("dbproxy-admin", config.parent / "dbproxy-admin.log")
        self.port = port
        self.password = _new_password(data_directory)
        self._config = config

    @property
    def url(self) -> str:
        """Where it is in the browser."""
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        """Start it and wait until it accepts connections; StartupError with its log if it does not."""
        command = [sys.executable, "-m", "dbproxy.admin", "--config", self._config.name, "serve", "--listen", f"127.0.0.1:{self.port}"]
        self._spawn(command, self._config.parent)
        self._await_ready(lambda: can_connect("127.0.0.1", self.port), START_TIMEOUT)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _new_password(data_directory: Path) -> str:
    """Give the account a new password, and make it first if there is none; return the password."""
    accounts = Accounts(AccountsDatabase(data_directory))
    password = generated_password()
    try:
        accounts.set_password(ACCOUNT, password)
    except NotFoundError:
        accounts.add(ACCOUNT, password, Role.OWNER)
    return password
