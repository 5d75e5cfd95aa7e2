"""Rows and keys of an existing installation, written directly into the backends of a :class:`~dbproxy.testing.stack.Stack`.

Every function takes the stack first, writes at once, and returns the id of what it created. Any thread may call.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from dbproxy.stores.mysql.schema import SHARDS
from dbproxy.testing.stack import pool_of

if TYPE_CHECKING:
    from dbproxy.testing.stack import Stack

Value: TypeAlias = str | bytes | int | None
"""What a column or a Redis field may be given."""

T0 = 1_700_000_000
"""The default unix time of creation: long before any test."""


def password_hash(password: str, salt: str) -> str:
    """Return what the column ``password`` holds: md5(md5(plain) + salt) in lower-case hex."""
    return hashlib.md5((hashlib.md5(password.encode()).hexdigest() + salt).encode()).hexdigest()


def insert(stack: Stack, table: str, rows: Iterable[Mapping[str, Value]]) -> int:
    """Insert rows that all have the same columns with one statement; return the id of the first (0 for no rows)."""
    rows = list(rows)
    if not rows:
        return 0
    columns = list(rows[0])
    with contextlib.closing(stack.mysql()) as connection, connection.cursor() as cursor:
        names = ", ".join(f"`{column}`" for column in columns)
        marks = ", ".join(["%s"] * len(columns))
        cursor.executemany(f"INSERT INTO `{table}` ({names}) VALUES ({marks})", [[row[column] for column in columns] for row in rows])
        cursor.execute("SELECT LAST_INSERT_ID() AS id")
        found = cursor.fetchone()
    first = rows[0].get("id")
    return int(first) if first is not None else int(found["id"]) if found else 0


def redis_key(stack: Stack, key: str, value: str | int | Mapping[str, Value]) -> None:
    """Set a key in the logical database that it belongs to: a mapping becomes a hash, anything else a string."""
    with stack.redis(pool_of(key)) as client:
        if isinstance(value, Mapping):
            client.hset(key, mapping=dict(value))
        else:
            client.set(key, value)


def user(
    stack: Stack,
    user_id: int,
    name: str | None = None,
    *,
    password: str = "123456",
    salt: str = "ab1c",
    depart_id: int = 1,
    **columns: Value,
) -> int:
    """Create a user; ``columns`` are further columns of IMUser (``status=3``, ``push_shield_status=1``)."""
    name = name or f"user{user_id}"
    row: dict[str, Value] = {
        "id": user_id,
        "sex": 1,
        "name": name,
        "domain": name,
        "nick": name.capitalize(),
        "password": password_hash(password, salt),
        "salt": salt,
        "phone": f"1380000{user_id % 10000:04d}",
        "email": f"{name}@example.com",
        "avatar": "",
        "departId": depart_id,
        "status": 0,
        "created": T0,
        "updated": T0,
        "push_shield_status": 0,
        "sign_info": "",
    }
    return insert(stack, "IMUser", [{**row, **columns}])


def users(stack: Stack, *names: str, first_id: int = 1) -> list[int]:
    """Create users with consecutive ids and the password 123456; return the ids."""
    return [user(stack, first_id + k, name) for k, name in enumerate(names)]


def department(stack: Stack, depart_id: int, name: str = "Engineering", *, parent_id: int = 0, **columns: Value) -> int:
    """Create a department."""
    row: dict[str, Value] = {
        "id": depart_id,
        "departName": name,
        "priority": depart_id,
        "parentId": parent_id,
        "status": 0,
        "created": T0,
        "updated": T0,
    }
    return insert(stack, "IMDepart", [{**row, **columns}])


def group(
    stack: Stack,
    group_id: int,
    member_ids: Iterable[int],
    *,
    creator: int | None = None,
    name: str | None = None,
    joined: int = T0,
    in_redis: bool = True,
    **columns: Value,
) -> int:
    """Create a normal group with its members' rows and, with ``in_redis``, the member hash and the message id counter at 0.

    ``creator`` None is the first member; ``joined`` is the members' unix time of joining; ``columns`` are further ones of IMGroup.
    """
    members = list(member_ids)
    row: dict[str, Value] = {
        "id": group_id,
        "name": name or f"group {group_id}",
        "avatar": "",
        "creator": members[0] if creator is None and members else creator or 0,
        "type": 1,
        "userCnt": len(members),
        "status": 0,
        "version": 1,
        "lastChated": 0,
        "updated": joined,
        "created": joined,
    }
    insert(stack, "IMGroup", [{**row, **columns}])
    times = {"status": 0, "created": joined, "updated": joined}
    insert(stack, "IMGroupMember", [{"groupId": group_id, "userId": member, **times} for member in members])
    if in_redis and members:
        redis_key(stack, f"group_member_{group_id}", {str(member): str(joined) for member in members})
        redis_key(stack, f"group_msg_id_{group_id}", 0)
    return group_id


def relation(stack: Stack, one: int, other: int, *, relate_id: int | None = None, in_redis: bool = True) -> int:
    """Create the relation of two users and return its relate_id; with ``in_redis`` their message id counter is set to 0."""
    row: dict[str, Value] = {
        "id": relate_id,
        "smallId": min(one, other),
        "bigId": max(one, other),
        "status": 0,
        "created": T0,
        "updated": T0,
    }
    relation_id = insert(stack, "IMRelationShip", [row])
    if in_redis:
        redis_key(stack, f"msg_id_{relation_id}", 0)
    return relation_id


def session(stack: Stack, user_id: int, peer_id: int, *, session_type: int = 1, updated: int = T0, status: int = 0) -> int:
    """Create a recent session of a user with another user (type 1) or a group (type 2); return the row's id."""
    row = {"userId": user_id, "peerId": peer_id, "type": session_type, "status": status, "created": updated, "updated": updated}
    return insert(stack, "IMRecentSession", [row])


