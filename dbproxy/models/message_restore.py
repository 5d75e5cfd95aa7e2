"""MessageRestore: puts archived messages back into their tables, while proxies are running. Any thread.

Their rows get the row ids and msg_ids that they had, both of which are older than what stayed: a newer message of each conversation, and
the one with its largest msg_id (``message_archive.py``). So nothing that proxies have cached of a conversation changes, and no lock is
needed. What has got the id of a row meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dbproxy.errors import OutcomeUnknownError
from dbproxy.models.message_archive import OUTCOME_TIMEOUT, ArchiveTable
from dbproxy.stores.mysql import DBConn, DBPool

Values = Mapping[str, int | str | None]
"""Column → value; bytes of a text that are no UTF-8 are surrogates."""

AUDIO = "IMAudio"


class ArchivedMessage(NamedTuple):
    """The row of a message, and that of IMAudio if it is a sound with one."""

    row: Values
    audio: Values | None


class RestoredRows(NamedTuple):
    """What became of archived messages."""

    restored: int
    present: int
    """They are in the table as they were archived, but for the columns that change: status, updated, and what others have added."""
    in_the_way: int
    """Another message has the id of the row."""


class MessageRestore:
    """Inserts archived rows again."""

    def __init__(self, master: DBPool) -> None:
        self._master = master

    def restore(self, table: ArchiveTable, messages: Sequence[ArchivedMessage]) -> RestoredRows:
        """Insert those messages that are missing, with their sounds, in one transaction.

        Raises:
            StoreError: a backend failed; it may be done again.

        """
        try:
            return self._master.write(lambda connection: _restore(connection, table, messages))
        except OutcomeUnknownError:
            return self._master.resolve_outcome(lambda connection: _restore(connection, table, messages), OUTCOME_TIMEOUT)

    def compare(self, table: ArchiveTable, messages: Sequence[ArchivedMessage]) -> RestoredRows:
        """Return what ``restore`` would do; changes nothing. Raises StoreError."""
        return self._master.read(lambda connection: _compared(connection, table, messages)[0])


def _restore(connection: DBConn, table: ArchiveTable, messages: Sequence[ArchivedMessage]) -> RestoredRows:
    connection.execute("begin")
    compared, missing = _compared(connection, table, messages)
    if missing:
        sounds = {message.audio["id"]: message.audio for message in missing if message.audio is not None}
        if sounds:
            among = ",".join(map(str, sounds))
            taken = {int(audio_id) for (audio_id,) in connection.select(f"select id from {AUDIO} where id in ({among})")}
            _insert(connection, AUDIO, [audio for audio_id, audio in sounds.items() if audio_id not in taken])
        _insert(connection, table.name, [message.row for message in missing])
    connection.commit_script(())
    return compared


def _compared(connection: DBConn, table: ArchiveTable, messages: Sequence[ArchivedMessage]) -> tuple[RestoredRows, list[ArchivedMessage]]:
    """Compare messages with the table by what never changes of a row; the second: those that are missing."""
    columns = ("id", table.kind.id_column, "msgId", table.kind.sender_column, "created")
    among = ",".join(str(message.row["id"]) for message in messages)
    rows = connection.select(f"select {','.join(columns)} from {table.name} where id in ({among})") if messages else []
    stored = {int(row[0]): tuple(map(int, row)) for row in rows}
    missing = [message for message in messages if message.row["id"] not in stored]
    present = sum(stored.get(int(message.row["id"] or 0)) == tuple(message.row[column] for column in columns) for message in messages)
    return RestoredRows(len(missing), present, len(messages) - len(missing) - present), missing


def _insert(connection: DBConn, table: str, rows: Sequence[Values]) -> None:
    """Insert rows, which may have different columns if the table has been changed between two runs."""
    by_columns: dict[tuple[str, ...], list[Values]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row), []).append(row)
    for columns, alike in by_columns.items():
        names = ",".join(f"`{column}`" for column in columns)
        values = ",".join(f"({','.join(_literals(connection, row.values()))})" for row in alike)
        connection.execute(f"insert into {table} ({names}) values {values}")


def _literals(connection: DBConn, values: Iterable[int | str | None]) -> Iterable[str]:
    for value in values:
        if value is None or isinstance(value, int):
            yield "null" if value is None else str(value)
        elif _is_text(value):
            yield connection.escape(value)
        else:
            yield f"x'{value.encode(errors='surrogateescape').hex()}'"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
