"""The state of a proxy at one moment, as ``/status.json`` and ``dbproxy-ctl status --json`` show it.

Any thread may take a snapshot. It reads plain numbers that other threads write, and asks no backend; only the list of connections is made
by the reactor thread, who owns them. Counters count from the start of the process. There are no texts of messages, no names of users and
no passwords in it.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from dbproxy import __version__, log
from dbproxy.addresses import shown_address
from dbproxy.models.recoveries import Recoveries
from dbproxy.net.connection_counters import ConnReport, SortKey, largest
from dbproxy.net.proxy_server import ProxyServer
from dbproxy.net.reactor import Reactor
from dbproxy.stores.backend_facts import BackendFacts
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.mysql import DBPool, ReadPool
from dbproxy.stores.pools import BackendPool
from dbproxy.stores.server_facts import ServerFacts
from dbproxy.sync_center import SyncCenter
from dbproxy.work.request_stats import BATCH_BOUNDS, OUTCOMES, SECONDS_BOUNDS, CommandStats, Histogram, RequestStats
from dbproxy.work.response_deque import ResponseDeque
from dbproxy.work.slow_requests import SlowRequests
from dbproxy.work.thread_pool import ThreadPool

REACTOR_TIMEOUT = 2.0
"""Seconds after whose end a reactor that has not turned counts as stuck, and for which the list of connections is waited for."""

SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)
MOST_CONNECTIONS = 1000
"""So many connections are listed at most."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of a running proxy that are looked at."""

    reactor: Reactor
    server: ProxyServer
    pool: ThreadPool
    requests: RequestStats
    slow: SlowRequests
    responses: ResponseDeque
    master: DBPool
    slave: ReadPool
    backends: BackendFacts
    pools: Sequence[BackendPool]
    file_server: FileServer
    recoveries: Recoveries
    sync_center: SyncCenter


class ObservedProxy(Protocol):
    """The proxy, as far as a snapshot needs it. Any thread."""

    @property
    def observed(self) -> Observed:
        """Its parts; raises ``RuntimeError`` before it has been started."""

    @property
    def state(self) -> str:
        """serving, draining or upgrading."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have the reactor thread call ``action``."""


class ReactorStuckError(Exception):
    """The reactor thread did not answer in time."""


