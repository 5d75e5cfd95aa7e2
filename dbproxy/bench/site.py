"""The installation that is measured: its configuration, its backends, and the processes that serve it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dbproxy.backends import Backends
from dbproxy.bench.usage import listeners
from dbproxy.config import load_config
from dbproxy.errors import StartupError
from dbproxy.testing.process import can_connect
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack

PROXY, DATABASE, CACHE = "proxy", "MariaDB", "Redis"
"""Names of the processes in reports."""


class Site(Backends):
    """A running proxy with its backends. ``stack`` is given when the backends are private ones: then they may be emptied."""

    def __init__(self, config_path: Path, *, stack: Stack | None = None, address: tuple[str, int] | None = None) -> None:
        """``address``: where the proxy listens, None: as the file says.

        Raises:
            ConfigError, StartupError: the file cannot be used, or no proxy answers at its address.

        """
        config = load_config(config_path)
        self.stack = stack
        host = "127.0.0.1" if config.listen_ips[0] in ("0.0.0.0", "::") else config.listen_ips[0]
        self.host, self.port = address or (host, config.listen_port)
        if not can_connect(self.host, self.port):
            raise StartupError(f"no proxy answers on {self.host}:{self.port} (ListenIP and ListenPort of {config_path}): start it first")
        super().__init__(config)

    def status(self) -> dict[str, int]:
        """Return the global status variables of the database that are numbers."""
        with self.master.connection() as connection:
            rows = connection.select("show global status")
        return {name.decode(): int(value) for name, value in rows if value is not None and value.isdigit()}

    def database_version(self) -> str:
        """Return the version string of the database server."""
        return str(self.master.select("select version()")[0][0].decode())

    def cache_info(self, section: str) -> dict[str, str]:
        """Return one section of Redis' INFO, from the server of the pool ``unread``, which has the most work."""
        text: bytes = self.caches.unread.execute([("INFO", section)])[0]
        lines = [line.partition(":") for line in text.decode(errors="replace").splitlines() if ":" in line]
        return {name: value for name, _, value in lines}

    def load_sql(self, path: Path) -> None:
        """Execute a file of SQL statements, each of which ends with a semicolon at the end of a line.

        Raises:
            OSError, StoreError: it cannot be read; a statement is refused.

        """
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("--")]
        with self.master.connection() as connection:
            for statement in "\n".join(lines).split(";\n"):
                if statement.strip(" ;\n"):
                    connection.execute(statement)

    def processes(self) -> Mapping[str, Sequence[int]]:
        """Return the ids of the processes that serve it, as far as they run on this machine and are visible to this user."""
        databases = {address for instance in self.config.db_instances.values() for address in instance.addresses}
        caches = {address for pool in self.caches.pools.values() for address in pool.addresses}
        return {
            PROXY: listeners(self.host, self.port),
            DATABASE: sorted({pid for address in databases for pid in listeners(*address)}),
            CACHE: sorted({pid for address in caches for pid in listeners(*address)}),
        }


@contextlib.contextmanager
def private_site(overrides: Mapping[str, object] | None = None, directory: Path | None = None) -> Iterator[Site]:
    """Start private backends and a proxy with the stock configuration (except for ``overrides``); everything is removed afterwards.

    Raises:
        StartupError: one of them does not start.

    """
    settings = {"ThreadNum": 48, **(overrides or {})}
    with Stack(directory) as stack, ProxyProcess(stack, settings) as proxy, Site(proxy.config_path, stack=stack) as site:
        yield site
