"""ClusterMap: what a pool knows of its Redis Cluster — the nodes, who serves which slot — and how it finds out. Any thread.

Any node that is known may be asked, so the one that the configuration names may die. One thread asks at a time, when a node failed or sent
a command elsewhere, and every ``CHECK_INTERVAL`` seconds; the others go on with what is known.

A node whose data may be older than what was written is told to the pool before anything is asked of it: one that serves slots and did not
before (a replica that took over; a node that joined), and any change of the cluster's epoch, which rises with every takeover, also when a
master lost its slots and got them back without our noticing. That a reshard counts as well, once or a few times, is the price.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import redis

from dbproxy.stores.redis.cluster_node import Node, NodeFailedError, NodeSettings, Notices
from dbproxy.stores.redis.cluster_slots import Address, Topology

CHECK_INTERVAL = 10.0
"""Seconds after which the topology is looked at again although nothing indicates a change."""

RESHARD_INTERVAL = 1.0
"""The shortest time between two looks while slots move between masters that are known; MOVED tells about each slot anyway."""

FAILURE_INTERVAL = 0.25
"""The shortest time between two looks while something does not work."""

ASK_TIMEOUT = 1.0
"""Seconds that one node may take to tell the topology, while others can be asked."""


class ClusterMap:
    """The topology of one cluster and the nodes that belong to it."""

    def __init__(self, settings: NodeSettings, known: Iterable[Address]) -> None:
        """``known``: nodes to begin with, beside the one of the configuration."""
        self._settings = settings
        instance, config = settings.instance, settings.config
        self._seeds = tuple(dict.fromkeys([(instance.host, instance.port), *known]))
        self._timeout = config.cache_timeout
        self._connect_timeout = config.cache_connect_timeout
        self._lock = threading.Lock()
        self._nodes: dict[Address, Node] = {}
        self._served: set[Address] = set()
        """Nodes that are known to serve slots: what they have is not news."""
        self._epoch_is_news = True
        """Whether a higher epoch means a takeover that was not told yet."""
        self._asking = False
        self._last = 0.0
        """When somebody asked last."""
        self.due = 0.0
        """``time.monotonic()`` at which somebody has to ask again."""
        self._down: dict[Address | None, float] = {}
        """Since when nodes could not be used; None: that some slots have no node."""
        self.topology = Topology.unknown()
        self._former_calls, self._former_seconds = 0, 0.0

    def node(self, address: Address) -> Node:
        """The node at this address."""
        node = self._nodes.get(address)
        if node is None:
            with self._lock:
                node = self._nodes.get(address) or Node(address, self._settings)
                self._nodes[address] = node
        return node

    def moved(self, slot: int, address: Address, notices: Notices) -> None:
        """A node has said who serves a slot."""
        with self._lock:
            is_new = address not in self._served
            if is_new:
                self._served.add(address)
                self._epoch_is_news = False
                notices.restarted()
            self._look_within(FAILURE_INTERVAL if is_new else RESHARD_INTERVAL)
            self.topology.owners[slot] = address
        if is_new:
            notices.tell(f"node {address[0]}:{address[1]} has taken over slots")

    def down_since(self, addresses: Iterable[Address | None]) -> float:
        """Note that nodes cannot be used now (None: that a slot has no node); returns since when the first of them could not."""
        now = time.monotonic()
        return min(self._down.setdefault(address, now) for address in addresses)

    def answered(self, address: Address) -> None:
        """Note that a node can be used."""
        if self._down:
            self._down.pop(address, None)

    def has_failed_for(self, address: Address, seconds: float) -> bool:
        """Whether a node could not be used for at least so long."""
        since = self._down.get(address)
        return since is not None and time.monotonic() - since >= seconds

    @property
    def works_in_part(self) -> bool:
        """Whether some master can be used, as far as is known."""
        return any(
            address not in self._down and ((node := self._nodes.get(address)) is None or not node.failures)
            for address in self.topology.masters
        )

    def look_soon(self) -> None:
        """Something failed: let the next thread look at the topology."""
        with self._lock:
            self._look_within(FAILURE_INTERVAL)

    def _look_within(self, interval: float) -> None:
        self.due = min(self.due, self._last + interval)

    def look_if_due(self, notices: Notices, within: float) -> None:
        """Ask for the topology if it is time and nobody else does, for about so many seconds at most; a failure changes nothing but the
        time of the next attempt.
        """
        with self._lock:
            now = time.monotonic()
            if self._asking or now < self.due:
                return
            self._asking, self._last, self.due = True, now, now + CHECK_INTERVAL
        try:
            self._ask(notices, ASK_TIMEOUT, within)
        except NodeFailedError:
            self.look_soon()
        finally:
            self._asking = False

    def look(self, notices: Notices) -> None:
        """Ask for the topology now.

        Raises:
            NodeFailedError: no node can be asked, or the one that can is no node of a cluster.

        """
        self._ask(notices, self._connect_timeout, self._connect_timeout + self._timeout)
        self._last = time.monotonic()
        self.due = self._last + CHECK_INTERVAL

    def _ask(self, notices: Notices, step: float, in_all: float) -> None:
        """Ask one node after the other until one is part of the majority and knows of the latest takeover that we know of. Each step with
        a node takes at most ``step`` seconds or what is left of ``in_all``.
        """
        began = time.monotonic()
        best: Topology | None = None
        failure: NodeFailedError | None = None
        for address in self._to_ask():
            left = in_all - (time.monotonic() - began)
            if left <= 0:
                break
            try:
                found = self.node(address).topology(min(step, left), notices)
            except (redis.RedisError, OSError) as error:
                failure = NodeFailedError(address, error, connected=isinstance(error, redis.ResponseError))
                continue
            if best is None or (found.works, found.epoch) > (best.works, best.epoch):
                best = found
            if best.works and best.epoch >= self.topology.epoch:
                break
        if best is None:
            raise failure or NodeFailedError(None, redis.TimeoutError("no node was asked in time"), connected=False)
        if best.works or not self.topology.masters:
            self._take(best, notices)

    def _to_ask(self) -> list[Address]:
        """All nodes that are known, those that work first, beginning with another one each time."""
        known = list(dict.fromkeys([*self.topology.masters, *self.topology.replicas, *self._seeds]))
        start = int(time.monotonic() * 1000) % len(known) if self.topology.masters else 0  # at first who the configuration names
        return sorted(known[start:] + known[:start], key=lambda address: self.node(address).failures)

    def _take(self, new: Topology, notices: Notices) -> None:
        """Go on with another topology."""
        news = ""
        with self._lock:
            former = self.topology
            joined = set(new.masters) - self._served
            if former.masters and joined:
                names = ", ".join(f"{host}:{port}" for host, port in sorted(joined))
                news = f"node {names} has taken over slots"
            elif former.masters and self._epoch_is_news and new.epoch != former.epoch:
                news = f"slots or masters of the cluster have changed (epoch {new.epoch})"
            if news:
                notices.restarted()
            self._served = set(new.masters)
            self._epoch_is_news = True
            self.topology = new
            self._down = {address: since for address, since in self._down.items() if address in self._served or address is None}
            if not new.unserved:
                self._down.pop(None, None)
            needed = new.nodes.union(self._seeds)
            gone = [self._nodes.pop(address) for address in list(self._nodes) if address not in needed]
            for node in gone:
                _, _, calls, seconds = node.connections_and_calls()
                self._former_calls, self._former_seconds = self._former_calls + calls, self._former_seconds + seconds
            others = [node for address, node in self._nodes.items() if address not in self._served]
        if news:
            notices.tell(news)
        for node in gone:
            node.retire()
        for node in others:  # a former master
            node.close_idle()

    def has_data_of(self, other: ClusterMap) -> bool:
        """Whether both are the same cluster, and no master was started again or replaced in between, as far as is known. Takes no lock:
        who asks may hold the pool's.
        """
        masters = self.topology.masters
        if masters != other.topology.masters or self.topology.epoch != other.topology.epoch:
            return False
        pairs = [(self._nodes.get(address), other._nodes.get(address)) for address in masters]
        run_ids = [(one.run_id, two.run_id) for one, two in pairs if one is not None and two is not None]
        return all(one is None or two is None or one == two for one, two in run_ids)

    def close_idle(self) -> None:
        """Close the idle connections to all nodes."""
        for node in list(self._nodes.values()):
            node.close_idle()

    def connections_and_calls(self) -> tuple[int, int, int, float]:
        """See ``Node.connections_and_calls``; of all nodes together."""
        counts = [node.connections_and_calls() for node in list(self._nodes.values())]
        return (
            sum(count[0] for count in counts),
            sum(count[1] for count in counts),
            self._former_calls + sum(count[2] for count in counts),
            self._former_seconds + sum(count[3] for count in counts),
        )
