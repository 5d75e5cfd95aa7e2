"""Several proxies on one database: what storing through two or four costs against one, and where that is spent.

One generator spreads the same number of requests in flight over all of them. All proxies run the whole time, and each round measures every
combination, because this machine's speed changes: only ratios within a round mean something. Another checkout can be measured in turns
with this one.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dbproxy
from dbproxy.bench.dataset import Shape
from dbproxy.bench.generator import Job
from dbproxy.bench.load import Measured, measure
from dbproxy.bench.report import grid
from dbproxy.bench.site import CACHE, DATABASE, PROXY, Site
from dbproxy.bench.throughput import renew
from dbproxy.bench.workloads import WORKLOADS, wrong_replies
from dbproxy.testing import ProxyProcess, Stack

PROCESSES = (PROXY, DATABASE, CACHE)

THIS = Path(dbproxy.__file__).parents[1]
"""The checkout whose code this process runs."""

COUNTED = {
    "Questions": "statements",
    "Com_commit": "commits",
    "Innodb_data_fsyncs": "fsyncs",
    "Innodb_row_lock_waits": "lock waits",
    "Innodb_row_lock_time": "lock ms",
    "Innodb_deadlocks": "deadlocks",
}
"""Status variable of MariaDB → what it is called here."""


@dataclass(frozen=True)
class Plan:
    """What to measure. ``trees``: checkouts whose proxies are compared, the first one is the reference; ``counts``: numbers of proxies;
    ``levels``: requests in flight over all proxies together; times in seconds.
    """

    trees: Sequence[Path]
    workloads: Sequence[str]
    counts: Sequence[int]
    levels: Sequence[int]
    rounds: int
    warm: float
    seconds: float
    connections: int = 4
    shape: Shape = field(default_factory=Shape)


@dataclass(frozen=True)
class Cell:
    """One measurement. ``per_thousand``: what MariaDB and Redis counted per 1,000 requests; ``cores``: CPU by name of the process."""

    round: int
    tree: str
    workload: str
    in_flight: int
    proxies: int
    per_second: float
    p50_ms: float
    p99_ms: float
    batch: float
    """Requests per commit; 0 where nothing is committed."""
    cores: dict[str, float]
    per_thousand: dict[str, float]
    wrong: int


def run(plan: Plan, show: Callable[[str], None]) -> list[Cell]:
    """Measure everything, with private backends.

    Raises:
        StoreError, StartupError, GeneratorError: something failed.

    """
    cells: list[Cell] = []
    with Stack() as stack, contextlib.ExitStack() as exits:
        groups = {tree: [exits.enter_context(_proxy(stack, tree)) for _ in range(max(plan.counts))] for tree in plan.trees}
        site = exits.enter_context(Site(groups[plan.trees[0]][0].config_path, stack=stack))
        for number in range(plan.rounds):
            for workload, level, tree, count in _combinations(plan):
                show(f"round {number + 1} of {plan.rounds}: {workload}, {level} in flight, {count} proxies of {tree.name}")
                cells.append(_measure(site, plan, number, workload, level, tree, groups[tree][:count]))
    return cells


def _proxy(stack: Stack, tree: Path) -> ProxyProcess:
    return ProxyProcess(stack, {"ThreadNum": 48}, env={"PYTHONPATH": str(tree)})


def _combinations(plan: Plan) -> Iterator[tuple[str, int, Path, int]]:
    for workload in plan.workloads:
        for level in plan.levels:
            for count in plan.counts:
                for tree in plan.trees:
                    yield workload, level, tree, count


def _measure(site: Site, plan: Plan, number: int, workload: str, level: int, tree: Path, proxies: Sequence[ProxyProcess]) -> Cell:
    data = renew(site, plan.shape)
    ports = [proxy.port for proxy in proxies]
    connections = max(len(ports), min(level, plan.connections * (2 if len(ports) > 2 else 1)))
    job = Job(site.host, ports[0], connections, level, plan.warm, plan.seconds, more_ports=ports[1:])
    processes = {**site.processes(), PROXY: [proxy.pid for proxy in proxies]}
    before, cached_before = site.status(), _commands(site)
    measured = measure(site, job, WORKLOADS[workload].frames(data), processes)
    after, cached_after = site.status(), _commands(site)
    outcome = measured.outcome
    total = _requests_of_all(measured, plan)
    counted = {name: 1000 * (after.get(key, 0) - before.get(key, 0)) / total for key, name in COUNTED.items()}
    counted["Redis commands"] = 1000 * (cached_after - cached_before) / total
    commits = counted["commits"]
    return Cell(
        number,
        str(tree),
        workload,
        level,
        len(proxies),
        round(outcome.per_second, 1),
        round(1000 * outcome.p50, 3),
        round(1000 * outcome.p99, 3),
        round(1000 / commits, 1) if commits >= 1 else 0.0,
        {name: round(cores, 2) for name, cores in measured.usage.processes.items()},
        {name: round(value, 2) for name, value in counted.items()},
        len(wrong_replies(outcome.samples)),
    )


def _requests_of_all(measured: Measured, plan: Plan) -> float:
    """About how many requests were answered while the servers counted: the warm-up and the drain included."""
    return max(1.0, measured.outcome.per_second * (plan.warm + plan.seconds))


def _commands(site: Site) -> int:
    return int(site.cache_info("stats").get("total_commands_processed", "0"))


def table(cells: Sequence[Cell]) -> str:
    """Return medians over the rounds. ``to one`` is the throughput relative to one proxy of the same checkout in the same round, ``to
    first`` relative to as many proxies of the first checkout; the columns of processes are microseconds of their CPU per request.
    """
    trees = list(dict.fromkeys(cell.tree for cell in cells))
    rates = {(cell.round, cell.workload, cell.in_flight, cell.tree, cell.proxies): cell.per_second for cell in cells}
    lines: dict[tuple[str, int, int, str], list[Cell]] = {}
    for cell in cells:
        lines.setdefault((cell.workload, cell.in_flight, cell.proxies, cell.tree), []).append(cell)
    head = ["workload", "in flight", "proxies", "checkout", "per s", "to one", "to first", "p50 ms", "p99 ms", "batch"]
    head += [*(f"{name} us" for name in PROCESSES), *COUNTED.values(), "Redis commands", ""]
    rows = []
    for (workload, level, count, tree), group in lines.items():
        to_one = [_ratio(cell.per_second, rates.get((cell.round, workload, level, tree, 1))) for cell in group]
        to_first = [_ratio(cell.per_second, rates.get((cell.round, workload, level, trees[0], count))) for cell in group]
        rows.append(
            [
                *(workload, str(level), str(count), Path(tree).name, f"{_median([cell.per_second for cell in group]):,.0f}"),
                *(f"{_median(ratios):.2f}" for ratios in (to_one, to_first)),
                *(f"{_median([getattr(cell, name) for cell in group]):.1f}" for name in ("p50_ms", "p99_ms", "batch")),
                *(f"{_median([1e6 * cell.cores.get(name, 0.0) / cell.per_second for cell in group]):.0f}" for name in PROCESSES),
                *(f"{_median([cell.per_thousand[name] for cell in group]):.1f}" for name in (*COUNTED.values(), "Redis commands")),
                "wrong replies!" if any(cell.wrong for cell in group) else "",
            ]
        )
    return grid(head, rows)


def batch_costs(cells: Sequence[Cell]) -> str:
    """Return what a batch and each message in it cost, fitted to the medians of one proxy of the last checkout at several levels."""
    tree = cells[-1].tree
    lines = []
    for workload in dict.fromkeys(cell.workload for cell in cells):
        found = [cell for cell in cells if cell.workload == workload and cell.proxies == 1 and cell.tree == tree and cell.batch]
        levels = sorted({cell.in_flight for cell in found})
        if len(levels) < 3:
            continue
        lengths = [_median([cell.batch for cell in found if cell.in_flight == level]) for level in levels]
        parts = []
        for name in PROCESSES:
            costs = [_median([_batch_us(cell, name) for cell in found if cell.in_flight == level]) for level in levels]
            line = statistics.linear_regression(lengths, costs)
            parts.append(f"{name} {line.intercept:.0f} us for a batch and {line.slope:.1f} for each message")
        lines.append(f"{workload}: {', '.join(parts)}")
    return "\n".join(lines)


def _batch_us(cell: Cell, process: str) -> float:
    return 1e6 * cell.cores.get(process, 0.0) / cell.per_second * cell.batch


def _ratio(value: float, base: float | None) -> float:
    return value / base if base else 0.0


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
