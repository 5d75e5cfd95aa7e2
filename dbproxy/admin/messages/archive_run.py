"""The directory of one run of ``prune``: the files of its tables, and a manifest that says how far each of them is. One thread."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from dbproxy.admin.errors import AdminError
from dbproxy.admin.messages.archive_files import UNFINISHED, ArchiveDamagedError, verify_archive, write_archive, write_manifest

MANIFEST = "manifest.json"

ARCHIVED, REMOVED = "archived", "removed"
"""States of a table: its file is complete; its rows are removed, too."""

_RUNNING, _DONE = "running", "done"


class ArchiveRun:
    """The directory of one run and its manifest, which says how far each table is."""

    def __init__(self, directory: Path, before: int) -> None:
        self.before = before
        self.is_done = False
        """Whether it has come to its end."""
        self.tables: dict[str, dict[str, Any]] = {}
        self.path = directory / f"prune-{datetime.now(timezone.utc).strftime('%Y%m%dT%H%M%S.%fZ')}"

    @classmethod
    def resumed(cls, path: Path) -> ArchiveRun:
        """Return the run of an existing directory.

        Raises:
            ArchiveDamagedError: its manifest cannot be read.

        """
        manifest = _read_manifest(path / MANIFEST)
        run = cls(path.parent, int(manifest["before"]))
        run.path, run.tables, run.is_done = path, manifest["tables"], manifest.get("state") == _DONE
        return run

    @property
    def messages(self) -> int:
        """How many messages are in its files."""
        return sum(int(table.get("rows", 0)) for table in self.tables.values())

    def write(self, table: str, header: Mapping[str, object], entries: Iterator[Mapping[str, object]]) -> Path:
        """Write the file of a table, verify it and note it in the manifest.

        Raises:
            AdminError: that failed.

        """
        path = self.path / f"{table}.jsonl.gz"
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            self._write_manifest(_RUNNING)
            contents = write_archive(path, header, entries)
            if verify_archive(path) != contents:
                raise ArchiveDamagedError(f"{path} is not what was written; nothing is removed")
            self.tables[table] = {"file": path.name, "rows": contents.rows, "sha256": contents.sha256, "state": ARCHIVED}
            self._write_manifest(_RUNNING)
        except OSError as error:
            raise _not_written(path, error) from None
        return path

    def verified(self, table: str) -> Path:
        """Return the file of a table after it was compared with the manifest.

        Raises:
            ArchiveDamagedError: it is not complete, or another one.

        """
        state = self.tables[table]
        path = self.path / str(state.get("file"))
        if tuple(verify_archive(path)) != (state.get("rows"), state.get("sha256")):
            raise ArchiveDamagedError(f"{path} is not the file that {self.path / MANIFEST} names; nothing is changed")
        return path

    def removed(self, table: str, rows: int) -> None:
        """Note that the rows of a table are removed. Raises AdminError."""
        self.tables[table] |= {"state": REMOVED, "removed": rows}
        self._write(_RUNNING)

    def end(self) -> None:
        """Note that the run has ended, if it has written anything, and delete what is half written. Raises AdminError."""
        if not self.path.is_dir():
            return
        for part in self.path.glob(f"*{UNFINISHED}"):
            part.unlink(missing_ok=True)
        self._write(_DONE)

    def _write(self, state: str) -> None:
        try:
            self._write_manifest(state)
        except OSError as error:
            raise _not_written(self.path / MANIFEST, error) from None

    def _write_manifest(self, state: str) -> None:
        write_manifest(self.path / MANIFEST, {"before": self.before, "state": state, "tables": self.tables})


def runs(directory: Path) -> list[ArchiveRun]:
    """Return the runs of an archive, the oldest first.

    Raises:
        ArchiveDamagedError: a manifest cannot be read.
        AdminError: the directory cannot be read.

    """
    try:
        next(directory.iterdir(), None)  # glob finds nothing where it may not read
        manifests = sorted(directory.glob(f"prune-*/{MANIFEST}"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AdminError(f"the archive {directory} cannot be read: {error.strerror}") from None
    return [ArchiveRun.resumed(path.parent) for path in manifests]


def unfinished_runs(directory: Path) -> list[Path]:
    """Return the directories of runs that have not ended, the oldest first. Raises as ``runs``."""
    return [run.path for run in runs(directory) if not run.is_done]


def remove_beginnings(directory: Path) -> None:
    """Remove the directories of runs that were killed before their first manifest was written. Raises AdminError."""
    for path in directory.glob("prune-*"):
        if path.is_dir() and not (path / MANIFEST).exists():
            try:
                for part in path.glob(f"*{UNFINISHED}"):
                    part.unlink()
                if not any(path.iterdir()):
                    path.rmdir()
            except OSError as error:
                raise _not_written(path, error) from None


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArchiveDamagedError(f"{path} cannot be read: {error}; move its directory away to go on without it") from None
    if (
        not isinstance(manifest, dict)
        or not isinstance(manifest.get("tables"), dict)
        or not isinstance(manifest.get("before"), int)
        or not all(isinstance(table, dict) and isinstance(table.get("rows"), int) for table in manifest["tables"].values())
    ):
        raise ArchiveDamagedError(f"{path} is no manifest of dbproxy-admin; move its directory away to go on without it")
    return manifest


def _not_written(path: Path, error: OSError) -> AdminError:
    return AdminError(f"{path} cannot be written, and nothing more is removed: {error.strerror or error}")
