"""ServerFacts: what is known of a server of MySQL or Redis: product, version, topology, and what the proxy cannot promise on it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limitation:
    """Something that is not promised on a server. ``docs/TOPOLOGIES.md`` lists all names."""

    name: str
    """Does not change between releases: ``durability``."""
    text: str
    """One sentence: what is set or missing, and what follows."""
    breaks_promise: bool
    """Whether a promise of ``docs/RELIABILITY.md`` does not hold, which is a warning; otherwise the topology never promised it."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server, as it was when it was asked."""

    kind: Literal["mysql", "redis"]
    server: str
    """host:port"""
    pools: tuple[str, ...]
    """Names of the pools that lead to it."""
    engine: str
    """Product: MariaDB, MySQL, Percona Server, Redis, Valkey, KeyDB ..."""
    version: str
    topology: str
    """A word that does not change between releases: ``single``, ``primary``, ``galera``, ``cluster`` ..."""
    description: str
    """The topology in words, with numbers: "primary with 2 replicas"."""
    limitations: Sequence[Limitation] = ()

    def __str__(self) -> str:
        return f"{self.engine} {self.version} at {self.server} ({', '.join(self.pools)})"

    @property
    def where(self) -> str:
        """Kind and address: "MySQL at 127.0.0.1:3306"."""
        return f"{'MySQL' if self.kind == 'mysql' else 'Redis'} at {self.server}"
