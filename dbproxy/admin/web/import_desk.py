"""ImportDesk: files of users from their upload to the report. Any thread.

An upload is kept in memory and in files without names, so nothing is left of it when the process ends: then it has to be uploaded again,
and users who were added already are refused as existing. Only the files of generated passwords have names, and stay until they are sent.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from dbproxy.admin.administration import Administration
from dbproxy.admin.audit_log import Actor, AuditLog
from dbproxy.admin.errors import AdminError, NotFoundError, RefusedError
from dbproxy.admin.password_file import PasswordFile
from dbproxy.admin.user_import import ImportReport, Preview, RefusedLine, UserImport
from dbproxy.admin.web.backend_connection import BackendConnection
from dbproxy.admin.web.jobs import Job, Jobs, State

KIND = "import"
"""Of the jobs: checks and imports, one at a time."""

MOST_UPLOADS = 8
"""Files that are kept; a further one takes the place of the oldest."""

LONGEST_NAME = 100
"""Characters of a file name that are kept."""

_PASSWORDS = re.compile(r"passwords-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}\.csv")
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is imported: the department of lines that name none (0: they need one, unless there is only one), and whether those that
    do not exist are added.
    """

    department_id: int
    create_departments: bool


@dataclass
class Upload:
    """A file that somebody has uploaded, and what became of it."""

    token: str
    account: str
    file_name: str
    size: int
    uploaded: float
    """Unix seconds."""
    options: ImportOptions
    file: IO[bytes]
    preview: Preview
    check: Job | None = None
    """The dry run of the whole file; its result is an ``ImportReport``."""
    run: Job | None = None
    """The import."""
    refused: IO[bytes] | None = None
    """The lines that the last job has refused, as CSV."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def job(self) -> Job | None:
        """The job that was started last."""
        return self.run or self.check

    @property
    def report(self) -> ImportReport | None:
        """What the last job has found out or done; None while it runs, or if it has failed."""
        job = self.job
        return cast("ImportReport", job.result) if job is not None and job.state is State.DONE else None


@dataclass(frozen=True, slots=True)
class PasswordsReady:
    """A file of generated passwords that nobody has taken yet; ``made`` in unix seconds."""

    name: str
    size: int
    made: float


class ImportDesk:
    """Keeps uploads, and checks and imports them with ``jobs``."""

    def __init__(self, directory: Path, jobs: Jobs, backends: BackendConnection, log: AuditLog) -> None:
        self._directory = directory / "imports"
        self._jobs = jobs
        self._backends = backends
        self._log = log
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def receive(self, administration: Administration, source: BinaryIO, file_name: str, options: ImportOptions) -> Upload:
        """Keep a file, read how its first lines are understood, and begin to check all of it.

        Raises:
            RefusedError: it cannot be read, or has no column of login names.
            AdminError: it cannot be kept.

        """
        file = self._copy(source)
        preview = _importer(administration, options).preview(cast("BinaryIO", file))
        upload = Upload(
            secrets.token_urlsafe(16),
            administration.actor.name,
            file_name[-LONGEST_NAME:],
            _size(file),
            time.time(),
            options,
            file,
            preview,
        )
        with self._lock:
            for token in [token for token, old in self._uploads.items() if not _is_busy(old)][: len(self._uploads) - MOST_UPLOADS + 1]:
                del self._uploads[token]
            if len(self._uploads) >= MOST_UPLOADS:
                raise RefusedError(f"{MOST_UPLOADS} files are being imported; wait until one is done")
            self._uploads[upload.token] = upload
        with contextlib.suppress(RefusedError):  # another one is being imported; then the page has a button for the check
            self.start(upload, administration.actor, dry_run=True)
        return upload

    def uploads(self) -> list[Upload]:
        """Return the files that are kept, the newest first."""
        with self._lock:
            return list(reversed(self._uploads.values()))

    def get(self, token: str) -> Upload:
        """Return an upload.

        Raises:
            NotFoundError: it is not kept any more.

        """
        with self._lock:
            found = self._uploads.get(token)
        if found is None:
            raise NotFoundError(
                "this upload is not known any more: dbproxy-admin was restarted, or newer uploads have taken its place. "
                "Users who were added are there. Upload the file again to import the others; names that exist are refused"
            )
        return found

    def discard(self, upload: Upload) -> None:
        """Forget an upload.

        Raises:
            RefusedError: it is being imported.

        """
        with upload.lock:
            if _is_busy(upload):
                raise RefusedError("the file is being imported; stop that first")
            with self._lock:
                self._uploads.pop(upload.token, None)

    def start(self, upload: Upload, actor: Actor, *, dry_run: bool) -> None:
        """Check all of the file, or import it.

        Raises:
            RefusedError: another file is being checked or imported, or this one was imported already.

        """
        with upload.lock:
            if upload.run is not None:
                raise RefusedError("the file was imported already; upload it again to import what is left of it")
            if dry_run and upload.check is not None and upload.check.state is State.DONE:
                raise RefusedError("the file was checked already")
            refused = self._temporary()
            job = self._jobs.start(KIND, actor.name, lambda job: self._work(job, upload, actor, refused, dry_run=dry_run))
            upload.refused = refused
            if dry_run:
                upload.check = job
            else:
                upload.run = job

    def waiting_passwords(self) -> list[PasswordsReady]:
        """Return the files of passwords that nobody has taken yet, the newest first; without that of an import that is going on."""
        try:
            paths = sorted((path for path in self._directory.iterdir() if _PASSWORDS.fullmatch(path.name)), reverse=True)
            found = [PasswordsReady(path.name, path.stat().st_size, path.stat().st_mtime) for path in paths]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AdminError(f"{self._directory} cannot be read: {error.strerror}") from None
        last = self._jobs.last(KIND)
        return found if last is None or last.state is not State.RUNNING else [one for one in found if one.made < last.started - 1]

    def take_passwords(self, name: str, actor: Actor) -> Iterator[bytes]:
        """Return the content of a file of passwords in pieces; after the last one the file is removed.

        Raises:
            NotFoundError: it was taken already.

        """
        if name not in {one.name for one in self.waiting_passwords()}:
            raise NotFoundError(f"there is no file of passwords {name[:LONGEST_NAME]!r}: each is given only once")
        path = self._directory / name
        with self._log.recorded(actor, "users.passwords", name, {}):
            try:
                file = path.open("rb")
            except OSError as error:
                raise NotFoundError(f"the file of passwords {name} cannot be read: {error.strerror}") from None
        return _pieces_then_remove(file, path)

    def refused_lines(self, upload: Upload) -> Iterator[bytes]:
        """Return all lines that were refused, as a CSV file in pieces.

        Raises:
            NotFoundError: the file has not been checked.

        """
        file = upload.refused
        if file is None or _is_busy(upload):
            raise NotFoundError("the lines that are refused are known when the file was checked")
        return _pieces(file)

    def _work(self, job: Job, upload: Upload, actor: Actor, refused: IO[bytes], *, dry_run: bool) -> ImportReport:
        administration = Administration(self._backends.take(), actor, self._log)
        try:
            lines = io.TextIOWrapper(cast("io.BytesIO", refused), encoding="utf-8-sig", errors="backslashreplace", newline="")
            writer = csv.writer(lines)
            writer.writerow(("line", "name", "reason"))

            def on_refused(line: RefusedLine) -> None:
                writer.writerow((line.line, line.text, line.reason))

            importer = _importer(administration, upload.options)
            file = cast("BinaryIO", _Named(upload.file, upload.file_name))
            try:
                if dry_run:
                    return importer.run(file, dry_run=True, on_refused=on_refused, on_progress=job.progress)
                with PasswordFile(self._new_passwords()) as passwords:
                    return importer.run(file, passwords=passwords, on_refused=on_refused, on_progress=job.progress)
            finally:
                lines.flush()
                lines.detach()
        finally:
            self._backends.release()

    def _new_passwords(self) -> Path:
        self._make_directory()
        return self._directory / f"passwords-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.csv"

    def _copy(self, source: BinaryIO) -> IO[bytes]:
        file = self._temporary()
        try:
            shutil.copyfileobj(source, file, _CHUNK)
        except OSError as error:
            raise AdminError(f"the file cannot be kept in {self._directory}: {error.strerror}") from None
        return file

    def _temporary(self) -> IO[bytes]:
        """Return a new file that nobody else can open, and that goes with its object."""
        self._make_directory()
        try:
            return tempfile.TemporaryFile(dir=self._directory)
        except OSError as error:
            raise AdminError(f"no file can be made in {self._directory}: {error.strerror}") from None

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AdminError(f"{self._directory} cannot be made: {error.strerror}") from None


class _Named(io.RawIOBase):
    """A file with the name that it had in the browser, for the audit log."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__()
        self.name = name
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def _importer(administration: Administration, options: ImportOptions) -> UserImport:
    return UserImport(administration, department_id=options.department_id, create_departments=options.create_departments)


def _is_busy(upload: Upload) -> bool:
    return upload.job is not None and upload.job.state is State.RUNNING


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Read a file from its beginning, independently of others who do so at the same time."""
    offset = 0
    while piece := os.pread(file.fileno(), _CHUNK, offset):
        offset += len(piece)
        yield piece


def _pieces_then_remove(file: BinaryIO, path: Path) -> Iterator[bytes]:
    with file:
        yield from _pieces(file)
    path.unlink(missing_ok=True)
