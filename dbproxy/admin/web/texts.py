"""How values are shown on pages: the filters of the templates. Pure, apart from the time zone; any thread."""

from __future__ import annotations

import time
import unicodedata
from datetime import datetime, timezone

from markupsafe import Markup

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def moment(seconds: float | None) -> str:
    """Return unix seconds as date and time where the server is; empty for None and 0, which the tables have for never."""
    if not seconds:
        return ""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return str(seconds)


def machine_moment(seconds: float | None) -> str:
    """Return unix seconds as ISO 8601 in UTC, for the attribute ``datetime``."""
    try:
        return datetime.fromtimestamp(seconds or 0, timezone.utc).isoformat()
    except (OverflowError, ValueError, OSError):
        return ""


def time_zone() -> str:
    """Return the server's time zone, as it is written behind times: ``UTC+08:00``."""
    offset = time.localtime().tm_gmtoff
    return "UTC" if not offset else f"UTC{'+' if offset > 0 else '-'}{abs(offset) // 3600:02}:{abs(offset) // 60 % 60:02}"


def size(count: float | None) -> str:
    """Return a number of bytes with three digits and a unit."""
    value, unit = float(count or 0), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def number(count: float | None) -> str:
    """Return a whole number with a separator for thousands; empty for None."""
    return "" if count is None else f"{count:,.0f}"


def visible(text: object) -> str:
    """Return a text with its control characters as pictures: browsers show nothing in their place. What is escaped already stays so."""
    shown = "".join(_picture(one) if unicodedata.category(one) == "Cc" and one not in "\n\t" else one for one in str(text))
    return Markup(shown) if isinstance(text, Markup) else shown


def _picture(character: str) -> str:
    code = ord(character)
    if code < 32:
        return chr(0x2400 + code)
    return "␡" if code == 127 else f"\\x{code:02x}"
