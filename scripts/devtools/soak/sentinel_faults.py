"""Faults of a Redis that Sentinels watch. One thread."""

from __future__ import annotations

from collections.abc import Sequence

from dbproxy.testing.sentinel import SentinelStack
from devtools.soak.faults import EVERYTHING, Fault, Scene


class SentinelFaults:
    """All servers are there and agree at the end of each."""

    def __init__(self, scene: Scene, stack: SentinelStack) -> None:
        self._scene = scene
        self._stack = stack

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [
            Fault(self._planned_failover, EVERYTHING),
            Fault(self._kill_master),
            Fault(self._freeze_master),
            Fault(self._kill_replica, EVERYTHING),
            Fault(self._kill_sentinel, EVERYTHING),
        ]

    def _planned_failover(self) -> None:
        self._stack.fail_over()

    def _kill_master(self) -> None:
        former = self._stack.master()
        self._stack.kill_master()
        self._scene.sleep(0, 1)
        former.start()
        self._stack.settle()

    def _freeze_master(self) -> None:
        """Freeze it, sometimes for long enough that a replica takes its place."""
        self._scene.freeze(self._stack.master())
        self._stack.settle()

    def _kill_replica(self) -> None:
        server = self._scene.rng.choice(self._stack.replicas())
        server.kill()
        self._scene.sleep(0, 2)
        server.start()
        self._stack.settle()

    def _kill_sentinel(self) -> None:
        sentinel = self._scene.rng.choice(self._stack.sentinels)
        sentinel.kill()
        self._scene.sleep(0, 2)
        sentinel.start()
        self._stack.settle()
