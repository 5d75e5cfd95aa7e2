"""What is examined of a cluster in which several servers take writes: Galera, or group replication of MySQL with several primaries."""

from __future__ import annotations

from dbproxy.doctor.finding import Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.session import Session
from dbproxy.stores.mysql import schema

MOST_PAUSED = 0.05
"""The share of time for which flow control may have paused the cluster."""


def check(session: Session, subject: Subject, *, writes: bool) -> None:
    """Examine the node; nothing is said about other servers. ``writes``: it is the master."""
    server = session.server
    if server.is_galera:
        _check_node(session, subject)
    elif not server.is_multi_primary:
        return
    if writes:
        _check_locks(session, subject)
    if server.is_galera:
        _check_size(session, subject)
        _check_settings(session, subject, writes=writes)
        _check_flow_control(session, subject)


def _check_node(session: Session, subject: Subject) -> None:
    state = session.status.get("wsrep_cluster_status", "")
    if session.status.get("wsrep_ready", "ON").upper() != "ON" or (state and state != "Primary"):
        subject.error(
            Kind.GALERA,
            f"this node is not part of a working Galera cluster (wsrep_cluster_status {state or 'unknown'}): it refuses queries",
            "look at the cluster: it has lost its quorum, or this node is still joining it",
        )


def _check_locks(session: Session, subject: Subject) -> None:
    table = schema.LOCK_TABLE
    what = "Galera" if session.server.is_galera else "group replication with several primaries"
    if not session.server.has_lock_rows:
        subject.warning(
            Kind.GALERA,
            f"{what}: the table {table} is missing. Without it named locks (GET_LOCK) and row locks hold on one node only: if two proxies "
            "write to different nodes, a pair of users may get two relations, a user two sessions, and messages of one conversation the "
            "same msg_id. The start of a proxy makes it if the account has CREATE",
            "GRANT CREATE, or make the table as in conf/schema.sql; until then let teamtalk_master of every proxy lead to the same node",
        )
        return
    refused = session.refusal_of(f"insert into {table} (id,n) values (?,?) on duplicate key update n=n+1")
    if refused is not None:
        subject.error(
            Kind.GALERA,
            f"{what}: the account may not write the table {table}, so every message is refused: {subject.foreign(refused)}",
            f"GRANT SELECT, INSERT, UPDATE on {table} to the account",
        )
        return
    subject.ok(Kind.GALERA, f"{what}: locks that all nodes respect are taken with the table {table}; proxies may write to different nodes")


def _check_size(session: Session, subject: Subject) -> None:
    size = session.status.get("wsrep_cluster_size", "")
    if not size.isdecimal():
        return
    if size == "1":
        subject.info(Kind.GALERA, "the cluster has one node: nothing takes over when it is lost", "three nodes")
    elif int(size) % 2 == 0:
        subject.warning(
            Kind.GALERA,
            f"the cluster has {size} nodes: if the network divides it into halves, neither has a majority, and all refuse queries"
            + (". So does the one that is left when the other crashes" if size == "2" else ""),
            "an odd number of nodes, or garbd as one more voter",
        )


def _check_settings(session: Session, subject: Subject, *, writes: bool) -> None:
    if writes and session.number("innodb_autoinc_lock_mode") not in (2, None):
        subject.error(
            Kind.GALERA,
            f"innodb_autoinc_lock_mode is {session.number('innodb_autoinc_lock_mode')}: nodes wait for each other's inserts, and block",
            "innodb_autoinc_lock_mode=2",
        )
    if writes and not session.is_on("wsrep_auto_increment_control") and session.status.get("wsrep_cluster_size", "1") != "1":
        subject.info(
            Kind.GALERA,
            "wsrep_auto_increment_control is off: rows that two nodes insert at once get the same ids, and one of them begins again",
            "wsrep_auto_increment_control=ON, if proxies write to several nodes",
        )
    if session.server.engine != "MariaDB":
        return
    subject.info(
        Kind.GALERA, "sessions of the proxy have wsrep_sync_wait=1: they read what other nodes have committed before, whatever is set here"
    )


def _check_flow_control(session: Session, subject: Subject) -> None:
    try:
        paused = float(session.status.get("wsrep_flow_control_paused", "0"))
    except ValueError:
        return
    if paused > MOST_PAUSED:
        subject.warning(
            Kind.GALERA,
            f"flow control has paused writing for {paused:.0%} of the time since FLUSH STATUS: a node cannot keep up with the others",
            "more wsrep_slave_threads, a faster disk for the slowest node (wsrep_local_recv_queue_avg shows which one)",
        )
