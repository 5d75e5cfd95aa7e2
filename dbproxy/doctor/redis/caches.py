"""All Redis pools of a configuration: each on its own, and all those of one server together. One thread."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import redis

from dbproxy.config import CacheInstance, Config
from dbproxy.doctor.finding import Findings, Level, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.reach import report_failure
from dbproxy.doctor.redis import cluster, memory
from dbproxy.doctor.redis.access import USAGE, Server, Usage, check_commands, check_writing
from dbproxy.doctor.redis.sentinels import check_sentinels
from dbproxy.errors import StartupError
from dbproxy.stores.backend_calls import UNTRACKED
from dbproxy.stores.redis.driver import DriverConnection
from dbproxy.stores.redis.facts import RedisServer
from dbproxy.stores.redis.service_master import ServiceMaster
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.tls import tls_context

OLDEST = (4, 0)
"""HSET with several fields, which the proxy uses, begins here."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """A pool whose server could be reached."""

    instance: CacheInstance
    subject: Subject
    server: Server
    info: Mapping[str, str]
    identity: str
    """The same for all pools of one server, whatever host names lead there."""


def check_caches(config: Config, findings: Findings, resolver: Resolver) -> None:
    """Examine every Redis pool of ``config``."""
    pools: list[_Pool] = []
    with contextlib.ExitStack() as connections:
        for instance in config.cache_instances.values():
            subject = findings.about(f"Redis {instance.name}")
            with subject.guarded(), _lost(subject, f"{instance.name}_"):
                pool = _connect(instance, config, subject, resolver, connections)
                if pool is not None and not instance.cluster:
                    pools.append(pool)
                    _check_pool(pool, USAGE.get(instance.name))
                elif pool is not None:
                    pools += _check_nodes(pool, config, findings, resolver, connections)
        check_sentinels(config, findings, resolver)
        for pool in pools:
            sharing = [other for other in pools if other.identity == pool.identity]
            if sharing[0] is pool:
                subject = findings.about(f"Redis server {pool.server.address}")
                with subject.guarded(), _lost(subject, f"{pool.instance.name}_"):
                    _check_connections(sharing, subject)
                    _check_shared(sharing, subject)


@contextlib.contextmanager
def _lost(subject: Subject, keys: str) -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        subject.error(
            Kind.LOST,
            f"the examination ended early: {subject.foreign(error)}",
            f"look into the server's log ({keys}host), and run this again when the server is well",
        )


def _connect(
    instance: CacheInstance, config: Config, subject: Subject, resolver: Resolver, connections: contextlib.ExitStack
) -> _Pool | None:
    keys = f"{instance.name}_"
    where = f"Redis instance {instance.name} at {instance.address}" + ("" if instance.cluster else f" db {instance.db}")
    began = time.monotonic()
    try:
        context = None if instance.tls is None else tls_context(instance.name, instance.tls)
        connection = DriverConnection(instance, config, context, resolver, UNTRACKED)
        connections.callback(connection.disconnect)
        if instance.sentinels:  # began so long ago that there is no time left for waiting until there is a master
            ServiceMaster(instance, config, context, resolver, UNTRACKED).connect(connection, began - config.cache_pool_timeout)
        connection.ensure_connected()
        (pong,), _ = connection.exchange([("PING",)])
    except (redis.RedisError, OSError, StartupError) as error:
        report_failure(subject, _Unreachable(f"{where}: {error}", error), keys)
        return None
    seconds = time.monotonic() - began
    if isinstance(pong, redis.ResponseError):  # the start of the proxy fails then; what else is wrong may say why
        report_failure(subject, _Unreachable(f"{where}: PING is refused, so the proxy does not start: {pong}", pong), keys)
    server = Server(connection)
    info = server.info()
    _check_version(info, subject, seconds, encrypted=context is not None)
    return _Pool(instance, subject, server, info, info.get("run_id") or server.address)


class _Unreachable(Exception):  # noqa: N818 - it carries a text and a cause into a report, nothing raises it
    def __init__(self, text: str, cause: BaseException) -> None:
        super().__init__(text)
        self.__cause__ = cause


def _check_version(info: Mapping[str, str], subject: Subject, seconds: float, *, encrypted: bool) -> None:
    secure = ", encrypted" if encrypted else ""
    took = f"logged in within {seconds * 1000:.0f} ms{secure}"
    if not info:
        subject.warning(
            Kind.COMMANDS,
            f"{took}, but the account may not use INFO: a restart of Redis with old data goes unnoticed, and role, memory and persistence "
            "cannot be examined",
            "ACL SETUSER of the account: +info",
        )
        return
    product, version = RedisServer(info).engine
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is not None and (int(found[1]), int(found[2])) < OLDEST:
        subject.error(
            Kind.VERSION, f"{product} {version} is older than {OLDEST[0]}.{OLDEST[1]}", "upgrade it: HSET with several fields is needed"
        )
    else:
        subject.ok(Kind.VERSION, f"{product} {version}, {took}")


def _check_nodes(pool: _Pool, config: Config, findings: Findings, resolver: Resolver, connections: contextlib.ExitStack) -> Iterator[_Pool]:
    """Examine the cluster that a pool leads to, and all its masters; yields these."""
    name = pool.instance.name
    topology = cluster.check_cluster(pool.server, (pool.instance.host, pool.instance.port), pool.subject)
    for address in () if topology is None else topology.masters:
        instance = replace(pool.instance, host=address[0], port=address[1])
        subject = findings.about(f"Redis {name} node {address[0]}:{address[1]}")
        with subject.guarded(), _lost(subject, f"{name}_"):
            node = _connect(instance, config, subject, resolver, connections)
            if node is not None and topology is not None:
                usage = USAGE.get(name)
                _check_pool(node, None if usage is None else cluster.usage_of_node(usage, topology, address))
                yield node


def _check_pool(pool: _Pool, usage: Usage | None) -> None:
    """Examine the server of a pool, and whether the commands of ``usage`` can be used there; None: the pool is not used."""
    subject = pool.subject
    is_master = _check_role(pool, subject)
    if usage is None:
        subject.ok(Kind.WRITABLE, "the proxy keeps nothing in this pool; it is only connected to")
        return
    if is_master and check_commands(pool.server, subject, usage):
        check_writing(pool.server, subject, usage)
    if pool.info:
        memory.check(pool.server, pool.info, subject, pool.instance.name)


def _check_role(pool: _Pool, subject: Subject) -> bool:
    """Check what the server is; returns whether it may take writes."""
    info = pool.info
    mode, role = info.get("redis_mode", "standalone"), info.get("role", "master")
    if RedisServer(info).is_cluster_node and not pool.instance.cluster:
        subject.error(
            Kind.ROLE,
            "it is a node of a Redis Cluster, and the configuration does not say so: keys of other nodes are refused (MOVED)",
            f"{pool.instance.name}_cluster=on, and no {pool.instance.name}_db (docs/HOWTO-REDIS-CLUSTER.md)",
        )
    elif mode == "sentinel":
        subject.error(Kind.ROLE, "it is a Sentinel and keeps no data", "give host and port of the Redis master that it watches")
    elif role == "slave":
        subject.error(
            Kind.ROLE,
            f"it is a replica of {info.get('master_host')}:{info.get('master_port')}: writes are refused (READONLY), or lost",
            "point the pool at the master",
        )
        return False
    else:
        subject.ok(Kind.ROLE, f"it is a master with {info.get('connected_slaves', '0')} replicas" if info else "its role is not known")
    return True


def _check_connections(sharing: list[_Pool], subject: Subject) -> None:
    """Compare maxclients with what all pools of the server may take together."""
    first = sharing[0]
    text = first.info.get("maxclients") or first.server.setting("maxclients")
    if not text:
        return
    limit, pools = int(text), sum(pool.instance.maxconncnt for pool in sharing)
    others = max(0, int(first.info.get("connected_clients", "0")) - 1)
    names = ", ".join(f"{pool.instance.name}_maxconncnt" for pool in sharing)
    level = Level.ERROR if pools > limit else Level.WARNING if pools + others > limit else Level.OK
    problem = "" if level is Level.OK else ": under load connections are refused, and with them requests"
    subject.add(
        level,
        Kind.CONNECTIONS,
        f"maxclients is {limit}, and the pools of this configuration may take {pools} ({names}); {others} others are there now, perhaps "
        f"those of a running proxy{problem}",
        "" if level is Level.OK else f"CONFIG SET maxclients {2 * pools + others}, and its limit of descriptors; or lower {names}",
    )


def _check_shared(sharing: list[_Pool], subject: Subject) -> None:
    """Say which pools share a database number, or a node."""
    if any(pool.instance.cluster for pool in sharing):
        if len(sharing) > 1:
            names = ", ".join(pool.instance.name for pool in sharing)
            subject.info(Kind.SHARED_DATABASE, f"{names} share this node; fine, for their keys have different names")
        return
    for number in sorted({pool.instance.db for pool in sharing}):
        same = [pool.instance.name for pool in sharing if pool.instance.db == number]
        if len(same) > 1:
            subject.info(
                Kind.SHARED_DATABASE, f"{', '.join(same)} share the database number {number}; fine, for their keys have different names"
            )
