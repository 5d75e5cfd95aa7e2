"""Every error that one layer of dbproxy raises for another."""

from __future__ import annotations

from collections.abc import Sequence


class DbproxyError(Exception):
    """Base of all errors of this package."""


class ConfigError(DbproxyError):
    """The configuration cannot be used; ``problems`` lists every mistake found, one readable sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class StartupError(DbproxyError):
    """A backend that is unreachable or misconfigured, a port that is taken: the message names instance, host, port and key."""


class BackendNotReadyError(StartupError):
    """MySQL or Redis cannot be reached or is still starting: waiting may help."""


class StopRequestedError(DbproxyError):
    """The start was given up because the proxy was asked to stop."""


class StoreError(DbproxyError):
    """MySQL, Redis or the file server did not do what was asked."""


class StoreUnavailableError(StoreError):
    """A backend cannot be reached, timed out, or its pool gave no connection in time; nothing was changed by the failed step."""


class IdsUnavailableError(StoreUnavailableError):
    """Redis gave no ids for messages; nothing of them is stored."""


class NotWritableError(StoreUnavailableError):
    """The server takes no writes: it is read-only, or no working part of its cluster; the failed step was not executed."""


class DeadlineError(StoreUnavailableError):
    """A lookup was given up, because its requests have waited for their replies for longer than RequestTimeout."""


class OutcomeUnknownError(StoreError):
    """The connection was lost while a transaction was being committed: it may or may not have happened."""


class StatementError(StoreError):
    """The database understood and refused a statement; ``code`` is the MySQL error number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"({code}) {message}")
        self.code = code


class DeadlockError(StatementError):
    """The transaction was rolled back because of others that work on the same rows; it may be run again as a whole."""


class LockWaitError(DeadlockError):
    """A row or a named lock stayed taken by others for longer than DBLockTimeout."""


class FileServerError(StoreError):
    """The file server refused or did not answer."""


class ControlSocketError(DbproxyError):
    """The control socket cannot be made; the message names its path and the reason."""


class ControlSocketInUseError(ControlSocketError):
    """Another process listens on the control socket."""


class ControlRefusedError(DbproxyError):
    """A command that was sent to the control socket is not carried out; the message is for who sent it."""


class UpgradeError(DbproxyError):
    """A new process did not take over; the one that was to be replaced goes on."""
