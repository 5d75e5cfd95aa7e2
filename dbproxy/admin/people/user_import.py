"""UserImport: adds the users of a CSV file, many at once, and reports the lines that are refused. One thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from dbproxy.admin.access.passwords import check_password, generated_password
from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.page import LARGEST_PAGE
from dbproxy.admin.people.csv_file import CsvFile, without_guard
from dbproxy.admin.people.department_cells import UNMADE, DepartmentCells
from dbproxy.admin.people.import_columns import check_active, fields_of, sex_of
from dbproxy.admin.people.password_file import PasswordFile
from dbproxy.admin.people.user_checks import NewUser, check_values, refusal
from dbproxy.admin.people.users import Users
from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.models.user_writer import MAX_USERS, Conflict, Reason, UserRecord

REPORTED = 100
"""Refused lines in an ``ImportReport``; all of them are given to ``on_refused``."""

REMEMBERED = 200_000
"""Names of a file that are remembered, to say in which line one was before; of older ones the database knows."""

_TEXT_FIELDS = ("nick", "email", "phone", "domain", "avatar", "sign_info")


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that was not imported: its number in the file, the login name in it, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """How a line is understood: field → text; and why it would be refused, None: it would be imported. Passwords are not shown."""

    line: int
    values: Mapping[str, str]
    reason: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """How a file is understood: character set, delimiter, the fields of its columns, columns that mean nothing, the number of its rows,
    and the first of them.
    """

    encoding: str
    delimiter: str
    fields: tuple[str, ...]
    ignored: tuple[str, ...]
    rows: int
    lines: tuple[PreviewLine, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was done, or in a dry run would be: users added, the first refused lines and the number of all, passwords that were generated,
    the paths of departments that were added.
    """

    added: int
    refused: tuple[RefusedLine, ...]
    refused_count: int
    generated: int
    departments: tuple[str, ...]
    encoding: str
    ignored: tuple[str, ...]
    dry_run: bool


@dataclass(slots=True)
class _Candidate:
    """A line that is to be added; ``password`` None: one is generated."""

    line: int
    new: NewUser
    password: str | None


