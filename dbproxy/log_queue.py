"""A bounded queue between those who log and what is written to, so that a pipe that nobody reads or a disk that hangs stops nobody.

The standard library's ``QueueHandler`` and ``QueueListener`` with a bound in bytes, a count of what was dropped, and an end that waits
for a limited time only.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import queue
import sys
import threading
from dataclasses import dataclass

QUEUE_BYTES = 4 * 1024 * 1024
"""Memory of the lines that wait to be written. Above it lines are dropped and counted, until half of them have been written."""

_LINE_OVERHEAD = 200
"""Bytes of a waiting line beside its text."""


@dataclass(slots=True)
class _Line:
    """A formatted line, and what it costs while it waits."""

    level: int
    text: str
    size: int


class LineQueueHandler(logging.handlers.QueueHandler):
    """Formats records in the thread that logs, and has a thread of its own write the lines to ``targets``, each from its level on.

    Logging never waits for a target and does no I/O (except for source lines of a traceback). Any thread may log, also a signal handler
    that has interrupted one that logs. The formatter of this handler makes the line; those of the targets are replaced.
    """

    def __init__(self, *targets: logging.Handler, limit: int = QUEUE_BYTES) -> None:
        lines: queue.SimpleQueue[_Line | threading.Event] = queue.SimpleQueue()
        super().__init__(lines)
        self._lines = lines
        self._targets = targets
        self._limit = limit
        # Reentrant, because a signal handler may log while its thread is in here. SimpleQueue is so by itself.
        self._guard = threading.RLock()
        self._accepted = 0
        self._dropped = 0
        self.dropped_in_all = 0
        """Lines that were dropped since the start. Any thread may read it."""
        self._stopped = False
        for target in targets:
            target.setFormatter(_AsItIs())
        self._writer = _Writer(lines, targets, self)
        self._writer.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Have ``record`` written, or count it as dropped. Without the handler's lock: nobody waits while another formats."""
        with self._guard:
            full = self._dropped > 0 and self._waiting > self._limit // 2
            self._dropped += full
            self.dropped_in_all += full
        if not full:
            self.emit(record)
        return not full

    def prepare(self, record: logging.LogRecord) -> _Line:
        """Format ``record`` now: its arguments may change later."""
        text = self.format(record)
        return _Line(record.levelno, text, sys.getsizeof(text) + _LINE_OVERHEAD)

    def enqueue(self, record: _Line) -> None:  # type: ignore[override]  # it gets what ``prepare`` returns
        """Put a line into the queue unless it is full. A line about what was dropped before comes first."""
        with self._guard:
            if self._waiting + record.size > self._limit:
                self._dropped += 1
                self.dropped_in_all += 1
                return
            self.tell_dropped()
            self._put(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Tell where a record comes from that cannot be formatted. logging itself would write to stderr, and show the arguments."""
        self.enqueue(self._own_line(record.levelno, f"a record of {record.pathname}:{record.lineno} cannot be formatted"))

    def tell_dropped(self) -> None:
        """Put a line that says how many were dropped into the queue, if any were."""
        with self._guard:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                text = f"{dropped} lines were dropped: the log could not be written as fast as they came"
                self._put(self._own_line(logging.WARNING, text))

    def finish(self, timeout: float) -> bool:
        """Write what waits and stop, within ``timeout`` seconds; whether that was enough. Otherwise a thread hangs in a target, which then
        cannot be closed.
        """
        if self._stopped:
            return True
        self.tell_dropped()
        written = threading.Event()
        self._lines.put(written)
        if not written.wait(timeout):
            return False
        self._stopped = True
        self._writer.stop()
        for target in self._targets:
            with contextlib.suppress(OSError, ValueError):  # as logging.shutdown: a full disk is no reason to fail now
                target.close()
        self.close()
        return True

    @property
    def _waiting(self) -> int:
        return self._accepted - self._writer.written

    def _put(self, line: _Line) -> None:
        self._accepted += line.size
        self._lines.put(line)

    def _own_line(self, level: int, text: str) -> _Line:
        return self.prepare(logging.makeLogRecord({"levelno": level, "levelname": logging.getLevelName(level), "msg": text}))


class _Writer(logging.handlers.QueueListener):
    """The thread that writes. ``written``: bytes of all lines that it is done with; only this thread changes it."""

    def __init__(
        self, lines: queue.SimpleQueue[_Line | threading.Event], targets: tuple[logging.Handler, ...], handler: LineQueueHandler
    ) -> None:
        super().__init__(lines, *targets, respect_handler_level=True)
        self._lines = lines
        self._handler = handler
        self._record = logging.makeLogRecord({})  # the same for all lines: making one takes longer than writing it
        self.written = 0

    def handle(self, record: _Line | threading.Event) -> None:  # type: ignore[override]  # it gets what ``prepare`` of the handler returned
        if isinstance(record, threading.Event):
            record.set()
            return
        self._record.levelno, self._record.msg = record.level, record.text
        with contextlib.suppress(Exception):  # a target that raises must not end this thread, and there is nowhere to tell it
            super().handle(self._record)
        self.written += record.size
        if self._lines.empty():
            self._handler.tell_dropped()


class _AsItIs(logging.Formatter):
    """For lines that have been formatted already."""

    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)
