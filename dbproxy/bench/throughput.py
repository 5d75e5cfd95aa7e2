"""The throughput benchmark: workloads at several levels of concurrency against one site."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbproxy.bench import dataset
from dbproxy.bench.generator import Job
from dbproxy.bench.limits import find_limit, warnings
from dbproxy.bench.load import Measured, measure
from dbproxy.bench.report import Cell
from dbproxy.bench.site import PROXY, Site
from dbproxy.bench.usage import memory_bytes
from dbproxy.bench.workloads import Workload, wrong_replies

FSYNCS = 50
"""How many fsyncs are timed; the result is the median."""


@dataclass(frozen=True)
class Plan:
    """What to measure: workloads, levels of requests in flight over up to ``connections``, and how long each cell takes in seconds."""

    workloads: Sequence[Workload]
    levels: Sequence[int]
    connections: int
    warm: float
    seconds: float
    shape: dataset.Shape

    @property
    def cells(self) -> int:
        """The number of measurements."""
        return len(self.workloads) * len(self.levels)


def run(site: Site, plan: Plan, fsync_seconds: float | None, show: Callable[[str], None]) -> list[Cell]:
    """Measure every cell; ``show`` is called with the progress.

    A workload that writes starts with new data. The caller has to remove the data of the last one.

    Raises:
        StoreError, GeneratorError: something failed.

    """
    cells: list[Cell] = []
    data: dataset.Data | None = None
    for workload in plan.workloads:
        if data is None or workload.writes:
            show(f"{workload.name}: creating data")
            data = renew(site, plan.shape)
        frames = workload.frames(data)
        for level in plan.levels:
            show(f"{workload.name}, {level} in flight ({len(cells) + 1} of {plan.cells})")
            connections = max(1, min(plan.connections, level))
            job = Job(site.host, site.port, connections, level, plan.warm, plan.seconds)
            processes = site.processes()
            measured = measure(site, job, frames, processes)
            cells.append(_cell(workload, job, measured, processes.get(PROXY, ()), fsync_seconds))
    return cells


def renew(site: Site, shape: dataset.Shape) -> dataset.Data:
    """Create the data again: a private site is emptied first, elsewhere only the data of a measurement is removed."""
    if site.stack is not None:
        site.stack.reset()
    else:
        dataset.remove(site)
    data = dataset.make(site, shape)
    _await_slave(site, data)
    return data


def _await_slave(site: Site, data: dataset.Data) -> None:
    """Wait until the slave has the last relation, if it is another server."""
    last = max(data.relations.values(), default=0)
    deadline = time.monotonic() + 60
    while not site.databases.slave.select(f"select 1 from IMRelationShip where id={last}") and time.monotonic() < deadline:
        time.sleep(0.1)


def _cell(workload: Workload, job: Job, measured: Measured, proxies: Sequence[int], fsync_seconds: float | None) -> Cell:
    outcome = measured.outcome
    wrong = len(wrong_replies(outcome.samples))
    limit = find_limit(measured, job.in_flight, len(proxies), fsync_seconds)
    used = measured.usage
    cores = {**used.processes, "machine": used.machine, "others": used.others}
    return Cell(
        workload=workload.name,
        in_flight=job.in_flight,
        connections=job.connections,
        per_second=round(outcome.per_second, 1),
        p50_ms=round(1000 * outcome.p50, 3),
        p99_ms=round(1000 * outcome.p99, 3),
        requests=outcome.requests,
        unanswered=outcome.unanswered,
        wrong=wrong,
        cores={name: round(share, 2) for name, share in cores.items()},
        fsyncs_per_second=round(measured.fsyncs_per_second, 1),
        commits_per_second=round(measured.commits_per_second, 1),
        proxy_megabytes=round(memory_bytes(proxies) / 1e6, 1),
        limit=limit.name,
        reason=limit.reason,
        warnings=warnings(measured, wrong),
    )


def time_fsync(directory: Path) -> float | None:
    """Return the median seconds of an fsync after a small write in ``directory``; None when that cannot be measured."""
    times = []
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            for _ in range(FSYNCS):
                file.write(b"x" * 512)
                file.flush()
                begin = time.perf_counter()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - begin)
    except OSError:
        return None
    return sorted(times)[FSYNCS // 2]
