"""Restoring: puts the messages of an archive back into the database, while proxies are running. One thread.

The files of a run are verified first, so that nothing is done if one of them is damaged. It may be killed anywhere, and done again: what
is there already stays. The archive is not changed.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.messages.archive_files import ArchiveDamagedError, read_archive
from dbproxy.admin.messages.archive_run import MANIFEST, ArchiveRun
from dbproxy.models.message_archive import ArchiveTable, MessageArchive
from dbproxy.models.message_reader import KINDS
from dbproxy.models.message_restore import AUDIO, ArchivedMessage, MessageRestore, RestoredRows
from dbproxy.stores.mysql.schema import SHARDS

ROWS = 200
"""Rows of one transaction, at most."""

TEXT = 1 << 20
"""Characters of their texts, approximately: a statement stays below the ``max_allowed_packet`` of all servers."""

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
    """Not restored: another message has the id of their row."""


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
    def in_the_way(self) -> int:
        """How many could not be put back."""
        return sum(table.in_the_way for table in self.tables)


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
        self._rows = MessageRestore(installation.master)
        self._tables = {table.name: table for table in (ArchiveTable(kind, shard) for kind in KINDS.values() for shard in range(SHARDS))}

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
            tables: list[RestoredTable] = []
            for table, path in files:
                on_rows = partial(_tell, on_progress, table.name, sum(one.archived for one in tables), run.messages)
                tables.append(self._restore(table, path, on_rows, dry_run=dry_run))
                report = RestoreReport(str(self._path), tuple(tables))
                details.update(restored=report.restored, present=report.present, in_the_way=report.in_the_way)
            return RestoreReport(str(self._path), tuple(tables))

    def _table(self, name: str) -> ArchiveTable:
        try:
            return self._tables[name]
        except KeyError:
            raise RefusedError(f"{self._path / MANIFEST} names {name}, which is no table of messages") from None

    def _restore(self, table: ArchiveTable, path: Path, on_rows: Callable[[int], None], *, dry_run: bool) -> RestoredTable:
        work = self._rows.compare if dry_run else self._rows.restore
        sums = RestoredRows(0, 0, 0)
        for batch in _batches(path, _Columns(self._archive, table)):
            began = time.monotonic()
            sums = RestoredRows(*map(sum, zip(sums, work(table, batch), strict=True)))
            on_rows(sum(sums))
            if not dry_run:
                time.sleep(time.monotonic() - began)  # half of the time is for those who use the tables
        return RestoredTable(table.name, sum(sums), *sums)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time restore a run; the archive may be one that can only be read."""
        try:
            descriptor = os.open(self._path / MANIFEST, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise RefusedError(f"{self._path} is no directory of a run of prune: {MANIFEST}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"another process restores {self._path}") from None
        except OSError as error:
            raise AdminError(f"{self._path / MANIFEST} cannot be locked: {error.strerror}") from None
        else:
            yield
        finally:
            os.close(descriptor)


def _tell(on_progress: Callable[[RestoreProgress], None], table: str, before: int, total: int, rows: int) -> None:
    on_progress(RestoreProgress(table, before + rows, total))


class _Columns:
    """The columns that the rows of a file may have: they become part of statements, and anybody can have made the file."""

    def __init__(self, archive: MessageArchive, table: ArchiveTable) -> None:
        kind = table.kind
        self._message = set(archive.columns(table.name)), {"id", kind.id_column, "msgId", kind.sender_column, "created"}
        self._audio = set(archive.columns(AUDIO)), {"id"}

    def message(self, path: Path, entry: dict[str, Any]) -> ArchivedMessage:
        """Return the message of an entry. Raises RefusedError."""
        audio = entry.get("audio")
        if audio is not None:
            _check(path, audio, *self._audio)
        _check(path, entry["row"], *self._message)
        return ArchivedMessage(entry["row"], audio)


def _check(path: Path, row: Mapping[str, Any], known: Set[str], numbers: Set[str]) -> None:
    unknown = sorted(row.keys() - known)
    if unknown:
        raise RefusedError(f"{path} has the column {unknown[0]}, and its table does not: add it to the table first")
    if any(type(row.get(column)) is not int for column in numbers) or any(type(value) not in _TYPES for value in row.values()):
        raise ArchiveDamagedError(f"{path} has a row that is none of its table: {str(row)[:100]}")


def _batches(path: Path, columns: _Columns) -> Iterator[list[ArchivedMessage]]:
    """Yield the messages of a verified file, as many at a time as one transaction takes."""
    batch: list[ArchivedMessage] = []
    characters = 0
    for entry in read_archive(path):
        batch.append(columns.message(path, entry))
        characters += sum(len(value) for value in entry["row"].values() if isinstance(value, str))
        if len(batch) == ROWS or characters >= TEXT:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
