"""File descriptors: how many the process may have, and how many of them are left for connections of peers. Called at the start."""

from __future__ import annotations

import logging
import resource

from dbproxy.config import Config

logger = logging.getLogger(__name__)

OWN_DESCRIPTORS = 32
"""Descriptors beside those of connections: log, selector, waker, listeners, what the interpreter opens now and then."""

CLUSTER_MASTERS = 6
"""As many masters of a Redis Cluster are reckoned with; each gets the connections that a single Redis would. A larger cluster takes what
is left.
"""

MASTER, REPLICAS = "teamtalk_master", "teamtalk_slave"

OPERATOR_CLIENTS = 16
"""The most clients that the control socket serves at once; the HTTP endpoint as well."""


def raise_limit() -> None:
    """Allow as many descriptors as the system lets us have; every connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            logger.info("only %d file descriptors: %s", soft, error)


def reserved_descriptors(config: Config) -> int:
    """How many descriptors connections of peers must leave to the connections to backends and to the process itself."""
    reserved = sum(instance.maxconncnt for instance in config.db_instances.values())
    # Each replica has a pool and a connection for the watch; one more asks the master for its position. Neither if it is the master.
    master, slave = config.db_instances[MASTER], config.db_instances[REPLICAS]
    if slave.addresses != master.addresses or len(slave.addresses) > 1:
        reserved += slave.maxconncnt * (len(slave.addresses) - 1) + len(slave.addresses) + 1
    for instance in config.cache_instances.values():
        reserved += instance.maxconncnt * (CLUSTER_MASTERS if instance.cluster else 1) + len(instance.sentinels)
    operators = OPERATOR_CLIENTS * (bool(config.admin_socket) + (config.admin_listen is not None))
    return reserved + config.audio_threads + operators + OWN_DESCRIPTORS


def max_connections(config: Config) -> int:
    """How many connections of peers there may be at once: MaxConnections, or what the limit of the process leaves beside the connections to
    backends, so that these can always be opened.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    left = limit - min(reserved_descriptors(config), limit // 2)
    if left < config.max_connections:
        logger.warning("only %d file descriptors: at most %d connections instead of MaxConnections", limit, left)
    return min(config.max_connections, left)
