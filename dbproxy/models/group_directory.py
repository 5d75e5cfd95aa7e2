"""GroupDirectory: groups and their members as the administration lists them, in pages by id. Any thread.

Lists are read from the slave; what decides about a change is read from the master.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from dbproxy.models import names
from dbproxy.models.directory import TextColumn, text_columns
from dbproxy.models.group_transaction import ACTIVE
from dbproxy.stores.mysql import DBPool, ReadPool, Row
from dbproxy.stores.mysql.literals import id_list

IDS_PER_QUERY = 1000

SEARCH_COLLATION = "utf8mb4_unicode_520_ci"
"""Letter case does not matter for it, and characters above U+FFFF are different from each other."""

_COLUMNS = "g.id,g.name,g.avatar,g.creator,g.type,g.status,g.version,g.lastChated,g.created,ifnull(u.name,'')"

_FROM = "from IMGroup g left join IMUser u on u.id=g.creator"


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A row of IMGroup; texts are the bytes that the database has, times unix seconds. ``creator_name`` is empty when there is no such
    user. ``members`` are counted, because the original's ``userCnt`` is wrong.
    """

    group_id: int
    name: bytes
    avatar: bytes
    creator: int
    group_type: int
    status: int
    version: int
    last_chated: int
    created: int
    creator_name: bytes
    members: int

    @property
    def is_active(self) -> bool:
        """Whether it was not dismissed."""
        return self.status == ACTIVE


class MemberRecord(NamedTuple):
    """A member of a group; name and nick are empty when there is no such user. ``joined`` in unix seconds."""

    user_id: int
    name: bytes
    nick: bytes
    joined: int


class GroupDirectory:
    """Reads IMGroup, IMGroupMember, and the names of users."""

    def __init__(self, master: DBPool, slave: ReadPool) -> None:
        self._master = master
        self._slave = slave

    def find(self, text: str, active: bool | None, after: int, limit: int) -> list[GroupRecord]:
        """Up to ``limit`` groups with an id above ``after``, by id: those whose name contains ``text``, in small or capital letters, or
        whose id it is; only active ones, only dismissed ones, or (None) both.
        """
        conditions, arguments = [f"g.id>{after}"], []
        if text:
            pattern = "".join(f"!{character}" if character in "!%_" else character for character in text)
            also = f" or g.id={text}" if _is_id(text) else ""
            conditions.append(f"(convert(g.name using utf8mb4) collate {SEARCH_COLLATION} like %s escape '!'{also})")
            arguments.append(f"%{pattern}%")
        if active is not None:
            conditions.append(f"g.status{'=' if active else '<>'}{ACTIVE}")
        statement = f"select {_COLUMNS} {_FROM} where {' and '.join(conditions)} order by g.id limit {limit}"
        return self._records(self._slave, self._slave.select(statement, arguments))

    def get(self, group_id: int) -> GroupRecord | None:
        """A group, from the master; None when there is none with this id."""
        found = self._records(self._master, self._master.select(f"select {_COLUMNS} {_FROM} where g.id={group_id}"))
        return found[0] if found else None

    def members(self, group_id: int, after: int, limit: int) -> list[MemberRecord]:
        """Up to ``limit`` members with an id above ``after``, by id."""
        rows = self._slave.select(
            "select m.userId,ifnull(u.name,''),ifnull(u.nick,''),m.joined from (select userId,max(updated) as joined from IMGroupMember "
            f"where groupId={group_id} and status=0 and userId>{after} group by userId order by userId limit {limit}) m "
            "left join IMUser u on u.id=m.userId order by m.userId"
        )
        return [MemberRecord(int(user_id), name, nick, int(joined)) for user_id, name, nick, joined in rows]

    def member_ids(self, group_id: int) -> Iterator[int]:
        """All members, ascending, from the master, read in slices."""
        after = -1
        while rows := self._master.select(
            f"select distinct userId from IMGroupMember where groupId={group_id} and status=0 and userId>{after} "
            f"order by userId limit {IDS_PER_QUERY}"
        ):
            yield from (int(user_id) for (user_id,) in rows)
            after = int(rows[-1][0])

    def members_among(self, group_id: int, user_ids: Iterable[int]) -> set[int]:
        """Those of the users who are in the group, according to the master."""
        found: set[int] = set()
        for some in _portions(user_ids):
            rows = self._master.select(
                f"select distinct userId from IMGroupMember where groupId={group_id} and userId in ({id_list(some)}) and status=0"
            )
            found |= {int(user_id) for (user_id,) in rows}
        return found

    def last_msg_id(self, group_id: int) -> int:
        """The id of a group's last message, 0 when it has none; hidden ones count."""
        table = names.group_message_table(group_id)
        return int(self._slave.select(f"select ifnull(max(msgId),0) from {table} where groupId={group_id}")[0][0])

    def columns(self) -> dict[str, TextColumn]:
        """The text columns of IMGroup."""
        return text_columns(self._master, "IMGroup")

    @staticmethod
    def _records(database: DBPool | ReadPool, rows: Sequence[Row]) -> list[GroupRecord]:
        counts: Mapping[int, int] = {}
        if rows:
            counted = database.select(
                "select groupId,count(distinct userId) from IMGroupMember "
                f"where groupId in ({','.join(str(int(row[0])) for row in rows)}) and status=0 group by groupId"
            )
            counts = {int(group_id): int(count) for group_id, count in counted}
        return [
            GroupRecord(
                group_id=int(group_id),
                name=name,
                avatar=avatar,
                creator=int(creator),
                group_type=int(group_type),
                status=int(status),
                version=int(version),
                last_chated=int(last_chated),
                created=int(created),
                creator_name=creator_name,
                members=counts.get(int(group_id), 0),
            )
            for group_id, name, avatar, creator, group_type, status, version, last_chated, created, creator_name in rows
        ]


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _portions(ids: Iterable[int]) -> Iterator[list[int]]:
    asked = iter(ids)
    while some := list(islice(asked, IDS_PER_QUERY)):
        yield some
