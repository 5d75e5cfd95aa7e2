"""Tables and values as dbproxy-ctl prints them. Pure functions; any thread."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable, Sequence

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return lines with columns of equal width: the first ``left`` columns begin at the left, the others end at the right."""
    cells = [[str(heading) for heading in headings], *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = (
            cell + " " * (size - width(cell)) if index < left else " " * (size - width(cell)) + cell
            for index, (cell, size) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def pairs(values: Iterable[tuple[str, object]]) -> str:
    """Return one line for each name and its value, the values below each other."""
    shown = [(name, printable(str(value))) for name, value in values]
    size = max((width(name) for name, _ in shown), default=0)
    return "\n".join(f"{name}{' ' * (size - width(name))}  {value}".rstrip() for name, value in shown)


def printable(text: str) -> str:
    """Return text without characters that a terminal would obey: names of files and texts of users must not move its cursor."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text)


def width(text: str) -> int:
    """Return how many columns a terminal uses for a text."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def seconds(value: float | None) -> str:
    """Return a duration: ``350us``, ``4.1ms``, ``2.30s``, ``5m03s``, ``3h12m``, ``4d03h``."""
    if value is None:
        return "-"
    if value < 0.0009995:  # not what would be rounded to 1000us; likewise below
        return f"{value * 1e6:.0f}us"
    if value < 0.99995:
        return f"{value * 1e3:.1f}ms"
    if value < 59.995:
        return f"{value:.2f}s"
    whole = int(value)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def size(value: float) -> str:
    """Return a number of bytes: ``512B``, ``1.5KiB``."""
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.0f}{_UNITS[unit]}" if unit == 0 else f"{value:.1f}{_UNITS[unit]}"


def rate(value: float) -> str:
    """Return a number per second."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def clock(unix: float) -> str:
    """Return the local time of a moment, with milliseconds."""
    return time.strftime("%H:%M:%S", time.localtime(unix)) + f".{int(unix % 1 * 1000):03d}"


def date(unix: float) -> str:
    """Return the local date and time of a moment."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix))
