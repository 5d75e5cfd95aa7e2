"""Snapshots of all rows and keys of the backends, and the differences between two snapshots.

For the small data of tests and demonstrations: a snapshot reads everything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import redis
    from pymysql.connections import Connection
    from pymysql.cursors import DictCursor

Fields: TypeAlias = dict[str, Any]

Snapshot: TypeAlias = tuple[dict[str, dict[int, Fields]], Fields]
"""Tables (table → id → row) and Redis keys (key → string or hash)."""

BACKGROUND_KEYS = {"last_update_group", "last_update_group_owner", "total_user_update", "total_user_updated"}
"""Keys that the background work of the proxy writes at any time."""


def text(value: bytes | str) -> str:
    """Return bytes as text when they are UTF-8, as ``hex:…`` otherwise (and when they begin like that); text as it is."""
    if isinstance(value, str):
        return value
    with contextlib.suppress(UnicodeDecodeError):
        shown = value.decode()
        if not shown.startswith("hex:"):
            return shown
    return "hex:" + value.hex()


def snapshot(connection: Connection[DictCursor], clients: Iterable[redis.Redis]) -> Snapshot:
    """Read all tables of a database and all keys of some logical Redis databases; the clients must not decode responses."""
    tables: dict[str, dict[int, Fields]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SHOW TABLES")
        for table in sorted(str(next(iter(row.values()))) for row in cursor.fetchall()):
            cursor.execute(f"SELECT * FROM `{table}` ORDER BY id")
            tables[table] = {row["id"]: row for row in cursor.fetchall()}
    keys: Fields = {}
    for client in clients:
        for key in sorted(client.keys()):
            kind = client.type(key)
            if kind == b"hash":
                keys[text(key)] = {text(field): text(value) for field, value in sorted(client.hgetall(key).items())}
            elif kind == b"string":
                keys[text(key)] = text(client.get(key) or b"")
            else:
                keys[text(key)] = text(kind)
    return tables, keys


def changes(before: Snapshot, after: Snapshot, ignored_keys: Iterable[str] = BACKGROUND_KEYS) -> Fields:
    """Return ``{"mysql": {table: {"rows": new or changed, "deleted": ids}}, "redis": {key: new value, "@deleted": keys}}``."""
    ignored = set(ignored_keys)
    tables = {}
    for table, new in after[0].items():
        old = before[0].get(table, {})
        rows = [row for key, row in new.items() if old.get(key) != row]
        deleted = [key for key in old if key not in new]
        if rows or deleted:
            tables[table] = {"rows": rows, "deleted": deleted}
    keys = {key: value for key, value in after[1].items() if before[1].get(key) != value and key not in ignored}
    deleted_keys = sorted(key for key in before[1] if key not in after[1] and key not in ignored)
    if deleted_keys:
        keys["@deleted"] = deleted_keys
    return {"mysql": tables, "redis": keys}
