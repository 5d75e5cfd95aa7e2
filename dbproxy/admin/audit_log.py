"""The audit log of dbproxy-admin: who did what, when and from where; a file that is only appended to. Any thread, any process.

Each line is a JSON object: ``time`` (UTC, ISO 8601), ``actor``, ``origin``, ``action``, ``target``, ``outcome`` (``ok``, or the error) and
``details``, which never hold passwords or the contents of messages. A line is written with one system call and synced, so that lines of
several processes do not mix and none is lost in a crash.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dbproxy.admin.errors import AdminError

FILE_NAME = "audit.log"

LONGEST_TEXT = 300
"""Characters of one text in a line, at most."""

MOST_DETAILS = 50
"""Values in one list of a line, at most."""

_READ_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the name of an account, or ``os:`` and a user of the system; and from where: an address, or ``command line``."""

    name: str
    origin: str


def command_line_actor() -> Actor:
    """Return who runs the command: the user of the system, whom no environment variable changes. For one who has used sudo it says by
    whom, as far as the environment is to be believed.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a user id without a name, as in containers
        name = str(uid)
    via = os.environ.get("SUDO_USER", "")
    return Actor(f"os:{name}" + (f" (SUDO_USER={via})" if via and via != name else ""), "command line")


class AuditLog:
    """The file ``audit.log`` in the directory of dbproxy-admin."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME

    def record(self, actor: Actor, action: str, target: str, details: Mapping[str, object] | None = None, outcome: str = "ok") -> None:
        """Append a line. ``action`` is ``users.add``, ``messages.read`` and so on.

        Raises:
            AdminError: it cannot be written; what cannot be recorded must not be done.

        """
        entry = {
            "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "actor": _short(actor.name),
            "origin": _short(actor.origin),
            "action": action,
            "target": _short(target),
            "outcome": _short(outcome),
            "details": {key: _bounded(value) for key, value in (details or {}).items()},
        }
        line = json.dumps(entry, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.write(descriptor, line) != len(line):
                    raise OSError(None, "only a part could be written")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AdminError(f"the audit log {self.path} cannot be written: {error.strerror}") from None

    @contextmanager
    def recorded(self, actor: Actor, action: str, target: str, details: dict[str, object] | None = None) -> Iterator[dict[str, object]]:
        """Record what the block does after it: with ``ok``, or with the error that it raises. The block may add to the details. Before it,
        the file is opened once, so that nothing is done that could not be recorded.

        Raises:
            AdminError: it cannot be written; the text says so if the block was done.

        """
        self.check()
        found: dict[str, object] = dict(details or {})
        try:
            yield found
        except BaseException as error:
            self.record(actor, action, target, found, f"{type(error).__name__}: {error}")
            raise
        try:
            self.record(actor, action, target, found)
        except AdminError as error:
            raise AdminError(f"{action} of {_short(target)} is done, but {error}") from None

    def check(self) -> None:
        """Make the file if it is missing.

        Raises:
            AdminError: it cannot be written.

        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise AdminError(f"the audit log {self.path} cannot be written: {error.strerror}") from None

    def newest(self, limit: int, before: int | None = None) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to ``limit`` entries, newest first, that end before byte ``before`` of the file (None: its end); and what to give as
        ``before`` for those that come next, None at the beginning of the file. Lines that are no entries are left out.

        Raises:
            AdminError: it cannot be read.

        """
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END) if before is None else before
                data, start = b"", end
                while start and data.count(b"\n") <= limit:
                    step = min(_READ_AT_ONCE, start)
                    start -= step
                    file.seek(start)
                    data = file.read(step) + data
        except FileNotFoundError:
            return [], None
        except OSError as error:
            raise AdminError(f"the audit log {self.path} cannot be read: {error.strerror}") from None
        lines = data.splitlines(keepends=True)
        if start and lines:
            start += len(lines.pop(0))  # perhaps only the end of a line
        kept = lines[-limit:]
        position = start + sum(map(len, lines[: len(lines) - len(kept)]))
        return [entry for line in reversed(kept) if (entry := _entry(line))], position or None


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return _short(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        items = list(value)
        more = [f"and {len(items) - MOST_DETAILS} more"] if len(items) > MOST_DETAILS else []
        return [_bounded(item) for item in items[:MOST_DETAILS]] + more
    return value
