"""Faults of a replication group of MySQL. One thread."""

from __future__ import annotations

from collections.abc import Sequence

from dbproxy.testing.group_replication import GroupMember, GroupStack
from devtools.soak.faults import Fault, Scene


class GroupFaults:
    """Of one member at a time, so that the others are a majority; the group is complete again at the end of each."""

    def __init__(self, scene: Scene, stack: GroupStack) -> None:
        self._scene = scene
        self._stack = stack

    def all(self) -> Sequence[Fault]:
        """Return them."""
        return [*map(Fault, (self._kill_member, self._restart_member, self._freeze_member, self._member_leaves))]

    def _kill_member(self) -> None:
        self._stack.kill(self._number())
        self._scene.sleep(0, 1)
        self._stack.repair()

    def _restart_member(self) -> None:
        self._member().restart()
        self._stack.repair()

    def _freeze_member(self) -> None:
        self._scene.freeze(self._member())
        self._stack.repair()

    def _member_leaves(self) -> None:
        self._member().leave()
        self._scene.sleep(0, 2)
        self._stack.repair()

    def _number(self) -> int:
        return self._scene.rng.randrange(len(self._stack.members))

    def _member(self) -> GroupMember:
        return self._stack.members[self._number()]