class UserImport:
    """Imports users, ``MAX_USERS`` with a transaction. It can be interrupted and run again: names that exist are refused.

    ``encoding`` and ``delimiter`` None: as ``CsvFile`` finds them. ``department_id``: of lines that name none. ``create_departments``:
    those that do not exist are added.
    """

    def __init__(
        self,
        administration: Administration,
        *,
        encoding: str | None = None,
        delimiter: str | None = None,
        department_id: int = 0,
        create_departments: bool = False,
    ) -> None:
        self._administration = administration
        self._writer = administration.installation.user_writer
        self._users = Users(administration)
        self._encoding = encoding
        self._delimiter = delimiter
        self._department_id = department_id
        self._create_departments = create_departments

    def preview(self, file: BinaryIO, limit: int = 20) -> Preview:
        """Read the file and say how it and its first lines, up to ``LARGEST_PAGE``, are understood; nothing is changed or recorded.

        Raises:
            RefusedError: it cannot be read, or has no column of login names.

        """
        if not 0 < limit <= LARGEST_PAGE:
            raise RefusedError(f"the number of lines is {limit}; accepted are 1 to {LARGEST_PAGE}")
        source = CsvFile(file, self._encoding, self._delimiter)
        fields, ignored = fields_of(source.columns)
        total = source.count()
        run = _Run(self._administration, self._users, self._cells(dry_run=True), lambda _: None, dry_run=True)
        lines = []
        for line, cells in islice(source.rows(), limit):
            values = _values(fields, cells)
            reasons: list[RefusedLine] = []
            run.on_refused = reasons.append
            run.add(run.candidates([(line, values)]), None)
            shown = {field: text for field, text in values.items() if field != "password"}
            lines.append(PreviewLine(line, shown, reasons[0].reason if reasons else None))
        known = tuple(field for field in fields if field is not None)
        return Preview(source.encoding, source.delimiter, known, ignored, total, tuple(lines))

    def run(
        self,
        file: BinaryIO,
        *,
        dry_run: bool = False,
        passwords: PasswordFile | None = None,
        on_refused: Callable[[RefusedLine], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ImportReport:
        """Import the file. All of it is read once before anything is changed. ``passwords``: an open file for those that are generated;
        without it, lines without a password are refused. ``on_progress`` is called with the rows that are done and all there are.

        Raises:
            RefusedError: the file cannot be read, or has no column of login names, or nobody would get a password; nothing has changed.
            StoreError: a backend failed; what was imported before stays, and the import may be run again.

        """
        source = CsvFile(file, self._encoding, self._delimiter)
        fields, ignored = fields_of(source.columns)
        if "password" not in fields and passwords is None and not dry_run:
            raise RefusedError(
                "the file has no column of passwords; say where those that are generated are written to (--passwords-to FILE)"
            )
        total = source.count()
        refused: list[RefusedLine] = []
        counts = {"refused": 0}

        def refuse(line: RefusedLine) -> None:
            counts["refused"] += 1
            if len(refused) < REPORTED:
                refused.append(line)
            if on_refused is not None:
                on_refused(line)

        target = str(getattr(file, "name", "") or "upload")
        with self._administration.recorded("users.import", target, dry_run=dry_run, rows=total) as details:
            run = _Run(self._administration, self._users, self._cells(dry_run=dry_run), refuse, dry_run=dry_run)
            rows = ((line, _values(fields, cells)) for line, cells in source.rows())
            done = 0
            while batch := list(islice(rows, MAX_USERS)):
                run.add(run.candidates(batch), passwords)
                done += len(batch)
                details |= {"done": done, "added": run.added, "refused": counts["refused"]}
                if on_progress is not None:
                    on_progress(done, total)
        return ImportReport(
            run.added, tuple(refused), counts["refused"], run.generated, tuple(run.cells.added), source.encoding, ignored, dry_run
        )

    def _cells(self, *, dry_run: bool) -> DepartmentCells:
        return DepartmentCells(self._administration, self._department_id, creates=self._create_departments, dry_run=dry_run)


class _Run:
    """One import, or the preview of one."""

    def __init__(
        self,
        administration: Administration,
        users: Users,
        cells: DepartmentCells,
        on_refused: Callable[[RefusedLine], None],
        *,
        dry_run: bool,
    ) -> None:
        self.cells = cells
        self.on_refused = on_refused
        self.added = 0
        self.generated = 0
        self._writer = administration.installation.user_writer
        self._users = users
        self._dry_run = dry_run
        self._lines: BoundedCache[str, int] = BoundedCache(REMEMBERED)
        self._refused: list[RefusedLine] = []  # of the batch

    def candidates(self, rows: Iterable[tuple[int, Mapping[str, str]]]) -> Iterator[_Candidate]:
        """Yield the lines that can be added, as far as they themselves tell; the others are refused."""
        for line, values in rows:
            name = values["name"]
            try:
                candidate = self._candidate(line, values)
            except AdminError as error:
                self._refused.append(RefusedLine(line, name, str(error)))
                continue
            before = self._lines.get(name)
            if before is not None:
                self._refused.append(RefusedLine(line, name, f"line {before} has the same name"))
                continue
            yield candidate

    def _candidate(self, line: int, values: Mapping[str, str]) -> _Candidate:
        check_active(values.get("status", ""))
        new = NewUser(
            name=values["name"],
            sex=sex_of(values.get("sex", "")),
            **{field: values.get(field, "") for field in _TEXT_FIELDS},  # type: ignore[arg-type]
        )
        new = dataclasses.replace(new, nick=new.nick or new.name, domain=new.domain or new.name)
        checked = dataclasses.asdict(new)
        del checked["department_id"]
        check_values(checked, self._writer.columns)
        password = values.get("password") or None
        if password is not None:
            check_password(password)
        return _Candidate(line, dataclasses.replace(new, department_id=self.cells.find(values.get("department", ""))), password)

    def add(self, candidates: Iterable[_Candidate], passwords: PasswordFile | None) -> None:
        """Add a batch, up to ``MAX_USERS``; who cannot be added is refused. ``on_refused`` is called with these in their order."""
        batch = []
        for candidate in candidates:
            if candidate.password is None and passwords is None and not self._dry_run:
                reason = "there is no password, and no file to which one that is generated could be written (--passwords-to)"
                self._refused.append(RefusedLine(candidate.line, candidate.new.name, reason))
            else:
                batch.append(candidate)
        generated = {candidate.new.name: generated_password() for candidate in batch if candidate.password is None}
        records = [Users.record(candidate.new, candidate.password or generated[candidate.new.name]) for candidate in batch]
        conflicts = self._conflicts(records) if self._dry_run else self._added(records, generated, passwords)
        for candidate, conflict in zip(batch, conflicts, strict=True):
            if conflict is None:
                self.added += 1
                self.generated += candidate.password is None
                self._lines.put(candidate.new.name, candidate.line)
            elif conflict.reason is Reason.SAME_NAME:
                reason = f"line {batch[conflict.other].line} has the same name"
                self._refused.append(RefusedLine(candidate.line, candidate.new.name, reason))
            else:
                self._refused.append(RefusedLine(candidate.line, candidate.new.name, str(refusal(conflict, candidate.new.name))))
        for refused in sorted(self._refused, key=lambda refused: refused.line):
            self.on_refused(refused)
        self._refused.clear()

    def _conflicts(self, records: Sequence[UserRecord]) -> list[Conflict | None]:
        """Those of a dry run, for which departments that would be added do not exist yet."""
        found = self._writer.conflicts(records)
        return [None if conflict == Conflict(Reason.NO_DEPARTMENT, UNMADE) else conflict for conflict in found]

    def _added(self, records: Sequence[UserRecord], generated: Mapping[str, str], passwords: PasswordFile | None) -> list[Conflict | None]:
        def write_passwords(added: Sequence[UserRecord]) -> None:
            if passwords is not None:
                passwords.write((record.name, generated[record.name]) for record in added if record.name in generated)

        conflicts = self._writer.add_many(records, write_passwords)
        if passwords is not None:
            passwords.keep()
        return conflicts


def _values(fields: Sequence[str | None], cells: Sequence[str]) -> dict[str, str]:
    """Field → text; a row may have fewer cells than there are columns."""
    values = {field: text for field, text in zip(fields, cells, strict=False) if field is not None}
    values = {field: text if field == "password" else without_guard(text) for field, text in values.items()}
    values.setdefault("name", "")
    return values