class Snapshots:
    """Takes snapshots of one proxy."""

    def __init__(self, proxy: ObservedProxy) -> None:
        self._proxy = proxy
        self._started = time.time()
        self._started_monotonic = time.monotonic()

    def alive(self) -> bool:
        """Whether the reactor has turned lately."""
        return self._turn_age() < REACTOR_TIMEOUT

    def reasons(self) -> list[str]:
        """Why no requests should be sent here; none: it is ready."""
        reasons = [] if self.alive() else [f"the reactor has not turned for {self._turn_age():.1f} s"]
        state = self._proxy.state
        if state == "draining":
            reasons.append("draining: new work shall go elsewhere")
        for pool in self._proxy.observed.pools:
            report = pool.report()
            if not report.works:
                reasons.append(f"{report.kind} pool {report.name} does not work: {report.last_failure}")
        return reasons

    def status(self) -> Json:
        """Everything but the list of connections."""
        seen = self._proxy.observed
        totals = seen.requests.totals()
        state = seen.pool.state()
        counters, traffic = seen.server.counters, seen.server.traffic()
        file_server = seen.file_server.report()
        reasons = self.reasons()
        return {
            "time": time.time(),
            "version": __version__,
            "pid": os.getpid(),
            "started": self._started,
            "uptime": time.monotonic() - self._started_monotonic,
            "listen": [shown_address(*address) for address in seen.server.addresses],
            "state": self._proxy.state,
            "ready": not reasons,
            "reasons": reasons,
            "reactor": {"last_turn_age": self._turn_age()},
            "bounds": {"seconds": list(SECONDS_BOUNDS), "batch": list(BATCH_BOUNDS)},
            "requests": {name: _command(stats) for name, stats in totals.commands.items()},
            "batches": {"active": state.active_batches, "sizes": _histogram(totals.batch_sizes)},
            "queues": {
                "waiting": state.waiting,
                "waiting_bytes": state.waiting_bytes,
                "oldest": state.oldest,
                "held": state.held,
                "held_bytes": state.held_bytes,
                "limit": state.limit,
                "limit_bytes": state.limit_bytes,
                "by_queue": [{"name": name, "waiting": waiting} for name, waiting in state.by_queue()],
            },
            "workers": {"threads": state.threads, "busy": state.busy_threads},
            "responses": {"unsent_bytes": seen.responses.unsent_total, "limit_bytes": seen.responses.max_total},
            "connections": {
                "open": len(seen.server),
                "limit": seen.server.max_connections,
                "accepted": counters.accepted,
                "refused": counters.refused,
                "closed": counters.closed,
                **dataclasses.asdict(traffic),
                "backlog_bytes": seen.responses.kept_total,
                "pending_bytes": seen.server.pending,
                "reading_paused": seen.server.is_paused,
                "pauses": counters.pauses,
            },
            "pools": [dataclasses.asdict(pool.report()) for pool in seen.pools],
            "backends": [_backend(facts) for facts in seen.backends.known],
            "file_server": {"calls": file_server.calls, "seconds": file_server.seconds, "failures": file_server.failures},
            "recoveries": dict(seen.recoveries.counts()),
            "group_sync": {"lag": seen.sync_center.lag, "failures": seen.sync_center.failures},
            "replication": _replication(seen.slave),
            "log": {"dropped": log.dropped_lines(), "warnings": [dataclasses.asdict(warning) for warning in log.recent_warnings()]},
            "slow": [dataclasses.asdict(slow) for slow in seen.slow.last()],
        }

    def connections(self, sort: SortKey = "backlog", limit: int = 50) -> Json:
        """How many connections there are, and those with the largest values of ``sort``; at most ``MOST_CONNECTIONS``.

        Raises:
            ReactorStuckError: the reactor thread does not answer within ``REACTOR_TIMEOUT``.

        """
        reports: list[ConnReport] = []
        made = threading.Event()
        server = self._proxy.observed.server

        def make() -> None:
            reports.extend(server.reports())
            made.set()

        self._proxy.call_soon(make)
        if not made.wait(REACTOR_TIMEOUT):
            raise ReactorStuckError(f"the reactor does not answer within {REACTOR_TIMEOUT:g} s")
        listed = largest(reports, sort, min(limit, MOST_CONNECTIONS))
        return {"total": len(reports), "connections": [dataclasses.asdict(report) for report in listed]}

    def _turn_age(self) -> float:
        return max(0.0, time.monotonic() - self._proxy.observed.reactor.last_turn)


def _backend(facts: ServerFacts) -> Json:
    limitations = [{"name": one.name, "text": one.text, "breaks_promise": one.breaks_promise} for one in facts.limitations]
    return dataclasses.asdict(facts) | {"pools": list(facts.pools), "limitations": limitations}


def _replication(slave: ReadPool) -> Json:
    replicas = slave.replicas()
    lags = [replica.lag for replica in replicas if replica.lag is not None]
    return {
        "lag": max(lags, default=None),
        "replicas": [dataclasses.asdict(replica) for replica in replicas],
        "master_reads": slave.master_reads(),
    }


def _histogram(histogram: Histogram) -> Json:
    return {"count": histogram.count, "sum": histogram.sum, "buckets": list(histogram.buckets)}


def _command(stats: CommandStats) -> Mapping[str, Any]:
    counts: Json = dict(zip(OUTCOMES, stats.outcomes, strict=True))
    return counts | {"waiting": _histogram(stats.waiting), "working": _histogram(stats.working)}
