"""What stacks have in common whose database servers all take writes: :class:`SeveralWriters`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dbproxy.testing.servers import SCHEMA, PrivateMariaDB
from dbproxy.testing.stack import Stack


class SeveralWriters(Stack):
    """A :class:`Stack` with several database servers and one Redis. Configurations lead to the first server unless they are made with
    :meth:`on`. Of the servers at least three are needed for one to be lost without an end of the cluster.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        writers: Sequence[PrivateMariaDB],
        size: int,
        schema: Path | str = SCHEMA,
        persistent: bool = False,
        redis_password: str | None = None,
        mysql_options: Sequence[str] = (),
    ) -> None:
        """``writers`` gets the servers, ``size`` of them, when they are started."""
        super().__init__(directory, schema=schema, persistent=persistent, redis_password=redis_password, mysql_options=mysql_options)
        self._writers = writers
        self._size = size

    def on(self, node: int, overrides: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the keys that lead a proxy to this server for all its reads and writes, and those in ``overrides``."""
        host, port = self._writers[node].address
        keys = {f"{name}_{end}": value for name in ("teamtalk_master", "teamtalk_slave") for end, value in (("host", host), ("port", port))}
        return {**keys, **(overrides or {})}

    def hosts(self, *nodes: int) -> str:
        """Return the value of ``NAME_host`` that lists these servers, all of them without an argument, in this order."""
        return ",".join("{}:{}".format(*self._writers[node].address) for node in (nodes or range(self._size)))
