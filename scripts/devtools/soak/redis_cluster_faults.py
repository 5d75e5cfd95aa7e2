"""Faults of a Redis Cluster. One thread."""

from __future__ import annotations

from collections.abc import Sequence

from dbproxy.testing.cluster import SLOTS, ClusterStack
from devtools.soak.faults import EVERYTHING, Fault, Scene

MOVED_SLOTS = 400
"""Slots that a reshard moves at most."""


class RedisClusterFaults:
    """All nodes are there and every slot has a master at the end of each."""

    def __init__(self, scene: Scene, stack: ClusterStack) -> None:
        self._scene = scene
        self._stack = stack
        self._rng = scene.rng

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [
            Fault(self._planned_failover, EVERYTHING),
            Fault(self._reshard, EVERYTHING),
            Fault(self._kill_master),
            Fault(self._freeze_master),
            Fault(self._kill_replica, EVERYTHING),
        ]

    def _planned_failover(self) -> None:
        self._stack.fail_over(self._rng.choice(self._stack.masters()))
        self._stack.wait_until_ok()

    def _reshard(self) -> None:
        target = self._rng.choice(self._stack.masters())
        first = self._rng.randrange(SLOTS - MOVED_SLOTS)
        self._stack.reshard(range(first, first + self._rng.randint(1, MOVED_SLOTS)), target)

    def _kill_master(self) -> None:
        master = self._rng.choice(self._stack.masters())
        replica = self._stack.replica_of(master)
        self._stack.kill(master)
        self._stack.wait_for_master(replica)
        master.start()
        self._stack.wait_until_ok()

    def _freeze_master(self) -> None:
        """Freeze it, sometimes for long enough that a replica takes its place."""
        self._scene.freeze(self._rng.choice(self._stack.masters()))
        self._stack.wait_until_ok()

    def _kill_replica(self) -> None:
        node = self._stack.replica_of(self._rng.choice(self._stack.masters()))
        self._stack.kill(node)
        self._scene.sleep(0, 2)
        node.start()
        self._stack.wait_until_ok()
