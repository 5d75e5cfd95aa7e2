"""Charts as image files, with matplotlib, which is an optional extra (``pip install dbproxy[bench]``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbproxy.errors import DbproxyError

if TYPE_CHECKING:
    from dbproxy.bench.report import Cell, MariaDBAlone

COLOURS = ("#9ecae1", "#4292c6", "#08519c", "#041f47", "#74c476", "#238b45")


class NoChartError(DbproxyError):
    """A chart cannot be drawn; the message says what to do."""


def check(path: Path) -> None:
    """Check before a measurement whether a chart can be drawn after it.

    Raises:
        NoChartError: matplotlib is missing, it does not know the file's format, or the directory does not exist.

    """
    figure = new_figure((1, 1))
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in formats:
        raise NoChartError(f"{path}: the ending must be one of {', '.join(sorted(formats))}")
    if not path.absolute().parent.is_dir():
        raise NoChartError(f"{path.absolute().parent} is no directory")


def draw(path: Path, cells: Sequence[Cell], alone: MariaDBAlone, title: str) -> None:
    """Draw throughput and latency of all cells.

    Raises:
        NoChartError, OSError: it cannot be drawn or written.

    """
    workloads = list(dict.fromkeys(cell.workload for cell in cells))
    levels = sorted({cell.in_flight for cell in cells})
    by_cell = {(cell.workload, cell.in_flight): cell for cell in cells}
    figure = new_figure((max(9.0, 1.2 * len(workloads)), 9.0))
    rates, latencies = figure.subplots(2, 1, sharex=True)
    width = 0.8 / len(levels)
    for number, level in enumerate(levels):
        found = [(at, by_cell[workload, level]) for at, workload in enumerate(workloads) if (workload, level) in by_cell]
        positions = [at - 0.4 + width * (number + 0.5) for at, _ in found]
        colour = COLOURS[number % len(COLOURS)]
        rates.bar(positions, [cell.per_second for _, cell in found], width, color=colour, label=f"{level} in flight")
        low = [cell.p50_ms for _, cell in found]
        high = [cell.p99_ms for _, cell in found]
        latencies.vlines(positions, low, high, color=colour, linewidth=2)
        latencies.plot(positions, low, "o", color=colour, markersize=5)
        latencies.plot(positions, high, "_", color=colour, markersize=9)
    if alone.transactions_per_second is not None and "single" in workloads:
        note = "MariaDB alone, one message per transaction"
        rates.axhline(alone.transactions_per_second, color="#d94801", linewidth=1, linestyle="--", label=note)
    rates.set_ylabel("requests per second")
    rates.set_title(title)
    rates.legend(frameon=False)
    latencies.set_yscale("log")
    latencies.set_ylabel("latency in ms: dot p50, dash p99")
    latencies.set_xticks(range(len(workloads)), workloads, rotation=30, horizontalalignment="right")
    for axes in (rates, latencies):
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def new_figure(size: tuple[float, float]) -> Any:  # noqa: ANN401 - the library is not there when types are checked
    """Return a figure without a window and without the library's global state.

    Raises:
        NoChartError: matplotlib is missing.

    """
    try:
        figure = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise NoChartError(
            f"a chart needs matplotlib, which is not installed ({error}): pip install 'dbproxy[bench]', or leave --chart out"
        ) from None
    return figure.Figure(figsize=size, layout="constrained")
