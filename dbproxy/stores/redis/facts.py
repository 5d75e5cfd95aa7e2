"""What a Redis server is: product, topology, memory and persistence, and what the proxy cannot promise on it. One place for the start of
the proxy and for ``dbproxy-doctor``. Pure functions of the replies to ``QUESTIONS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbproxy.stores.redis.commands import CacheCommand
from dbproxy.stores.server_facts import Limitation, ServerFacts

QUESTIONS: Sequence[CacheCommand] = (
    ("INFO",),
    ("CONFIG", "GET", "appendfsync"),
    ("CONFIG", "GET", "save"),
    ("CLUSTER", "INFO"),
)
"""One round trip; any of them may be refused."""

LOSSES: Mapping[str, tuple[str, bool]] = {
    "unread": ("unread counters (message ids and group counters come back from MySQL)", False),
    "group_set": ("which groups users have muted", False),
    "token": ("device tokens: no push messages until the users log in again", False),
    "group_member": ("nothing for good: the members come back from MySQL, at the price of reading them", True),
}
"""Name of the pool → what is lost with its keys, and whether all of it comes back. Other pools are not used."""

_SAVING = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A server, as it was when it was asked."""

    info: Mapping[str, str]
    """What INFO says; empty when the account may not ask."""
    appendfsync: str | None = None
    """always, everysec, no; None: the account may not ask."""
    save: str | None = None
    """When snapshots are made, empty: never; None: the account may not ask."""
    cluster: Mapping[str, str] | None = None
    """What CLUSTER INFO says of a node; None: it is none, or the account may not ask."""

    @classmethod
    def of(cls, replies: Sequence[Any]) -> RedisServer:
        """Return the server that has given these replies to ``QUESTIONS``, errors among them."""
        info, appendfsync, save, cluster = replies
        return cls(fields(info), setting(appendfsync), setting(save), fields(cluster) or None)

    @property
    def identity(self) -> str:
        """The same for all pools of one process, empty if it is not known."""
        return self.info.get("run_id", "")

    @property
    def engine(self) -> tuple[str, str]:
        """Name and version of the product."""
        for key, name in (("valkey_version", "Valkey"), ("dragonfly_version", "Dragonfly")):
            if key in self.info:
                return name, self.info[key].removeprefix("df-v")
        return "KeyDB" if "mvcc_depth" in self.info else "Redis", self.info.get("redis_version", "of an unknown version")

    @property
    def is_cluster_node(self) -> bool:
        """Whether it is a node of a Redis Cluster."""
        return self.info.get("redis_mode") == "cluster" or self.info.get("cluster_enabled") == "1"

    @property
    def is_sentinel(self) -> bool:
        """Whether it is a Sentinel, which keeps no data."""
        return self.info.get("redis_mode") == "sentinel"

    @property
    def is_replica(self) -> bool:
        """Whether it copies another server."""
        return self.info.get("role") == "slave"

    @property
    def source(self) -> str:
        """host:port of the master of a replica."""
        return f"{self.info.get('master_host')}:{self.info.get('master_port')}"

    @property
    def replicas(self) -> int:
        """Replicas that are connected."""
        return number(self.info, "connected_slaves")

    @property
    def evicts(self) -> bool:
        """Whether any key may be evicted, once the memory is full."""
        return self.info.get("maxmemory_policy", "noeviction").startswith("allkeys")

    @property
    def cannot_save(self) -> list[str]:
        """Names of what has failed lately when it wrote to its disk."""
        return [name for name in _SAVING if self.info.get(name, "ok") != "ok"]


def fields(reply: object) -> dict[str, str]:
    """Return the fields of a reply to INFO or CLUSTER INFO; none of an error."""
    if not isinstance(reply, bytes):
        return {}
    pairs = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def setting(reply: object) -> str | None:
    """Return the value of a reply to CONFIG GET; None of an error, or of a setting that is not there."""
    return reply[1].decode("utf-8", "replace") if isinstance(reply, list) and len(reply) == 2 else None


def number(info: Mapping[str, str], name: str) -> int:
    """Return a field that is a whole number; 0 if there is none."""
    value = info.get(name, "0")
    return int(value) if value.isdecimal() else 0


def describe(server: RedisServer, address: str, pools: Sequence[str], *, sentinels: bool = False, cluster: bool = False) -> ServerFacts:
    """Return what is to be said about a server. ``address``: host:port; ``pools``: those that lead to it; ``sentinels``: whether they ask
    Sentinels for the master; ``cluster``: whether they follow a Redis Cluster.
    """
    topology, description = _topology(server, sentinels=sentinels)
    name, version = server.engine
    limitations = [
        *_of_role(server, cluster=cluster),
        *_of_memory(server, pools),
        *_of_persistence(server, pools),
        *_of_replication(server, sentinels=sentinels, cluster=cluster),
    ]
    return ServerFacts("redis", address, tuple(pools), name, version, topology, description, tuple(limitations))


