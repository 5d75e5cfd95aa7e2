"""Users: found, added, changed, given new passwords, disabled and enabled, exported. Any thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from dbproxy.admin.access.passwords import check_password, generated_password, stored_secret
from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.page import LARGEST_PAGE, Page, cut
from dbproxy.admin.people.department_paths import DepartmentPaths
from dbproxy.admin.people.user_checks import FIELDS, MALE, NewUser, check_values, refusal
from dbproxy.admin.texts import check_characters, shown
from dbproxy.errors import StoreError, StoreUnavailableError
from dbproxy.models.user import LEFT_COMPANY
from dbproxy.models.user_directory import ACTIVE_USERS, DISABLED_USERS, OTHER_USERS, StoredUser
from dbproxy.models.user_writer import ACTIVE, Conflict, UserRecord

__all__ = ["ACTIVE_STATUS", "DISABLED_STATUS", "EXPORTED", "NewUser", "SavedUser", "UserDetails", "UserRow", "Users"]

ACTIVE_STATUS, DISABLED_STATUS, OTHER_STATUS = "active", "disabled", "other"

_CONDITIONS = {ACTIVE_STATUS: ACTIVE_USERS, DISABLED_STATUS: DISABLED_USERS, OTHER_STATUS: OTHER_USERS}

SESSION_NOTE = "a session that is open in a msg_server goes on until the client connects again; the protocol has no message to end it"
"""What ``disable`` cannot do."""

EXPORTED = ("id", "name", "nick", "sex", "department", "email", "phone", "domain", "avatar", "sign_info", "status", "created", "updated")
"""The columns of an export."""


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user in a list. ``department`` is empty if it does not exist; ``updated``: unix seconds of the last change."""

    user_id: int
    name: str
    nick: str
    department_id: int
    department: str
    email: str
    phone: str
    status: str
    updated: int


@dataclass(frozen=True, slots=True)
class UserDetails(UserRow):
    """All that is known of a user. ``sex``: 1 male, else female; ``created``: unix seconds; ``push_shield``: no pushes at night;
    ``groups``: how many they are in.
    """

    sex: int
    avatar: str
    domain: str
    sign_info: str
    created: int
    push_shield: bool
    groups: int


@dataclass(frozen=True, slots=True)
class SavedUser:
    """A user with a new password. ``user_id`` is 0 for one that a dry run would add; ``password`` is the generated one, to be shown once,
    None if it was given.
    """

    user_id: int
    name: str
    password: str | None


