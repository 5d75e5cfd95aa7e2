"""Pruning: moves old messages out of the database into files, while proxies are running. One thread.

Table by table: the old rows are written to a file, which is synced, read again and compared; then the rows *of that file* are removed, in
small transactions with pauses as long as they take. So nothing is removed that is not in a complete file. It may be killed anywhere: what
is half written is written again, and what is half removed is removed the next time, before anything else. A row that is in two files has
the same table and id in both.

The servers of TeamTalk's files know no request that deletes: the sounds of archived messages stay there; their paths are in the files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.directories import make_private_directory, open_locked
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.messages.archive_files import read_archive
from dbproxy.admin.messages.archive_run import ARCHIVED, REMOVED, ArchiveRun, remove_beginnings, unfinished_runs
from dbproxy.models.message_archive import ArchiveTable, MessageArchive, RowKey, archive_tables

YOUNGEST = 86400
"""Seconds: messages that are younger are never archived."""

READ_ROWS = 500
"""Rows that are in memory at a time."""

FEWEST_REMOVED, MOST_REMOVED = 20, 1000
"""Rows of one transaction that removes; in between, as many as take ``SHORT_TRANSACTION`` to ``LONG_TRANSACTION``."""

SHORT_TRANSACTION, LONG_TRANSACTION = 0.05, 0.2
"""Seconds."""

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What would be archived of a table."""

    table: str
    old: int
    """Messages older than the limit."""
    kept: int
    """Those of them that stay: the newest one of each conversation, and the one with the largest msg_id."""

    @property
    def removed(self) -> int:
        """How many would be archived and removed."""
        return self.old - self.kept


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What ``run`` would do; ``before`` in unix seconds. ``unfinished``: directories of former runs that would be finished first."""

    before: int
    directory: str
    tables: tuple[TablePlan, ...]
    unfinished: tuple[str, ...]

    @property
    def removed(self) -> int:
        """How many messages would be archived and removed."""
        return sum(table.removed for table in self.tables)


@dataclass(frozen=True, slots=True)
class PruneProgress:
    """How far a run is: so many rows of a table are ``archived``, or ``removed``."""

    table: str
    step: str
    rows: int


@dataclass(frozen=True, slots=True)
class TableReport:
    """What was done with a table. Fewer rows removed than archived: the others have changed meanwhile and stay until the next run."""

    table: str
    file: str
    archived: int
    removed: int


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a run has done; ``directory`` is empty if there was nothing to archive. ``finished``: tables of former runs."""

    before: int
    directory: str
    tables: tuple[TableReport, ...]
    finished: tuple[TableReport, ...]

    @property
    def archived(self) -> int:
        """How many messages were archived by this run."""
        return sum(table.archived for table in self.tables)

    @property
    def removed(self) -> int:
        """How many messages were removed, those of former runs too."""
        return sum(table.removed for table in (*self.tables, *self.finished))


def _silent(progress: PruneProgress) -> None:
    """Show no progress."""


def archive_directory(data_directory: Path) -> Path:
    """Return the directory of the archives, given that of dbproxy-admin."""
    return data_directory / "archive"


