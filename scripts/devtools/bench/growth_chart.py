"""A chart of a growth measurement, as an image file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbproxy.bench.chart import new_figure
from devtools.bench.growth import Point


def draw(path: Path, points: Sequence[Point], title: str) -> None:
    """Draw the cost of each command against the size: for each axis latency, and rows that the database read.

    Raises:
        NoChartError, OSError: it cannot be drawn or written.

    """
    axes_names = list(dict.fromkeys(point.axis for point in points))
    figure = new_figure((6.4 * len(axes_names), 9.0))
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
    """Set both scales to logarithmic with plain numbers, also at minor ticks where the axis spans less than a power of ten."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    lowest, highest = axes.get_ylim()
    axes.yaxis.set_minor_formatter("{x:g}" if highest < 10 * lowest else "")
    axes.grid(color="#dddddd", linewidth=0.6)