class Users:
    """What may be done with users. Every change sets ``updated`` and is published, so that clients hear of it the next time they ask."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        installation = administration.installation
        self._directory = installation.user_directory
        self._writer = installation.user_writer
        self._departments = installation.depart_writer
        self._devices = installation.devices

    def find(
        self, text: str = "", department_id: int | None = None, status: str | None = None, after: int | None = None, limit: int = 50
    ) -> Page[UserRow]:
        """Users by id. ``text`` is in the name, nick, email or phone (letter case does not matter), or is the id; ``status`` is
        ``active``, ``disabled`` or ``other``.

        Raises:
            RefusedError: there is no such status, or the limit is too large.

        """
        if status is not None and status not in _CONDITIONS:
            raise RefusedError(f"the status is {shown(status)}; accepted are {', '.join(_CONDITIONS)}")
        check_characters("text", text)
        if not 0 < limit <= LARGEST_PAGE:
            raise RefusedError(f"the limit is {limit}; accepted are 1 to {LARGEST_PAGE}")
        conditions = [] if status is None else [_CONDITIONS[status]]
        if department_id is not None:
            conditions.append(f"departId={int(department_id)}")
        found = self._directory.find(conditions, text, after or 0, limit + 1)
        departments = self._departments.names(user.department_id for user in found)
        rows = [UserRow(*_row_values(user, departments.get(user.department_id, ""))) for user in found]
        return cut(rows, limit, rows[limit - 1].user_id if len(rows) > limit else None)

    def get(self, user: int | str) -> UserDetails:
        """Return the user with an id, or with a login name.

        Raises:
            NotFoundError: there is none.

        """
        return self._details(self._stored(user))

    def add(self, new: NewUser, password: str | None = None, *, dry_run: bool = False) -> SavedUser:
        """Add a user, with a generated password if none is given.

        Raises:
            RefusedError: a value is not accepted, or the name is taken.
            NotFoundError: the department does not exist.

        """
        with self._administration.recorded("users.add", new.name, dry_run=dry_run, department_id=new.department_id) as details:
            if password is not None:
                check_password(password)
            new = self.completed(new)
            check_values(dataclasses.asdict(new), self._writer.columns)
            secret = password or generated_password()
            record = self.record(new, secret)
            result = self._writer.conflicts([record])[0] or 0 if dry_run else self._writer.add(record)
            if isinstance(result, Conflict):
                raise refusal(result, new.name)
            details["user_id"] = result
        return SavedUser(result, new.name, secret if password is None and not dry_run else None)

    def edit(self, user_id: int, changes: Mapping[str, str | int], *, dry_run: bool = False) -> UserDetails:
        """Set fields of ``NewUser``; those that have the value already are left alone.

        Raises:
            RefusedError: a value is not accepted, or the name is taken.
            NotFoundError: the user or the department does not exist.

        """
        with self._administration.recorded("users.edit", str(user_id), dry_run=dry_run) as details:
            check_values(changes, self._writer.columns)
            stored = self._stored(user_id)
            changed = {field: value for field, value in changes.items() if value != getattr(stored, field)}
            details["name"] = stored.name
            details["changes"] = [f"{field}: {getattr(stored, field)} → {value}" for field, value in changed.items()]
            if not changed:
                return self._details(stored)
            change = self._writer.conflict_of_change if dry_run else self._writer.change
            conflict = change(user_id, {FIELDS[field]: value for field, value in changed.items()})
            if conflict is not None:
                raise refusal(conflict, str(changed.get("name", "")))
            if dry_run:
                return self._details(dataclasses.replace(stored, **changed))  # type: ignore[arg-type]
        return self.get(user_id)

    def set_password(self, user_id: int, password: str | None = None, *, dry_run: bool = False) -> SavedUser:
        """Give a user a new password, a generated one if none is given. Who is logged in stays so.

        Raises:
            RefusedError: it is not accepted.
            NotFoundError: the user does not exist.

        """
        with self._administration.recorded("users.passwd", str(user_id), dry_run=dry_run) as details:
            if password is not None:
                check_password(password)
            stored = self._stored(user_id)
            details["name"] = stored.name
            if dry_run:
                return SavedUser(user_id, stored.name, None)
            secret = password or generated_password()
            conflict = self._writer.change(user_id, stored_secret(secret)._asdict())
            if conflict is not None:
                raise refusal(conflict, stored.name)
        return SavedUser(user_id, stored.name, secret if password is None else None)

    def disable(self, user_id: int, *, dry_run: bool = False) -> UserDetails:
        """Let a user log in no more, take them from the lists of clients, and forget the token of their phone, so that it gets no pushes.
        May be repeated. ``SESSION_NOTE`` says what it does not end.

        Raises:
            NotFoundError: the user does not exist.
            StoreError: a backend failed; the text says whether the user is disabled.

        """
        return self._set_status(user_id, LEFT_COMPANY, "users.disable", dry_run=dry_run)

    def enable(self, user_id: int, *, dry_run: bool = False) -> UserDetails:
        """Let a user log in. May be repeated.

        Raises:
            NotFoundError: the user does not exist.

        """
        return self._set_status(user_id, ACTIVE, "users.enable", dry_run=dry_run)

    def export(self, write: Callable[[Sequence[str]], None]) -> int:
        """Call ``write`` with the names of the columns, then with the texts of each user, by id; return the number of users. A department
        is its path, or its id if it has none that is unique.
        """
        with self._administration.recorded("users.export", "all") as details:
            paths = DepartmentPaths(self._departments.all())
            write(EXPORTED)
            count = 0
            for users in self._directory.all():
                for user in users:
                    write(_exported(user, paths))
                count += len(users)
            details["users"] = count
        return count

    def completed(self, new: NewUser) -> NewUser:
        """Return what ``new`` becomes with its defaults.

        Raises:
            RefusedError: no department is given, and there is not exactly one.

        """
        department_id = new.department_id or self.default_department()
        return dataclasses.replace(new, nick=new.nick or new.name, domain=new.domain or new.name, department_id=department_id)

    def default_department(self) -> int:
        """Return the only department. Every user needs one: a client for Android ends when it shows a user without.

        Raises:
            RefusedError: there is none, or more than one.

        """
        departments = self._departments.all()
        if not departments:
            raise RefusedError("there is no department yet, and every user needs one; add one first (dbproxy-admin departments add NAME)")
        if len(departments) > 1:
            raise RefusedError(f"no department is given; there are {len(departments)} (dbproxy-admin departments tree)")
        return next(iter(departments))

    @staticmethod
    def record(new: NewUser, password: str) -> UserRecord:
        """Return the row of a user that was checked."""
        secret = stored_secret(password)
        return UserRecord(
            new.sex, new.name, new.domain, new.nick, *secret, new.phone, new.email, new.avatar, new.department_id, new.sign_info
        )

    def _set_status(self, user_id: int, status: int, action: str, *, dry_run: bool) -> UserDetails:
        with self._administration.recorded(action, str(user_id), dry_run=dry_run) as details:
            stored = self._stored(user_id)
            details["name"] = stored.name
            if dry_run:
                return self._details(dataclasses.replace(stored, status=status))
            if stored.status != status:
                conflict = self._writer.change(user_id, {"status": status})
                if conflict is not None:
                    raise refusal(conflict, stored.name)
            if status == LEFT_COMPANY:
                self._forget_phone(stored)
        return self.get(user_id)

    def _forget_phone(self, user: StoredUser) -> None:
        try:
            self._devices.forget(user.user_id)
        except StoreError as error:
            raise StoreUnavailableError(
                f"{shown(user.name)} is disabled and cannot log in, but the phone still gets pushes: its token could not be removed; "
                f"disable the user again when Redis works: {error}"
            ) from error

    def _stored(self, user: int | str) -> StoredUser:
        if isinstance(user, str):
            check_characters("name", user)
        found = self._directory.get(user) if isinstance(user, int) else self._directory.get_by_name(user)
        if found is None:
            what = f"the id {user}" if isinstance(user, int) else f"the name {shown(user)}"
            raise NotFoundError(f"there is no user with {what}")
        return found

    def _details(self, user: StoredUser) -> UserDetails:
        department = self._departments.names((user.department_id,)).get(user.department_id, "")
        return UserDetails(
            *_row_values(user, department),
            sex=user.sex,
            avatar=user.avatar,
            domain=user.domain,
            sign_info=user.sign_info,
            created=user.created,
            push_shield=user.push_shield == 1,
            groups=self._directory.group_count(user.user_id),
        )


_RowValues = tuple[int, str, str, int, str, str, str, str, int]


def _row_values(user: StoredUser, department: str) -> _RowValues:
    """What ``UserRow`` has."""
    return (
        *(user.user_id, user.name, user.nick),
        *(user.department_id, department),
        *(user.email, user.phone, status_text(user.status), user.updated),
    )


def status_text(status: int) -> str:
    """Return how the status of a user is called."""
    return {ACTIVE: ACTIVE_STATUS, LEFT_COMPANY: DISABLED_STATUS}.get(status, OTHER_STATUS)


def _exported(user: StoredUser, paths: DepartmentPaths) -> list[str]:
    return [
        str(user.user_id),
        user.name,
        user.nick,
        "male" if user.sex == MALE else "female",
        paths.path_of(user.department_id) or str(user.department_id),
        user.email,
        user.phone,
        user.domain,
        user.avatar,
        user.sign_info,
        status_text(user.status),
        *(datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") for seconds in (user.created, user.updated)),
    ]
