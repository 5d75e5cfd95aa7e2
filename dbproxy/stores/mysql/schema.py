"""What the proxy needs of the database, and what an existing database lacks of it.

Everything here is pure: the caller runs ``COLUMNS_QUERY`` and hands the rows in. Any thread may call it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

SHARDS = 8
"""Messages are spread over this many tables per kind; existing databases fix the number."""

LOCK_TABLE = "IMProxyLock"
"""The table of ``lock_rows.py``. Only clusters with several writers need it."""

COLUMNS_QUERY = (
    # Aliases, because MySQL 8 answers in capitals and MariaDB in small letters.
    "select table_name as table_name, column_name as column_name, character_maximum_length as length"
    " from information_schema.columns where table_schema = database()"
)
"""Its rows are what ``missing`` and ``content_limits`` take: table, column, length in characters (None: not a text)."""

Row = tuple[str, str, int | None]

INDEXES_QUERY = (
    "select distinct table_name as table_name, index_name as index_name from information_schema.statistics where table_schema = database()"
)
"""Its rows are what ``missing_indexes`` takes: table, index."""

MESSAGE_BY_TIME, MESSAGE_BY_ID = "idx_relateId_status_created", "idx_relateId_status_msgId_created"
GROUP_MESSAGE_BY_TIME, GROUP_MESSAGE_BY_ID = "idx_groupId_status_created", "idx_groupId_msgId_status_created"
"""The stock indexes of the message tables that queries name, because the server would not always choose them by itself, and would read
whole histories then."""

_INDEX_COLUMNS = {
    "IMMessage": {MESSAGE_BY_TIME: "relateId,status,created", MESSAGE_BY_ID: "relateId,status,msgId,created"},
    "IMGroupMessage": {GROUP_MESSAGE_BY_TIME: "groupId,status,created", GROUP_MESSAGE_BY_ID: "groupId,msgId,status,created"},
}


def create_statement(sql: str, table: str) -> str:
    """Return the CREATE TABLE of one table in the text of conf/schema.sql; LookupError when there is none."""
    found = re.search(rf"^CREATE TABLE IF NOT EXISTS `{table}` .*?(?=;$)", sql, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(f"no table {table}")
    return found[0]


def _required() -> dict[str, tuple[str, ...]]:
    message = ("id", "relateId", "fromId", "toId", "msgId", "content", "type", "status", "updated", "created")
    group_message = ("id", "groupId", "userId", "msgId", "content", "type", "status", "updated", "created")
    tables = {
        "IMAudio": ("id", "fromId", "toId", "path", "size", "duration", "created"),
        "IMDepart": ("id", "departName", "priority", "parentId", "status", "created", "updated"),
        "IMGroup": (
            *("id", "name", "avatar", "creator", "type", "userCnt"),
            *("status", "version", "lastChated", "updated", "created"),
        ),
        "IMGroupMember": ("id", "groupId", "userId", "status", "created", "updated"),
        "IMRecentSession": ("id", "userId", "peerId", "type", "status", "created", "updated"),
        "IMRelationShip": ("id", "smallId", "bigId", "status", "created", "updated"),
        "IMUser": (
            *("id", "sex", "name", "domain", "nick", "password", "salt", "phone", "email", "avatar"),
            *("departId", "status", "created", "updated", "push_shield_status", "sign_info"),
        ),
        "IMTransmitFile": ("id", "fromId", "toId", "fileName", "size", "taskId", "status", "created", "updated"),
    }
    tables |= {f"IMMessage_{shard}": message for shard in range(SHARDS)}
    tables |= {f"IMGroupMessage_{shard}": group_message for shard in range(SHARDS)}
    return tables


REQUIRED_TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(_required())
"""Table → columns that the proxy reads or writes; other tables and columns do not matter."""


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """The longest content, in characters, that every shard of a kind of message can hold."""

    message: int
    group_message: int


def missing(rows: Iterable[Row]) -> list[str]:
    """Return one sentence for each required table or column that is not in ``rows``; empty: the database will do."""
    present = _Columns(rows)
    sentences = []
    for table, columns in REQUIRED_TABLES.items():
        found = present.get(table)
        if found is None:
            sentences.append(f"table {table} is missing")
            continue
        lacking = [column for column in columns if column.lower() not in found]
        if lacking:
            sentences.append(f"table {table} lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}")
    return sentences


def missing_indexes(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return the statement that makes it for each index that the proxy names and that is not in ``rows``."""
    present = {(table.lower(), index.lower()) for table, index in rows}
    return [
        f"ALTER TABLE {kind}_{shard} ADD INDEX {index} ({columns})"
        for kind, indexes in _INDEX_COLUMNS.items()
        for shard in range(SHARDS)
        for index, columns in indexes.items()
        if (f"{kind}_{shard}".lower(), index.lower()) not in present
    ]


def content_limits(rows: Iterable[Row]) -> ContentLimits:
    """Return the smallest length of the ``content`` columns per kind of message.

    Raises ``ValueError`` when a shard has no such column or it is not a text: see ``missing`` first.
    """
    present = _Columns(rows)
    return ContentLimits(message=_smallest(present, "IMMessage"), group_message=_smallest(present, "IMGroupMessage"))


def _smallest(present: _Columns, kind: str) -> int:
    lengths = []
    for shard in range(SHARDS):
        length = (present.get(f"{kind}_{shard}") or {}).get("content")
        if length is None:
            raise ValueError(f"{kind}_{shard} has no column content with a length")
        lengths.append(length)
    return min(lengths)


class _Columns:
    """Columns by table: names of columns never depend on case in MySQL, names of tables do so on some servers."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._exact: dict[str, dict[str, int | None]] = {}
        self._folded: dict[str, dict[str, int | None]] = {}
        for table, column, length in rows:
            self._exact.setdefault(table, {})[column.lower()] = length
            self._folded.setdefault(table.lower(), {})[column.lower()] = length

    def get(self, table: str) -> Mapping[str, int | None] | None:
        return self._exact.get(table) or self._folded.get(table.lower())
