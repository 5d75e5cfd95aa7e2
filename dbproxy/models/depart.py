"""Depart: departments (IMDepart). Any thread."""

from __future__ import annotations

from dataclasses import dataclass

from dbproxy.stores.mysql import DBPool


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
        time among them, or ``since`` when there are none.
        """
        rows = self._slave.select(
            f"select id,priority,departName,parentId,status,updated from IMDepart where updated>{since} and status in (0,1) order by id"
        )
        departs = [Depart(int(row[0]), int(row[1]), row[2], int(row[3]), int(row[4])) for row in rows]
        return departs, max((int(row[5]) for row in rows), default=since)
