"""Restoring: puts the messages of an archive back into the database, while proxies are running. One thread.

The files of a run are verified and checked first, so that nothing is done if one of them is damaged. It may be killed anywhere, and done
again: what is there already stays. The archive is not changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.directories import open_locked
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.messages.archive_files import ArchiveDamagedError, read_archive
from dbproxy.admin.messages.archive_run import MANIFEST, ArchiveRun
from dbproxy.models.message_archive import ArchiveTable, MessageArchive, archive_tables
from dbproxy.models.message_restore import AUDIO, AUDIO_IDENTITY, ArchivedMessage, MessageRestore, RestoredRows

ROWS = 200
"""Rows of one transaction, at most."""

TEXT = 1 << 18
"""Bytes of their texts, approximately: a statement, in which they may take twice as many, stays far below the ``max_allowed_packet`` of
all servers, unless a single message is that long.
"""

LARGEST_ROW_ID = 2**64 - 1

_TYPES = (int, str, type(None))


@dataclass(frozen=True, slots=True)
class RestoredTable:
    """What was done with a table, or would be."""

    table: str
    archived: int
    """Messages in the file."""
    restored: int
    present: int
    """They were in the database already."""
    in_the_way: int
    """Not restored: another message, or another sound, has the id of their row."""
    merged: int
    """Not restored: their conversation has been merged since."""


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was done with a run, or would be."""

    directory: str
    tables: tuple[RestoredTable, ...]

    @property
    def restored(self) -> int:
        """How many messages were put back."""
        return sum(table.restored for table in self.tables)

    @property
    def present(self) -> int:
        """How many were there already."""
        return sum(table.present for table in self.tables)

    @property
    def left(self) -> int:
        """How many could not be put back."""
        return sum(table.in_the_way + table.merged for table in self.tables)


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """How far it is: ``rows`` of ``total`` messages of all files."""

    table: str
    rows: int
    total: int


def _silent(progress: RestoreProgress) -> None:
    """Show no progress."""


