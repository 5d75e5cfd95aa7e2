"""Faults of a MySQL primary with replicas, one of which may take its place. One thread."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from dbproxy.testing.replica_stack import ReplicaStack
from dbproxy.testing.replication import ReplicatedServer
from devtools.soak.faults import EVERYTHING, MESSAGES, NOTHING, Fault, Scene


class ReplicaFaults:
    """There is a primary that all others follow at the end of each."""

    def __init__(self, scene: Scene, stack: ReplicaStack) -> None:
        self._scene = scene
        self._stack = stack
        self._rng = scene.rng

    def all(self) -> Sequence[Fault]:
        """Return them. Semi-synchronous commits wait while a replica is away, until another one acknowledges."""
        return [
            Fault(self._stop_replication, EVERYTHING),
            Fault(self._delay_replica, EVERYTHING),
            Fault(self._freeze_replica, frozenset((MESSAGES,))),
            Fault(self._kill_replica, frozenset((MESSAGES,))),
            # a proxy that has not noticed yet reads from the former primary for a moment
            Fault(self._switch_primary, NOTHING, reads_may_be_old=True),
            Fault(self._crash_primary, NOTHING),
        ]

    def _index(self) -> int:
        """The place in ``replicas`` of a server that is not the primary."""
        return self._rng.choice([index for index, server in enumerate(self._stack.replicas) if server is not self._stack.primary])

    def _stop_replication(self) -> None:
        index = self._index()
        self._stack.stop_replication(index)
        self._scene.sleep(0.5, 5)
        self._stack.start_replication(index)
        self._stack.wait_for_replicas()

    def _delay_replica(self) -> None:
        index = self._index()
        self._stack.delay(index, 3)
        self._scene.sleep(0.5, 5)
        self._stack.delay(index, 0)
        self._stack.wait_for_replicas()

    def _freeze_replica(self) -> None:
        self._scene.freeze(self._stack.replicas[self._index()])

    def _kill_replica(self) -> None:
        server = self._stack.replicas[self._index()]
        server.kill()
        self._scene.sleep(0, 2)
        server.start()
        self._stack.wait_for_replicas()

    def _switch_primary(self) -> None:
        self._stack.promote(self._index())

    def _crash_primary(self) -> None:
        """Kill the primary, let a replica take its place, and make the former one anew: it may have rows that no replica has got."""
        former = self._stack.primary
        former.kill()
        self._scene.sleep(0, 0.5)
        self._stack.promote(self._index())
        template = next(server for server in self._stack.servers if server not in (former, self._stack.primary))
        _make_anew(former, template)
        self._stack.wait_for_replicas()


def _make_anew(server: ReplicatedServer, template: ReplicatedServer) -> None:
    """Give a server that does not run the data of a replica, as whose twin it goes on."""
    template.stop()
    data = server.directory / "data"
    shutil.rmtree(data)
    shutil.copytree(template.directory / "data", data, ignore=shutil.ignore_patterns("auto.cnf"))
    template.start()
    server.read_only = True
    server.start()
