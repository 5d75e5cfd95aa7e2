"""What a request costs the backends, counted and not timed: statements, rows, commands, bytes, round trips. The same on every machine.

The counters are those of the servers and include all their clients, so this needs backends that nobody else uses.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.models.names import LAST_UPDATE_GROUP_KEY
from dbproxy.testing.client import BY_REQUEST, Client
from dbproxy.testing.faulty_link import FaultyLink
from dbproxy.testing.proxy import InProcessProxy
from dbproxy.testing.stack import POOLS, Stack
from dbproxy.testing.waiting import poll

NOT_COUNTED = frozenset(("info", "select", "ping", "auth", "hello", "client", "client|setinfo", "client|setname"))
"""Redis commands of the measurement itself and of new connections."""

QUIET = 3600
"""Interval in seconds of the background work of a proxy that is measured: never during the measurement."""

UNANSWERED_WAIT = 0.03
"""Seconds without a round trip after which a command that is not answered counts as executed."""

UNANSWERED_LIMIT = 5.0
"""Seconds to wait for its first round trip, at most."""


@dataclass(frozen=True)
class Counters:
    """The values of all counters, or the difference of two readings."""

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
        """Return the difference to an earlier reading."""
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
    """The average cost of one request."""

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
    """Reads the counters of private backends. ``links`` are the proxy's links to MySQL and to Redis, if round trips are to be counted.

    Not thread safe. It does not use the links, and subtracts the cost of its own readings.
    """

    def __init__(self, backends: Backends, links: tuple[FaultyLink, FaultyLink] | None = None) -> None:
        self._backends = backends
        self._links = links
        self._own_cache_bytes = 0
        self.read()
        first = self.read()
        self._own = self.read().minus(first)

    @property
    def trips(self) -> int:
        """Round trips that were counted; 0 without links."""
        return sum(link.round_trips for link in self._links or ())

    def await_executed(self, trips: int) -> None:
        """Wait until a command that is not answered is executed; ``trips``: before it was sent. Without links for a fixed time."""
        if self._links is not None:
            poll(lambda: self.trips, lambda now: now > trips, UNANSWERED_LIMIT)
        seen = -1
        while seen != self.trips:
            seen = self.trips
            time.sleep(UNANSWERED_WAIT)

    def read(self) -> Counters:
        """Read all counters."""
        with self._backends.master.connection() as connection:
            rows = connection.select(
                "show global status where variable_name like 'Com\\_%' or variable_name like 'Handler\\_read%' "
                "or variable_name='Bytes_sent'"
            )
        status = {name.decode(): int(value) for name, value in rows if value.isdigit()}
        stats = self._backends.caches.unread.execute([("INFO", "commandstats"), ("INFO", "stats")])
        commands = Counter[str]()
        for line in stats[0].decode().splitlines():
            name, _, values = line.removeprefix("cmdstat_").partition(":calls=")
            if values and name not in NOT_COUNTED:
                commands[name] = int(values.partition(",")[0])
        sent = next(int(line.partition(":")[2]) for line in stats[1].decode().splitlines() if line.startswith("total_net_output_bytes:"))
        others_bytes = sent - self._own_cache_bytes  # the server counts a reply after it was sent
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
        """Return the average cost of ``requests`` requests between two readings."""
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
    """Return the costs of commands by name as a table in Markdown."""
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
def counted_proxy(stack: Stack) -> Iterator[tuple[InProcessProxy, Backends, Meter]]:
    """Run a proxy on empty backends and count its round trips; the backends that are returned and the meter do not use the links."""
    stack.reset()
    links = FaultyLink(stack.mariadb.address), FaultyLink(stack.redis_server.address)
    with contextlib.ExitStack() as exits:
        database, cache = (exits.enter_context(link) for link in links)
        overrides: dict[str, object] = {f"{name}_port": database.port for name in ("teamtalk_master", "teamtalk_slave")}
        overrides |= {f"{name}_port": cache.port for name in POOLS}
        overrides |= {"SyncInterval": QUIET, "HeartbeatInterval": QUIET, "StopGrace": 1}
        backends = exits.enter_context(Backends(load_config(stack.write_config())))
        proxy = exits.enter_context(InProcessProxy(stack, overrides))
        await_first_sync(backends)
        yield proxy, backends, Meter(backends, links)


def await_first_sync(backends: Backends) -> None:
    """Wait until the proxy's background sync, which runs once at the start, is done; TimeoutError when it does not happen."""
    if not poll(lambda: backends.caches.unread.execute([("EXISTS", LAST_UPDATE_GROUP_KEY)])[0], bool, 10):
        raise TimeoutError("the background sync did not run")


def cost_of(client: Client, meter: Meter, request: Message, count: int = 10) -> Cost:
    """Send a request ``count`` times, one after the other, and return its average cost. It is sent once before that, so that connections
    are open and caches are filled. A command that is not answered is waited for until it is executed: otherwise two workers would need two
    connections.
    """
    answered = BY_REQUEST[type(request)].reply is not None

    def once() -> None:
        trips = meter.trips
        client.send(request)
        if answered:
            client.receive()
        else:
            meter.await_executed(trips)

    once()
    before = meter.read()
    for _ in range(count):
        once()
    return meter.cost(before, meter.read(), count)
