"""File: files sent to users who were offline (IMTransmitFile). Any thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dbproxy.stores.mysql import DBPool, ReadPool

MAX_FILES = 10_000
"""Files in one list, at most; later ones are listed when the oldest have been deleted."""


@dataclass(frozen=True, slots=True)
class OfflineFile:
    """An offline file; the texts are the bytes that the database has. ``size`` in bytes."""

    from_id: int
    task_id: bytes
    name: bytes
    size: int


class FileModel:
    """IMTransmitFile."""

    def __init__(self, master: DBPool, slave: ReadPool) -> None:
        self._master = master
        self._slave = slave

    def for_user(self, user_id: int) -> list[OfflineFile]:
        """The offline files of a user, oldest first, at most ``MAX_FILES``."""
        rows = self._slave.select(
            f"select fromId,taskId,fileName,size from IMTransmitFile where toId={user_id} and status=0 "
            f"order by created,id limit {MAX_FILES}"
        )
        return [OfflineFile(int(from_id), task_id, name, int(size)) for from_id, task_id, name, size in rows]

    def add(self, from_id: int, to_id: int, task_id: str | bytes, name: str | bytes, size: int) -> None:
        """Add an offline file."""
        now = int(time.time())
        with self._master.connection() as connection:
            connection.execute(
                "insert into IMTransmitFile (fromId,toId,fileName,size,taskId,status,created,updated) values (%s,%s,%s,%s,%s,0,%s,%s)",
                (from_id, to_id, name, size, task_id, now, now),
            )

    def delete(self, from_id: int, to_id: int, task_id: str | bytes) -> None:
        """Delete an offline file; it need not exist."""
        with self._master.connection() as connection:
            connection.execute("delete from IMTransmitFile where fromId=%s and toId=%s and taskId=%s limit 1", (from_id, to_id, task_id))
