"""The metrics for Prometheus, made of a snapshot at each scrape. ``docs/METRICS.md`` says what each means and which to alert on.

Needs prometheus-client, the extra ``ops``: only who has set AdminListen imports this module.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dbproxy.ops.snapshot import Json
from dbproxy.stores.pool_counters import FAILURE_KINDS
from dbproxy.work.request_stats import OUTCOMES

GAUGE, COUNTER = GaugeMetricFamily, CounterMetricFamily

STATES = ("serving", "draining", "upgrading")

_Family = type[GaugeMetricFamily] | type[CounterMetricFamily]

PLAIN: Sequence[tuple[str, _Family, str, tuple[str, ...]]] = (
    ("dbproxy_start_time_seconds", GAUGE, "Unix time at which the process started.", ("started",)),
    ("dbproxy_ready", GAUGE, "1 if /readyz says so: every pool works and the proxy is not draining.", ("ready",)),
    (
        "dbproxy_reactor_last_turn_age_seconds",
        GAUGE,
        "Seconds since the reactor turned; above 2 it is stuck.",
        ("reactor", "last_turn_age"),
    ),
    ("dbproxy_batches_active", GAUGE, "Batches that workers have begun.", ("batches", "active")),
    ("dbproxy_queue_requests", GAUGE, "Requests that wait for a worker.", ("queues", "waiting")),
    ("dbproxy_queue_bytes", GAUGE, "Bytes of the bodies of requests that wait for a worker.", ("queues", "waiting_bytes")),
    ("dbproxy_queue_oldest_seconds", GAUGE, "For how long the longest waiting request has waited.", ("queues", "oldest")),
    ("dbproxy_queue_limit_requests", GAUGE, "MaxWaitingRequests.", ("queues", "limit")),
    ("dbproxy_queue_limit_bytes", GAUGE, "MaxWaitingBytes.", ("queues", "limit_bytes")),
    ("dbproxy_held_requests", GAUGE, "Requests held because their peers do not take their replies.", ("queues", "held")),
    ("dbproxy_held_bytes", GAUGE, "Memory of held requests.", ("queues", "held_bytes")),
    ("dbproxy_worker_threads", GAUGE, "Worker threads.", ("workers", "threads")),
    ("dbproxy_worker_threads_busy", GAUGE, "Worker threads that have a batch.", ("workers", "busy")),
    ("dbproxy_unsent_bytes", GAUGE, "Bytes of replies that no kernel has taken yet.", ("responses", "unsent_bytes")),
    ("dbproxy_unsent_limit_bytes", GAUGE, "MaxSendBufferTotal.", ("responses", "limit_bytes")),
    ("dbproxy_connections", GAUGE, "Open connections of peers.", ("connections", "open")),
    ("dbproxy_connections_limit", GAUGE, "How many connections of peers there may be.", ("connections", "limit")),
    ("dbproxy_connections_accepted", COUNTER, "Connections of peers that were accepted.", ("connections", "accepted")),
    ("dbproxy_connections_refused", COUNTER, "Connections refused: not allowed, or too many.", ("connections", "refused")),
    ("dbproxy_connections_closed", COUNTER, "Connections of peers that have ended.", ("connections", "closed")),
    ("dbproxy_send_backlog_bytes", GAUGE, "Bytes of replies that sockets of peers do not take.", ("connections", "backlog_bytes")),
    ("dbproxy_unfinished_pdu_bytes", GAUGE, "Bytes of PDUs of which the end has not come.", ("connections", "pending_bytes")),
    ("dbproxy_reading_paused", GAUGE, "1 while nothing is read because too much waits.", ("connections", "reading_paused")),
    ("dbproxy_reading_pauses", COUNTER, "How often reading was paused because too much waited.", ("connections", "pauses")),
    ("dbproxy_file_server_calls", COUNTER, "Requests to the file server.", ("file_server", "calls")),
    ("dbproxy_file_server_seconds", COUNTER, "Seconds for which threads waited for the file server.", ("file_server", "seconds")),
    ("dbproxy_file_server_failures", COUNTER, "Requests to the file server without a usable answer.", ("file_server", "failures")),
    ("dbproxy_group_sync_lag_seconds", GAUGE, "Seconds since the last complete group session sync.", ("group_sync", "lag")),
    ("dbproxy_group_sync_failures", COUNTER, "Runs of the group session sync that failed.", ("group_sync", "failures")),
    ("dbproxy_log_dropped_lines", COUNTER, "Log lines dropped because they could not be written.", ("log", "dropped")),
)
"""Metrics without labels: name (that of a counter gets ``_total``), kind, help, place in the snapshot."""

POOL: Sequence[tuple[str, _Family, str, str]] = (
    ("dbproxy_pool_limit_connections", GAUGE, "Most connections of the pool (maxconncnt).", "limit"),
    ("dbproxy_pool_waiting_threads", GAUGE, "Threads that wait for a free connection of the pool.", "waiting"),
    ("dbproxy_pool_waits", COUNTER, "How often a thread had to wait for a free connection.", "waits"),
    ("dbproxy_pool_wait_seconds", COUNTER, "Seconds for which threads waited for a free connection.", "wait_seconds"),
    ("dbproxy_pool_connects", COUNTER, "Connections made to the server.", "connects"),
    ("dbproxy_pool_failovers", COUNTER, "How often the pool has turned to another server (a failover).", "failovers"),
    ("dbproxy_pool_calls", COUNTER, "Statements, scripts or pipelines sent to the server.", "calls"),
    ("dbproxy_pool_call_seconds", COUNTER, "Seconds for which threads waited for the server.", "seconds"),
    ("dbproxy_pool_works", GAUGE, "1 if what was last tried with the server succeeded.", "works"),
)
"""Metrics with the labels pool and kind (mysql or redis); the last column is a key of a pool in the snapshot."""


class Metrics:
    """Makes the text of /metrics. Any thread."""

    def __init__(self, status: Callable[[], Json]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_SnapshotCollector(status))

    def render(self) -> tuple[bytes, str]:
        """Return text and content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _SnapshotCollector(Collector):
    def __init__(self, status: Callable[[], Json]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield from _build(status)
        for name, family, text, path in PLAIN:
            yield family(name, text, value=float(_at(status, path)))
        yield from _requests(status)
        yield from _traffic(status["connections"])
        yield from _pools(status["pools"])
        yield _backends(status["backends"])
        recoveries = CounterMetricFamily(
            "dbproxy_recoveries", "What Redis had lost or had wrong and was restored from MySQL.", labels=["what"]
        )
        for what, count in status["recoveries"].items():
            recoveries.add_metric([what], count)
        yield recoveries
        yield from _replication(status["replication"])


def _at(status: Json, path: tuple[str, ...]) -> Any:  # noqa: ANN401
    value: Any = status
    for key in path:
        value = value[key]
    return value


def _build(status: Json) -> Iterator[Metric]:
    build = GaugeMetricFamily("dbproxy_build_info", "1, with the version of the proxy and of Python.", labels=["version", "python"])
    build.add_metric([status["version"], platform.python_version()], 1)
    yield build
    state = GaugeMetricFamily("dbproxy_state", "1 for the state that the proxy is in.", labels=["state"])
    for name in STATES:
        state.add_metric([name], float(name == status["state"]))
    yield state


def _requests(status: Json) -> Iterator[Metric]:
    bounds = status["bounds"]
    total = CounterMetricFamily("dbproxy_requests", "Requests by what became of them.", labels=["command", "outcome"])
    seconds = HistogramMetricFamily(
        "dbproxy_request_seconds",
        "Seconds from arrival to the begin of work (waiting), and from there to the reply (working).",
        labels=["command", "phase"],
    )
    for command, counts in status["requests"].items():
        for outcome in OUTCOMES:
            total.add_metric([command, outcome], counts[outcome])
        if counts["waiting"]["count"]:
            for phase in ("waiting", "working"):
                _add_histogram(seconds, [command, phase], counts[phase], bounds["seconds"])
    yield total
    yield seconds
    sizes = HistogramMetricFamily("dbproxy_batch_requests", "Requests in a batch.", labels=[])
    _add_histogram(sizes, [], status["batches"]["sizes"], bounds["batch"])
    yield sizes


def _add_histogram(family: HistogramMetricFamily, labels: Sequence[str], histogram: Json, bounds: Sequence[float]) -> None:
    cumulative = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(repr, bounds), "+Inf"), histogram["buckets"], strict=True):
        cumulative += count
        buckets.append((bound, cumulative))
    family.add_metric(labels, buckets, histogram["sum"])


