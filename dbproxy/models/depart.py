"""Depart: departments (IMDepart). Any thread."""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy.stores.mysql import ReadPool

_LISTED = (b"0", b"1")
"""IMDepart.status of the departments that are listed, as the database sends it: existing or removed."""


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

    def __init__(self, slave: ReadPool) -> None:
        self._slave = slave

    def changed_since(self, since: int) -> tuple[list[Depart], int]:
        """The departments changed after ``since`` (unix seconds), including removed ones, in primary-key order; and the largest change
        time of all rows changed since then, or ``since`` when there are none.

        Departments with another status than 0 and 1 are not listed, but count for the time, as in the original.
        """
        rows = self._slave.select(f"select id,priority,departName,parentId,status,updated from IMDepart where updated>{since} order by id")
        departs = [Depart(int(row[0]), int(row[1]), row[2], int(row[3]), int(row[4])) for row in rows if row[4] in _LISTED]
        return departs, max((int(row[5]) for row in rows), default=since)
