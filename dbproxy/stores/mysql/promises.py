"""The topology of a MySQL server in words, and what the proxy cannot promise on it. Pure functions of what ``facts.py`` has read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbproxy.stores.mysql.facts import MySQLServer, is_on
from dbproxy.stores.server_facts import Limitation, ServerFacts

MASTER = "teamtalk_master"

MOST_SKEW = 2.0
"""Seconds by which the clocks of a server and of this host may differ."""


def describe(server: MySQLServer, address: str, pools: Sequence[str]) -> ServerFacts:
    """Return what is to be said about a server. ``address``: host:port; ``pools``: those that lead to it."""
    topology, description = _topology(server)
    writes = MASTER in pools
    limitations = [*_working(server), *_of_source(server)] if writes else [*_working(server), *_of_replica(server)]
    return ServerFacts("mysql", address, tuple(pools), server.engine, server.release, topology, description, tuple(limitations))


def durability(server: MySQLServer) -> Iterator[Limitation]:
    """Yield what a crash of the server's machine loses although it was acknowledged."""
    flush, sync = server.variables.get("innodb_flush_log_at_trx_commit", "1"), server.variables.get("sync_binlog", "1")
    alone = not (server.is_galera or server.is_group_member)  # the other members have what one has lost
    if flush != "1":
        yield Limitation(
            "durability",
            f"innodb_flush_log_at_trx_commit is {flush}: a crash of {'its machine' if alone else 'all machines'} loses about the last "
            "second of messages that were acknowledged",
            breaks_promise=alone,
        )
    elif is_on(server.variables, "log_bin") and sync != "1":
        yield Limitation(
            "durability",
            f"sync_binlog is {sync} and the binary log is on: recovery drops what is not in it, so a crash of "
            f"{'its machine' if alone else 'all machines'} loses messages that were acknowledged just before",
            breaks_promise=alone,
        )


def clock(server: MySQLServer) -> Iterator[Limitation]:
    """Yield it when the clock of the server is wrong, or this host's."""
    skew, uncertain = server.clock
    if abs(skew) - uncertain > MOST_SKEW:
        yield Limitation(
            "clock",
            f"its clock is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this host's, whose time stands in messages and "
            "sessions: lists may be sorted wrongly, and clients miss changes",
            breaks_promise=True,
        )


def _topology(server: MySQLServer) -> tuple[str, str]:
    """The word and the description."""
    if server.is_galera:
        index, size = server.status.get("wsrep_local_index", ""), server.status.get("wsrep_cluster_size", "?")
        number = f"{int(index) + 1} of {size}" if index.isdecimal() and index != "18446744073709551615" else f"of {size}"
        return "galera", f"Galera node {number}, {server.status.get('wsrep_local_state_comment') or 'state unknown'}"
    if server.is_group_member:
        mode = "multi" if server.is_multi_primary else "single"
        return f"group_{mode}_primary", f"{mode}-primary group replication, {_membership(server)}"
    if server.engine == "Aurora MySQL":
        return "aurora", f"Aurora {server.variables['aurora_version']}"
    replicas = "" if not server.replicas else f", with {_counted(server.replicas, 'replica')} of its own"
    if server.sources:
        sources = ", ".join(f"{status.source}{'' if status.works else ' (stopped)'}" for status in server.sources)
        return "replica", f"replica of {sources}{replicas}"
    if server.replicas:
        return "primary", f"primary with {_counted(server.replicas, 'replica')}, {_acknowledgement(server)}"
    unknown = server.sources is None or server.replicas is None
    return "single", f"single server{' as far as the account may ask' if unknown else ''}"


def _membership(server: MySQLServer) -> str:
    if server.group is None:
        return "whose members the account may not ask for"
    own = next((member for member in server.group if member.uuid == server.variables.get("server_uuid")), None)
    what = "member" if own is None else f"{own.role.lower() or 'member'} {own.state}"
    return f"{what} of {_counted(len(server.group), 'member')}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _acknowledgement(server: MySQLServer) -> str:
    if server.semi_sync("enabled", server.variables).upper() not in ("ON", "1"):
        return "asynchronous"
    point = server.semi_sync("wait_point", server.variables)
    state = "" if server.semi_sync("status", server.status).upper() == "ON" else ", asynchronous at the moment"
    return f"semi-synchronous ({point}){state}"


