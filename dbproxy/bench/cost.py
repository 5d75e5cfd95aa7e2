"""What a request costs the stores, counted and not timed: statements, rows, commands, bytes, round trips. No noise, on any machine.

The counters are the servers' own and cover everybody who uses them, so this needs stores that nobody else uses.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from dbproxy.bench.counting_link import CountingLink
from dbproxy.bench.site import Stores
from dbproxy.config import load_config
from dbproxy.models.names import LAST_UPDATE_GROUP_KEY
from dbproxy.testing.client import BY_REQUEST, Client
from dbproxy.testing.proxy import InProcessProxy
from dbproxy.testing.stack import POOLS, Stack

NOT_COUNTED = frozenset(("info", "select", "ping", "auth", "hello", "client", "client|setinfo", "client|setname"))
"""Redis commands of the observer and of new connections."""

QUIET = 3600
"""Seconds between background work of a proxy that is being counted."""

MOMENT = 0.03
"""Seconds after which a command that is not answered is done for certain."""


@dataclass(frozen=True)
class Counters:
    """The state of all counters at one moment, or the difference of two."""

    statements: Mapping[str, int]
    """MySQL: verb → how many (Com_*)."""
    rows_read: int
    """MySQL: index entries and rows that were read, also of temporary tables (Handler_read*)."""
    database_bytes: int
    """Sent by MySQL."""
    commands: Mapping[str, int]
    """Redis: command → how many."""
    cache_bytes: int
    """Sent by Redis."""
    database_trips: int
    cache_trips: int

    def minus(self, other: Counters) -> Counters:
        """The difference."""
        return Counters(
            _minus(self.statements, other.statements),
            self.rows_read - other.rows_read,
            self.database_bytes - other.database_bytes,
            _minus(self.commands, other.commands),
            self.cache_bytes - other.cache_bytes,
            self.database_trips - other.database_trips,
            self.cache_trips - other.cache_trips,
        )


@dataclass(frozen=True)
class Cost:
    """What one request costs on average."""

    statements: float
    database_trips: float
    rows_read: float
    database_bytes: float
    commands: float
    cache_trips: float
    cache_bytes: float
    verbs: Mapping[str, float]
    """Statements and commands by name."""


class Meter:
    """Reads the counters of a private site. ``links`` lead to MySQL and to Redis, if round trips are to be counted.

    Not thread safe; it has connections of its own, past the links, and takes its own part out of what it reads.
    """

    def __init__(self, stores: Stores, links: tuple[CountingLink, CountingLink] | None = None) -> None:
        self._databases = stores.databases
        self._caches = stores.caches
        self._links = links
        self._own_cache_bytes = 0
        self.read()
        first = self.read()
        self._own = self.read().minus(first)

    def read(self) -> Counters:
        """Read all counters."""
        with self._databases.master.connection() as connection:
            rows = connection.select(
                "show global status where variable_name like 'Com\\_%' or variable_name like 'Handler\\_read%' "
                "or variable_name='Bytes_sent'"
            )
        status = {name.decode(): int(value) for name, value in rows if value.isdigit()}
        stats = self._caches.unread.execute([("INFO", "commandstats"), ("INFO", "stats")])
        commands = Counter[str]()
        for line in stats[0].decode().splitlines():
            name, _, values = line.removeprefix("cmdstat_").partition(":calls=")
            if values and name not in NOT_COUNTED:
                commands[name] = int(values.partition(",")[0])
        sent = next(int(line.partition(":")[2]) for line in stats[1].decode().splitlines() if line.startswith("total_net_output_bytes:"))
        others_bytes = sent - self._own_cache_bytes  # the server counts a reply when it has been sent
        self._own_cache_bytes += sum(len(b"$%d\r\n\r\n" % len(reply)) + len(reply) for reply in stats)
        return Counters(
            {name.removeprefix("Com_"): value for name, value in status.items() if name.startswith("Com_") and name != "Com_show_status"},
            sum(value for name, value in status.items() if name.startswith("Handler_read")),
            status["Bytes_sent"],
            commands,
            others_bytes,
            self._links[0].round_trips if self._links else 0,
            self._links[1].round_trips if self._links else 0,
        )

    def cost(self, before: Counters, after: Counters, requests: int) -> Cost:
        """What one of so many requests has cost between two readings."""
        used = after.minus(before).minus(self._own)
        verbs = {name.upper(): count / requests for name, count in used.statements.items()}
        verbs |= {name: count / requests for name, count in used.commands.items()}
        return Cost(
            sum(used.statements.values()) / requests,
            used.database_trips / requests,
            used.rows_read / requests,
            used.database_bytes / requests,
            sum(used.commands.values()) / requests,
            used.cache_trips / requests,
            used.cache_bytes / requests,
            verbs,
        )


def cost_table(costs: Mapping[str, Cost]) -> str:
    """The costs of commands by name, for the terminal and, as it is, for Markdown."""
    head = ("command", "statements", "trips", "rows", "Redis commands", "trips", "what")
    rows = [head, tuple("-" * 3 for _ in head)]
    for name, cost in costs.items():
        what = ", ".join(f"{verb} {count:.3g}" for verb, count in cost.verbs.items() if count >= 0.05)
        figures = (cost.statements, cost.database_trips, cost.rows_read, cost.commands, cost.cache_trips)
        rows.append((name, *(f"{figure:.0f}" for figure in figures), what))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in rows)


def _minus(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: difference for name in sorted(one) if (difference := one[name] - other.get(name, 0))}


@contextlib.contextmanager
def counted_proxy(stack: Stack) -> Iterator[tuple[InProcessProxy, Stores, Meter]]:
    """Run a proxy on empty stores whose every round trip is counted; the stores and the meter are connected past the links."""
    stack.reset()
    links = CountingLink(stack.mariadb.address), CountingLink(stack.redis_server.address)
    with contextlib.ExitStack() as exits:
        database, cache = (exits.enter_context(link) for link in links)
        overrides: dict[str, object] = {f"{name}_port": database.port for name in ("teamtalk_master", "teamtalk_slave")}
        overrides |= {f"{name}_port": cache.port for name in POOLS}
        overrides |= {"SyncInterval": QUIET, "HeartbeatInterval": QUIET, "StopGrace": 1}
        stores = exits.enter_context(Stores(load_config(stack.write_config())))
        proxy = exits.enter_context(InProcessProxy(stack, overrides))
        await_first_sync(stores)
        yield proxy, stores, Meter(stores, links)


def await_first_sync(stores: Stores) -> None:
    """Wait until the proxy's background sync, which runs once at the start, is done; TimeoutError when it does not happen."""
    deadline = time.monotonic() + 10
    while not stores.caches.unread.execute([("EXISTS", LAST_UPDATE_GROUP_KEY)])[0]:
        if time.monotonic() > deadline:
            raise TimeoutError("the background sync did not run")
        time.sleep(0.01)


def cost_of(client: Client, meter: Meter, request: Message, count: int = 10) -> Cost:
    """Send a request ``count`` times, one after the other, and return what each has cost. Once before that, so that connections are open
    and what never changes is remembered. A command that is not answered is given a moment each time.
    """
    answered = BY_REQUEST[type(request)].reply is not None

    def once() -> None:
        client.send(request)
        if answered:
            client.receive()
        else:
            time.sleep(MOMENT)

    once()
    before = meter.read()
    for _ in range(count):
        once()
    return meter.cost(before, meter.read(), count)