class Restoring:
    """Puts the messages of a run of ``prune`` back."""

    def __init__(self, administration: Administration, path: Path) -> None:
        """``path``: the directory of the run."""
        self._administration = administration
        self._path = path
        installation = administration.installation
        self._archive = MessageArchive(installation.master, installation.slave)
        self._tables = archive_tables()

    def run(self, on_progress: Callable[[RestoreProgress], None] = _silent, *, dry_run: bool = False) -> RestoreReport:
        """Verify the files and put back what is missing; with ``dry_run`` only find out what that is.

        Raises:
            RefusedError: it is no directory of a run, or of one that has not ended; another process restores it; or a table lacks a column.
            ArchiveDamagedError: a file is not what was written; nothing was changed.
            StoreError: a backend failed. It may be done again.

        """
        with self._administration.recorded("messages.restore", str(self._path), dry_run=dry_run) as details, self._locked():
            run = ArchiveRun.resumed(self._path)
            if not run.is_done:
                raise RefusedError(f"the run {self._path} has not ended: the next prune finishes it")
            files = [(self._table(name), run.verified(name)) for name in run.tables]
            of_sounds = set(self._archive.columns(AUDIO))
            checked = [_checked(path, _Columns(table, set(self._archive.columns(table.name)), of_sounds)) for table, path in files]
            tables: list[RestoredTable] = []
            for (table, path), last_row_id in zip(files, checked, strict=True):
                on_rows = partial(_tell, on_progress, table.name, sum(one.archived for one in tables), run.messages)
                rows = MessageRestore(self._administration.installation.master, table, last_row_id)
                tables.append(self._restore(table, rows.compare if dry_run else rows.restore, path, on_rows))
                report = RestoreReport(str(self._path), tuple(tables))
                details.update(restored=report.restored, present=report.present, left=report.left)
            return RestoreReport(str(self._path), tuple(tables))

    def _table(self, name: str) -> ArchiveTable:
        try:
            return self._tables[name]
        except KeyError:
            raise RefusedError(f"{self._path / MANIFEST} names {name}, which is no table of messages") from None

    @staticmethod
    def _restore(
        table: ArchiveTable, work: Callable[[Sequence[ArchivedMessage]], RestoredRows], path: Path, on_rows: Callable[[int], None]
    ) -> RestoredTable:
        sums = RestoredRows(0, 0, 0, 0)
        for batch in _batches(path):
            began = time.monotonic()
            done = work(batch)
            sums = RestoredRows(*map(sum, zip(sums, done, strict=True)))
            on_rows(sum(sums))
            if done.restored:
                time.sleep(time.monotonic() - began)  # half of the time is for those who use the tables
        return RestoredTable(table.name, sum(sums), *sums)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time restore a run; the archive may be one that can only be read."""
        try:
            descriptor = open_locked(self._path / MANIFEST, os.O_RDONLY)
        except BlockingIOError:
            raise RefusedError(f"another process restores {self._path}") from None
        except OSError as error:
            raise RefusedError(f"{self._path} is no directory of a run of prune: {MANIFEST}: {error.strerror}") from None
        try:
            yield
        finally:
            os.close(descriptor)


def _tell(on_progress: Callable[[RestoreProgress], None], table: str, before: int, total: int, rows: int) -> None:
    on_progress(RestoreProgress(table, before + rows, total))


class _Columns:
    """The columns that the rows of a file may have: they become part of statements, and anybody can have made the file."""

    def __init__(self, table: ArchiveTable, of_messages: Set[str], of_sounds: Set[str]) -> None:
        """The columns that the table, and IMAudio, have."""
        kind = table.kind
        self._message = of_messages, {"id", kind.id_column, "msgId", kind.sender_column, "created"}
        self._audio = of_sounds, set(AUDIO_IDENTITY)

    def check(self, path: Path, entry: Mapping[str, Any]) -> None:
        """Check an entry. Raises RefusedError, ArchiveDamagedError."""
        _check(path, entry["row"], *self._message)
        if entry.get("audio") is not None:
            _check(path, entry["audio"], *self._audio)


def _check(path: Path, row: object, known: Set[str], numbers: Set[str]) -> None:
    if not isinstance(row, dict) or any(type(value) not in _TYPES for value in row.values()):
        raise ArchiveDamagedError(f"{path} has a row that is none of its table: {str(row)[:100]}")
    unknown = sorted(row.keys() - known)
    if unknown:
        raise RefusedError(f"{path} has the column {unknown[0]}, and its table does not: add it to the table first")
    if any(type(row.get(column)) is not int or not 0 <= row[column] <= LARGEST_ROW_ID for column in numbers):
        raise ArchiveDamagedError(f"{path} has a row that is none of its table: {str(row)[:100]}")


def _checked(path: Path, columns: _Columns) -> int:
    """Check all entries of a file, and return the largest row id. Raises as ``_Columns.check``."""
    last = 0
    for entry in read_archive(path):
        columns.check(path, entry)
        if entry["row"]["id"] <= last:
            raise ArchiveDamagedError(f"{path} is not sorted by row ids: {entry['row']['id']} stands behind {last}")
        last = entry["row"]["id"]
    return last


def _batches(path: Path) -> Iterator[list[ArchivedMessage]]:
    """Yield the messages of a file that was checked, as many at a time as one transaction takes."""
    batch: list[ArchivedMessage] = []
    length = 0
    for entry in read_archive(path):
        row, audio = entry["row"], entry.get("audio")
        batch.append(ArchivedMessage(row, audio))
        texts = (value for values in (row, audio or {}) for value in values.values() if isinstance(value, str))
        length += sum(len(text.encode(errors="surrogateescape")) for text in texts)
        if len(batch) == ROWS or length >= TEXT:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch
