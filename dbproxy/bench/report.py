"""Results of the benchmark, as tables for the terminal and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dbproxy
from dbproxy.bench.site import CACHE, DATABASE, PROXY, Site

VERSION = 1
"""The version of the JSON format."""


@dataclass(frozen=True)
class Cell:
    """The result of one workload at one level of concurrency. Latencies in ms; ``cores``: CPU cores used, by name of the process, by the
    machine, and by others.
    """

    workload: str
    in_flight: int
    connections: int
    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    unanswered: int
    wrong: int
    cores: Mapping[str, float]
    fsyncs_per_second: float
    commits_per_second: float
    proxy_megabytes: float
    limit: str
    reason: str
    warnings: Sequence[str]


@dataclass(frozen=True)
class MariaDBAlone:
    """What the database does without a proxy, and the best throughput of the proxy as a multiple of it; None: not measured."""

    transactions_per_second: float | None
    selects_per_second: float | None
    reason: str
    single_ratio: float | None = None
    group_ratio: float | None = None
    users_ratio: float | None = None


def compare(alone: MariaDBAlone, cells: Sequence[Cell]) -> MariaDBAlone:
    """Return ``alone`` with the ratios filled in."""

    def ratio(workload: str, base: float | None) -> float | None:
        best = max((cell.per_second for cell in cells if cell.workload == workload), default=None)
        return None if best is None or not base else round(best / base, 2)

    return MariaDBAlone(
        alone.transactions_per_second,
        alone.selects_per_second,
        alone.reason,
        ratio("single", alone.transactions_per_second),
        ratio("group", alone.transactions_per_second),
        ratio("users", alone.selects_per_second),
    )


def machine(site: Site, fsync_seconds: float | None) -> dict[str, Any]:
    """Describe the machine, the software versions and the settings of a measurement."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "hiredis": _has("hiredis"),
        "database": site.database_version(),
        "redis": site.cache_info("server").get("redis_version", "?"),
        "fsync_ms": None if fsync_seconds is None else round(1000 * fsync_seconds, 3),
        "dbproxy": dbproxy.__version__,
        "thread_num": site.config.thread_num,
        "max_batch_size": site.config.max_batch_size,
        "max_active_batches": site.config.max_active_batches,
    }


def write_json(path: Path, kind: str, results: Mapping[str, Any]) -> None:
    """Write results as JSON; ``kind`` is the kind of measurement.

    Raises:
        OSError: the file cannot be written.

    """
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    path.write_text(
        json.dumps({"version": VERSION, "kind": kind, "when": when, **results}, indent=1, default=asdict) + "\n", encoding="utf-8"
    )


def table(cells: Sequence[Cell]) -> str:
    """Return all cells as a table for the terminal."""
    head = ("workload", "in flight", "requests/s", "p50 ms", "p99 ms", PROXY, DATABASE, CACHE, "generator", "machine", "limit")
    rows = [
        (
            cell.workload,
            str(cell.in_flight),
            f"{cell.per_second:,.0f}",
            f"{cell.p50_ms:.2f}",
            f"{cell.p99_ms:.2f}",
            *(f"{cell.cores.get(name, 0.0):.2f}" for name in (PROXY, DATABASE, CACHE, "generator", "machine")),
            cell.limit + (" (!)" if cell.warnings else ""),
        )
        for cell in cells
    ]
    return grid(head, rows)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], *, gaps: bool = True, left: Collection[int] | None = None) -> str:
    """Return text in columns: those of ``left`` (by default the first and the last) aligned left, the others right; with ``gaps`` a blank
    line where the first column changes.
    """
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        to_left = (0, len(row) - 1) if left is None else left
        parts = [
            text.ljust(width) if at in to_left else text.rjust(width) for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    lines = [line(head), "-" * len(line(["-" * width for width in widths]))]
    before = rows[0][0] if rows else ""
    for row in rows:
        if gaps and row[0] != before:
            lines.append("")
            before = row[0]
        lines.append(line(row))
    return "\n".join(lines)


def summary(cells: Sequence[Cell], alone: MariaDBAlone) -> str:
    """Return the result as sentences: how many requests per second, and what limits them."""
    lines = []
    for workload in dict.fromkeys(cell.workload for cell in cells):
        best = max((cell for cell in cells if cell.workload == workload), key=lambda cell: cell.per_second)
        lines.append(f"{workload}: {best.per_second:,.0f} requests/s with {best.in_flight} in flight. Limit: {best.reason}.")
    if alone.transactions_per_second is None:
        lines.append(f"MariaDB alone was not measured: {alone.reason}.")
    else:
        lines.append(
            f"MariaDB alone, 8 C clients: {alone.transactions_per_second:,.0f} transactions/s of one message each (insert it, update two "
            f"sessions, commit), {alone.selects_per_second or 0:,.0f} selects/s of three users."
        )
        ratios = {"single": alone.single_ratio, "group": alone.group_ratio, "users": alone.users_ratio}
        parts = [f"{name} {ratio:.2f}" for name, ratio in ratios.items() if ratio is not None]
        if parts:
            lines.append(f"Through the proxy, as multiples of that: {', '.join(parts)}.")
    by_kind: dict[str, list[str]] = {}
    for cell in cells:
        for warning in cell.warnings:
            by_kind.setdefault(re.sub(r"[0-9.]+", "#", warning), []).append(f"{cell.workload} {cell.in_flight}: {warning}")
    lines += [f"(!) {found[0]}{f', and {len(found) - 1} more like that' if found[1:] else ''}" for found in by_kind.values()]
    return "\n".join(lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _has(module: str) -> bool:
    try:
        __import__(module)
    except ImportError:
        return False
    return True
