"""Files of users that were uploaded, and files that are sent piece by piece. Any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from dbproxy.admin.people.user_import import ImportReport, Preview
from dbproxy.admin.web.jobs import Job, State

CHUNK = 1 << 16
"""Bytes that are read at a time."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is imported: the department of lines that name none (0: they need one, unless there is only one), and whether those that
    do not exist are added.
    """

    department_id: int
    create_departments: bool


@dataclass
class Upload:
    """A file that somebody has uploaded, and what became of it. ``lock`` is held while a job of it is started or it is given up."""

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
    def is_busy(self) -> bool:
        """Whether it is being checked or imported."""
        job = self.job
        return job is not None and job.state is State.RUNNING

    @property
    def report(self) -> ImportReport | None:
        """What the last job has found out or done; None while it runs, or if it has failed."""
        job = self.job
        return cast("ImportReport", job.result) if job is not None and job.state is State.DONE else None

    def close(self) -> None:
        """Give up the files; a job that still reads them ends with an error."""
        with self.lock:
            self.file.close()
            if self.refused is not None:
                self.refused.close()


class FilePieces:
    """The content of an open file from its beginning, piece by piece; whoever gets it closes it. With ``path``, that file is removed when
    all of it has been read, and not if the reader has gone before. The thread of the request.
    """

    def __init__(self, descriptor: int, path: Path | None = None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._offset = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = os.pread(self._descriptor, CHUNK, self._offset)  # others may read the same file at other places
        if not piece:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
            raise StopIteration
        self._offset += len(piece)
        return piece

    def close(self) -> None:
        """Close the file; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
