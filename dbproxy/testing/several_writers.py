"""What stacks have in common whose database servers all take writes: :class:`SeveralWriters`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from dbproxy.errors import StartupError
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB
from dbproxy.testing.stack import Stack
from dbproxy.testing.waiting import eventually

Node = TypeVar("Node", bound=PrivateMariaDB)


class SeveralWriters(Stack, Generic[Node]):
    """A :class:`Stack` with ``nodes`` database servers, a cluster, and one Redis. ``mariadb`` is the first node, and configurations lead to
    it unless they are made with :meth:`on`. Of three nodes one may be lost without an end of the cluster, of two none.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        nodes: int = 2,
        schema: Path | str = SCHEMA,
        persistent: bool = False,
        redis_password: str | None = None,
        mysql_options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, schema=schema, persistent=persistent, redis_password=redis_password, mysql_options=mysql_options)
        self._size = nodes
        self.nodes: list[Node] = []

    def on(self, node: int, overrides: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the keys that lead a proxy to this node for all its reads and writes, and those in ``overrides``."""
        host, port = self.nodes[node].address
        keys = {f"{name}_{end}": value for name in ("teamtalk_master", "teamtalk_slave") for end, value in (("host", host), ("port", port))}
        return {**keys, **(overrides or {})}

    def hosts(self, *nodes: int) -> str:
        """Return the value of ``NAME_host`` that lists these nodes, all of them without an argument, in this order."""
        return ",".join("{}:{}".format(*self.nodes[node].address) for node in (nodes or range(self._size)))

    def kill(self, node: int) -> None:
        """Kill a node, as a crash would; ``repair`` starts it again."""
        self.nodes[node].kill()

    def repair(self) -> None:
        """Start the nodes that were killed, resume frozen ones, let all into the cluster, and wait until all take writes again."""
        self._repair()

    def wait_until_equal(self) -> None:
        """Wait until each node has applied what all have committed before."""
        raise NotImplementedError

    def _await(self, check: Callable[[], bool], what: str) -> None:
        """Wait up to 60 s until a check is true; StartupError that says what was waited for."""
        if not eventually(check, True, timeout=60):
            raise StartupError(f"{type(self).__name__}: waited in vain until {what}")

    def close(self) -> None:
        """Stop the servers; see :class:`Stack`."""
        super().close()
        self.nodes.clear()
