"""RecentWarnings: the last warnings and errors of the log, for operators who look at the running proxy."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

KEPT = 50
"""So many are kept."""

_LONGEST = 1000
_OMITTED = "dbproxy.work.slow_requests"  # they are kept elsewhere, and would leave no room for others
_UNPRINTABLE = dict.fromkeys((*range(32), *range(127, 160), 8232, 8233), " ")


@dataclass(frozen=True, slots=True)
class RecentWarning:
    """A line of the log, without its traceback: of an error that is a defect only its type is named."""

    time: float
    """Unix time."""
    level: str
    """warning, error or critical."""
    text: str


class RecentWarnings(logging.Handler):
    """A handler that keeps the last records from WARNING on. Any thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: deque[RecentWarning] = deque(maxlen=KEPT)

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep a record; nobody has to wait for the lock of a handler."""
        if record.levelno < logging.WARNING or record.name == _OMITTED:
            return False
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # wrong arguments, which must not be shown
            text = str(record.msg)
        if record.exc_info and record.exc_info[0] is not None:
            text = f"{text} ({record.exc_info[0].__name__})"
        text = text[:_LONGEST].translate(_UNPRINTABLE)
        self._last.append(RecentWarning(record.created, record.levelname.lower(), text))

    def last(self) -> list[RecentWarning]:
        """What is kept, newest last."""
        return list(self._last)
