"""Installations of several sizes that run side by side, each with its own servers and proxy, so that they can be measured in turns."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbproxy.backends import Backends
from dbproxy.bench.dataset import Data, Shape
from dbproxy.bench.site import PROXY, Site
from dbproxy.bench.usage import memory_bytes
from dbproxy.config import load_config
from dbproxy.testing import ProxyProcess, Stack
from devtools.scale.population import POPULATIONS, Population, fill

SERVER_OPTIONS = ("--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--skip-log-bin")
"""Of MariaDB, the same for all sizes: ten million messages with their indexes do not fit into its memory."""

SAMPLE, SAMPLED_GROUPS = 20_000, 1_000
"""Conversations and groups that are used in a measurement, chosen at random from all."""

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Installation:
    """A population with its running servers and proxy."""

    population: Population
    stack: Stack
    proxy: ProxyProcess
    site: Site
    data: Data


@contextlib.contextmanager
def running(
    directory: Path, name: str, show: Callable[[str], None], overrides: Mapping[str, object] | None = None
) -> Iterator[Installation]:
    """Start an installation below ``directory``, after creating what is missing of its data; the data stays there. ``overrides`` are
    keys of the proxy's configuration.

    Raises:
        StartupError, StoreError: something does not start or fails.

    """
    population = POPULATIONS[name]
    place = directory / name
    place.mkdir(parents=True, exist_ok=True)
    with Stack(place, mysql_options=SERVER_OPTIONS) as stack:
        with Backends(load_config(stack.write_config())) as backends, _fast_commits(backends):
            fill(backends, population, lambda step: show(f"{name}: {step}"))
        with ProxyProcess(stack, {"ThreadNum": 48, **(overrides or {})}) as proxy, Site(proxy.config_path, stack=stack) as site:
            yield Installation(population, stack, proxy, site, sample(population))


@contextlib.contextmanager
def _fast_commits(backends: Backends) -> Iterator[None]:
    """While the data is created a commit need not be on disk: what is lost is created again."""
    with backends.master.connection() as connection:
        connection.execute("set global innodb_flush_log_at_trx_commit=2")
    try:
        yield
    finally:
        with backends.master.connection() as connection:
            connection.execute("set global innodb_flush_log_at_trx_commit=1")


def sample(population: Population, seed: int = 3) -> Data:
    """Return conversations and groups of a population, for the requests of a workload; the same ones for the same seed."""
    rng = random.Random(seed)
    relate_ids = rng.sample(range(1, population.relations + 1), min(SAMPLE, population.relations))
    group_ids = rng.sample(range(1, population.groups + 1), min(SAMPLED_GROUPS, population.groups))
    return Data(
        Shape(users=population.users),
        list(range(1, population.users + 1)),
        {population.pair(relate_id): relate_id for relate_id in relate_ids},
        {group_id: list(population.members(group_id)) for group_id in group_ids},
    )


@dataclass(frozen=True)
class Size:
    """What an installation takes, in MiB; ``tables``: kind of table → (rows in thousands, data, indexes)."""

    population: str
    tables: dict[str, tuple[float, float, float]]
    redis: float
    redis_keys: int
    proxy: float


def size_of(installation: Installation) -> Size:
    """Return the sizes of tables, indexes, Redis and the proxy, as they are now."""
    site = installation.site
    tables: dict[str, tuple[float, float, float]] = {}
    query = "select table_name,table_rows,data_length,index_length from information_schema.tables where table_schema=database()"
    for name, rows, data, indexes in site.master.select(query):
        kind = name.decode().rpartition("_")[0] if name.decode()[-1].isdigit() else name.decode()
        before = tables.get(kind, (0.0, 0.0, 0.0))
        row = (int(rows or 0) / 1000, int(data or 0) / MEGABYTE, int(indexes or 0) / MEGABYTE)
        tables[kind] = (before[0] + row[0], before[1] + row[1], before[2] + row[2])
    keys = sum(int(value.partition("keys=")[2].partition(",")[0]) for value in site.cache_info("keyspace").values())
    return Size(
        installation.population.name,
        {kind: row for kind, row in sorted(tables.items()) if row[0] >= 0.1},
        int(site.cache_info("memory")["used_memory"]) / MEGABYTE,
        keys,
        memory_bytes(site.processes()[PROXY]) / MEGABYTE,
    )


def shuffled(items: Sequence[Installation], seed: int) -> list[Installation]:
    """Return the items in an order that changes with the seed, so that none is always measured first."""
    return random.Random(seed).sample(items, len(items))
