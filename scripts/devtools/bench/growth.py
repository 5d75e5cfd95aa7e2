"""How the cost of a request grows with the data: the same requests at several sizes of one dimension, with everything else unchanged.

Besides the latency, which is noisy, it records counters of the servers, which are exact: index entries and rows that MySQL read, and bytes
that Redis sent. Cost may grow with the size of the reply; if it grows more than that, an index is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dbproxy.bench.generator import Job, quantile
from dbproxy.bench.load import measure
from dbproxy.bench.report import grid
from dbproxy.bench.requests import frame
from dbproxy.bench.site import Site
from dbproxy.bench.throughput import renew
from dbproxy.testing.client import Client
from devtools.bench.axes import AXES, Axis
from devtools.bench.cost import QUIET, Meter

OVERRIDES: Mapping[str, object] = {"SyncInterval": QUIET}
"""Keys of the proxy's configuration, so that only the measured requests change the counters."""

IGNORED_ROWS = 64
IGNORED_BYTES = 512
IGNORED_SECONDS = 0.001
"""Smaller differences are not reported as growth."""

MIN_REQUESTS, ENOUGH_SECONDS = 5, 2.0
"""A command is measured until both are reached, or all requests were sent."""

FACTOR, FACTOR_OF_TIME = 2.0, 3.0
"""Cost that grows by more than these factors, relative to the size of the reply, is reported; time is noisy."""


@dataclass(frozen=True)
class Point:
    """The cost of one command at one size. Averages per request; ``rows_read`` and ``cache_bytes`` None where they were not counted."""

    axis: str
    size: int
    command: str
    p50_ms: float
    per_second: float
    reply_bytes: float
    rows_read: float | None = None
    database_bytes: float | None = None
    cache_bytes: float | None = None


def run(site: Site, names: Sequence[str], *, quick: bool, requests: int, show: Callable[[str], None]) -> list[Point]:
    """Measure these axes of a private site, ``requests`` of each command at each size.

    Raises:
        StoreError, GeneratorError: something failed.

    """
    points: list[Point] = []
    for name in names:
        axis = AXES[name](site)
        show(f"{name}: creating data")
        axis.prepare(renew(site, axis.shape))
        for size in axis.quick_sizes if quick else axis.sizes:
            show(f"{name} {size:,}: creating data")
            axis.grow(size)
            if axis.in_flight:
                points += _under_load(site, axis, size, 1.0 if quick else 3.0, show)
            else:
                points += _one_by_one(site, axis, size, requests, show)
    return points


def _one_by_one(site: Site, axis: Axis, size: int, requests: int, show: Callable[[str], None]) -> list[Point]:
    """Measure one request at a time, so that counters can be divided by the number of requests."""
    points = []
    meter = Meter(site)
    with Client(site.host, site.port, timeout=60) as client:
        for command, request in axis.requests().items():
            show(f"{axis.name} {size:,}: {command}")
            client.send(request)
            client.receive()
            latencies: list[float] = []
            answers = 0
            before = meter.read()
            while len(latencies) < requests and (len(latencies) < MIN_REQUESTS or sum(latencies) < ENOUGH_SECONDS):
                begin = time.perf_counter()
                client.send(request)
                answers += client.receive().length
                latencies.append(time.perf_counter() - begin)
            cost = meter.cost(before, meter.read(), len(latencies))
            p50 = quantile(sorted(latencies), 0.5)
            points.append(
                Point(
                    axis.name,
                    size,
                    command,
                    round(1000 * p50, 3),
                    round(1 / p50, 1),
                    answers / len(latencies),
                    round(cost.rows_read, 1),
                    round(cost.database_bytes, 1),
                    round(cost.cache_bytes, 1),
                )
            )
    return points


def _under_load(site: Site, axis: Axis, size: int, seconds: float, show: Callable[[str], None]) -> list[Point]:
    """Measure with ``axis.in_flight`` requests over ``size`` connections, which are used in turn."""
    points = []
    for command, request in axis.requests().items():
        show(f"{axis.name} {size:,}: {command}")
        job = Job(site.host, site.port, size, axis.in_flight, 0.3, seconds, in_turn=True)
        outcome = measure(site, job, [frame(request)], {}).outcome
        average = outcome.bytes_received / max(1, outcome.requests)
        points.append(Point(axis.name, size, command, round(1000 * outcome.p50, 3), round(outcome.per_second, 1), round(average, 1)))
    return points


def assess(line: Sequence[Point]) -> str:
    """Assess the points of one command on one axis, ascending by size; empty when its cost does not grow."""
    first, last = line[0], line[-1]
    answer = max(1.0, last.reply_bytes / max(1.0, first.reply_bytes))
    grown = []
    if _grows(first.rows_read, last.rows_read, IGNORED_ROWS, FACTOR * answer):
        grown.append("rows read")
    if _grows(first.cache_bytes, last.cache_bytes, IGNORED_BYTES, FACTOR * answer):
        grown.append("bytes from Redis")
    if _grows(first.p50_ms, last.p50_ms, 1000 * IGNORED_SECONDS, FACTOR_OF_TIME * answer):
        grown.append("time")
    if grown:
        return "GROWS: " + ", ".join(grown)
    return "with the reply" if answer > FACTOR else ""


def _grows(first: float | None, last: float | None, ignored: float, factor: float) -> bool:
    if first is None or last is None:
        return False
    return last - first > ignored and last > factor * max(first, ignored / 10)


def lines_of(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """Return (axis, command) → its points, ascending by size."""
    lines: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        lines.setdefault((point.axis, point.command), []).append(point)
    return {key: sorted(line, key=lambda point: point.size) for key, line in lines.items()}


def table(points: Sequence[Point]) -> str:
    """Return all points as a table for the terminal, a block for each axis."""
    blocks = []
    for name in dict.fromkeys(point.axis for point in points):
        sizes = sorted({point.size for point in points if point.axis == name})
        counted = any(point.rows_read is not None for point in points if point.axis == name)
        head = [name, *(f"ms at {size:,}" for size in sizes)]
        head += [f"rows at {size:,}" for size in sizes] if counted else [f"per s at {size:,}" for size in sizes]
        rows = []
        for (axis, command), line in lines_of(points).items():
            if axis == name:
                second = [f"{point.rows_read:,.0f}" if point.rows_read is not None else f"{point.per_second:,.0f}" for point in line]
                rows.append([command, *(f"{point.p50_ms:.2f}" for point in line), *second, assess(line)])
        blocks.append(grid([*head, ""], rows, gaps=False))
    return "\n\n".join(blocks)
