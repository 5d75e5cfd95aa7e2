"""Examining a Redis Cluster: whether all slots are served, and what happens when a node is lost. One thread."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import redis

from dbproxy.doctor.finding import Level, Subject, listed
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.redis.access import Server, Usage
from dbproxy.stores.redis import CacheCommand
from dbproxy.stores.redis.cluster_slots import SLOTS, Address, Topology, slot_of

QUORUM = 3
"""Masters without which no replica takes over when one is lost: the majority of the masters decides."""

_TRIED_IDS = 10_000
"""Ids that are tried until one makes a key of the wanted node; with the 1,000 nodes that a cluster may have, plenty."""


def check_cluster(server: Server, asked: Address, subject: Subject) -> Topology | None:
    """Examine the cluster to which a server belongs, with address ``asked``; returns its nodes, None if they cannot be asked for."""
    slots, info, asking = server.ask_all([("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"), ("ASKING",)])
    if isinstance(slots, redis.ResponseError):
        subject.error(
            Kind.CLUSTER,
            f"CLUSTER SLOTS is refused, so the proxy cannot find the nodes: {subject.foreign(slots)}",
            "if it is a node of a Redis Cluster: ACL SETUSER of the account: +cluster|slots; if not: NAME_cluster=off, and NAME_db",
        )
        return None
    refused = [name for name, reply in (("CLUSTER INFO", info), ("ASKING", asking)) if isinstance(reply, redis.ResponseError)]
    if refused:
        subject.error(
            Kind.CLUSTER,
            f"refused: {', '.join(refused)}. Without ASKING keys of slots that are being moved cannot be reached, without CLUSTER INFO "
            "some takeovers go unnoticed",
            "ACL SETUSER of the account: +cluster|info +asking",
        )
    topology = Topology.from_replies(slots, info, asked)
    _check_slots(topology, subject)
    _check_replicas(topology, subject)
    _check_coverage(server, subject)
    return topology


def _check_slots(topology: Topology, subject: Subject) -> None:
    found = f"{len(topology.masters)} masters and {len(topology.replicas)} replicas"
    if topology.unserved or not topology.works:
        subject.error(
            Kind.CLUSTER,
            f"{found}: cluster_state is {'ok' if topology.works else 'fail'}, {topology.unserved} of {SLOTS} slots are served by no node: "
            "the proxy does not start, and requests that need their keys are refused",
            "redis-cli --cluster check, then --cluster fix; look into the logs of the nodes",
        )
    else:
        subject.ok(Kind.CLUSTER, f"{found}, cluster_state is ok, all {SLOTS} slots are served")


def _check_replicas(topology: Topology, subject: Subject) -> None:
    replicas = Counter(topology.replicas.values())
    without = [f"{host}:{port}" for host, port in topology.masters if not replicas[host, port]]
    if without:
        subject.warning(
            Kind.CLUSTER_FAILOVER,
            f"{listed(without)} {'has' if len(without) == 1 else 'have'} no replica: when such a node is lost, the requests that need its "
            "keys are refused until it is back",
            "redis-cli --cluster add-node ... --cluster-slave",
        )
    if len(topology.masters) < QUORUM:
        subject.warning(
            Kind.CLUSTER_FAILOVER,
            f"{len(topology.masters)} masters serve slots: when one is lost the others are no majority, and no replica takes over",
            f"at least {QUORUM} masters, on machines of their own",
        )
    elif not without:
        subject.ok(Kind.CLUSTER_FAILOVER, "every master has a replica that can take over")


def _check_coverage(server: Server, subject: Subject) -> None:
    setting = server.setting("cluster-require-full-coverage")
    if setting is not None:
        subject.add(
            Level.INFO if setting == "yes" else Level.OK,
            Kind.CLUSTER_COVERAGE,
            f"cluster-require-full-coverage is {setting}: when a slot has no master, "
            + ("all nodes refuse everything" if setting == "yes" else "only requests that need keys of that slot are refused"),
            "CONFIG SET cluster-require-full-coverage no on every node, also in redis.conf" if setting == "yes" else "",
        )


def usage_of_node(usage: Usage, topology: Topology, node: Address) -> Usage:
    """Return the commands of a pool with keys that this node serves; those whose key is always the same only on the node that has it."""
    reads = [found for command in usage.reads if (found := _at_node(command, topology, node)) is not None]
    writes = [found for command in usage.writes if (found := _at_node(command, topology, node)) is not None]
    staged = [found for command in usage.staged if (found := _at_node(command, topology, node)) is not None]
    probe = _at_node(("SET", f"{usage.probe}{{0}}"), topology, node)
    return replace(
        usage, reads=tuple(reads), writes=tuple(writes), staged=tuple(staged), probe=usage.probe if probe is None else str(probe[1])
    )


def _at_node(command: CacheCommand, topology: Topology, node: Address) -> CacheCommand | None:
    """The command with another id in place of the 0 in its key; in both keys of RENAME."""
    verb, key, *arguments = command
    for number in range(_TRIED_IDS):
        other = key.replace(b"0", b"%d" % number) if isinstance(key, bytes) else str(key).replace("0", str(number))
        if topology.owners[slot_of((verb, other))] == node:
            return (verb, other, *(str(argument).replace("0", str(number)) if verb == "RENAME" else argument for argument in arguments))
        if other == key and number:
            break  # there is no id in it
    return None
