"""Charts as image files, with matplotlib, which is an optional extra (``pip install dbproxy[bench]``)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbproxy.errors import DbproxyError

if TYPE_CHECKING:
    from dbproxy.bench.growth import Point
    from dbproxy.bench.report import Cell, MariaDBAlone

COLOURS = ("#9ecae1", "#4292c6", "#08519c", "#041f47", "#74c476", "#238b45")


class NoChartError(DbproxyError):
    """A chart cannot be drawn; the message says what to do."""


def check(path: Path) -> None:
    """Find out before the measurement whether a chart can be drawn after it.

    Raises:
        NoChartError: matplotlib is missing, it does not know the file's format, or the directory is not there.

    """
    figure = _figure((1, 1))
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
    by_place = {(cell.workload, cell.in_flight): cell for cell in cells}
    figure = _figure((max(9.0, 1.2 * len(workloads)), 9.0))
    rates, latencies = figure.subplots(2, 1, sharex=True)
    width = 0.8 / len(levels)
    for number, level in enumerate(levels):
        found = [(at, by_place[workload, level]) for at, workload in enumerate(workloads) if (workload, level) in by_place]
        places = [at - 0.4 + width * (number + 0.5) for at, _ in found]
        colour = COLOURS[number % len(COLOURS)]
        rates.bar(places, [cell.per_second for _, cell in found], width, color=colour, label=f"{level} in flight")
        low = [cell.p50_ms for _, cell in found]
        high = [cell.p99_ms for _, cell in found]
        latencies.vlines(places, low, high, color=colour, linewidth=2)
        latencies.plot(places, low, "o", color=colour, markersize=5)
        latencies.plot(places, high, "_", color=colour, markersize=9)
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


def draw_growth(path: Path, points: Sequence[Point], title: str) -> None:
    """Draw the cost of each command against the size: for each axis latency, and rows that the database read.

    Raises:
        NoChartError, OSError: it cannot be drawn or written.

    """
    axes_names = list(dict.fromkeys(point.axis for point in points))
    figure = _figure((6.4 * len(axes_names), 9.0))
    grid = figure.subplots(2, len(axes_names), squeeze=False)
    for column, name in enumerate(axes_names):
        of_axis = [point for point in points if point.axis == name]
        upper, lower = grid[0][column], grid[1][column]
        for number, command in enumerate(dict.fromkeys(point.command for point in of_axis)):
            line = sorted((point for point in of_axis if point.command == command), key=lambda point: point.size)
            sizes = [point.size for point in line]
            style = {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3], "marker": "o", "markersize": 3}
            upper.plot(sizes, [point.p50_ms for point in line], label=command, **style)
            if line[0].rows_read is not None:
                lower.plot(sizes, [max(point.rows_read or 0.0, 0.5) for point in line], **style)
        upper.set_title(name)
        upper.set_ylabel("p50 in ms")
        upper.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        lower.set_ylabel("index entries and rows that the database read")
        for axes in (upper, lower):
            _make_logarithmic(axes)
        lower.set_visible(bool(lower.lines))
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _make_logarithmic(axes: Any) -> None:  # noqa: ANN401 - as below
    """Both scales logarithmic, with plain numbers; between them, too, where less than a power of ten is shown."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    lowest, highest = axes.get_ylim()
    axes.yaxis.set_minor_formatter("{x:g}" if highest < 10 * lowest else "")
    axes.grid(color="#dddddd", linewidth=0.6)


def _figure(size: tuple[float, float]) -> Any:  # noqa: ANN401 - the library is not there when types are checked
    """A figure without a window and without the library's global state."""
    try:
        figure = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise NoChartError(
            f"a chart needs matplotlib, which is not installed ({error}): pip install 'dbproxy[bench]', or leave --chart out"
        ) from None
    return figure.Figure(figsize=size, layout="constrained")
