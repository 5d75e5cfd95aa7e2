"""UserLookup: who users are that somebody names by id or login name. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from dbproxy.stores.mysql import DBPool

TEXTS_PER_QUERY = 1000


class KnownUser(NamedTuple):
    """A user; the name is the bytes that the database has. ``status`` 0: they may log in."""

    user_id: int
    name: bytes
    status: int


class UserLookup:
    """Reads IMUser, from the master: a user that was just added is found, one that was just disabled is seen to be."""

    def __init__(self, master: DBPool) -> None:
        self._master = master

    def by_id(self, user_ids: Iterable[int]) -> dict[int, KnownUser]:
        """Those of the users that exist."""
        found: dict[int, KnownUser] = {}
        asked = iter(user_ids)
        while some := list(islice(asked, TEXTS_PER_QUERY)):
            for user in self._select(f"id in ({','.join(map(str, some))})"):
                found[user.user_id] = user
        return found

    def by_name(self, login_names: Iterable[str]) -> dict[str, list[KnownUser]]:
        """Login name → the users who have it, by id: nothing in the tables prevents several. A name that nobody has in this spelling finds
        those whose names are equal to it in the collation of the column.
        """
        found: dict[str, list[KnownUser]] = {}
        asked = iter(login_names)
        while some := list(islice(asked, TEXTS_PER_QUERY)):
            spellings = {name.encode(): name for name in some}
            others = False
            for user in self._select(f"name in ({','.join(['%s'] * len(some))})", some):
                if user.name in spellings:
                    found.setdefault(spellings[user.name], []).append(user)
                else:
                    others = True
            for name in [name for name in some if others and name not in found]:
                if users := self._select("name=%s", (name,)):
                    found[name] = users
        return found

    def _select(self, which: str, arguments: Sequence[str] = ()) -> list[KnownUser]:
        rows = self._master.select(f"select id,name,ifnull(status,0) from IMUser where {which} order by id", arguments)
        return [KnownUser(int(user_id), name, int(status)) for user_id, name, status in rows]
