"""MessageRestore: puts archived messages back into their tables, while proxies are running. Any thread.

Their rows get the row ids and msg_ids that they had, both of which are older than what stayed: a newer message of each conversation, and
the one with its largest msg_id (``message_archive.py``). So nothing that proxies have cached of a conversation changes, and no lock is
needed.

It is different where a merge (``dbproxy-audit --merge``) has worked on the conversation since: it inserts old messages again, as new rows
with new msg_ids, so what is put back could be there already, or stand behind a message with a larger msg_id, where no client finds it. Such
rows are older than archived ones and have row ids above all of these, which no proxy writes. What is newer than the first of them stays in
the archive, and so does what belongs to a relation that was merged into another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dbproxy.errors import OutcomeUnknownError
from dbproxy.models.bounded_cache import BoundedCache
from dbproxy.models.message_archive import OUTCOME_TIMEOUT, ArchiveTable
from dbproxy.stores.mysql import DBConn, DBPool
from dbproxy.stores.mysql.literals import id_list, text_literal

Values = Mapping[str, int | str | None]
"""Column → value; bytes of a text that are no UTF-8 are surrogates."""

AUDIO = "IMAudio"

AUDIO_IDENTITY = ("id", "fromId", "toId", "created")
"""Columns by which a sound is recognized."""

CACHED_CONVERSATIONS = 100_000

_NEVER = 1 << 62


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
    """Another message, or another sound, has the id of the row."""
    merged: int
    """Their conversation has been merged since."""


class MessageRestore:
    """Inserts the rows of one archived table again. One thread."""

    def __init__(self, master: DBPool, table: ArchiveTable, last_row_id: int) -> None:
        """``last_row_id``: the largest row id of all archived messages of the table."""
        self._master = master
        self._table = table
        self._last_row_id = last_row_id
        self._merged_since: BoundedCache[int, int] = BoundedCache(CACHED_CONVERSATIONS)
        """Conversation → time of its oldest message (unix seconds) that was inserted after the archived ones; ``_NEVER``: none."""

    def restore(self, messages: Sequence[ArchivedMessage]) -> RestoredRows:
        """Insert those messages that are missing, with their sounds, in one transaction.

        Raises:
            StoreError: a backend failed; it may be done again.

        """
        try:
            return self._master.write(lambda connection: self._insert(connection, messages))
        except OutcomeUnknownError:
            return self._master.resolve_outcome(lambda connection: self._insert(connection, messages), OUTCOME_TIMEOUT)

    def compare(self, messages: Sequence[ArchivedMessage]) -> RestoredRows:
        """Return what ``restore`` would do; changes nothing. Raises StoreError."""
        return self._master.read(lambda connection: self._compare(connection, messages)[0])

    def _insert(self, connection: DBConn, messages: Sequence[ArchivedMessage]) -> RestoredRows:
        connection.execute("begin")
        compared, missing, sounds = self._compare(connection, messages)
        _insert(connection, AUDIO, sounds)
        _insert(connection, self._table.name, [message.row for message in missing])
        connection.commit_script(())
        return compared

    def _compare(self, connection: DBConn, messages: Sequence[ArchivedMessage]) -> tuple[RestoredRows, list[ArchivedMessage], list[Values]]:
        """Compare messages with the tables by what never changes of a row; the second and third: messages and sounds that are missing."""
        kind = self._table.kind
        identity = ("id", kind.id_column, "msgId", kind.sender_column, "created")
        stored = _stored(connection, self._table.name, identity, [_int(message.row, "id") for message in messages])
        sounds = {_int(message.audio, "id"): message.audio for message in messages if message.audio is not None}
        stored_sounds = _stored(connection, AUDIO, AUDIO_IDENTITY, list(sounds))
        others = [message for message in messages if _int(message.row, "id") not in stored]
        hidden = self._merged_into_others(connection, {_int(message.row, kind.id_column) for message in others})
        since = self._first_inserted_since(connection, {_int(message.row, kind.id_column) for message in others})
        missing: list[ArchivedMessage] = []
        present = in_the_way = merged = 0
        for message in messages:
            row, audio = message
            found = stored.get(_int(row, "id"))
            conversation_id = _int(row, kind.id_column)
            if found is not None:
                same = found == tuple(row[column] for column in identity)
                present, in_the_way = present + same, in_the_way + (not same)
            elif conversation_id in hidden or _int(row, "created") > since[conversation_id]:
                merged += 1
            elif _int(row, "created") == since[conversation_id] and self._was_inserted_again(connection, row):
                present += 1
            elif audio is not None and stored_sounds.get(_int(audio, "id"), _identity(audio)) != _identity(audio):
                in_the_way += 1
            else:
                missing.append(message)
        needed = {_int(message.audio, "id") for message in missing if message.audio is not None} - stored_sounds.keys()
        return RestoredRows(len(missing), present, in_the_way, merged), missing, [sounds[audio_id] for audio_id in sorted(needed)]

    def _merged_into_others(self, connection: DBConn, conversation_ids: set[int]) -> set[int]:
        """Return the relations that are hidden while their users have another one."""
        if self._table.kind.receiver_column is None or not conversation_ids:
            return set()
        rows = connection.select(
            f"select r.id from IMRelationShip r where r.id in ({id_list(conversation_ids)}) and r.status<>0 and exists "
            "(select 1 from IMRelationShip o where o.smallId=r.smallId and o.bigId=r.bigId and o.status=0)"
        )
        return {int(relate_id) for (relate_id,) in rows}

    def _first_inserted_since(self, connection: DBConn, conversation_ids: set[int]) -> dict[int, int]:
        known = {conversation_id: self._merged_since.get(conversation_id) for conversation_id in conversation_ids}
        found = {conversation_id: time for conversation_id, time in known.items() if time is not None}
        unknown = conversation_ids - found.keys()
        if unknown:
            kind = self._table.kind
            rows = connection.select(
                f"select {kind.id_column},min(created) from {self._table.name} force index ({kind.time_index}) "
                f"where {kind.id_column} in ({id_list(unknown)}) and id>{self._last_row_id} group by {kind.id_column}"
            )
            found |= dict.fromkeys(unknown, _NEVER) | {int(conversation_id): int(created) for conversation_id, created in rows}
            for conversation_id in unknown:
                self._merged_since.put(conversation_id, found[conversation_id])
        return found

    def _was_inserted_again(self, connection: DBConn, row: Values) -> bool:
        """Whether a row that was inserted later has the same message."""
        kind = self._table.kind
        text = hashlib.sha1(str(row["content"]).encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()
        return bool(
            connection.select(
                f"select 1 from {self._table.name} force index ({kind.time_index}) where {kind.id_column}={row[kind.id_column]} "
                f"and created={row['created']} and id>{self._last_row_id} and {kind.sender_column}={row[kind.sender_column]} "
                f"and sha1(convert(content using utf8mb4))='{text}' limit 1"
            )
        )


def _stored(connection: DBConn, table: str, columns: Sequence[str], ids: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return id → these columns, of the rows that exist."""
    if not ids:
        return {}
    rows = connection.select(f"select {','.join(columns)} from {table} where id in ({id_list(ids)})")
    return {int(row[0]): tuple(map(int, row)) for row in rows}


def _identity(audio: Values) -> tuple[int, ...]:
    return tuple(_int(audio, column) for column in AUDIO_IDENTITY)


def _int(row: Values, column: str) -> int:
    return int(row[column] or 0)


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
        else:
            yield text_literal(connection, value.encode(errors="surrogateescape"))