def messages(
    stack: Stack, from_user_id: int, to_user_id: int, texts: Iterable[str], *, relate_id: int, first_msg_id: int = 1, created: int = T0
) -> int:
    """Store one-to-one messages that the receiver has not read, one second apart: rows, message id counter, unread counter.

    Returns the last msg_id. No sessions are created.
    """
    rows: list[dict[str, Value]] = [
        {
            "relateId": relate_id,
            "fromId": from_user_id,
            "toId": to_user_id,
            "msgId": first_msg_id + k,
            "content": text,
            "type": 1,
            "status": 0,
            "updated": created + k,
            "created": created + k,
        }
        for k, text in enumerate(texts)
    ]
    insert(stack, f"IMMessage_{relate_id % SHARDS}", rows)
    last = first_msg_id + len(rows) - 1
    with stack.redis("unread") as client:
        client.set(f"msg_id_{relate_id}", last)
        if rows:
            client.hincrby(f"unread_{to_user_id}", str(from_user_id), len(rows))
    return last


def group_messages(
    stack: Stack, from_user_id: int, group_id: int, texts: Iterable[str], *, first_msg_id: int = 1, created: int = T0 + 1
) -> int:
    """Store group messages that only the sender has read, one second apart: rows, counters, the group's ``lastChated``.

    Returns the last msg_id. No sessions are created.
    """
    rows: list[dict[str, Value]] = [
        {
            "groupId": group_id,
            "userId": from_user_id,
            "msgId": first_msg_id + k,
            "content": text,
            "type": 17,
            "status": 0,
            "updated": created + k,
            "created": created + k,
        }
        for k, text in enumerate(texts)
    ]
    insert(stack, f"IMGroupMessage_{group_id % SHARDS}", rows)
    last = first_msg_id + len(rows) - 1
    with stack.redis("unread") as client:
        client.set(f"group_msg_id_{group_id}", last)
        count = client.hincrby(f"{group_id}_im_group_msg", "count", len(rows))
        client.hset(f"{from_user_id}_{group_id}_im_user_group", "count", str(count))
    if rows:
        stack.rows("UPDATE IMGroup SET lastChated = %s WHERE id = %s", (created + len(rows) - 1, group_id))
    return last