class Pruning:
    """Archives old messages."""

    def __init__(self, administration: Administration, directory: Path | None = None) -> None:
        """``directory``: of the archives, where each run has a directory of its own; None: ``archive`` in that of dbproxy-admin."""
        self._administration = administration
        installation = administration.installation
        self.directory = directory or archive_directory(installation.data_directory)
        self._archive = MessageArchive(installation.master, installation.slave)
        self._tables = archive_tables()

    def plan(self, older_than: int) -> PrunePlan:
        """Count what ``run`` would archive; ``older_than`` is a unix time. Changes nothing.

        Raises:
            RefusedError: the time is not at least a day ago.

        """
        _check_age(older_than)
        tables = []
        for table in self._tables.values():
            border = self._archive.border(table, older_than)
            counts = list(self._archive.counts(table, older_than, border))
            tables.append(TablePlan(table.name, sum(count.old for count in counts), sum(count.kept for count in counts)))
        return PrunePlan(older_than, str(self.directory), tuple(tables), tuple(str(path) for path in unfinished_runs(self.directory)))

    def run(self, older_than: int, on_progress: Callable[[PruneProgress], None] = _silent) -> PruneReport:
        """Finish former runs, archive what is older than the unix time ``older_than``, and remove it.

        Raises:
            RefusedError: the time is not at least a day ago, or another run is at work in the directory.
            AdminError: a file cannot be written or is damaged; nothing is removed because of it.
            StoreError: a backend failed. In all cases the next run goes on.

        """
        _check_age(older_than)
        with (
            self._administration.recorded("messages.prune", f"older than {_utc(older_than)}", directory=str(self.directory)) as details,
            self._locked(),
        ):
            remove_beginnings(self.directory)
            finished = [report for path in unfinished_runs(self.directory) for report in self._finish(path, on_progress)]
            details.update(finished=sum(report.removed for report in finished), archived=0, removed=0)
            run = ArchiveRun(self.directory, older_than)
            reports = []
            for table in self._tables.values():
                report = self._prune(run, table, on_progress)
                if report is not None:
                    reports.append(report)
                    details.update(archived=sum(r.archived for r in reports), removed=sum(r.removed for r in reports))
            run.end()
            return PruneReport(older_than, str(run.path) if reports else "", tuple(reports), tuple(finished))

    def _prune(self, run: ArchiveRun, table: ArchiveTable, on_progress: Callable[[PruneProgress], None]) -> TableReport | None:
        """Archive the old rows of a table and remove them; None if there are none."""
        rows = self._rows(table, run.before, on_progress)
        first = next(rows, None)
        if first is None:
            return None
        header = {"table": table.name, "before": run.before, "columns": list(self._archive.columns(table.name))}
        path = run.write(table.name, header, _chained(first, rows))
        return self._remove(run, table, path, on_progress)

    def _rows(self, table: ArchiveTable, before: int, on_progress: Callable[[PruneProgress], None]) -> Iterator[dict[str, object]]:
        """Yield the entries of the rows that are to be archived."""
        columns = self._archive.columns(table.name)
        border = self._archive.border(table, before)
        after, count = 0, 0
        while rows := self._archive.old_rows(table, columns, before, border, after, READ_ROWS):
            after = rows[-1].row_id
            kept = self._archive.kept(table, {row.conversation_id for row in rows})
            going = [row for row in rows if not kept.has(row.conversation_id, row.row_id, row.msg_id)]
            sounds = self._archive.sounds(table, going)
            for row in going:
                yield {"row": row.values, "audio": sounds[row.row_id]} if row.row_id in sounds else {"row": row.values}
            count += len(going)
            on_progress(PruneProgress(table.name, ARCHIVED, count))

    def _remove(self, run: ArchiveRun, table: ArchiveTable, path: Path, on_progress: Callable[[PruneProgress], None]) -> TableReport:
        """Remove the rows of a verified file from their table."""
        keys = (_key(table, entry) for entry in read_archive(path))
        archived = removed = 0
        size = MOST_REMOVED // 4
        while batch := list(islice(keys, size)):
            began = time.monotonic()
            removed += self._archive.remove(table, batch)
            archived += len(batch)
            took = time.monotonic() - began
            on_progress(PruneProgress(table.name, REMOVED, removed))
            if took > LONG_TRANSACTION:
                size = max(FEWEST_REMOVED, size // 2)
            elif took < SHORT_TRANSACTION:
                size = min(MOST_REMOVED, size * 2)
            time.sleep(took)  # half of the time is for those who use the tables
        run.removed(table.name, removed)
        return TableReport(table.name, str(path), archived, removed)

    # former runs

    def _finish(self, path: Path, on_progress: Callable[[PruneProgress], None]) -> list[TableReport]:
        """Remove what a former run has archived, and what it has left half written."""
        run = ArchiveRun.resumed(path)
        reports = []
        for name, state in run.tables.items():
            if state.get("state") == ARCHIVED and name in self._tables:
                reports.append(self._remove(run, self._tables[name], run.verified(name), on_progress))
        run.end()
        return reports

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one run at a time work in the directory."""
        try:
            make_private_directory(self.directory)
            descriptor = open_locked(self.directory / _LOCK, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            raise RefusedError(f"another run is at work in {self.directory}") from None
        except OSError as error:
            raise AdminError(f"the archive {self.directory} cannot be written: {error.strerror}") from None
        try:
            yield
        finally:
            os.close(descriptor)


def _key(table: ArchiveTable, entry: Mapping[str, Any]) -> RowKey:
    row, audio = entry["row"], entry.get("audio")
    return RowKey(
        row["id"],
        row[table.kind.id_column],
        row["msgId"],
        row["status"],
        row["updated"],
        row["created"],
        (audio["id"], audio["fromId"], audio["toId"], audio["created"]) if audio else None,
    )


def _chained(first: dict[str, object], others: Iterator[dict[str, object]]) -> Iterator[dict[str, object]]:
    yield first
    yield from others


def _check_age(older_than: int) -> None:
    if not 0 <= older_than <= time.time() - YOUNGEST:
        raise RefusedError(f"messages of the last {YOUNGEST // 3600} hours are not archived: give a time before that")


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
