"""Faults of a Galera cluster. One thread."""

from __future__ import annotations

from collections.abc import Sequence

from dbproxy.testing.galera import GaleraStack
from dbproxy.testing.galera_node import GaleraNode
from devtools.soak.faults import Fault, Scene


class GaleraFaults:
    """Of one node at a time, so that the others are a majority; the cluster is complete again at the end of each."""

    def __init__(self, scene: Scene, stack: GaleraStack) -> None:
        self._scene = scene
        self._stack = stack

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [*map(Fault, (self._kill_node, self._restart_node, self._freeze_node, self._isolate_node))]

    def _kill_node(self) -> None:
        number = self._number()
        self._stack.kill(number)
        self._await_without(number)
        self._scene.sleep(0, 1)
        self._stack.repair()

    def _restart_node(self) -> None:
        self._node(self._number()).restart()
        self._stack.repair()

    def _freeze_node(self) -> None:
        self._scene.freeze(self._node(self._number()))
        self._stack.repair()

    def _isolate_node(self) -> None:
        self._stack.isolate(self._number())
        self._scene.sleep(0, 2)
        self._stack.repair()

    def _number(self) -> int:
        return self._scene.rng.randrange(len(self._stack.nodes))

    def _node(self, number: int) -> GaleraNode:
        return self._stack.nodes[number]

    def _await_without(self, number: int) -> None:
        """Wait until the others have noticed that this node is gone."""
        others = [node for node in self._stack.nodes if node.number != number]
        for node in others:
            node.wait_for_size(len(others))
