"""Undoing a merge with its backup, while proxies are running. One thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from dbproxy.audit.backup import BackupError, as_bytes, latest_first
from dbproxy.audit.walk import PATIENCE, AuditBackends
from dbproxy.errors import DeadlockError
from dbproxy.models.conversation_kind import GROUP_CHAT, SINGLE_CHAT, ConversationKind
from dbproxy.stores.mysql import DBConn
from dbproxy.stores.mysql.literals import text_literal
from dbproxy.stores.mysql.schema import REQUIRED_TABLES, SHARDS

STEP = 200
"""Rows that one transaction restores."""

KINDS: dict[str, ConversationKind] = {kind.table(shard): kind for kind in (SINGLE_CHAT, GROUP_CHAT) for shard in range(SHARDS)}
"""Table of messages → its kind of conversation."""


@dataclass(slots=True)
class Restored:
    """What became of the lines of a backup."""

    rows: int = 0
    """Rows that are as they were before the merge."""
    unchanged: int = 0
    """Lines whose row is there: it was never changed, or restored before."""
    missing: int = 0
    """Lines whose message is not where the merge has put it: nothing is done for these."""


def restore(backends: AuditBackends, directory: Path, restored: Restored, *, apply: bool) -> Iterator[Restored]:
    """Undo what the backup in ``directory`` says, the last change first; without ``apply`` only find out what would be done. Yields
    ``restored`` after each step, with the figures until then. Counters in Redis stay, since they may only rise.

    It may be interrupted and started again. Of several backups the newest comes first.

    Raises:
        BackupError: the backup cannot be read, or a line is none of a merge.
        StoreError: a backend failed.

    """
    for lock, lines in groupby(latest_first(directory), lambda line: str(line["lock"])):
        while some := list(islice(lines, STEP)):
            for done in _transactions(backends, lock, some) if apply else (backends.master.read(_Step(some, apply=False)),):
                restored.rows += done.rows
                restored.unchanged += done.unchanged
                restored.missing += done.missing
                yield restored


def _transactions(backends: AuditBackends, lock: str, lines: list[dict[str, Any]]) -> Iterator[Restored]:
    """Restore these rows in one transaction; in two, and so on, if others end it."""
    try:
        done = backends.with_locks(_Step(lines, apply=True), lock, patience=0 if len(lines) > 1 else PATIENCE)
    except DeadlockError:
        if len(lines) == 1:
            raise
        middle = len(lines) // 2
        yield from _transactions(backends, lock, lines[:middle])
        yield from _transactions(backends, lock, lines[middle:])
    else:
        yield done


@dataclass(frozen=True, slots=True)
class _Step:
    lines: list[dict[str, Any]]
    apply: bool

    def __call__(self, connection: DBConn) -> Restored:
        done = Restored()
        for line in self.lines:
            if line["table"] == "IMRelationShip":
                self._show(connection, line, done)
            else:
                self._move_back(connection, line, done)
        return done

    def _show(self, connection: DBConn, line: dict[str, Any], done: Restored) -> None:
        """Make a relation visible again."""
        row, to = line["row"], line["to"]
        still = f"id={int(row['id'])} and status={int(to['status'])} and updated={int(to['updated'])}"
        if not connection.select(f"select id from IMRelationShip where {still}"):
            done.unchanged += 1
            return
        done.rows += 1
        if self.apply:
            connection.execute(f"update IMRelationShip set status={int(row['status'])},updated={int(row['updated'])} where {still}")

    def _move_back(self, connection: DBConn, line: dict[str, Any], done: Restored) -> None:
        """Delete the new row of a message, and insert the old one."""
        table, row, to = str(line["table"]), line["row"], line["to"]
        kind, columns = KINDS.get(table), list(row)
        if (
            kind is None
            or to.get("table") not in KINDS
            or not set(columns) >= set(REQUIRED_TABLES[table])
            or any("`" in c for c in columns)
        ):
            raise BackupError(f"a line of the backup is not of a merge: table {table}, row {row.get('id')}")
        if connection.select(f"select id from {table} where id={int(row['id'])}"):
            done.unchanged += 1
            return
        here = (
            f"from {to['table']} where {kind.id_column}={int(to[kind.id_column])} and msgId={int(to['msgId'])} "
            f"and {kind.sender_column}={int(row[kind.sender_column])} and created={int(row['created'])}"
        )
        if not connection.select(f"select id {here}"):
            done.missing += 1
            return
        done.rows += 1
        if self.apply:
            names = ",".join(f"`{column}`" for column in columns)
            values = ",".join(_literal(connection, row[column]) for column in columns)
            connection.execute(f"delete {here}")
            connection.execute(f"insert into {table} ({names}) values ({values})")


def _literal(connection: DBConn, value: object) -> str:
    """The SQL literal of a column's value in a line."""
    text = as_bytes(value)
    return "null" if text is None else text_literal(connection, text)
