"""The backup of a merge: every row that it changes, in a file, before the change is committed.

One line of JSON for each row::

    {"lock": "dbproxy.pair.1.2", "table": "IMMessage_5", "row": {"id": 17, ...}, "to": {"table": "IMMessage_1", "relateId": 1, "msgId": 40}}

``row`` has all columns as they were. ``to`` says where the message is now; of a row of IMRelationShip, what was changed in it. A line may
stand for a change that was rolled back, or begun again. Then its row is still there, or there is another line for it behind.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dbproxy.errors import DbproxyError

if TYPE_CHECKING:
    from typing_extensions import Self

FILE = "rows.jsonl"
"""The name of the file in the directory of a backup."""

NUMBERS = frozenset(
    ("id", "relateId", "groupId", "fromId", "toId", "userId", "msgId", "type", "status", "created", "updated", "smallId", "bigId")
)
"""Columns whose values are written as numbers; those of all others as text."""

NOT_UTF8 = "hex"
"""The only key of an object that stands for a value that is no UTF-8: its bytes in hex."""


class BackupError(DbproxyError):
    """A backup cannot be written or read; the message names the file and the reason."""


class Backup:
    """Writes a backup into ``directory``, which is made when the first row is written. A merge that goes on may use the one that it had
    before; the lines are added. A context manager; one thread.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self.rows = 0
        """Rows that were written."""
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def add(self, lock: str, table: str, row: dict[str, bytes | None], to: dict[str, int | str]) -> None:
        """Add a row. ``lock``: under which it is changed.

        Raises:
            BackupError: the file cannot be written.

        """
        line = {"lock": lock, "table": table, "row": {column: _shown(column, value) for column, value in row.items()}, "to": to}
        try:
            self._write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise BackupError(f"{self.path} cannot be written: {error.strerror}; nothing of this step was changed") from error
        self.rows += 1

    def sync(self) -> None:
        """Have everything on the disk; call it before a commit.

        Raises:
            BackupError: it fails.

        """
        try:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
        except OSError as error:
            raise BackupError(f"{self.path} cannot be written: {error.strerror}; nothing of this step was changed") from error

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        while line:
            line = line[os.write(self._descriptor, line) :]

    def _open(self) -> None:
        """Open the file, for nobody else to read: it contains messages. What a killed process had written of its last line is ended."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def latest_first(directory: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a backup, the last one first. Lines that are incomplete, because the process was killed, are left out: their
    transactions were not committed.

    Raises:
        BackupError: there is no backup, or it cannot be read.

    """
    path = directory / FILE
    try:
        with path.open("rb") as file:
            offsets = array("Q")
            offset = 0
            for line in file:
                offsets.append(offset)
                offset += len(line)
            for start in reversed(offsets):
                file.seek(start)
                found = _parsed(file.readline())
                if found is not None:
                    yield found
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error


def as_bytes(value: object) -> bytes | None:
    """Return the value of a column, as it stands in a line, as the bytes that the database has."""
    if value is None:
        return None
    if isinstance(value, dict):
        return bytes.fromhex(value[NOT_UTF8])
    return str(value).encode()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
        return found if {"lock", "table", "row", "to"} <= found.keys() else None
    except (ValueError, AttributeError):
        return None


def _shown(column: str, value: bytes | None) -> object:
    if value is None:
        return None
    if column in NUMBERS and value.isdigit():
        return int(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {NOT_UTF8: value.hex()}
