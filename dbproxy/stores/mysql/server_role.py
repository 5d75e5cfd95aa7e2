"""ServerRole: what a server says of itself when a connection is made: which one it is, and whether it takes writes.

It is asked in the round trip that every new connection needs anyway; only a Galera node, and a server out of a list, costs more. What is
asked of every server needs no privilege.
The thread that has the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pymysql
from pymysql.constants import ER

from dbproxy.stores.mysql.errors import error_text

if TYPE_CHECKING:
    from dbproxy.stores.mysql.connection import DBConn

_OFF = (None, b"", b"0", b"OFF")

_MARIADB_PLAIN = "select @@max_allowed_packet,@@global.read_only,@@innodb_read_only,concat_ws(':',@@hostname,@@port,@@server_id)"
_MARIADB = f"{_MARIADB_PLAIN},@@wsrep_on,@@wsrep_on and @@wsrep_provider<>'none'"
_MYSQL = (
    "select @@max_allowed_packet,@@global.read_only,@@innodb_read_only,@@server_uuid,@@version_comment like '%WSREP%' "
    "or @@version_comment like '%XtraDB Cluster%'"
)
"""Only variables, which any account may read."""

_ANY = "select @@max_allowed_packet,0,0,''"
"""For what speaks MySQL's protocol without these variables."""

_GROUP_SETTINGS = "select @@group_replication_group_name,@@group_replication_single_primary_mode"
"""Only where the plugin of MySQL is loaded; any account may read it, unlike performance_schema."""

_GROUP = "select member_id=@@server_uuid,member_state from performance_schema.replication_group_members"

_MARIADB_OWN_HISTORY = "select @@server_id,concat_ws(',',@@gtid_binlog_state,@@gtid_slave_pos)"
_MARIADB_PLAIN_HISTORY = f"{_MARIADB_OWN_HISTORY},''"
_MARIADB_HISTORY = f"{_MARIADB_OWN_HISTORY},if(@@wsrep_on,@@wsrep_cluster_name,'')"
_MYSQL_HISTORY = "select @@server_uuid,@@global.gtid_executed,''"

_MYSQL_SET = re.compile(r"([0-9a-f]{8}-[0-9a-f-]{27})(:[^,]*)")

_ONE_PRIMARY, _SEVERAL_PRIMARIES = "one primary", "several primaries"
"""Kinds of replication groups."""

_USABLE = (b"ONLINE", b"OFFLINE")
"""States of the member of a group that may take writes. OFFLINE: the plugin is there, but not in use; ``read_only`` says the rest."""


@dataclass(frozen=True, slots=True)
class History:
    """What a server has executed, as far as there are GTIDs. It is asked only of a server in a list."""

    origin: str = ""
    """What the server itself is called in GTIDs."""
    newest: Mapping[str, int] = field(default_factory=dict)
    """Origin → number of the newest transaction from there."""
    length: int = 0
    """Grows with every transaction."""

    @classmethod
    def of_mariadb(cls, origin: str, gtids: str) -> History:
        """Of ``domain-origin-number``; the numbers of a domain go on when another server takes over."""
        newest: dict[str, int] = {}
        domains: dict[str, int] = {}
        for domain, server, number in re.findall(r"(\d+)-(\d+)-(\d+)", gtids):
            newest[server] = max(newest.get(server, 0), int(number))
            domains[domain] = max(domains.get(domain, 0), int(number))
        return cls(origin, newest, sum(domains.values()))

    @classmethod
    def of_mysql(cls, origin: str, gtids: str) -> History:
        """Of ``origin:1-5:7``, or with a tag ``origin:tag:1-5``."""
        newest = {server: max(map(int, re.findall(r"[:-](\d+)", sets)), default=0) for server, sets in _MYSQL_SET.findall(gtids)}
        return cls(origin, newest, sum(newest.values()))

    def goes_on_after(self, other: History) -> bool:
        """Whether the server has executed more than ``other``, and transactions of its own that the other does not have."""
        return self.length > other.length and self.newest.get(self.origin, 0) > other.newest.get(self.origin, 0)


@dataclass(frozen=True, slots=True)
class ServerRole:
    """Which server it is, and what it takes."""

    identity: str
    """Differs between servers, and stays the same when one is started again; empty: not known. MariaDB has host name, port and server_id,
    MySQL its server_uuid."""
    max_allowed_packet: int
    """Bytes of the longest statement."""
    refusal: str = ""
    """Why it takes no writes; empty: it does. An account that may override ``read_only`` (SUPER, READ_ONLY ADMIN) makes no difference."""

    has_other_writers: bool = False
    """Whether it belongs to a cluster in which each server may take writes: Galera, a replication group with several primaries."""
    history: History = field(default_factory=History)
    cluster: str = ""
    """The same for all nodes of a cluster in which each may take writes; empty: it is in none."""
    not_known: str = ""
    """What could not be asked, and what was missing for that; empty: nothing."""

    @property
    def takes_writes(self) -> bool:
        """Whether writes may be sent to it."""
        return not self.refusal

    def has_succeeded(self, other: ServerRole) -> bool:
        """Whether it is the primary and ``other`` a former one, or a replica, that takes writes by mistake."""
        return not self.is_node_with(other) and self.history.goes_on_after(other.history)

    def is_node_with(self, other: ServerRole) -> bool:
        """Whether both are nodes of one cluster."""
        return bool(self.cluster) and self.cluster == other.cluster