def _traffic(connections: Json) -> Iterator[Metric]:
    pdus = CounterMetricFamily("dbproxy_pdus", "PDUs from and to peers, heartbeats included.", labels=["direction"])
    size = CounterMetricFamily("dbproxy_peer_bytes", "Bytes from and to peers.", labels=["direction"])
    for direction in ("in", "out"):
        pdus.add_metric([direction], connections[f"pdus_{direction}"])
        size.add_metric([direction], connections[f"bytes_{direction}"])
    yield pdus
    yield size


def _backends(backends: Sequence[Json]) -> Metric:
    labels = ("pool", "kind", "server", "engine", "version", "topology")
    info = GaugeMetricFamily("dbproxy_backend_info", "1, with what the server of the pool is.", labels=labels)
    for backend in backends:
        for pool in backend["pools"]:
            info.add_metric([pool, *(backend[label] for label in labels[1:])], 1)
    return info


def _replication(replication: Json) -> Iterator[Metric]:
    """Nothing where all reads go to the server of the master."""
    replicas = replication["replicas"]
    if not replicas:
        return
    lag = GaugeMetricFamily("dbproxy_replication_lag_seconds", "Seconds that a server of teamtalk_slave is behind.", labels=["server"])
    used = GaugeMetricFamily("dbproxy_replica_used", "1 if a server of teamtalk_slave gets reads.", labels=["server"])
    reads = CounterMetricFamily("dbproxy_replica_reads", "Reads that a server of teamtalk_slave has answered.", labels=["server"])
    for replica in replicas:
        if replica["lag"] is not None:
            lag.add_metric([replica["server"]], replica["lag"])
        used.add_metric([replica["server"]], float(replica["state"] == "used"))
        reads.add_metric([replica["server"]], replica["reads"])
    instead = CounterMetricFamily("dbproxy_replica_master_reads", "Reads that the master took instead of a replica.", labels=["why"])
    for why, count in replication["master_reads"].items():
        instead.add_metric([why], count)
    yield from (lag, used, reads, instead)


def _pools(pools: Sequence[Json]) -> Iterator[Metric]:
    labels = ["pool", "kind"]
    connections = GaugeMetricFamily("dbproxy_pool_connections", "Connections that are in use, and idle ones.", labels=[*labels, "state"])
    failures = CounterMetricFamily("dbproxy_pool_failures", "Failures of the server or of the pool.", labels=[*labels, "failure"])
    for pool in pools:
        for state in ("in_use", "idle"):
            connections.add_metric([pool["name"], pool["kind"], state], pool[state])
        for failure in FAILURE_KINDS:
            failures.add_metric([pool["name"], pool["kind"], failure], pool["failures"][failure])
    yield connections
    yield failures
    for name, family, text, key in POOL:
        metric = family(name, text, labels=labels)
        for pool in pools:
            metric.add_metric([pool["name"], pool["kind"]], float(pool[key]))
        yield metric
