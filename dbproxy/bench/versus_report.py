"""The comparison of programs as a table, as JSON and as a chart. Pure functions, except that ``draw`` writes a file."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dbproxy.bench.chart import COLOURS, new_figure
from dbproxy.bench.limits import BUSY
from dbproxy.bench.report import grid
from dbproxy.bench.site import CACHE, DATABASE, PROXY
from dbproxy.bench.versus import Comparison

_CPU = (PROXY, DATABASE, CACHE)


def table(comparisons: Sequence[Comparison], names: Sequence[str]) -> str:
    """Return the table: medians over the rounds; the ratio is to the first program, with the smallest and the largest of a round."""
    head = ("workload", "program", "requests/s", "ratio", "of rounds", "p50 ms", "p99 ms", *(f"{name} us" for name in _CPU))
    rows: list[tuple[str, ...]] = []
    for comparison in comparisons:
        for name in names:
            ratios = comparison.ratios(name, names[0])
            first = name == names[0]
            rows.append(
                (
                    comparison.workload,
                    name,
                    _shown(comparison.median(name, lambda turn: turn.per_second), 0),
                    "1" if first and ratios else _shown(statistics.median(ratios) if ratios else None, 2),
                    "" if first or len(ratios) < 2 else f"{min(ratios):.2f}-{max(ratios):.2f}",
                    _shown(comparison.median(name, lambda turn: turn.p50_ms), 2),
                    _shown(comparison.median(name, lambda turn: turn.p99_ms), 2),
                    *(_shown(comparison.median(name, _cpu_of(process)), 1) for process in _CPU),
                )
            )
    return grid(head, rows, left=(0, 1))


def _cpu_of(process: str) -> Any:  # noqa: ANN401 - a callable that takes a turn
    return lambda turn: turn.cpu_us.get(process, 0.0)


def remarks(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what limits how far the figures can be trusted, as sentences."""
    lines = ["us: microseconds of CPU per request, of all threads; 0 where the process is not on this machine."]
    turns = [turn for comparison in comparisons for of_program in comparison.turns.values() for turn in of_program]
    busiest = max((turn.generator_cores for turn in turns), default=0.0)
    most = max((turn.generators for turn in turns), default=1)
    lines.append(f"The load came from up to {most} generator{'s' if most > 1 else ''}, each of which used at most {busiest:.2f} of a core.")
    if busiest >= BUSY:
        lines.append("(!) A generator's core was used up: the programs can do more than this. Use --generators, or another machine.")
    return lines + list(_problems(comparisons))


def _problems(comparisons: Sequence[Comparison]) -> Iterator[str]:
    for comparison in comparisons:
        for name, turns in comparison.turns.items():
            for number, turn in enumerate(turns, 1):
                if turn.problem:
                    yield f"(!) {comparison.workload}, {name}, round {number}: {turn.problem}"


def as_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return everything, for JSON."""
    return [
        {"workload": comparison.workload, "turns": {name: [asdict(turn) for turn in turns] for name, turns in comparison.turns.items()}}
        for comparison in comparisons
    ]


def draw(path: Path, comparisons: Sequence[Comparison], names: Sequence[str], title: str) -> None:
    """Draw requests per second, each round a dot and the median a bar, and the CPU per request.

    Raises:
        NoChartError, OSError: it cannot be drawn or written.

    """
    figure = new_figure((max(9.0, 1.3 * len(comparisons)), 9.0))
    rates, costs = figure.subplots(2, 1, sharex=True)
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        positions = [at - 0.4 + width * (number + 0.5) for at in range(len(comparisons))]
        medians = [comparison.median(name, lambda turn: turn.per_second) or 0.0 for comparison in comparisons]
        rates.bar(positions, medians, width, color=colour, label=name)
        for position, comparison in zip(positions, comparisons, strict=True):
            values = [turn.per_second for turn in comparison.turns[name] if turn.per_second]
            rates.plot([position] * len(values), values, ".", color="#333333", markersize=4)
        bottom = [0.0] * len(comparisons)
        for process, hatch in zip(_CPU, ("", "//", ".."), strict=True):
            parts = [comparison.median(name, _cpu_of(process)) or 0.0 for comparison in comparisons]
            costs.bar(positions, parts, width, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5)
            bottom = [below + part for below, part in zip(bottom, parts, strict=True)]
    rates.set_ylabel("requests per second")
    rates.set_title(title)
    rates.legend(frameon=False)
    costs.set_ylabel("CPU per request in us:\nproxy plain, MariaDB //, Redis ..")
    costs.set_xticks(range(len(comparisons)), [comparison.workload for comparison in comparisons], rotation=30, horizontalalignment="right")
    for axes in (rates, costs):
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
