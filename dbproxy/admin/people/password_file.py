"""PasswordFile: where an import writes the passwords that it has generated. One thread."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people.csv_file import csv_writer
from dbproxy.errors import DbproxyError, OutcomeUnknownError

if TYPE_CHECKING:
    from typing_extensions import Self

_HEADER = "\ufeffname,password\r\n"


class PasswordFile:
    """A new CSV file that only its owner may read. The passwords of a batch are on the disk before its users are added, so that nobody is
    added with a password that no one knows; those of a batch that was not added are taken out again.

    Use it with ``with``; at the end a file without passwords is removed.

    Raises:
        RefusedError: from the ``with`` statement: it exists already, or cannot be made.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        """Passwords in the file."""
        self._descriptor = -1
        self._kept = 0
        self._pending = 0

    def check(self) -> None:
        """Raise RefusedError if it exists already."""
        if os.path.lexists(self.path):
            raise RefusedError(f"{self.path} exists already; the passwords are written to a new file")

    def __enter__(self) -> Self:
        self.check()
        try:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RefusedError(f"{self.path} cannot be made: {error.strerror}") from None
        self._kept = os.write(self._descriptor, _HEADER.encode())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, DbproxyError) and not isinstance(error, OutcomeUnknownError):
            os.ftruncate(self._descriptor, self._kept)
        else:  # the last batch may have been added after all
            self.keep()
        os.close(self._descriptor)
        if not self.count:
            self.path.unlink(missing_ok=True)

    def write(self, passwords: Iterable[tuple[str, str]]) -> None:
        """Write names and passwords of a batch to the disk, in place of those written since the last ``keep``.

        Raises:
            RefusedError: it cannot be written.

        """
        text = io.StringIO(newline="")
        rows = list(passwords)
        write_row = csv_writer(text)
        for row in rows:
            write_row(row)
        data = text.getvalue().encode()
        try:
            os.ftruncate(self._descriptor, self._kept)
            os.lseek(self._descriptor, self._kept, os.SEEK_SET)
            written = os.write(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError as error:
            raise RefusedError(f"{self.path} cannot be written: {error.strerror}") from None
        if written != len(data):
            raise RefusedError(f"{self.path} cannot be written: there is no more space")
        self._pending = len(rows)

    def keep(self) -> None:
        """What was written last is true: the users have been added."""
        self._kept = os.lseek(self._descriptor, 0, os.SEEK_END)
        self.count += self._pending
        self._pending = 0
