"""User: people, their sign infos and push shields (IMUser). Any thread."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dbproxy.errors import StoreError
from dbproxy.models import names
from dbproxy.stores.cache import CachePool
from dbproxy.stores.db_conn import Row
from dbproxy.stores.mysql import DBPool

logger = logging.getLogger(__name__)

LEFT_COMPANY = 3
"""IMUser.status of somebody who is gone: not among all users, but among the changed ones."""

MAX_SIGN_INFO = 128
"""Bytes of a sign info."""

IDS_PER_QUERY = 1000

_COLUMNS = "id,sex,nick,avatar,departId,email,name,phone,domain,status,sign_info"


class User(NamedTuple):
    """A row of IMUser, without what nobody outside may see; texts are the bytes that the database has."""

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


def _user(row: Row) -> User:
    user_id, sex, nick, avatar, depart_id, email, name, phone, domain, status, sign_info = row[:11]
    return User(int(user_id), int(sex), nick, avatar or b"", int(depart_id), email, name, phone, domain, int(status or 0), sign_info)


class UserModel:
    """IMUser and ``total_user_update``."""

    def __init__(self, master: DBPool, slave: DBPool, unread: CachePool) -> None:
        self._master = master
        self._slave = slave
        self._unread = unread

    def infos(self, user_ids: Iterable[int]) -> dict[int, User]:
        """The users that exist among the given ones, in primary-key order."""
        asked = sorted(set(user_ids))
        users: dict[int, User] = {}
        for start in range(0, len(asked), IDS_PER_QUERY):
            among = ",".join(map(str, asked[start : start + IDS_PER_QUERY]))
            for row in self._slave.select(f"select {_COLUMNS} from IMUser where id in ({among}) order by id"):
                users[int(row[0])] = _user(row)
        return users

    def changed_since(self, since: int) -> tuple[list[User], int]:
        """The users changed at or after ``since`` (unix seconds), for 0 all but those who left, in primary-key order; and the largest
        change time among them, or ``since`` when there are none.
        """
        which = f"updated>={since}" if since else f"status<>{LEFT_COMPANY}"
        rows = self._slave.select(f"select {_COLUMNS},updated from IMUser where {which} order by id")
        return [_user(row) for row in rows], max((int(row[11]) for row in rows), default=since)

    def authenticate(self, credentials: Sequence[tuple[str | bytes, str | bytes]]) -> list[User | None]:
        """For each (name, md5 of the password in hex): the user if it is right. Only users with status 0 may log in."""
        wanted = list(dict.fromkeys(name for name, _ in credentials if isinstance(name, str)))
        rows: Sequence[Row] = ()
        if wanted:  # a name that is not UTF-8 is nobody's, and the database would refuse to compare it
            rows = self._slave.select(
                f"select {_COLUMNS},password,salt from IMUser where name in ({','.join(['%s'] * len(wanted))}) and status=0 order by id",
                wanted,
            )
        by_name = {row[6]: row for row in rows}
        users: list[User | None] = []
        for name, password in credentials:
            row = by_name.get(_bytes(name))
            if row is None and rows and isinstance(name, str):
                row = self._by_collation(name)
            users.append(_user(row) if row is not None and _matches(row[11], row[12], _bytes(password)) else None)
        return users

    def _by_collation(self, name: str) -> Row | None:
        """The row that the database finds for a name though the bytes differ (letter case, trailing blanks: the column's collation)."""
        rows = self._slave.select(
            f"select {_COLUMNS},password,salt from IMUser where name=%s and status=0 order by id desc limit 1", (name,)
        )
        return rows[0] if rows else None

    def change_sign_info(self, user_id: int, sign_info: str | bytes) -> bool:
        """Set the sign info; False when it is longer than 128 bytes or no row changed."""
        if len(_bytes(sign_info)) > MAX_SIGN_INFO:
            return False
        now = int(time.time())
        with self._master.connection() as connection:
            changed = connection.execute("update IMUser set sign_info=%s,updated=%s where id=%s", (sign_info, now, user_id))
        if changed:
            self._note_change(now)
        return changed > 0

    def _note_change(self, now: int) -> None:
        """Tell C++ daemons on the same Redis, which remember it; ours look into the table, and that is where the change is."""
        try:
            self._unread.run([("SET", names.TOTAL_USER_UPDATE_KEY, now)])
        except StoreError as error:
            logger.error("a user has changed, but %s could not be set: %s", names.TOTAL_USER_UPDATE_KEY, error)

    def set_push_shield(self, user_id: int, status: int) -> bool:
        """Set the push shield; False when no row changed."""
        with self._master.connection() as connection:
            return connection.execute(f"update IMUser set push_shield_status={status},updated={int(time.time())} where id={user_id}") > 0

    def push_shields(self, user_ids: Iterable[int]) -> dict[int, int]:
        """The push shield of those of the users that exist."""
        among = ",".join(map(str, set(user_ids)))
        if not among:
            return {}
        rows = self._slave.select(f"select id,push_shield_status from IMUser where id in ({among})")
        return {int(user_id): int(status) for user_id, status in rows}


def _bytes(text: str | bytes) -> bytes:
    """Protobuf gives a string that is not UTF-8 as bytes."""
    return text if isinstance(text, bytes) else text.encode()


def _matches(stored: bytes, salt: bytes, password: bytes) -> bool:
    """Whether md5(password + salt) is what is stored; takes the same time whatever the difference. The scheme is TeamTalk's."""
    digest = hashlib.md5(password + salt, usedforsecurity=False).hexdigest()
    return hmac.compare_digest(digest.encode(), stored)
