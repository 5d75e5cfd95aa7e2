"""The files of archived messages: written, verified and read line by line, so that their length does not matter. One thread.

A file is gzip of JSON lines: a header (table, columns, before), a line ``{"row": {…}}`` for each message, with ``"audio": {…}`` if it is
a sound whose row in IMAudio belongs to it, and an end with the number of rows and the SHA-256 of all lines before. Bytes of a text that
are no UTF-8 are surrogates, as Python's ``surrogateescape`` makes them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dbproxy.admin.errors import AdminError

FORMAT = 1

UNFINISHED = ".part"
"""The end of the name of a file that is not complete."""

LONGEST_LINE = 1 << 26
"""Bytes of a line that is read, at most: a message has up to 48 KiB in JSON, unless the columns were widened."""


class ArchiveDamagedError(AdminError):
    """A file of an archive is not what was written; nothing is removed because of it."""


class Contents(NamedTuple):
    """What the end of a file says of it."""

    rows: int
    sha256: str


def write_archive(path: Path, header: Mapping[str, object], entries: Iterable[Mapping[str, object]]) -> Contents:
    """Write a file that only its owner may read: it has its name once it is complete and on the disk.

    Raises:
        OSError: it cannot be written.

    """
    unfinished = path.with_name(path.name + UNFINISHED)
    digest, rows = hashlib.sha256(), 0
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file) as packed:
            for line in _lines(header, entries):
                digest.update(line)
                packed.write(line)
                rows += 1
            rows -= 1  # the header
            packed.write(_line({"end": {"rows": rows, "sha256": digest.hexdigest()}}))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_directory(path.parent)
    return Contents(rows, digest.hexdigest())


def verify_archive(path: Path) -> Contents:
    """Read a file to its end and compare it with what the end says; return that.

    Raises:
        ArchiveDamagedError: it is not complete, or has changed.

    """
    digest, rows, end = hashlib.sha256(), -1, None
    for line in _read_lines(path):
        if end is not None:
            raise ArchiveDamagedError(f"{path} goes on behind its end")
        if line.startswith(b'{"end":'):
            end = json.loads(line)["end"]
            continue
        digest.update(line)
        rows += 1
    if end is None:
        raise ArchiveDamagedError(f"{path} is not complete: it has no end")
    if (end["rows"], end["sha256"]) != (rows, digest.hexdigest()):
        raise ArchiveDamagedError(f"{path} has changed since it was written: {rows} rows, {end['rows']} were written")
    return Contents(rows, digest.hexdigest())


def read_archive(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a file that was verified.

    Raises:
        ArchiveDamagedError: it cannot be read.

    """
    lines = _read_lines(path)
    next(lines, None)  # the header
    for line in lines:
        entry = json.loads(line)
        if "row" in entry:
            yield entry


def write_manifest(path: Path, manifest: Mapping[str, object]) -> None:
    """Replace a small file of JSON as a whole. Raises OSError."""
    unfinished = path.with_name(path.name + UNFINISHED)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Let the names of files survive a crash of the system. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(header: Mapping[str, object], entries: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    yield _line({"archive": {"format": FORMAT, **header}})
    for entry in entries:
        yield _line(entry)


def _line(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _read_lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    raise ArchiveDamagedError(f"{path} is damaged: a line has no end")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise ArchiveDamagedError(f"{path} cannot be read: {error}") from None