def _working(server: MySQLServer) -> Iterator[Limitation]:
    """What is wrong with a server whatever it is used for."""
    state = server.status.get("wsrep_cluster_status", "")
    if server.is_galera and (server.status.get("wsrep_ready", "ON").upper() != "ON" or state not in ("", "Primary")):
        yield Limitation(
            "not_in_cluster",
            f"this node is not part of a working Galera cluster (wsrep_cluster_status {state or 'unknown'}): it refuses queries",
            breaks_promise=True,
        )
    if server.is_group_member and server.group:
        own = next((member for member in server.group if member.uuid == server.variables.get("server_uuid")), None)
        if own is not None and own.state != "ONLINE":
            yield Limitation(
                "not_in_cluster", f"this member of the group replication is {own.state}: it takes no writes", breaks_promise=True
            )
    yield from clock(server)


def _of_source(server: MySQLServer) -> Iterator[Limitation]:
    """What is not promised where the proxy writes."""
    if server.read_only:
        names = " and ".join(server.read_only)
        yield Limitation(
            "read_only",
            f"{names} {'is' if len(server.read_only) == 1 else 'are'} on: messages are refused, or, if the account may write nevertheless, "
            "are missing on the server that this one replicates from",
            breaks_promise=True,
        )
    yield from durability(server)
    yield from _of_cluster(server)
    if server.replicas and not server.is_galera and not server.is_group_member:
        yield from _of_replication(server)


def _of_cluster(server: MySQLServer) -> Iterator[Limitation]:
    size = server.status.get("wsrep_cluster_size", "") if server.is_galera else str(len(server.group or ()))
    if size == "1" or not (server.is_galera or server.is_multi_primary):
        return
    if not server.has_lock_rows:
        yield Limitation(
            "locks_of_one_node",
            "locks hold on this node only, because the table IMProxyLock is missing: if proxies write to different nodes, a pair of "
            "users may get two relations, a user two sessions, and a msg_id may be given twice",
            breaks_promise=True,
        )
    if size == "2":
        yield Limitation(
            "quorum", "the cluster has 2 nodes: if one is lost without leaving, the other refuses queries", breaks_promise=False
        )


def _of_replication(server: MySQLServer) -> Iterator[Limitation]:
    if server.semi_sync("enabled", server.variables).upper() not in ("ON", "1"):
        yield Limitation(
            "asynchronous",
            "the replication is asynchronous: when a replica takes over after a crash, messages that were acknowledged and had not reached "
            "it are lost",
            breaks_promise=False,
        )
    elif server.semi_sync("status", server.status).upper() != "ON":
        yield Limitation(
            "asynchronous",
            "no replica acknowledges at the moment, so the semi-synchronous replication works asynchronously: a takeover after a crash "
            "loses what had not reached the replica",
            breaks_promise=False,
        )
    elif server.semi_sync("wait_point", server.variables).upper() == "AFTER_COMMIT":
        yield Limitation(
            "semi_synchronous",
            "messages can be read before a replica has them (AFTER_COMMIT): after a takeover what somebody has seen may be gone; "
            "what was acknowledged is there",
            breaks_promise=False,
        )


def _of_replica(server: MySQLServer) -> Iterator[Limitation]:
    """What is not promised where the proxy only reads."""
    if server.is_galera or server.is_group_member or server.engine == "Aurora MySQL":
        return
    if server.sources is not None and not server.sources:
        yield Limitation(
            "no_replication",
            "it is another server than the master's and replicates from nowhere: it gets no reads",
            breaks_promise=False,
        )
    for status in server.sources or ():
        if not status.works:
            yield Limitation(
                "replication_stopped", f"the replication from {status.source} does not work: it gets no reads", breaks_promise=False
            )
