"""Points in time on the command line: how they are given, and how they are shown. Pure functions, any thread."""

from __future__ import annotations

import re
import time
from datetime import datetime

from dbproxy.option_types import checked

ACCEPTED = "a date (2025-01-31), a date and time (2025-01-31T18:00), or an age: days (180d), hours (12h) or minutes (30m)"

_AGE = re.compile(r"(\d{1,6})([dhm])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60}
_LARGEST = (1 << 32) - 1


def parse_point(text: str) -> int:
    """Return the unix time of a text; dates without a time zone are local.

    Raises:
        ValueError: saying what is accepted.

    """
    age = _AGE.fullmatch(text)
    if age:
        seconds = int(time.time()) - int(age[1]) * _SECONDS[age[2]]
    else:
        try:
            seconds = int(datetime.fromisoformat(text).timestamp()) if text[:4].isdigit() else -1
        except (ValueError, OverflowError, OSError):
            seconds = -1
    if not 0 <= seconds <= _LARGEST:
        raise ValueError(f"expected {ACCEPTED}")
    return seconds


point_in_time = checked(parse_point)
"""The type of an option for a point in time."""


def shown_time(seconds: int) -> str:
    """Return a unix time as people read it, in the local time zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
