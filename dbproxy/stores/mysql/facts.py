"""What a MySQL server is: product, topology, and the settings on which promises depend. One place for the start of the proxy and for
``dbproxy-doctor``. Any thread that has a connection.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pymysql

from dbproxy.stores.mysql.connection import DBConn
from dbproxy.stores.mysql.errors import error_code, is_refusal
from dbproxy.stores.mysql.replication import ReplicaStatus, replica_status, status_statement
from dbproxy.stores.mysql.result import Row

READ_ONLY = ("read_only", "super_read_only", "innodb_read_only", "transaction_read_only", "tx_read_only")
"""Variables of which each makes a server refuse writes."""

_IDENTITY = ("server_uuid", "server_uid", "hostname", "port", "server_id", "datadir", "socket")

VARIABLES = (
    *_IDENTITY,
    *READ_ONLY,
    *("version_comment", "aurora_version", "log_bin", "sync_binlog", "innodb_flush_log_at_trx_commit"),
    *("wsrep_on", "wsrep_sync_wait", "group_replication_group_name", "group_replication_single_primary_mode"),
    *("rpl_semi_sync_master_enabled", "rpl_semi_sync_source_enabled"),
    *("rpl_semi_sync_master_wait_point", "rpl_semi_sync_source_wait_point"),
)
"""Global variables that are asked for; a server does not have all of them."""

STATUS = (
    *("slaves_connected", "rpl_semi_sync_master_status", "rpl_semi_sync_source_status"),
    *("rpl_semi_sync_master_clients", "rpl_semi_sync_source_clients"),
    *("wsrep_ready", "wsrep_cluster_status", "wsrep_cluster_size", "wsrep_local_index", "wsrep_local_state_comment"),
)
"""Values of the global status, likewise."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a MySQL group replication."""

    uuid: str
    state: str
    """ONLINE, RECOVERING, UNREACHABLE, ERROR, OFFLINE."""
    role: str
    """PRIMARY or SECONDARY."""


@dataclass(frozen=True, slots=True)
class MySQLServer:
    """A server, as it was when it was asked."""

    version: str
    """What ``version()`` says."""
    variables: Mapping[str, str]
    """Global variables by names in small letters."""
    status: Mapping[str, str]
    """Global status, likewise."""
    sources: Sequence[ReplicaStatus] | None
    """What it replicates from; None: the account may not ask."""
    replicas: int | None
    """Replicas that are connected; None: the account may not ask."""
    group: Sequence[GroupMember] | None
    """Members of its group; None: the account may not ask. Empty without group replication."""
    clock: tuple[float, float]
    """Seconds by which its clock is ahead of this host's, and how uncertain that is."""
    has_lock_rows: bool = False
    """Whether the proxy takes locks that all members of its cluster know; see ``lock_rows.py``."""

    @property
    def identity(self) -> tuple[str, ...]:
        """The same for two pools of one server, whatever host names lead there."""
        return identity(self.variables)

    @property
    def engine(self) -> str:
        """Name of the product."""
        return engine(self.version, self.variables)

    @property
    def release(self) -> str:
        """The version without what distributions add: 10.11.19."""
        found = re.match(r"[\d.]+\d", self.version)
        return found[0] if found else self.version

    @property
    def read_only(self) -> list[str]:
        """Names of the variables that make it refuse writes."""
        return [name for name in READ_ONLY if is_on(self.variables, name)]

    @property
    def is_galera(self) -> bool:
        """Whether it is a node of a Galera cluster."""
        return is_on(self.variables, "wsrep_on")

    @property
    def is_group_member(self) -> bool:
        """Whether it takes part in a MySQL group replication."""
        if not self.variables.get("group_replication_group_name"):
            return False
        return self.group is None or any(member.state != "OFFLINE" for member in self.group)

    @property
    def is_multi_primary(self) -> bool:
        """Whether several servers of its group take writes."""
        return self.is_group_member and not is_on(self.variables, "group_replication_single_primary_mode")

    def follows(self, other: MySQLServer) -> bool:
        """Whether it replicates from another server, as far as their numbers say."""
        number = other.variables.get("server_id", "")
        return any(status.source_id == number for status in self.sources or ()) and self.identity != other.identity

    def semi_sync(self, what: str, of: Mapping[str, str]) -> str:
        """Return a variable or a status value of the semi-synchronous replication, under its old or its new name; empty: not there."""
        return of.get(f"rpl_semi_sync_master_{what}") or of.get(f"rpl_semi_sync_source_{what}") or ""


def is_on(variables: Mapping[str, str], name: str) -> bool:
    """Whether a variable is switched on; one that the server does not have is off."""
    return variables.get(name, "OFF").upper() not in ("OFF", "0", "")


def identity(variables: Mapping[str, str]) -> tuple[str, ...]:
    """What tells a server from others. MySQL has a UUID; MariaDB has not in all versions, so several things that are its own."""
    return tuple(variables.get(name, "") for name in _IDENTITY)


def engine(version: str, variables: Mapping[str, str]) -> str:
    """Return the name of the product."""
    comment = variables.get("version_comment", "")
    for name in ("MariaDB", "TiDB"):
        if name in version:
            return name
    if "aurora_version" in variables:
        return "Aurora MySQL"
    return "Percona Server" if "Percona" in comment else "MySQL"


def read_server(connection: DBConn) -> MySQLServer:
    """Ask the server of a connection: one round trip, two to four more for its replication. Privileges are not needed: what the account
    may not ask is None.

    Raises:
        pymysql.err.Error: the connection is lost.

    """
    before = time.time()
    now, variables, status = connection.script(
        ["select unix_timestamp(now(6)),version()", _named("variables", VARIABLES), _named("status", STATUS)]
    )
    after = time.time()
    version = _text(now[0][1])
    settings, values = _mapping(variables), _mapping(status)
    sources = _asked(connection, status_statement(version))
    members = (
        _asked(connection, "select member_id,member_state,member_role from performance_schema.replication_group_members")
        if settings.get("group_replication_group_name")
        else []
    )
    return MySQLServer(
        version=version,
        variables=settings,
        status=values,
        sources=None if sources is None else tuple(replica_status(sources, version)),
        replicas=_replicas(connection, version, settings, values),
        group=None if members is None else tuple(GroupMember(*map(_text, row)) for row in members),
        clock=(float(now[0][0] or 0) - (before + after) / 2, (after - before) / 2),
        has_lock_rows=connection.needs_lock_rows,
    )


def _named(what: str, names: Sequence[str]) -> str:
    return f"show global {what} where variable_name in ({','.join(repr(name) for name in names)})"


def _mapping(rows: Sequence[Row]) -> dict[str, str]:
    return {_text(row[0]).lower(): _text(row[1]) for row in rows}


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")


def _replicas(connection: DBConn, version: str, variables: Mapping[str, str], status: Mapping[str, str]) -> int | None:
    if "slaves_connected" in status:
        return int(status["slaves_connected"])
    if not is_on(variables, "log_bin"):
        return 0
    rows = _asked(connection, "show slave hosts" if status_statement(version) == "show slave status" else "show replicas")
    return None if rows is None else len(rows)


def _asked(connection: DBConn, statement: str) -> Sequence[Row] | None:
    """The rows of a query, None if the server refuses it."""
    try:
        return connection.select(statement)
    except pymysql.err.Error as error:
        if not connection.open or not is_refusal(error_code(error)):
            raise
        return None
