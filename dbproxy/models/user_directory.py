"""UserDirectory: finds users, and reads all of them page by page (IMUser). Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dbproxy.models.user import LEFT_COMPANY
from dbproxy.models.user_writer import ACTIVE
from dbproxy.stores.mysql import DBPool, ReadPool, Row

ROWS_PER_QUERY = 1000
"""Users that one query returns, at most."""

ACTIVE_USERS = f"ifnull(status,0)={ACTIVE}"
DISABLED_USERS = f"ifnull(status,0)={LEFT_COMPANY}"
OTHER_USERS = f"ifnull(status,0) not in ({ACTIVE},{LEFT_COMPANY})"
"""Conditions on the status."""

_SEARCHED = ("name", "nick", "email", "phone")

_SEARCH_COLLATION = "utf8mb4_unicode_520_ci"
"""Letter case does not matter for it, and characters above U+FFFF are different from each other."""

_COLUMNS = (
    *("id", "sex", "name", "domain", "nick", "phone", "email", "ifnull(avatar,'')"),
    *("departId", "ifnull(status,0)", "sign_info", "push_shield_status", "created", "updated"),
)


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A row of IMUser without its secrets, with texts that can be shown."""

    user_id: int
    sex: int
    name: str
    domain: str
    nick: str
    phone: str
    email: str
    avatar: str
    department_id: int
    status: int
    sign_info: str
    push_shield: int
    created: int
    updated: int


class UserDirectory:
    """IMUser, read for people who administer it."""

    def __init__(self, master: DBPool, slave: ReadPool) -> None:
        self._master = master
        self._slave = slave

    def get(self, user_id: int) -> StoredUser | None:
        """The user with an id, from the master."""
        return next(iter(_users(self._master.select(f"select {','.join(_COLUMNS)} from IMUser where id={user_id}"))), None)

    def get_by_name(self, name: str) -> StoredUser | None:
        """The user whom a login with this name finds, or else one with the name who may not log in; from the master."""
        rows = self._master.select(
            f"select {','.join(_COLUMNS)} from IMUser where name=%s order by ifnull(status,0)<>{ACTIVE},id desc limit 1", (name,)
        )
        return next(iter(_users(rows)), None)

    def find(self, conditions: Sequence[str], text: str, after: int, limit: int) -> list[StoredUser]:
        """Up to ``limit`` users that meet all conditions, with ids above ``after``, by id. ``text``, if it is not empty, is in the name,
        the nick, the email or the phone, or is the id.
        """
        which = [f"id>{after}", *conditions]
        arguments: list[str] = []
        if text:
            matches = [f"convert({column} using utf8mb4) collate {_SEARCH_COLLATION} like %s" for column in _SEARCHED]
            arguments += [f"%{_escaped(text)}%"] * len(_SEARCHED)
            if text.isascii() and text.isdigit():
                matches.append("id=%s")
                arguments.append(text)
            which.append(f"({' or '.join(matches)})")
        return _users(
            self._slave.select(f"select {','.join(_COLUMNS)} from IMUser where {' and '.join(which)} order by id limit {limit}", arguments)
        )

    def all(self) -> Iterator[list[StoredUser]]:
        """Yield all users by id, ``ROWS_PER_QUERY`` at a time."""
        after = 0
        while users := self.find((), "", after, ROWS_PER_QUERY):
            yield users
            after = users[-1].user_id

    def ids_in_department(self, department_id: int, after: int, limit: int) -> list[int]:
        """Ids above ``after`` of users in a department, whatever their status, from the master."""
        rows = self._master.select(f"select id from IMUser where departId={department_id} and id>{after} order by id limit {limit}")
        return [int(user_id) for (user_id,) in rows]

    def group_count(self, user_id: int) -> int:
        """How many groups a user is in."""
        return int(self._slave.select(f"select count(distinct groupId) from IMGroupMember where userId={user_id} and status=0")[0][0])


_TEXTS = {2, 3, 4, 5, 6, 7, 10}
"""Places of the texts in a row."""


def _users(rows: Iterable[Row]) -> list[StoredUser]:
    found = []
    for row in rows:
        values: list[Any] = [value.decode("utf-8", "replace") if place in _TEXTS else int(value) for place, value in enumerate(row)]
        found.append(StoredUser(*values))
    return found


def _escaped(text: str) -> str:
    """The text in the form in which LIKE finds it as it is."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
