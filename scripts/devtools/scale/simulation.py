"""A discrete simulation of storing through several proxies: how long batches get, and what that costs the database. Pure.

Assumptions: messages arrive at random moments (Poisson), each at one of the proxies. A proxy makes one batch at a time of what waits, up
to ``longest`` messages. A batch of n needs the proxy's core for ``proxy.batch + n * proxy.message``, then the database for
``database.batch + n * database.message`` on one of its cores (batches wait for a free one in the order of their arrival), and ``waiting``
for disk and network, which keeps nobody busy. Locks between batches and the time in Redis are left out, so it is too good where few
conversations have most messages; and so are the two queues of a proxy that is alone, so a single one can do more.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass

from dbproxy.bench.report import grid


@dataclass(frozen=True)
class Work:
    """Seconds for a batch, and for each message in it besides."""

    batch: float
    message: float

    def of(self, messages: float) -> float:
        """Return the seconds for a batch of so many messages."""
        return self.batch + messages * self.message


@dataclass(frozen=True)
class System:
    """What is simulated; the times are fits to ``scripts/scale proxies`` on this machine."""

    proxies: int = 1
    database_cores: int = 2
    longest: int = 64
    proxy: Work = Work(0.000_7, 0.000_015)
    database: Work = Work(0.000_65, 0.000_016)
    waiting: float = 0.000_8


@dataclass(frozen=True)
class Outcome:
    """``batch``: messages in a batch on average; ``database_busy``: cores of the database in use; latencies in seconds."""

    per_second: float
    batch: float
    database_busy: float
    p50: float
    p99: float


def simulate(system: System, rate: float, messages: int = 50_000, seed: int = 1) -> Outcome:
    """Let so many messages arrive, ``rate`` a second over all proxies, and return what happened to all but the first tenth of them."""
    rng = random.Random(seed)
    waiting: list[deque[float]] = [deque() for _ in range(system.proxies)]
    busy = [False] * system.proxies
    cores = [0.0] * system.database_cores
    heapq.heapify(cores)
    events: list[tuple[float, int, int, list[float]]] = [(rng.expovariate(rate), 0, -1, [])]
    number, arrived, batches, sent = 1, 0, 0, 0
    database_seconds, begin, end = 0.0, 0.0, 0.0
    latencies: list[float] = []
    while events:
        now, _, proxy, batch = heapq.heappop(events)
        if proxy < 0:
            arrived += 1
            proxy = rng.randrange(system.proxies)
            waiting[proxy].append(now)
            if arrived < messages:
                heapq.heappush(events, (now + rng.expovariate(rate), number, -1, []))
                number += 1
        else:
            busy[proxy] = False
            latencies += [now - moment for moment in batch]
            end = now
        if busy[proxy] or not waiting[proxy]:
            continue
        taken = [waiting[proxy].popleft() for _ in range(min(system.longest, len(waiting[proxy])))]
        at_database = now + system.proxy.of(len(taken))
        done = max(at_database, heapq.heappop(cores)) + system.database.of(len(taken))
        heapq.heappush(cores, done)
        busy[proxy] = True
        batches, sent = batches + 1, sent + len(taken)
        database_seconds += system.database.of(len(taken))
        heapq.heappush(events, (done + system.waiting, number, proxy, taken))
        number += 1
    counted = sorted(latencies[len(latencies) // 10 :])
    return Outcome(
        len(latencies) / (end - begin),
        sent / batches,
        database_seconds / (end - begin),
        counted[len(counted) // 2],
        counted[int(0.99 * len(counted))],
    )


def steady_batch(system: System, rate: float) -> float:
    """Return the closed formula for the length of a batch while the database has a free core: it holds what has arrived during the one
    before, n = r * T(n) with r messages a second at each proxy, so n = r * T(0) / (1 - r * t); at least 1, at most ``longest``.
    """
    each = rate / system.proxies
    fixed = system.proxy.batch + system.database.batch + system.waiting
    share = each * (system.proxy.message + system.database.message)
    return system.longest if share >= 1 else min(float(system.longest), max(1.0, each * fixed / (1 - share)))


def database_cores(system: System, rate: float) -> float:
    """Return the cores of the database that storing keeps busy at this rate, with batches as ``steady_batch`` says."""
    return rate * (system.database.batch / steady_batch(system, rate) + system.database.message)


def table(rates: tuple[float, ...] = (1_000, 5_000, 20_000), counts: tuple[int, ...] = (1, 2, 4, 8, 16), cores: int = 32) -> str:
    """Return the same load through more and more proxies, on a database with enough cores."""
    rows = []
    for rate in rates:
        for count in counts:
            system = System(proxies=count, database_cores=cores)
            outcome = simulate(system, rate)
            kept = outcome.per_second >= 0.95 * rate
            rows.append(
                [
                    *(f"{rate:,.0f}", str(count), f"{outcome.batch:.1f}", f"{outcome.database_busy:.2f}"),
                    *(f"{1000 * outcome.p50:.1f}", f"{1000 * outcome.p99:.1f}", "" if kept else f"only {outcome.per_second:,.0f} a second"),
                ]
            )
    return grid(["messages/s", "proxies", "batch", "database cores", "p50 ms", "p99 ms", ""], rows)
