"""Every workload of the benchmark on installations of several sizes, in turns.

Latencies and throughput depend on what else the machine does; only ratios within a round mean something. Rows that MariaDB reads for a
request are exact.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbproxy.bench.generator import Job
from dbproxy.bench.load import measure
from dbproxy.bench.report import grid
from dbproxy.bench.site import DATABASE, PROXY
from dbproxy.bench.usage import memory_bytes
from dbproxy.bench.workloads import WORKLOADS, wrong_replies
from devtools.scale.installations import MEGABYTE, Installation, Size, running, shuffled, size_of
from devtools.scale.population import POPULATIONS

FRAMES = 20_000
"""Different requests of a workload, so that the proxy and MariaDB do not find all of it in their caches."""


@dataclass(frozen=True)
class Plan:
    """What to measure: names of populations, workloads, requests in flight, how often, and for how long in seconds."""

    directory: Path
    populations: Sequence[str]
    workloads: Sequence[str]
    levels: Sequence[int]
    rounds: int
    warm: float
    seconds: float


@dataclass(frozen=True)
class Cell:
    """One measurement. CPU in microseconds per request; ``rows``: index entries and rows that MariaDB read per request."""

    round: int
    population: str
    workload: str
    in_flight: int
    per_second: float
    p50_ms: float
    p99_ms: float
    proxy_us: float
    database_us: float
    rows: float
    reads: float
    """Pages that MariaDB read from disk (or the system's cache) per request."""
    proxy_megabytes: float
    load: float
    """Load average of the machine (1 minute) before it."""
    wrong: int


def run(plan: Plan, show: Callable[[str], None]) -> tuple[list[Size], list[Cell]]:
    """Measure everything; the data below ``plan.directory`` is created if it is missing, and stays.

    Raises:
        StoreError, StartupError, GeneratorError: something failed.

    """
    cells: list[Cell] = []
    with contextlib.ExitStack() as exits:
        installations = [exits.enter_context(running(plan.directory, name, show)) for name in plan.populations]
        sizes = [size_of(installation) for installation in installations]
        for number in range(plan.rounds):
            for workload in plan.workloads:
                for level in plan.levels:
                    for installation in shuffled(installations, number):
                        show(f"round {number + 1} of {plan.rounds}: {workload}, {level} in flight, {installation.population.name}")
                        cells.append(_measure(plan, number, workload, level, installation))
    return sizes, cells


def _measure(plan: Plan, number: int, workload: str, level: int, installation: Installation) -> Cell:
    site = installation.site
    frames = WORKLOADS[workload].frames(installation.data, FRAMES, seed=number)
    job = Job(site.host, site.port, min(4, level), level, plan.warm, plan.seconds)
    processes, load = site.processes(), os.getloadavg()[0]
    before = site.status()
    measured = measure(site, job, frames, processes)
    after = site.status()
    outcome = measured.outcome
    total = max(1.0, outcome.per_second * (plan.warm + plan.seconds))

    def counted(prefix: str) -> float:
        return sum(after[name] - before.get(name, 0) for name in after if name.startswith(prefix)) / total

    cores = measured.usage.processes
    return Cell(
        number,
        installation.population.name,
        workload,
        level,
        round(outcome.per_second, 1),
        round(1000 * outcome.p50, 3),
        round(1000 * outcome.p99, 3),
        round(1e6 * cores.get(PROXY, 0.0) / max(1.0, outcome.per_second), 1),
        round(1e6 * cores.get(DATABASE, 0.0) / max(1.0, outcome.per_second), 1),
        round(counted("Handler_read"), 1),
        round(counted("Innodb_buffer_pool_reads"), 3),
        round(memory_bytes(processes[PROXY]) / MEGABYTE, 1),
        round(load, 1),
        len(wrong_replies(outcome.samples)),
    )


def table(cells: Sequence[Cell]) -> str:
    """Return medians over the rounds; ``p50 to small`` is relative to the smallest population in the same round."""
    order = {name: number for number, name in enumerate(POPULATIONS)}
    smallest = min({cell.population for cell in cells}, key=lambda name: order[name])
    first = {(cell.round, cell.workload, cell.in_flight): cell for cell in cells if cell.population == smallest}
    lines: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: order[cell.population]):
        lines.setdefault((cell.workload, cell.in_flight, cell.population), []).append(cell)
    head = [
        "workload",
        "in flight",
        "size",
        "per s",
        "p50 ms",
        "p99 ms",
        "p50 to small",
        "proxy us",
        "MariaDB us",
        "rows",
        "pages",
        "load",
        "",
    ]
    rows = []
    for (workload, level, name), group in sorted(lines.items(), key=lambda line: (list(WORKLOADS).index(line[0][0]), line[0][1])):
        ratios = [cell.p50_ms / base.p50_ms for cell in group if (base := first.get((cell.round, workload, level))) and base.p50_ms]
        numbers = [statistics.median([getattr(cell, field) for cell in group]) for field in ("per_second", "p50_ms", "p99_ms")]
        others = [
            statistics.median([getattr(cell, field) for cell in group]) for field in ("proxy_us", "database_us", "rows", "reads", "load")
        ]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        texts = [f"{numbers[0]:,.0f}", f"{numbers[1]:.2f}", f"{numbers[2]:.1f}", ratio, *(f"{value:.0f}" for value in others[:2])]
        texts += [f"{others[2]:.1f}", f"{others[3]:.2f}", f"{others[4]:.1f}", "wrong replies!" if any(cell.wrong for cell in group) else ""]
        rows.append([workload, str(level), name, *texts])
    return grid(head, rows)


def sizes_table(sizes: Sequence[Size]) -> str:
    """Return what tables, Redis and proxies take."""
    rows = []
    for size in sizes:
        for kind, (thousands, data, indexes) in size.tables.items():
            per_row = MEGABYTE * (data + indexes) / (1000 * thousands)
            rows.append([size.population, kind, f"{thousands:,.0f}", f"{data:,.0f}", f"{indexes:,.0f}", f"{per_row:.0f}"])
        rows.append(
            [
                size.population,
                "Redis",
                f"{size.redis_keys / 1000:,.0f}",
                f"{size.redis:,.0f}",
                "",
                f"{MEGABYTE * size.redis / size.redis_keys:.0f}",
            ]
        )
        rows.append([size.population, "proxy", "", f"{size.proxy:,.0f}", "", ""])
    return grid(["size", "what", "thousand rows, keys", "MiB", "MiB of indexes", "bytes each"], rows)
