"""The audit log of dbproxy-admin: who did what, when and from where; a file that is only appended to. Any thread, any process.

Each line is a JSON object: ``time`` (UTC, ISO 8601), ``actor``, ``origin``, ``action``, ``target``, ``outcome`` (``ok``, or the error) and
``details``, which never hold passwords or the contents of messages. A line is written with one system call and synced, so that lines of
several processes do not mix and none is lost in a crash. Space for the lines of what is being done is kept in a second file, so that a
disk that becomes full meanwhile takes them nevertheless.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pwd
import re
import time
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

LONGEST_LINE = 1 << 16
"""Bytes of a line; if it would have more, it has no details."""

RESERVE_NAME = "audit.reserve"
RESERVE_SIZE = 1 << 17
"""Bytes of space that are kept."""

LOCK_WAIT = 2.0
"""Seconds for which the lock of the file is waited for."""

_READ_AT_ONCE = 1 << 16

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_NOT_SHOWN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON has as it is, but terminals obey, or show in another place."""


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
        """Append a line about what has no effect without it. ``action`` is ``users.add``, ``messages.read`` and so on.

        Raises:
            AdminError: it cannot be written; what cannot be recorded must not be done.

        """
        self._append(_new_entry(actor, action, target, details, outcome), from_reserve=False)

    @contextmanager
    def recorded(self, actor: Actor, action: str, target: str, details: dict[str, object] | None = None) -> Iterator[dict[str, object]]:
        """Record what the block does after it: with ``ok``, or with the error that it raises. The block may add to the details. Before it,
        it is made sure that there is space, so that nothing is done that could not be recorded.

        Raises:
            AdminError: it cannot be written; the text says so if the block was done.

        """
        self.check()
        found: dict[str, object] = dict(details or {})
        try:
            yield found
        except BaseException as error:
            self._append(_new_entry(actor, action, target, found, f"{type(error).__name__}: {error}"), from_reserve=True)
            raise
        try:
            self._append(_new_entry(actor, action, target, found, "ok"), from_reserve=True)
        except AdminError as error:
            raise AdminError(f"{action} of {_short(target)} is done, but {error}") from None

    def check(self) -> None:
        """Make the files if they are missing.

        Raises:
            AdminError: they cannot be written.

        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(self._open(self.path, os.O_APPEND))
            if not self._reserve.exists() or self._reserve.stat().st_size < RESERVE_SIZE:
                self._make_reserve()
        except OSError as error:
            raise self._not_written(error) from None

    def _append(self, entry: Mapping[str, object], *, from_reserve: bool) -> None:
        line = _line(entry)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = self._open(self.path, os.O_APPEND)
            try:
                with _locked(descriptor):
                    try:
                        _write(descriptor, line)
                    except OSError as error:
                        if not from_reserve or error.errno not in _NO_SPACE:
                            raise
                        self._reserve.unlink(missing_ok=True)
                        _write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._not_written(error) from None

    @property
    def _reserve(self) -> Path:
        return self.path.with_name(RESERVE_NAME)

    def _make_reserve(self) -> None:
        descriptor = self._open(self._reserve)
        try:
            _write(descriptor, os.urandom(RESERVE_SIZE))  # what can be compressed would need less space than it keeps
            os.fsync(descriptor)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    @staticmethod
    def _open(path: Path, flags: int = 0) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)

    def _not_written(self, error: OSError) -> AdminError:
        return AdminError(f"the audit log {self.path} cannot be written: {error.strerror}")

    def newest(self, limit: int, before: int | None = None) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to ``limit`` entries, newest first, that end before byte ``before`` of the file (None: its end); and what to give as
        ``before`` for those that come next, None at the beginning of the file. Lines that are no entries are left out.

        Raises:
            AdminError: it cannot be read.

        """
        try:
            with self.path.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                data, start = b"", end if before is None else min(before, end)
                while start and data.count(b"\n") <= limit and len(data) < (limit + 1) * LONGEST_LINE:
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
            rest = lines.pop(0)  # perhaps only the end of a line
            start += len(rest) if lines else 0  # what is longer than lines are is no entry
        kept = lines[-limit:]
        position = start + sum(map(len, lines[: len(lines) - len(kept)]))
        return [entry for line in reversed(kept) if (entry := _entry(line))], position or None


def _new_entry(actor: Actor, action: str, target: str, details: Mapping[str, object] | None, outcome: str) -> dict[str, object]:
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "actor": _short(actor.name),
        "origin": _short(actor.origin),
        "action": action,
        "target": _short(target),
        "outcome": _short(outcome),
        "details": {key: _bounded(value) for key, value in (details or {}).items()},
    }


def _line(entry: Mapping[str, object]) -> bytes:
    text = json.dumps(entry, ensure_ascii=False, default=str)
    line = _NOT_SHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode("utf-8", "backslashreplace") + b"\n"
    if len(line) <= LONGEST_LINE:
        return line
    return _line({**entry, "details": {"omitted": f"details of {len(line)} bytes"}})


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Keep other processes and threads from writing: of a line that is just being written, the end of the file may be seen in its middle.
    A process that is stopped with the lock is waited for ``LOCK_WAIT`` seconds; without it an empty line may stand between two.
    """
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _write(descriptor: int, data: bytes) -> None:
    """Write behind the end of a file, in a new line even if a former one was cut off by a full disk. Raises OSError."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        data = b"\n" + data
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
