"""Depart: departments (IMDepart). Any thread."""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy.stores.mysql import DBPool

_SHOWN = (b"0", b"1")
"""IMDepart.status, as the database writes it: there, or removed."""


@dataclass(frozen=True, slots=True)
class Depart:
    """A department; the name is the bytes that the database has."""

    depart_id: int
    priority: int
    name: bytes
    parent_id: int
    status: int


class DepartModel:
    """IMDepart."""

    def __init__(self, slave: DBPool) -> None:
        self._slave = slave

    def changed_since(self, since: int) -> tuple[list[Depart], int]:
        """The departments changed after ``since`` (unix seconds), those removed among them, in primary-key order; and the largest change
        time of all rows changed since then, or ``since`` when there are none.

        Only departments with status 0 or 1 are listed; rows with any other status count for the time all the same, as in the original.
        """
        rows = self._slave.select(f"select id,priority,departName,parentId,status,updated from IMDepart where updated>{since} order by id")
        departs = [Depart(int(row[0]), int(row[1]), row[2], int(row[3]), int(row[4])) for row in rows if row[4] in _SHOWN]
        return departs, max((int(row[5]) for row in rows), default=since)
