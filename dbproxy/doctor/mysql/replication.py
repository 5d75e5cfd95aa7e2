"""Replication: whether the slave follows the master, and how far behind it is."""

from __future__ import annotations

from collections.abc import Iterator

from dbproxy.doctor.finding import Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.session import RefusedError, Session
from dbproxy.stores.mysql import promises
from dbproxy.stores.mysql.replication import ReplicaStatus, replica_status, status_statement

_MORE_SAFETY = {
    "asynchronous": "semi-synchronous replication with AFTER_SYNC, if a crash of the master must lose nothing (docs/TOPOLOGIES.md)",
    "semi_synchronous": "SET GLOBAL rpl_semi_sync_master_wait_point (MySQL: rpl_semi_sync_source_wait_point) to AFTER_SYNC",
    "quorum": "add a third node, or garbd on a third machine",
}


def check(session: Session, subject: Subject, master: Session | None, most_lag: float) -> None:
    """Check a slave, which is another server than the master. ``master`` None: it could not be reached. ``most_lag``: MaxReplicaLag."""
    try:
        replicas = list(_replicas(session))
    except RefusedError as error:
        privilege = "SLAVE MONITOR" if session.connection.is_mariadb else "REPLICATION CLIENT"
        (account,) = session.values("current_user()")
        user, _, host = account.rpartition("@")
        subject.warning(
            Kind.REPLICATION,
            "whether it follows the master cannot be said: the account may not ask for the state of the replication "
            f"({subject.foreign(error)}); if it stops, that is only noticed when it is more than MaxReplicaLag behind",
            f"GRANT {privilege} ON *.* TO '{user}'@'{host}'",
        )
        return
    if not replicas:
        _report_no_replica(session, subject)
    for replica in replicas:
        _report(subject, replica, master, most_lag)
    if replicas and not session.is_on("read_only"):
        subject.info(
            Kind.READ_ONLY,
            "this replica takes writes (read_only is off); the proxy only reads from it, but whoever writes here by mistake stops "
            "the replication",
            "SET GLOBAL read_only=1",
        )


def check_gtids(session: Session, subject: Subject, master: Session) -> None:
    """Say whether a slave can be asked for what the master has committed."""
    if session.is_on("wsrep_on") and session.variables.get("wsrep_cluster_name") == master.variables.get("wsrep_cluster_name"):
        return
    if session.connection.is_mariadb:
        missing = [] if master.is_on("log_bin") else ["log_bin of the master is off"]
    else:
        counted = ("ON", "ON_PERMISSIVE")
        names = {"the master": master, "it": session}
        missing = [f"gtid_mode of {name} is off" for name, of in names.items() if of.variables.get("gtid_mode", "OFF") not in counted]
    if missing:
        subject.warning(
            Kind.GTIDS,
            f"{' and '.join(missing)}: whether what it has is old cannot be asked, so it gets no reads, and the master takes them",
            "binary log and GTIDs on all servers (docs/HOWTO-REPLICAS.md)",
        )
    else:
        subject.ok(Kind.GTIDS, "it has GTIDs: it is asked for what the master has committed before it is read from")


def check_source(session: Session, subject: Subject) -> None:
    """Say it when the master itself follows another server."""
    try:
        sources = [replica.source for replica in _replicas(session)]
    except RefusedError:
        return
    if sources:
        subject.info(
            Kind.REPLICATION,
            f"the master itself replicates from {', '.join(sources)}",
            "fine if only one of the two is written to; otherwise ids collide and the replication stops",
        )


def check_topology(session: Session, subject: Subject) -> None:
    """Say what the master is, and what its replication does not promise."""
    facts = promises.describe(session.server, "", [promises.MASTER])
    subject.info(Kind.TOPOLOGY, facts.description)
    for limitation in facts.limitations:
        if limitation.name in ("asynchronous", "semi_synchronous", "quorum"):
            subject.info(Kind.TOPOLOGY, limitation.text, _MORE_SAFETY.get(limitation.name, ""))


def _replicas(session: Session) -> Iterator[ReplicaStatus]:
    """Yield the sources of a server; raises RefusedError when the account may not ask."""
    version = session.connection.server_version
    yield from replica_status(session.select(status_statement(version)), version)


def _report(subject: Subject, replica: ReplicaStatus, master: Session | None, most_lag: float) -> None:
    stopped = [name for name, state in (("receiving", replica.receives), ("applying", replica.applies)) if state != "Yes"]
    if stopped:
        numbers = ", ".join(number for number in replica.errors if number not in ("", "0"))
        subject.warning(
            Kind.REPLICATION,
            f"the replication from {replica.source} does not work ({' and '.join(stopped)} "
            f"stopped{', error ' + numbers if numbers else ''}): "
            "it gets no reads, and the master takes them",
            "SHOW REPLICA STATUS there says why; mend that and START REPLICA",
        )
        return
    if master is not None and replica.source_id not in ("", "0", master.variables.get("server_id", "")):
        subject.info(
            Kind.REPLICATION,
            f"it replicates from {replica.source} (server_id {replica.source_id}), and the master of this configuration has server_id "
            f"{master.variables.get('server_id')}",
            "fine if that one replicates from the master; otherwise the slave has other data",
        )
    if replica.lag is not None and replica.lag > most_lag:
        subject.warning(
            Kind.REPLICATION_LAG,
            f"it is {replica.lag} s behind {replica.source}, more than MaxReplicaLag: it gets no reads until it has caught up",
            "look what it is busy with (SHOW PROCESSLIST there): a long transaction, a slow disk, one thread only",
        )
    else:
        lag = "an unknown time" if replica.lag is None else f"{replica.lag} s"
        subject.ok(Kind.REPLICATION, f"it follows {replica.source}, {lag} behind")


def _report_no_replica(session: Session, subject: Subject) -> None:
    group = session.variables.get("group_replication_group_name", "")
    if group or session.is_on("wsrep_on") or "aurora_version" in session.variables:
        name = "MySQL group replication" if group else "Galera" if session.is_on("wsrep_on") else "Aurora"
        subject.info(Kind.REPLICATION, f"{name} keeps it equal to the master; its lag is not examined here")
        return
    subject.warning(
        Kind.REPLICATION,
        "it is another server than the master and replicates from nowhere: it gets no reads, and the master takes them",
        "set up replication from the master, or point teamtalk_slave at the master",
    )
