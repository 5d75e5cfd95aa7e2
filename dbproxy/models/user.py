"""User: users, their sign infos and push shields (IMUser). Any thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.models.login_password import is_right
from dbproxy.models.packing import TEXT_SEPARATOR, packed_texts
from dbproxy.stores.mysql import DBPool, ReadPool, Row
from dbproxy.stores.redis import CachePool

logger = logging.getLogger(__name__)

LEFT_COMPANY = 3
"""IMUser.status of a user who has left the company: not among all users, but among the changed ones."""

MAX_SIGN_INFO = 128
"""Longest sign info, in bytes."""

IDS_PER_QUERY = 1000

_COLUMNS = ("id", "sex", "nick", "ifnull(avatar,'')", "departId", "email", "name", "phone", "domain", "ifnull(status,0)", "sign_info")
"""What ``User`` has, in its order."""

_SECRETS = ",password,salt"


class User(NamedTuple):
    """A row of IMUser without its secrets; texts are the bytes that the database has."""

    user_id: int
    sex: int
    nick: bytes
    avatar: bytes
    depart_id: int
    email: bytes
    name: bytes
    phone: bytes
    domain: bytes
    status: int
    sign_info: bytes


def _user(fields: Sequence[bytes]) -> User:
    user_id, sex, nick, avatar, depart_id, email, name, phone, domain, status, sign_info = fields
    return tuple.__new__(User, (int(user_id), int(sex), nick, avatar, int(depart_id), email, name, phone, domain, int(status), sign_info))


class Login(NamedTuple):
    """The user with the name of a login, None if there is none, and whether the password was theirs."""

    user: User | None
    right: bool


_NO_USER: tuple[None, Row] = (None, ())

_TRUE = ord("1")
"""A comparison that is true, in the result of ``concat``."""


class UserModel:
    """IMUser and ``total_user_update``."""

    def __init__(self, master: DBPool, slave: ReadPool, unread: CachePool) -> None:
        self._master = master
        self._slave = slave
        self._unread = unread

    def get_many(self, user_ids: Iterable[int]) -> dict[int, User]:
        """The users that exist among the given ones. They are looked up in steps; to sort or compare all ids at once would let no other
        thread run meanwhile.
        """
        users: dict[int, User] = {}
        asked = iter(user_ids)
        while some := set(islice(asked, IDS_PER_QUERY)):
            for user, _ in self._select(f"id in ({','.join(map(str, sorted(some)))}) order by id"):
                users[user.user_id] = user
        return users

    def changed_since(self, since: int) -> tuple[list[User], int]:
        """The users changed at or after ``since`` (unix seconds), for 0 all but those who left, in primary-key order; and the largest
        change time among them, or ``since`` when there are none.
        """
        which = f"updated>={since}" if since else f"status<>{LEFT_COMPANY}"
        found = self._select(f"{which} order by id", more=",updated")
        return [user for user, _ in found], max((int(updated) for _, (updated,) in found), default=since)

    def authenticate(self, credentials: Sequence[tuple[str | bytes, str | bytes]]) -> list[Login]:
        """For each (name, md5 of the password in hex): the user whom the name finds, and whether the password is right.

        The master is asked, so that nobody gets in with a password that has been changed.

        Only users with status 0 are found. A name in another spelling finds the user whose name is equal to it in the collation of the
        column (trailing blanks, letter case); all such names together take a second query.
        """
        wanted = list(dict.fromkeys(name for name, _ in credentials if isinstance(name, str)))
        found: list[tuple[User, Row]] = []
        if wanted:  # no user has a name that is not UTF-8, and the database would refuse to compare it
            among = ",".join(["%s"] * len(wanted))
            found = self._select(f"name in ({among}) and status=0 order by id", wanted, _SECRETS, self._master)
        by_name = {user.name: (user, secrets) for user, secrets in found}
        others = [name for name in wanted if name.encode() not in by_name]
        if found and others:
            by_name |= self._by_collation(others, found)
        logins = []
        for name, password in credentials:
            user, secrets = by_name.get(_bytes(name), _NO_USER)
            logins.append(Login(user, user is not None and _matches(secrets, _bytes(password))))
        return logins

    def _by_collation(self, spellings: Sequence[str], found: Sequence[tuple[User, Row]]) -> dict[bytes, tuple[User, Row]]:
        """Spelling → the user among those found whose name it equals in the collation; of several the one with the largest id."""
        matches = ",".join(["name=%s"] * len(spellings))
        among = ",".join(str(user.user_id) for user, _ in found)
        rows = self._master.select(f"select id,concat({matches}) from IMUser where id in ({among}) order by id", spellings)
        by_id = {user.user_id: (user, secrets) for user, secrets in found}
        return {
            spelling.encode(): by_id[int(user_id)]
            for user_id, flags in rows
            for spelling, flag in zip(spellings, flags, strict=True)
            if flag == _TRUE
        }

    def _select(self, which: str, arguments: Sequence[str] = (), more: str = "", database: DBPool | None = None) -> list[tuple[User, Row]]:
        """Select users, and with each the additional columns ``more``; from ``database``, without it where reads go."""
        pool = database or self._slave
        found: list[tuple[User, Row]] = []
        for text, *others in pool.select(f"select {packed_texts(*_COLUMNS)}{more} from IMUser where {which}", arguments):
            fields = text.split(TEXT_SEPARATOR)
            if len(fields) != len(User._fields):  # a text contains the separator
                rows = pool.select(f"select {','.join(_COLUMNS)}{more} from IMUser where {which}", arguments)
                return [(_user(row[: len(User._fields)]), row[len(User._fields) :]) for row in rows]
            found.append((_user(fields), tuple(others)))
        return found

    def change_sign_info(self, user_id: int, sign_info: str | bytes) -> bool:
        """Set the sign info; False when it is longer than 128 bytes or no row changed."""
        if len(_bytes(sign_info)) > MAX_SIGN_INFO:
            return False
        now = int(time.time())
        with self._master.connection() as connection:
            changed = connection.execute("update IMUser set sign_info=%s,updated=%s where id=%s", (sign_info, now, user_id))
        if changed:
            publish_user_change(self._unread, now)
        return changed > 0

    def set_push_shield(self, user_id: int, status: int) -> bool:
        """Set the push shield; False when no row changed."""
        with self._master.connection() as connection:
            return connection.execute(f"update IMUser set push_shield_status={status},updated={int(time.time())} where id={user_id}") > 0

    def push_shields(self, user_ids: Iterable[int]) -> dict[int, int]:
        """The push shield of those of the users that exist, from the master: pushes depend on it."""
        among = ",".join(map(str, set(user_ids)))
        if not among:
            return {}
        rows = self._master.select(f"select id,push_shield_status from IMUser where id in ({among})")
        return {int(user_id): int(status) for user_id, status in rows}


def publish_user_change(unread: CachePool, now: int) -> None:
    """Set the time that C++ daemons on the same Redis compare with that of their cached lists; ours read the table. Any thread."""
    try:
        unread.execute([("SET", names.TOTAL_USER_UPDATE_KEY, now)])
    except StoreError as error:
        logger.error("a user has changed, but %s could not be set: %s", names.TOTAL_USER_UPDATE_KEY, error)


def _bytes(text: str | bytes) -> bytes:
    """The bytes of a protobuf string; protobuf returns bytes for one that is not UTF-8."""
    return text if isinstance(text, bytes) else text.encode()


def _matches(secrets: Row, password: bytes) -> bool:
    """Whether ``password``, as a client sends it, is that of the row."""
    stored, salt = secrets
    return is_right(stored, salt, password)
