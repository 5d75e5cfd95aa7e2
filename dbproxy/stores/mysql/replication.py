"""What a server says about its replication from others: whether it works, and how far it is behind. Any thread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# Places in a row of SHOW REPLICA STATUS. They have been the same since MySQL 5.1, in MariaDB too; only the names of the columns differ.
_SOURCE_HOST, _SOURCE_PORT, _IO_RUNNING, _SQL_RUNNING, _LAG, _IO_ERROR, _SQL_ERROR, _SOURCE_ID = 1, 3, 10, 11, 32, 34, 36, 39
_RUNNING = {"Yes", "No", "Connecting", "Preparing"}


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One source that a server replicates from."""

    source: str
    source_id: str
    """server_id of the source."""
    receives: str
    """Yes, No, Connecting."""
    applies: str
    lag: int | None
    """Seconds; None: unknown, because it does not replicate."""
    errors: tuple[str, str]
    """Numbers of the last errors of receiving and of applying; 0: none."""

    @property
    def works(self) -> bool:
        """Whether it receives and applies."""
        return self.receives == self.applies == "Yes"


def status_statement(version: str) -> str:
    """Return the statement that asks a server of this version (``version()``) for its sources. It needs the privilege REPLICATION CLIENT,
    of MariaDB SLAVE MONITOR.
    """
    if "MariaDB" in version:
        return "show all slaves status"
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return "show slave status" if found and tuple(map(int, found.groups())) < (8, 0, 22) else "show replica status"


def replica_status(rows: Iterable[Sequence[bytes | None]], version: str) -> Iterator[ReplicaStatus]:
    """Yield the sources that are in the rows of ``status_statement``."""
    skipped = 2 if "MariaDB" in version else 0  # name of the connection, state of the SQL thread
    for row in rows:
        fields = ["" if value is None else value.decode("utf-8", "replace") for value in row[skipped:]]
        if len(fields) <= _SOURCE_ID or fields[_IO_RUNNING] not in _RUNNING or fields[_SQL_RUNNING] not in _RUNNING:
            continue
        yield ReplicaStatus(
            source=f"{fields[_SOURCE_HOST]}:{fields[_SOURCE_PORT]}",
            source_id=fields[_SOURCE_ID],
            receives=fields[_IO_RUNNING],
            applies=fields[_SQL_RUNNING],
            lag=int(fields[_LAG]) if fields[_LAG].isdecimal() else None,
            errors=(fields[_IO_ERROR], fields[_SQL_ERROR]),
        )
