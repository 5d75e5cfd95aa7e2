"""ImportDesk: files of users from their upload to the report. Any thread.

An upload is kept in memory and in files without names, so nothing is left of it when the process ends: then it has to be uploaded again,
and users who were added already are refused as existing. Only the files of generated passwords have names, and stay until they are sent.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, NotFoundError, RefusedError
from dbproxy.admin.people.csv_file import csv_writer
from dbproxy.admin.people.password_file import PasswordFile
from dbproxy.admin.people.user_import import ImportReport, RefusedLine, UserImport
from dbproxy.admin.web.backend_connection import BackendConnection
from dbproxy.admin.web.jobs import Job, Jobs, State
from dbproxy.admin.web.uploads import CHUNK, FilePieces, ImportOptions, Upload

KIND = "import"
"""Of the jobs: checks and imports, one at a time."""

MOST_UPLOADS = 8
"""Files that are kept; a further one takes the place of the oldest."""

LONGEST_NAME = 100
"""Characters of a file name that are kept."""

_PASSWORDS = re.compile(r"passwords-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}\.csv")


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

    # uploads

    def receive(self, administration: Administration, source: BinaryIO, file_name: str, options: ImportOptions) -> Upload:
        """Keep a file, read how its first lines are understood, and begin to check all of it.

        Raises:
            RefusedError: it cannot be read, or has no column of login names.
            AdminError: it cannot be kept.

        """
        file = self._copy(source)
        try:
            preview = _importer(administration, options).preview(cast("BinaryIO", file))
        except BaseException:
            file.close()
            raise
        token, account, size = secrets.token_urlsafe(16), administration.actor.name, file.seek(0, os.SEEK_END)
        upload = Upload(token, account, file_name[-LONGEST_NAME:], size, time.time(), options, file, preview)
        self._keep(upload)
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
            RefusedError: it is being checked or imported.

        """
        if upload.is_busy:
            raise RefusedError("the file is being checked or imported; stop that first")
        with self._lock:
            self._uploads.pop(upload.token, None)
        upload.close()

    def close(self) -> None:
        """Forget all uploads."""
        with self._lock:
            uploads = list(self._uploads.values())
            self._uploads.clear()
        for upload in uploads:
            upload.close()

    def start(self, upload: Upload, actor: Actor, *, dry_run: bool) -> None:
        """Check all of the file, or import it.

        Raises:
            RefusedError: another file is being checked or imported, this one was already, or it was discarded.

        """
        with upload.lock:
            if upload.file.closed:
                raise RefusedError("the file was discarded")
            if upload.run is not None:
                raise RefusedError("the file was imported already; upload it again to import what is left of it")
            if dry_run and upload.check is not None and upload.check.state is State.DONE:
                raise RefusedError("the file was checked already")
            refused = self._temporary()
            try:
                job = self._jobs.start(KIND, actor.name, lambda job: self._work(job, upload, actor, refused, dry_run=dry_run))
            except BaseException:
                refused.close()
                raise
            former, upload.refused = upload.refused, refused
            if former is not None:
                former.close()
            if dry_run:
                upload.check = job
            else:
                upload.run = job

    def refused_lines(self, upload: Upload) -> FilePieces:
        """Return all lines that were refused, as a CSV file.

        Raises:
            NotFoundError: the file has not been checked.

        """
        with upload.lock:
            if upload.refused is None or upload.refused.closed or upload.is_busy:
                raise NotFoundError("the lines that are refused are known when the file was checked")
            return FilePieces(os.dup(upload.refused.fileno()))

    # passwords

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

    def passwords(self, name: str) -> Path:
        """Return where a file of passwords is that nobody has taken yet.

        Raises:
            NotFoundError: it was taken already.

        """
        if name not in {one.name for one in self.waiting_passwords()}:
            raise NotFoundError(f"there is no file of passwords {name[:LONGEST_NAME]!r}: each is given only once")
        return self._directory / name

    def remove_passwords(self, name: str, actor: Actor) -> None:
        """Remove a file of passwords that nobody needs.

        Raises:
            NotFoundError: it was taken already.

        """
        path = self.passwords(name)
        with self._log.recorded(actor, "users.passwords.remove", name, {}):
            path.unlink(missing_ok=True)

    def take_passwords(self, name: str, actor: Actor) -> FilePieces:
        """Return the content of a file of passwords, which is removed when it has been read to its end.

        Raises:
            NotFoundError: it was taken already.

        """
        path = self.passwords(name)
        with self._log.recorded(actor, "users.passwords", name, {}):
            try:
                return FilePieces(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
            except OSError as error:
                raise NotFoundError(f"the file of passwords {name} cannot be read: {error.strerror}") from None

    # the work

    def _work(self, job: Job, upload: Upload, actor: Actor, refused: IO[bytes], *, dry_run: bool) -> ImportReport:
        administration = Administration(self._backends.take(), actor, self._log)
        try:
            lines = io.TextIOWrapper(cast("io.BytesIO", refused), encoding="utf-8-sig", errors="backslashreplace", newline="")
            writer = csv_writer(lines)
            writer(("line", "name", "reason"))

            def on_refused(line: RefusedLine) -> None:
                writer((str(line.line), line.text, line.reason))

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

    def _keep(self, upload: Upload) -> None:
        """Add an upload, in place of the oldest if there are many."""
        with self._lock:
            self._uploads[upload.token] = upload
            surplus = max(0, len(self._uploads) - MOST_UPLOADS)
            dropped = [old for old in self._uploads.values() if old is not upload and not old.is_busy][:surplus]
            for old in dropped:
                del self._uploads[old.token]
        for old in dropped:
            old.close()

    # files

    def _new_passwords(self) -> Path:
        return self._directory / f"passwords-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.csv"

    def _copy(self, source: BinaryIO) -> IO[bytes]:
        file = self._temporary()
        try:
            shutil.copyfileobj(source, file, CHUNK)
            file.flush()
        except OSError as error:
            file.close()
            raise AdminError(f"the file cannot be kept in {self._directory}: {error.strerror}") from None
        return file

    def _temporary(self) -> IO[bytes]:
        """Return a new file that nobody else can open, and that is gone when it is closed."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._directory)
        except OSError as error:
            raise AdminError(f"no file can be made in {self._directory}: {error.strerror}") from None


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