def _topology(server: RedisServer, *, sentinels: bool) -> tuple[str, str]:
    if not server.info:
        return "unknown", "the account may not use INFO, so its role is not known"
    replicas = f"{server.replicas} replica{'' if server.replicas == 1 else 's'}"
    if server.is_sentinel:
        return "sentinel_process", "a Sentinel, which keeps no data"
    if server.is_cluster_node:
        role = f"replica of {server.source}" if server.is_replica else f"master with {replicas}"
        known = server.cluster or {}
        return "cluster", f"cluster node, {role}; {known.get('cluster_size', '?')} masters, state {known.get('cluster_state', 'unknown')}"
    if server.is_replica:
        return "replica", f"replica of {server.source}"
    if sentinels:
        return "sentinel", f"master with {replicas}, found by Sentinels"
    return ("primary", f"master with {replicas}") if server.replicas else ("single", "single master")


def _of_role(server: RedisServer, *, cluster: bool) -> Iterator[Limitation]:
    if not server.info:
        yield Limitation(
            "no_info",
            "the account may not use INFO: a restart with old data goes unnoticed, and with it wrong members and counters",
            breaks_promise=True,
        )
    elif server.is_sentinel:
        yield Limitation("role", "it is a Sentinel and keeps no data", breaks_promise=True)
    elif server.is_cluster_node and not cluster:
        yield Limitation(
            "role",
            "it is a node of a Redis Cluster, and the pools are not set up for one (NAME_cluster): keys of other nodes are refused",
            True,
        )
    elif server.is_replica and not server.is_cluster_node:
        yield Limitation("role", f"it is a replica of {server.source}: writes are refused (READONLY), or lost", breaks_promise=True)
    if (server.cluster or {}).get("cluster_state", "ok") != "ok":
        yield Limitation("cluster_state", "the cluster is down: slots have no master, and their keys are refused", breaks_promise=True)


def lost_with(pools: Sequence[str]) -> tuple[str, bool]:
    """Return what is lost with the keys of these pools, and whether all of it comes back."""
    losses = [LOSSES[pool] for pool in LOSSES if pool in pools]
    lasting = [text for text, comes_back in losses if not comes_back]
    return "; ".join(lasting or [text for text, _ in losses]) or "nothing", not lasting


def _of_memory(server: RedisServer, pools: Sequence[str]) -> Iterator[Limitation]:
    limit, policy = number(server.info, "maxmemory"), server.info.get("maxmemory_policy", "")
    loss, comes_back = lost_with(pools)
    if server.evicts:
        when = f"with {limit} bytes (maxmemory) full" if limit else "once maxmemory is set and reached"
        yield Limitation(
            "eviction", f"maxmemory-policy is {policy}: {when} keys are evicted. Lost is then: {loss}", bool(limit) and not comes_back
        )


def _of_persistence(server: RedisServer, pools: Sequence[str]) -> Iterator[Limitation]:
    if server.cannot_save:
        yield Limitation(
            "saving",
            f"it cannot write to its disk ({', '.join(server.cannot_save)}): it refuses writes (MISCONF), or loses data with a restart",
            breaks_promise=True,
        )
    loss, comes_back = lost_with(pools)
    if not server.info or comes_back:
        return
    if server.info.get("aof_enabled") == "1":
        lost = {"everysec": "the last second", "no": "up to half a minute"}.get(server.appendfsync or "")
        if lost:
            yield Limitation("persistence", f"appendfsync is {server.appendfsync}: a crash of its machine loses {lost} of: {loss}", False)
    elif server.save == "":
        yield Limitation("persistence", f"no persistence: a restart of Redis loses: {loss}", breaks_promise=False)
    else:
        when = "snapshots only" if server.save else "no append-only file"
        yield Limitation("persistence", f"{when}: a crash loses what was written after the last snapshot of: {loss}", breaks_promise=False)


def _of_replication(server: RedisServer, *, sentinels: bool, cluster: bool) -> Iterator[Limitation]:
    if cluster and server.info and not server.replicas and not server.is_replica:
        yield Limitation(
            "node_without_replica",
            "this node has no replica: when it is lost, requests that need its keys are refused until it is back",
            breaks_promise=False,
        )
    if not server.replicas or server.is_replica or server.is_sentinel:
        return
    yield Limitation(
        "asynchronous",
        "the replication is asynchronous: a failover after a crash loses the last writes, of which unread counters, mutes and tokens do "
        "not come back",
        breaks_promise=False,
    )
    if not sentinels and not cluster:
        yield Limitation(
            "failover_not_followed",
            "the address is fixed: when a replica takes over, the proxy goes on with this server (NAME_sentinels follows the master)",
            breaks_promise=False,
        )
