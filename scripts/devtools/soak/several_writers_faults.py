"""Faults of clusters whose servers all take writes: Galera, and a replication group of MySQL. One thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from dbproxy.testing.galera import GaleraStack
from dbproxy.testing.galera_node import GaleraNode
from dbproxy.testing.group_replication import GroupMember
from dbproxy.testing.servers import PrivateMariaDB
from dbproxy.testing.several_writers import SeveralWriters
from devtools.soak.faults import Fault, Scene

Node = TypeVar("Node", bound=PrivateMariaDB)


class SeveralWritersFaults(ABC, Generic[Node]):
    """Of one node at a time, so that the others are a majority; the cluster is complete again at the end of each."""

    def __init__(self, scene: Scene, stack: SeveralWriters[Node]) -> None:
        self._scene = scene
        self._stack = stack

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [*map(Fault, (self._kill_node, self._restart_node, self._freeze_node, self._cut_off_node))]

    def _kill_node(self) -> None:
        number = self._number()
        self._stack.kill(number)
        self._await_without(number)
        self._scene.sleep(0, 1)
        self._stack.repair()

    def _restart_node(self) -> None:
        self._stack.nodes[self._number()].restart()
        self._stack.repair()

    def _freeze_node(self) -> None:
        self._scene.freeze(self._stack.nodes[self._number()])
        self._stack.repair()

    def _cut_off_node(self) -> None:
        self._cut_off(self._number())
        self._scene.sleep(0, 2)
        self._stack.repair()

    @abstractmethod
    def _cut_off(self, number: int) -> None:
        """Take a node that goes on running out of the cluster."""

    def _await_without(self, number: int) -> None:
        """Wait until the others have noticed that this node is gone, unless that was done when it was killed."""

    def _number(self) -> int:
        return self._scene.rng.randrange(len(self._stack.nodes))


class GaleraFaults(SeveralWritersFaults[GaleraNode]):
    """Of a Galera cluster."""

    def __init__(self, scene: Scene, stack: GaleraStack) -> None:
        super().__init__(scene, stack)
        self._isolate = stack.isolate

    def _cut_off(self, number: int) -> None:
        self._isolate(number)

    def _await_without(self, number: int) -> None:
        others = [node for node in self._stack.nodes if node.number != number]
        for node in others:
            node.wait_for_size(len(others))


class GroupFaults(SeveralWritersFaults[GroupMember]):
    """Of a replication group, from which a member may also leave."""

    def _cut_off(self, number: int) -> None:
        self._stack.nodes[number].leave()
