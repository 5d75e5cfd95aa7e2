"""What the account may do: every privilege that the proxy uses is asked for by name, and nothing is executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from types import MappingProxyType

from pymysql.constants import ER

from dbproxy.doctor.finding import Subject, listed
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.session import Session
from dbproxy.stores.mysql import schema

OFFLINE_FILES = "IMTransmitFile"
"""The one table that the start makes if it is missing."""

_MESSAGE = ("msgId", "content", "type", "status", "created", "updated")

INSERTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "IMAudio": ("fromId", "toId", "path", "size", "duration", "created"),
        "IMGroup": ("name", "avatar", "creator", "type", "userCnt", "status", "version", "lastChated", "updated", "created"),
        "IMGroupMember": ("groupId", "userId", "status", "created", "updated"),
        "IMRecentSession": ("userId", "peerId", "type", "status", "created", "updated"),
        "IMRelationShip": ("smallId", "bigId", "status", "created", "updated"),
        OFFLINE_FILES: ("fromId", "toId", "fileName", "size", "taskId", "status", "created", "updated"),
        **{f"IMMessage_{shard}": ("relateId", "fromId", "toId", *_MESSAGE) for shard in range(schema.SHARDS)},
        **{f"IMGroupMessage_{shard}": ("groupId", "userId", *_MESSAGE) for shard in range(schema.SHARDS)},
    }
)
"""Table → columns that the proxy inserts."""

UPDATES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "IMGroup": ("version", "userCnt", "lastChated", "updated"),
        "IMGroupMember": ("status", "updated"),
        "IMRecentSession": ("status", "updated"),
        "IMRelationShip": ("status", "updated"),
        "IMUser": ("sign_info", "push_shield_status", "updated"),
    }
)
"""Table → columns that the proxy updates. IMGroup and IMRelationShip are locked with ``for update`` too, which MySQL grants with UPDATE."""

DELETES = (OFFLINE_FILES,)
"""Tables from which the proxy deletes rows. (``dbproxy-audit --repair`` deletes from IMRecentSession.)"""

_DENIED = {ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR}


def statements(*, writes: bool) -> Iterator[tuple[str, str, str]]:
    """Yield privilege, table and a statement that needs exactly this privilege; without ``writes`` only SELECT."""
    for table, columns in schema.REQUIRED_TABLES.items():
        yield "SELECT", table, f"select {','.join(columns)} from {table}"
    if not writes:
        return
    for table, columns in INSERTS.items():
        yield "INSERT", table, f"insert into {table} ({','.join(columns)}) values ({','.join('?' * len(columns))})"
    for table, columns in UPDATES.items():
        yield "UPDATE", table, f"update {table} set {','.join(f'{column}=?' for column in columns)}"
    for table in DELETES:
        yield "DELETE", table, f"delete from {table}"


def check(session: Session, subject: Subject, *, writes: bool) -> set[str]:
    """Check the privileges on the tables; returns the tables that may not be read, of which nothing else can be said."""
    lacking: dict[str, list[str]] = {}
    for privilege, table, statement in statements(writes=writes):
        refused = session.refusal_of(statement)
        if refused is not None and refused.code in _DENIED:
            lacking.setdefault(privilege, []).append(table)
    account, database = session.values("current_user(),database()")
    if lacking:
        user, _, host = account.rpartition("@")
        grants = [
            f"GRANT {privilege} ON `{database}`.`{table}` TO '{user}'@'{host}'" for privilege, tables in lacking.items() for table in tables
        ]
        subject.error(
            Kind.GRANTS,
            f"the account {account} lacks " + "; ".join(f"{privilege} on {listed(tables)}" for privilege, tables in lacking.items()),
            ("; ".join(grants) if len(grants) <= 4 else f"{grants[0]}; and likewise for the other tables, or for `{database}`.*"),
        )
    else:
        privileges = "SELECT, INSERT, UPDATE, DELETE" if writes else "SELECT"
        subject.ok(Kind.GRANTS, f"the account {account} has {privileges} wherever the proxy needs it")
    _check_own_sessions(session, subject)
    return set(lacking.get("SELECT", ()))


def may_create_offline_files(session: Session) -> bool:
    """Whether the start could make the table of offline files."""
    sql = resources.files("dbproxy").joinpath("schema.sql").read_text(encoding="utf-8")
    refused = session.refusal_of(schema.create_statement(sql, OFFLINE_FILES))
    return refused is None


def _check_own_sessions(session: Session, subject: Subject) -> None:
    """A lost connection is ended with KILL, for which an account needs no privilege, if it is the account's own."""
    if session.connection.server_connection_id.host:
        subject.ok(Kind.OWN_SESSIONS, "the account sees its own sessions and may end them: KILL needs no privilege for that")
    else:
        subject.warning(
            Kind.OWN_SESSIONS,
            "the account does not see its own sessions in the server's list of processes, so a connection that was lost in a transaction "
            "cannot be ended; its locks stay until the server notices (wait_timeout of the session)",
            "use an account with a user name of its own (not the anonymous one), and look into the server's log",
        )
