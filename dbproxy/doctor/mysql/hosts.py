"""The hosts of a list of which one takes the writes: whether each can be reached, what it is, and which one a proxy would choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dbproxy.config import Config, DBInstance
from dbproxy.doctor.finding import Findings, Level, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql import server
from dbproxy.doctor.mysql.session import RefusedError, Session
from dbproxy.doctor.reach import report_failure
from dbproxy.errors import StartupError, StoreError
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.resolver import Resolver


@dataclass(frozen=True, slots=True)
class _Host:
    """A host that could be asked."""

    instance: DBInstance
    """The instance with this host alone."""
    subject: Subject
    version: str
    refusal: str
    """Why it takes no writes; empty: it does."""
    group: str
    """The same for all nodes of a multi-primary cluster; empty: it is in none."""
    overrides: bool
    """Whether the account may write although the server is read-only."""


def choose(instance: DBInstance, config: Config, findings: Findings, resolver: Resolver) -> DBInstance | None:
    """Examine every host of ``instance``, and return it with the one alone that a proxy would use; with the first that answers if none
    takes writes, None if none answers.
    """
    hosts = list(_reachable(instance, config, findings, resolver))
    writable = [host for host in hosts if not host.refusal]
    chosen = writable[0] if writable else None
    for host in hosts:
        _report(host, chosen)
    subject = findings.about(f"MySQL {instance.name}")
    if chosen is None:
        subject.error(
            Kind.HOSTS,
            f"none of the {len(instance.addresses)} hosts of {instance.name}_host takes writes: no message can be stored",
            "promote one of them: SET GLOBAL read_only=0 on it, and on no other",
        )
    elif len(writable) > 1 and (not chosen.group or any(host.group != chosen.group for host in writable)):
        _report_several(writable, subject)
    return chosen.instance if chosen else hosts[0].instance if hosts else None


def _reachable(instance: DBInstance, config: Config, findings: Findings, resolver: Resolver) -> Iterator[_Host]:
    for address in instance.addresses:
        host, port = address
        subject = findings.about(f"MySQL {instance.name} at {host}:{port}")
        alone = dataclasses.replace(instance, hosts=(address,), maxconncnt=1)
        pool = DBPool(alone, config, resolver)
        with subject.guarded():
            try:
                pool.open()
                yield _ask(dataclasses.replace(instance, hosts=(address,)), pool, subject)
            except (StartupError, StoreError, RefusedError) as error:
                report_failure(subject, error, f"{instance.name}_")
            finally:
                pool.close()


def _ask(instance: DBInstance, pool: DBPool, subject: Subject) -> _Host:
    with pool.connection() as connection:
        session = Session(connection)
        group = session.variables.get("wsrep_cluster_name", "") if session.is_on("wsrep_on") else ""
        return _Host(
            instance,
            subject,
            f"{session.server.engine} {session.server.version}",
            connection.connected_to.role.refusal,
            group or session.variables.get("group_replication_group_name", ""),
            not group and server.may_write_nevertheless(session),
        )


def _report(host: _Host, chosen: _Host | None) -> None:
    if host is chosen:
        host.subject.ok(Kind.HOSTS, f"{host.version}: it takes writes, and is the one that a proxy that is started now uses")
    elif host.refusal:
        host.subject.ok(Kind.HOSTS, f"{host.version}: {host.refusal}; it is used when it takes writes and the one in use does not")
    else:
        host.subject.info(Kind.HOSTS, f"{host.version}: it takes writes, and is used when those before it cannot be")
    if host.overrides:
        host.subject.warning(
            Kind.HOSTS,
            "the account may write although the server is read-only (SUPER, READ_ONLY ADMIN): after a switch a proxy that is connected "
            "here goes on writing to it, and what it writes is lost",
            "take SUPER, READ_ONLY ADMIN and CONNECTION_ADMIN from the account; the privileges on the database are enough",
        )


def _report_several(writable: Sequence[_Host], subject: Subject) -> None:
    names = ", ".join("{}:{}".format(*host.instance.addresses[0]) for host in writable)
    subject.add(
        Level.WARNING,
        Kind.HOSTS,
        f"{names} all take writes and are no nodes of one cluster: proxies that are started at different times, or fail over, may write to "
        "different ones, and neither has the messages of the other",
        "SET GLOBAL read_only=1 on all but one, and read_only=1 in the configuration of each: then a server that is started again takes "
        "writes only when somebody promotes it",
    )
