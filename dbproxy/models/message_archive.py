"""MessageArchive: finds messages that are old enough to be archived, and removes them. Any thread.

What stays, however old it is, because the rest of the system relies on it:

- the newest visible message of each conversation, which sessions show;
- the message with the largest msg_id, whatever its status: ids are never given again because new ones are above it (``msg_ids.py``).

Unread counters are counters of their own and do not depend on rows, and ``group_counter_recovery.py`` takes the largest msg_id where most
rows are gone.

The time of a message is that of the sender's clock. So a message is old if it says so *and* its row is among the old ones
(``ids_by_time``): what has just been stored is never old, and only the old part of a table is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dbproxy.errors import OutcomeUnknownError
from dbproxy.models.conversation_kind import ConversationKind
from dbproxy.models.history import SOUNDS
from dbproxy.models.ids_by_time import first_ids
from dbproxy.models.message_reader import KINDS, statuses_of
from dbproxy.models.message_rows import is_generated
from dbproxy.models.names import each_in_its_table
from dbproxy.models.packing import SEPARATOR, packed
from dbproxy.stores.mysql import DBConn, DBPool, ReadPool
from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.stores.mysql.slices import slices

CONVERSATIONS_PER_QUERY = 500

QUERIES_PER_UNION = 200

OUTCOME_TIMEOUT = 30.0
"""Seconds after which the lookup of a lost commit is given up."""

_NUMBERS = ("int", "decimal", "numeric", "bit")


@dataclass(frozen=True, slots=True)
class ArchiveTable:
    """A message table: the kind of its conversations and its number among those of the kind."""

    kind: ConversationKind
    shard: int

    @property
    def name(self) -> str:
        """Its name in the database."""
        return self.kind.table(self.shard)


def archive_tables() -> dict[str, ArchiveTable]:
    """Return all message tables by name."""
    tables = [ArchiveTable(kind, shard) for kind in KINDS.values() for shard in range(SHARDS)]
    return {table.name: table for table in tables}


class OldRow(NamedTuple):
    """A row to be archived: what decides about it, and all columns by name."""

    row_id: int
    conversation_id: int
    msg_id: int
    values: Mapping[str, int | str | None]


class RowKey(NamedTuple):
    """What identifies an archived row, and tells whether it has changed since; ``audio`` identifies the IMAudio row of a sound."""

    row_id: int
    conversation_id: int
    msg_id: int
    status: int
    updated: int
    created: int
    audio: tuple[int, int, int, int] | None
    """Id, fromId, toId, created."""


class Kept(NamedTuple):
    """What stays of conversations: conversation → (row id, time, msg_id) of the newest visible message, and → largest msg_id."""

    newest: Mapping[int, tuple[int, int, int]]
    largest: Mapping[int, int]

    def has(self, conversation_id: int, row_id: int, msg_id: int) -> bool:
        """Whether a message stays."""
        newest = self.newest.get(conversation_id)
        return msg_id == self.largest.get(conversation_id) or (newest is not None and newest[0] == row_id)


class OldCount(NamedTuple):
    """How many rows of a table are old, and how many of those stay."""

    old: int
    kept: int


class MessageArchive:
    """Old rows of the message tables, with the sounds that belong to them."""

    def __init__(self, master: DBPool, slave: ReadPool) -> None:
        self._master = master
        self._slave = slave

    def columns(self, table: str) -> dict[str, bool]:
        """The columns of a table in their order, without those that the server computes → whether they hold numbers."""
        rows = self._slave.select(
            "select column_name,data_type,extra from information_schema.columns "
            f"where table_schema=database() and lower(table_name)='{table.lower()}' order by ordinal_position"
        )
        return {
            name.decode(): any(word in kind.decode().lower() for word in _NUMBERS) for name, kind, extra in rows if not is_generated(extra)
        }

    def border(self, table: ArchiveTable, before: int) -> int:
        """The id of the first row that is not among the old ones; ``before`` in unix seconds."""
        return self._slave.read(lambda connection: first_ids(connection, table.name, (before,))[0])

    def old_rows(
        self, table: ArchiveTable, columns: Mapping[str, bool], before: int, border: int, after_id: int, limit: int
    ) -> list[OldRow]:
        """The old rows with ids above ``after_id``, by id, at most ``limit``; also those that stay."""
        rows = self._slave.select(
            f"select {','.join(f'`{column}`' for column in columns)} from {table.name} force index (primary) "
            f"where id>{after_id} and id<{border} and created<{before} order by id limit {limit}"
        )
        found = []
        for row in rows:
            values = _values(columns, row)
            found.append(OldRow(_number(values, "id"), _number(values, table.kind.id_column), _number(values, "msgId"), values))
        return found

    def sounds(self, table: ArchiveTable, rows: Sequence[OldRow]) -> dict[int, dict[str, int | str | None]]:
        """Row id → the IMAudio row of those messages that are sounds. Only one with the same sender and receiver belongs to a message."""
        kind = table.kind
        wanted = {
            row.row_id: int(str(row.values["content"]))
            for row in rows
            if row.values["type"] in SOUNDS and str(row.values["content"]).isascii() and str(row.values["content"]).isdigit()
        }
        if not wanted:
            return {}
        columns = self.columns("IMAudio")
        among = ",".join(map(str, sorted(set(wanted.values()))))
        selected = self._slave.select(f"select {','.join(f'`{column}`' for column in columns)} from IMAudio where id in ({among})")
        audio = {_number(values, "id"): values for values in (_values(columns, row) for row in selected)}
        found = {}
        for row in rows:
            values = audio.get(wanted.get(row.row_id, 0))
            receiver = row.conversation_id if kind.receiver_column is None else row.values[kind.receiver_column]
            if values is not None and (values["fromId"], values["toId"]) == (row.values[kind.sender_column], receiver):
                found[row.row_id] = values
        return found

    def kept(self, table: ArchiveTable, conversation_ids: Collection[int], connection: DBConn | None = None) -> Kept:
        """What stays of these conversations, all of the one table; read with ``connection`` if there is one."""
        if connection is None:
            return self._slave.read(lambda taken: self.kept(table, conversation_ids, taken))
        newest: dict[int, tuple[int, int, int]] = {}
        largest: dict[int, int] = {}
        ids = sorted(set(conversation_ids))
        for start in range(0, len(ids), CONVERSATIONS_PER_QUERY):
            by_time, by_id = connection.script(_kept_queries(table, ids[start : start + CONVERSATIONS_PER_QUERY]))
            for conversation_id, found in by_time:
                if found is not None:
                    row_id, created, msg_id = map(int, found.split(SEPARATOR))
                    newest[int(conversation_id)] = row_id, created, msg_id
            for conversation_id, found in by_id:
                if found is None:
                    continue
                status, _, msg_id = found.partition(SEPARATOR)
                if status != b"0" and table.kind.msg_id_index_has_status_first:
                    largest[int(conversation_id)] = _largest_of_all_statuses(connection, table, int(conversation_id))
                else:
                    largest[int(conversation_id)] = int(msg_id)
        return Kept(newest, largest)

    def counts(self, table: ArchiveTable, before: int, border: int) -> Iterator[OldCount]:
        """Count the old rows of a table, and those of them that stay: one result for each range of conversations, so that no statement
        takes long. A conversation with the same msg_id twice keeps more.
        """
        kind = table.kind
        for low, high in slices(self._slave, table.name, kind.id_column):
            rows = self._slave.select(
                f"select {kind.id_column},count(*) from {table.name} force index ({kind.time_index}) "
                f"where {kind.id_column} between {low} and {high} and created<{before} and id<{border} group by {kind.id_column}"
            )
            old = {int(conversation_id): int(count) for conversation_id, count in rows}
            kept = self.kept(table, old)
            staying = sum(created < before and row_id < border for row_id, created, _ in kept.newest.values())
            others = [
                f"(select count(*) from {table.name} force index ({kind.msg_id_index}) where {kind.id_column}={conversation_id} "
                f"and msgId={msg_id} and created<{before} and id<{border})"
                for conversation_id, msg_id in kept.largest.items()
                if conversation_id not in kept.newest or kept.newest[conversation_id][2] != msg_id
            ]
            for start in range(0, len(others), QUERIES_PER_UNION):
                found = self._slave.select(" union all ".join(others[start : start + QUERIES_PER_UNION]))
                staying += sum(int(count) for (count,) in found)
            yield OldCount(sum(old.values()), staying)

    def remove(self, table: ArchiveTable, keys: Sequence[RowKey]) -> int:
        """Remove archived rows and the sounds that belong to them, in one transaction that locks nothing but them; return how many of them
        do not exist any more. What has changed since it was archived stays, and so does what is needed now.

        Raises:
            StoreError: a backend failed; it may be done again.

        """
        if not keys:
            return 0
        try:
            return self._master.write(lambda connection: self.remove_with(connection, table, keys))
        except OutcomeUnknownError:
            return self._master.resolve_outcome(lambda connection: self.remove_with(connection, table, keys), OUTCOME_TIMEOUT)

    def remove_with(self, connection: DBConn, table: ArchiveTable, keys: Sequence[RowKey]) -> int:
        """One attempt of ``remove``."""
        kind = table.kind
        connection.execute("begin")
        kept = self.kept(table, {key.conversation_id for key in keys}, connection)
        # Only what is removed here takes its sound along: a message whose row is gone may have been inserted again as another row.
        existing = _existing(connection, table, keys)
        going = [key for key in keys if key.row_id in existing and not kept.has(key.conversation_id, key.row_id, key.msg_id)]
        if going:
            # With the hint the server looks at these rows only: a scan of the table would lock all of it, and keep messages waiting.
            rows = ",".join(f"({key.row_id},{key.conversation_id},{key.msg_id},{key.status},{key.updated},{key.created})" for key in going)
            connection.execute(
                f"delete m from {table.name} m force index (primary) where m.id in ({','.join(str(key.row_id) for key in going)}) "
                f"and (m.id,m.{kind.id_column},m.msgId,m.status,m.updated,m.created) in ({rows})"
            )
        remaining = _existing(connection, table, keys)
        gone = [key for key in going if key.row_id not in remaining]
        sounds = [key.audio for key in gone if key.audio is not None]
        if sounds:
            among = ",".join(str(audio_id) for audio_id, *_ in sounds)
            rows = ",".join(f"({audio_id},{from_id},{to_id},{created})" for audio_id, from_id, to_id, created in sounds)
            connection.execute(
                f"delete a from IMAudio a force index (primary) where a.id in ({among}) and (a.id,a.fromId,a.toId,a.created) in ({rows})"
            )
        connection.commit_script(())
        return len(keys) - len(remaining)


def _kept_queries(table: ArchiveTable, conversation_ids: Sequence[int]) -> list[str]:
    kind, name = table.kind, table.name
    newest = each_in_its_table(
        conversation_ids,
        lambda _: (
            f"select {packed('m.id', 'm.created', 'm.msgId')} from {name} m force index ({kind.time_index}) "
            f"where m.{kind.id_column}=c.id and m.status=0 "
            f"order by m.{kind.id_column} desc,m.status desc,m.created desc,m.id desc limit 1"
        ),
    )
    return [newest, each_in_its_table(conversation_ids, lambda _: _highest(table))]


def _highest(table: ArchiveTable) -> str:
    """The subquery for packed status and largest msg_id of conversation ``c.id``: one step in the index, however long the history is. If
    the index is sorted by status first, it is the largest one among the messages of the highest status.
    """
    kind = table.kind
    order = f"m.{kind.id_column} desc,{'m.status desc,' if kind.msg_id_index_has_status_first else ''}m.msgId desc"
    return (
        f"select {packed('m.status', 'm.msgId')} from {table.name} m force index ({kind.msg_id_index}) "
        f"where m.{kind.id_column}=c.id order by {order} limit 1"
    )


def _largest_of_all_statuses(connection: DBConn, table: ArchiveTable, conversation_id: int) -> int:
    kind = table.kind
    source = f"{table.name} force index ({kind.msg_id_index}) where {kind.id_column}={conversation_id}"
    statuses = statuses_of(connection, kind, conversation_id)
    queries = [f"select max(msgId) from {source} and status={status}" for status in statuses]
    return max((int(rows[0][0] or 0) for rows in connection.script(queries)), default=0) if queries else 0


def _existing(connection: DBConn, table: ArchiveTable, keys: Sequence[RowKey]) -> set[int]:
    rows = connection.select(f"select id from {table.name} where id in ({','.join(str(key.row_id) for key in keys)})")
    return {int(row_id) for (row_id,) in rows}


def _values(columns: Mapping[str, bool], row: Sequence[bytes | None]) -> dict[str, int | str | None]:
    """The values of a row by column; bytes that are no UTF-8 become surrogates, from which they can be restored."""
    values: dict[str, int | str | None] = {}
    for (column, is_number), value in zip(columns.items(), row, strict=True):
        if value is not None and is_number and value.lstrip(b"-").isdigit():
            values[column] = int(value)
        else:
            values[column] = None if value is None else value.decode(errors="surrogateescape")
    return values


def _number(values: Mapping[str, int | str | None], column: str) -> int:
    return int(values[column] or 0)
