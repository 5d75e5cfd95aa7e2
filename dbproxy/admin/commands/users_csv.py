"""``dbproxy-admin users import`` and ``export``: the main thread."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.department_argument import department_of
from dbproxy.admin.commands.frame import (
    EXIT_OK,
    EXIT_REFUSED,
    Commands,
    Options,
    add_command,
    print_error,
    print_json,
    print_line,
    print_note,
    print_table,
)
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people.csv_file import DELIMITERS, ENCODINGS, LARGEST_FILE, csv_writer
from dbproxy.admin.people.password_file import PasswordFile
from dbproxy.admin.people.user_import import REPORTED, ImportReport, Preview, RefusedLine, UserImport
from dbproxy.admin.people.users import Users
from dbproxy.errors import StoreError

STANDARD = "-"
"""Stands for the standard input or output."""


def add_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    importing = add_command(commands, "import", _import, "add the users of a CSV file", changes=True)
    importing.add_argument("file", metavar="FILE", help=f"UTF-8, UTF-16 or GBK, as Excel writes it; {STANDARD}: the standard input")
    importing.add_argument("--passwords-to", metavar="FILE", type=Path, help="new file for generated passwords, which only you may read")
    importing.add_argument("--report", metavar="FILE", type=Path, help="new CSV file for all refused lines")
    importing.add_argument("--department", metavar="DEPARTMENT", help="of lines without one: id, or path like A/B")
    importing.add_argument("--create-departments", action="store_true", help="add departments that do not exist")
    importing.add_argument(
        "--preview", metavar="N", type=int, nargs="?", const=20, help="show how the first N lines are understood, no more"
    )
    importing.add_argument("--encoding", help=f"{', '.join(ENCODINGS)}, … (default: detected)")
    importing.add_argument("--delimiter", choices=tuple(DELIMITERS.values()), help="(default: detected)")
    exporting = add_command(commands, "export", _export, "write all users into a CSV file, without passwords")
    exporting.add_argument("file", metavar="FILE", help=f"new file, or {STANDARD}: the standard output")


def _import(administration: Administration, options: Options) -> int:
    importing = UserImport(
        administration,
        encoding=options.encoding,
        delimiter=next((sign for sign, name in DELIMITERS.items() if name == options.delimiter), None),
        department_id=0 if options.department is None else department_of(administration, options.department),
        create_departments=options.create_departments,
    )
    with contextlib.ExitStack() as exits:
        file = exits.enter_context(_opened(options.file))
        if options.preview is not None:
            return _print_preview(importing.preview(file, options.preview), options)
        passwords = PasswordFile(options.passwords_to) if options.passwords_to else None
        if passwords is not None:
            passwords.check()
            if options.dry_run:
                passwords = None
            else:
                exits.enter_context(passwords)
        on_refused = None if options.report is None else exits.enter_context(_report(options.report))
        progress = _Progress()
        try:
            report = importing.run(file, dry_run=options.dry_run, passwords=passwords, on_refused=on_refused, on_progress=progress.show)
        except StoreError:
            if not options.dry_run:
                print_error(f"{progress.done} of {progress.total} lines are done; what is added stays, and the import may be run again")
                if passwords is not None:
                    print_error(f"passwords that were generated are in {options.passwords_to}: the next run needs another file")
            raise
    _print_report(report, options)
    return EXIT_REFUSED if report.refused_count else EXIT_OK


def _export(administration: Administration, options: Options) -> int:
    if options.file == STANDARD:
        if options.json:
            raise RefusedError("the rows themselves go to the standard output: with --json give a FILE")
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        try:
            Users(administration).export(csv_writer(stream))
        finally:
            stream.detach()
        return EXIT_OK
    path = Path(options.file)
    with _created(path) as stream:
        try:
            count = Users(administration).export(csv_writer(stream))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    if options.json:
        print_json({"users": count, "file": path})
    else:
        print_line(f"users written to {path}: {count}")
    return EXIT_OK


@contextlib.contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Open a file that can be read more than once; what comes from the standard input or a pipe is copied into one."""
    with contextlib.ExitStack() as exits:
        try:
            file = cast("BinaryIO", sys.stdin.buffer) if name == STANDARD else exits.enter_context(Path(name).open("rb"))
            if name == STANDARD or not file.seekable():
                file = _copied(file, exits.enter_context(tempfile.TemporaryFile()))
        except OSError as error:
            raise RefusedError(f"{name} cannot be read: {error.strerror}") from None
        yield file


def _copied(source: BinaryIO, copy: IO[bytes]) -> BinaryIO:
    while data := source.read(1 << 16):
        copy.write(data)
        if copy.tell() > LARGEST_FILE:
            raise RefusedError(f"more than {LARGEST_FILE} bytes are not accepted")
    return cast("BinaryIO", copy)


@contextlib.contextmanager
def _created(path: Path) -> Iterator[io.TextIOWrapper]:
    """Make a CSV file for Excel that only its owner may read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise RefusedError(f"{path} exists already; a new file is written") from None
    except OSError as error:
        raise RefusedError(f"{path} cannot be made: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except OSError as error:
        raise RefusedError(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def _report(path: Path) -> Iterator[Callable[[RefusedLine], None]]:
    with _created(path) as stream:
        write = csv_writer(stream)
        write(("line", "name", "reason"))
        yield lambda refused: write((str(refused.line), refused.text, refused.reason))


class _Progress:
    """How far an import is; a terminal shows it."""

    def __init__(self) -> None:
        self.done = self.total = 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        """Take that ``done`` of ``total`` lines are done."""
        self.done, self.total = done, total
        if not self._terminal:
            return
        end = "\n" if done == total else ""
        with contextlib.suppress(OSError):
            sys.stderr.write(f"\r{done} of {total} lines{end}")
            sys.stderr.flush()


def _print_report(report: ImportReport, options: Options) -> None:
    if options.json:
        print_json(report)
        return
    for path in report.departments:
        print_line(f"department {'would be ' if report.dry_run else ''}added: {path}")
    for refused in report.refused:
        print_line(f"line {refused.line}, {refused.text or 'without a name'}: {refused.reason}")
    if report.refused_count > REPORTED:
        where = f"all are in {options.report}" if options.report else "--report FILE writes all"
        print_line(f"lines refused that are not shown: {report.refused_count - REPORTED}; {where}")
    if report.ignored:
        print_line(f"these columns mean nothing here: {', '.join(report.ignored)}")
    if report.dry_run:
        print_line(
            f"users that would be added: {report.added}, passwords that would be generated: {report.generated}, "
            f"lines refused: {report.refused_count}"
        )
        if report.generated and options.passwords_to is None:
            print_note("lines without a password are refused unless --passwords-to FILE says where generated ones are written to")
    else:
        print_line(f"users added: {report.added}, lines refused: {report.refused_count}")
        if report.generated:
            print_line(f"passwords generated: {report.generated}, in {options.passwords_to}")


def _print_preview(preview: Preview, options: Options) -> int:
    if options.json:
        print_json(preview)
        return EXIT_OK
    print_line(f"{preview.rows} lines in {preview.encoding}, separated by the {DELIMITERS.get(preview.delimiter, preview.delimiter)}")
    if preview.ignored:
        print_line(f"these columns mean nothing here: {', '.join(preview.ignored)}")
    fields = [field for field in preview.fields if field != "password"]
    rows = ((line.line, *(line.values.get(field, "") for field in fields), line.reason or "") for line in preview.lines)
    print_table(("line", *fields, "refused because"), rows)
    return EXIT_OK