def ask_role(connection: DBConn, *, of_several: bool) -> ServerRole:
    """Ask a server that has just been connected to. ``of_several``: it stands in a list with others, which may form a group of MySQL.

    Raises:
        pymysql.err.Error: it does not answer, or not that.

    """
    row, group, not_known = _ask_mariadb(connection) if connection.is_mariadb else _ask_mysql(connection)
    packet, read_only, innodb_read_only, identity, *wsrep = row
    is_wsrep, is_node = wsrep if len(wsrep) == 2 else (None, None)
    history, cluster = _history(connection) if of_several else (History(), "")
    has_other_writers = is_node not in _OFF or group == _SEVERAL_PRIMARIES
    refusal = ""
    if read_only not in _OFF or innodb_read_only not in _OFF:
        refusal = "it is read-only"
    elif is_wsrep not in _OFF:
        refusal = _refusal_of_node(connection)
    elif of_several and group:
        refusal, not_known = _refusal_of_member(connection)
    return ServerRole(
        (identity or b"").decode(errors="replace"),
        int(packet or 0),
        refusal,
        has_other_writers=has_other_writers,
        history=history,
        cluster=cluster or ("group" if has_other_writers else ""),
        not_known=not_known,
    )


def _ask_mariadb(connection: DBConn) -> tuple[Sequence[bytes | None], str, str]:
    """What a server says of itself, that it is in no group of MySQL, and what is not known."""
    try:
        return connection.select(_MARIADB)[0], "", ""
    except pymysql.err.Error as error:
        _raise_if_useless(connection, error)
    try:
        return connection.select(_MARIADB_PLAIN)[0], "", ""  # of a server that was built without Galera
    except pymysql.err.Error as error:
        _raise_if_useless(connection, error)
        return _ask_any(connection, error)


def _ask_mysql(connection: DBConn) -> tuple[Sequence[bytes | None], str, str]:
    """What a server says of itself, what kind of group it is in (empty: none), and what is not known. One round trip."""
    results = connection.results_of((_MYSQL, _GROUP_SETTINGS))
    try:
        (row,) = next(results).rows
    except pymysql.err.Error as error:
        _raise_if_useless(connection, error)
        return _ask_any(connection, error)
    row = (*row, row[-1])  # of Galera: a node that has a provider
    try:
        ((name, is_single),) = next(results).rows
    except pymysql.err.Error as error:
        if not connection.open:
            raise
        is_unloaded = error.args[0] == ER.UNKNOWN_SYSTEM_VARIABLE
        return row, "", "" if is_unloaded else f"whether it is in a replication group ({error_text(error)})"
    return row, "" if not name else _SEVERAL_PRIMARIES if is_single in _OFF else _ONE_PRIMARY, ""


def _ask_any(connection: DBConn, error: pymysql.err.Error) -> tuple[Sequence[bytes | None], str, str]:
    return connection.select(_ANY)[0], "", f"which server it is and whether it is read-only ({error_text(error)})"


def _raise_if_useless(connection: DBConn, error: pymysql.err.Error) -> None:
    """Raise an error after which nothing else has to be tried."""
    if not connection.open or error.args[0] == ER.UNKNOWN_COM_ERROR:
        raise error


def _history(connection: DBConn) -> tuple[History, str]:
    """What the server has executed, and the name of its cluster."""
    for query in (_MARIADB_HISTORY, _MARIADB_PLAIN_HISTORY) if connection.is_mariadb else (_MYSQL_HISTORY,):
        try:
            row = connection.select(query)[0]
        except pymysql.err.Error:
            if not connection.open:
                raise
            continue
        origin, gtids, cluster = ((value or b"").decode(errors="replace") for value in row)
        return History.of_mariadb(origin, gtids) if connection.is_mariadb else History.of_mysql(origin, gtids), cluster
    return History(), ""


def _refusal_of_node(connection: DBConn) -> str:
    """Why a Galera node takes no writes; empty: it does, or is no part of a cluster."""
    try:
        ((rejects,),) = connection.select("select @@wsrep_reject_queries")
    except pymysql.err.Error:
        if not connection.open:
            raise
        rejects = None
    if rejects not in (None, b"NONE"):
        return "it refuses all queries (wsrep_reject_queries)"
    status: dict[bytes, bytes] = dict(connection.select("show global status where variable_name in ('wsrep_ready','wsrep_connected')"))
    if status.get(b"wsrep_connected") == b"OFF" and status.get(b"wsrep_ready") == b"ON":
        return ""  # without a provider
    return "" if status.get(b"wsrep_ready", b"ON") == b"ON" else "it is no working part of its Galera cluster (wsrep_ready=OFF)"


def _refusal_of_member(connection: DBConn) -> tuple[str, str]:
    """Why a member of a replication group of MySQL takes no writes (empty: it does), and what is not known because the account may not
    ask.
    """
    try:
        members = connection.select(_GROUP)
    except pymysql.err.Error as error:
        if not connection.open:
            raise
        return "", f"the state of its replication group ({error_text(error)})"
    own = [state for is_own, state in members if is_own == b"1"]
    if own and own[0] not in _USABLE:
        return (f"it is {own[0].decode()} in its replication group" if own[0] else ""), ""
    online = sum(state in (b"ONLINE", b"RECOVERING") for _, state in members)
    if own == [b"ONLINE"] and 2 * online <= len(members):
        return "it does not reach the majority of its replication group", ""
    return "", ""
