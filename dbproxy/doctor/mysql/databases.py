"""All MySQL pools of a configuration: each on its own, and all those of one server together. One thread."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dbproxy.config import Config, DBInstance
from dbproxy.doctor.finding import Findings, Level, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql import cluster, grants, hosts, replication, server, tables
from dbproxy.doctor.mysql.session import RefusedError, Session
from dbproxy.doctor.reach import report_failure
from dbproxy.errors import StartupError, StoreError
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.resolver import Resolver

MASTER, SLAVE = "teamtalk_master", "teamtalk_slave"

STATEMENT_TIMEOUT = 10.0
"""Seconds that a statement may take at most."""


@dataclass(frozen=True, slots=True)
class _Server:
    """A pool whose server could be reached."""

    instance: DBInstance
    subject: Subject
    session: Session
    server: str
    """host:port"""
    identity: tuple[str, ...]
    """The same for two pools of one server, whatever host names lead there."""


def check_databases(config: Config, findings: Findings, resolver: Resolver) -> None:
    """Examine every MySQL pool of ``config``."""
    config = dataclasses.replace(config, db_timeout=min(config.db_timeout, STATEMENT_TIMEOUT))
    with contextlib.ExitStack() as connections:
        servers: list[_Server] = []
        for instance, called in _single_servers(config):
            subject = findings.about(f"MySQL {called}")
            with subject.guarded(), _lost(subject):
                if instance.name == MASTER and len(instance.addresses) > 1:
                    chosen = hosts.choose(instance, config, findings, resolver)
                else:
                    chosen = instance
                found = None if chosen is None else _connect(chosen, config, subject, resolver, connections)
                if found is not None:
                    servers.append(found)
                    _check_pool(found, config)
        master = next((found for found in servers if found.instance.name == MASTER), None)
        for slave in servers:
            if slave.instance.name == SLAVE:
                with slave.subject.guarded(), _lost(slave.subject):
                    _compare(master, slave, config.max_replica_lag)
        for found in servers:
            sharing = [other for other in servers if other.identity == found.identity]
            if sharing[0] is found:
                subject = findings.about(f"MySQL server {found.server}")
                with subject.guarded(), _lost(subject):
                    _check_connections(sharing, subject)


def _single_servers(config: Config) -> Iterator[tuple[DBInstance, str]]:
    """Yield the instances with what they are called: the replicas one by one. Of several hosts of the master one is chosen later."""
    for instance in config.db_instances.values():
        if instance.name != SLAVE or len(instance.addresses) == 1:
            yield instance, instance.name
            continue
        for host, port in instance.addresses:
            yield dataclasses.replace(instance, hosts=((host, port),)), f"{instance.name} at {host}:{port}"


@contextlib.contextmanager
def _lost(subject: Subject) -> Iterator[None]:
    """Turn a connection that was lost into a finding; what was not examined yet is left out."""
    try:
        yield
    except (StoreError, RefusedError) as error:
        subject.error(
            Kind.LOST,
            f"the examination ended early: {subject.foreign(error)}",
            "look into the server's log, and run this again when the server is well",
        )


def _connect(
    instance: DBInstance, config: Config, subject: Subject, resolver: Resolver, connections: contextlib.ExitStack
) -> _Server | None:
    # A pool of one connection: the login of a second one would only cost time.
    began = time.monotonic()
    try:
        pool = DBPool(dataclasses.replace(instance, maxconncnt=1), config, resolver)
        connections.callback(pool.close)
        pool.open()
    except StartupError as error:
        report_failure(subject, error, f"{instance.name}_")
        return None
    seconds = time.monotonic() - began
    session = Session(connections.enter_context(pool.connection()))
    server.check_version(session, subject, seconds)
    return _Server(instance, subject, session, pool.report().server, session.server.identity)


def _check_pool(found: _Server, config: Config) -> None:
    """Examine one database. Only the master is written to."""
    session, subject = found.session, found.subject
    writes = found.instance.name != SLAVE
    unreadable = grants.check(session, subject, writes=writes)
    limits = tables.check(session, subject, unreadable)
    server.check_session(session, subject, config)
    server.check_packet(session, subject, config, limits)
    server.check_time_limits(session, subject, config)
    server.check_clock(session, subject)
    cluster.check(session, subject, writes=writes)
    if found.instance.name == MASTER:
        server.check_writable(session, subject)
        server.check_durability(session, subject)
        replication.check_source(session, subject)
        replication.check_topology(session, subject)


def _compare(master: _Server | None, slave: _Server, most_lag: float) -> None:
    """Examine how the slave follows the master."""
    if master is None:
        replication.check(slave.session, slave.subject, None, most_lag)
    elif master.identity != slave.identity:
        replication.check(slave.session, slave.subject, master.session, most_lag)
        replication.check_gtids(slave.session, slave.subject, master.session)
    elif master.instance.dbname.lower() == slave.instance.dbname.lower():
        slave.subject.info(Kind.SAME_SERVER, "it is the same server and database as the master's: nothing is ever behind; fine")
    else:
        slave.subject.error(
            Kind.SAME_SERVER,
            f"it is the same server as the master's, with another database ({slave.instance.dbname}): users do not see what is written",
            f"set {SLAVE}_dbname to {master.instance.dbname}",
        )


def _check_connections(sharing: list[_Server], subject: Subject) -> None:
    """Compare the limits of one server with what all pools on it may take together."""
    session = sharing[0].session
    names = " and ".join(f"{found.instance.name}_maxconncnt" for found in sharing)
    pools = sum(found.instance.maxconncnt for found in sharing)
    limit = session.number("max_connections") or 0
    others = _others(session, [found.session for found in sharing])
    if pools > limit:
        level, problem = Level.ERROR, "under load connections are refused, and with them requests"
    elif pools + others > limit:
        level, problem = Level.WARNING, f"{others} connections of others are there at this moment, so under load some of ours are refused"
    else:
        level, problem = Level.OK, f"{others} of others at this moment"
    what = f"max_connections is {limit}, and the pools of this configuration may take {pools} ({names}): {problem}"
    remedy = f"SET GLOBAL max_connections to at least {pools + others + 20}, or lower {names}"
    subject.add(level, Kind.CONNECTIONS, what, "" if level is Level.OK else remedy)
    if level is Level.OK and 2 * pools + others > limit:
        subject.info(
            Kind.CONNECTIONS,
            f"max_connections ({limit}) does not hold the pools twice ({2 * pools} connections): a second proxy, or the overlap of an "
            "upgrade, "
            "may find none under load",
            f"SET GLOBAL max_connections={2 * pools + others + 20} before that",
        )
    _check_user_limit(sharing, subject)


def _check_user_limit(sharing: list[_Server], subject: Subject) -> None:
    """Compare the limit of each account with what the pools that use it may take."""
    for username in dict.fromkeys(found.instance.username for found in sharing):
        using = [found for found in sharing if found.instance.username == username]
        limit = int(using[0].session.values("@@session.max_user_connections")[0] or 0)
        pools = sum(found.instance.maxconncnt for found in using)
        if 0 < limit < pools:
            subject.error(
                Kind.CONNECTIONS,
                f"the account {username} may have {limit} connections (max_user_connections), and the pools may take {pools}: under load "
                "connections are refused, and with them requests",
                f"ALTER USER '{username}' WITH MAX_USER_CONNECTIONS {pools + 8} (or the global variable), or lower the keys _maxconncnt",
            )


def _others(session: Session, ours: list[Session]) -> int:
    """How many connections of other accounts the server has; those of our account may be a running proxy's, which this one replaces."""
    connected = int(session.status.get("threads_connected") or 0)
    try:
        (own,) = session.values("(select count(*) from information_schema.processlist where user=substring_index(current_user(),'@',1))")
    except RefusedError:
        return max(0, connected - len(ours))
    return max(0, connected - max(int(own), len(ours)))
