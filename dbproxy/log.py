"""The log: one line per record, to stderr or a file that logrotate may move, and a limit for lines that repeat.

Built on the standard library's ``logging``; the modules of this package only use ``logging.getLogger(__name__)``.
Only ``dbproxy.cli`` calls ``configure`` and ``close``: a program that embeds the proxy keeps its own logging, until an
operator asks for another level through the control socket.

A record passes the ``RepeatLimiter``, is formatted in the thread that logs, and waits in the queue of ``log_queue`` to be written.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from dbproxy.errors import ConfigError, DbproxyError
from dbproxy.log_queue import LineQueueHandler
from dbproxy.log_recent import RecentWarning, RecentWarnings

CLOSE_TIMEOUT = 1.0
"""Seconds that ``close`` waits for lines to be written."""

REPEAT_LIMIT = 20
"""So many records with the same format string are written per ``REPEAT_WINDOW``; the rest is counted."""
REPEAT_WINDOW = 10.0
"""Seconds."""

# So many different format strings are told apart; in a flood of more, all new ones of a logger and level count as one.
_MAX_KINDS = 1000
_LONGEST_LINE = 16384
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_ESCAPES |= {10: "\\n", 13: "\\r", 0x2028: "\\u2028", 0x2029: "\\u2029"}

_OWN_WORDS = (DbproxyError, OSError, AttributeError, NameError, ImportError, RecursionError)
"""Errors whose texts hold names from the source, or what the system says, and never a value that came from outside."""

_Kind = tuple[str, int, str]
_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def configure(level: str, file: str) -> None:
    """Send records of at least ``level`` (debug, info, warning, error) to ``file``, or to stderr when it is empty.

    With a file, CRITICAL lines go to stderr as well: who typed the command looks at the terminal first. Replaces what an earlier call
    set up. Raises ``ConfigError`` when the file cannot be opened. For the main thread, before others start.
    """
    target = LogTarget(file)
    set_level(level)
    target.use()


def set_level(level: str) -> None:
    """Write records of at least ``level`` (debug, info, warning, error) from now on. Any thread."""
    number = getattr(logging, level.upper())
    # The libraries' own chatter is no use to an operator.
    logging.getLogger().setLevel(max(number, logging.WARNING))
    logging.getLogger("dbproxy").setLevel(number)


class LogTarget:
    """Where records go: ``file``, or stderr when it is empty. It is opened here, and ``use`` or ``discard`` must follow.

    Raises:
        ConfigError: the file cannot be opened.

    """

    def __init__(self, file: str) -> None:
        targets: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
        if file:
            targets[0].setLevel(logging.CRITICAL)
            try:
                targets.append(_LogFile(file, encoding="utf-8", errors="backslashreplace"))
            except OSError as error:
                raise ConfigError([f"LogFile={file}: cannot be opened: {error.strerror}"]) from None
        self._lines = LineQueueHandler(*reversed(targets))
        self._lines.setFormatter(LineFormatter())

    def use(self) -> None:
        """Send every record there from now on, and end the target before this one; may wait for it as ``close`` does. Any thread."""
        former = _limiters()
        logging.getLogger().addHandler(RepeatLimiter(self._lines, also=_recent))  # first, so that no record is lost
        _end(former)

    def discard(self) -> None:
        """Close it unused."""
        self._lines.finish(CLOSE_TIMEOUT)


def close() -> bool:
    """Write what ``configure`` has set up still holds, and end it; nothing happens when there is nothing.

    Returns False when the file or stderr did not take all of it within ``CLOSE_TIMEOUT``: a thread hangs in it then, and so would the
    interpreter when it flushes what is open at its end. Main thread.
    """
    return _end(_limiters())


_recent = RecentWarnings()  # of the process, as the log is
_dropped_by_former = 0


def recent_warnings() -> list[RecentWarning]:
    """The last warnings and errors that the limit for repetitions let pass, newest last. Any thread."""
    return _recent.last()


def dropped_lines() -> int:
    """How many lines were dropped since the start because they could not be written as fast as they came. Any thread."""
    targets = [limiter.target for limiter in _limiters()]
    return _dropped_by_former + sum(target.dropped_in_all for target in targets if isinstance(target, LineQueueHandler))


def _limiters() -> list[RepeatLimiter]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, RepeatLimiter)]


def _end(limiters: Sequence[RepeatLimiter]) -> bool:
    """Remove these handlers, write what they hold, and end them; whether all of it was written in time."""
    global _dropped_by_former
    written = True
    for handler in limiters:
        logging.getLogger().removeHandler(handler)
        handler.close()
        if isinstance(handler.target, LineQueueHandler):
            written &= handler.target.finish(CLOSE_TIMEOUT)
            _dropped_by_former += handler.target.dropped_in_all
    return written


class LineFormatter(logging.Formatter):
    """Time with milliseconds, level, thread, message; always one line, so that nothing a peer sends can forge another one.

    A traceback follows its message in the same line, ``" | "`` between its parts. It says where an error happened and of what type it
    is. What the error itself says is kept only from types whose words come from the program: a ValueError or a KeyError of a defect may
    well quote what somebody has written or a password, and neither has a place in a log.
    """

    default_msec_format = "%s.%03d"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s [%(threadName)s] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """Return the line without a traceback."""
        return super().formatMessage(record).translate(_ESCAPES)

    def formatException(self, ei: _ExceptionInfo) -> str:  # noqa: N802 - as above
        """Return the traceback of an error and of those it comes from, without the words that may be somebody else's."""
        return "\n".join(_trace(ei[1], set()))

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole line; what is too long loses its middle, as the end of a traceback says most."""
        text = super().format(record).replace("\n", " | ").translate(_ESCAPES)
        if len(text) > _LONGEST_LINE:
            half = _LONGEST_LINE // 2
            text = f"{text[:half]} ... {text[-half:]}"
        return text


def _trace(error: BaseException | None, seen: set[int]) -> list[str]:
    """The lines of a traceback, those of the cause first."""
    if error is None or id(error) in seen:
        return []
    seen.add(id(error))
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = _trace(cause, seen)
    if lines:
        lines.append("which led to:")
    lines.append("Traceback (most recent call last):")
    lines += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    said = f": {error}" if isinstance(error, _OWN_WORDS) else " (what it says is left out)" if str(error) else ""
    lines.append(f"{type(error).__name__}{said}")
    return lines


@dataclass(slots=True)
class _Window:
    """What became of one kind of record since ``start``."""

    start: float
    written: int = 0
    held_back: int = 0
    example: str = ""


class RepeatLimiter(logging.Handler):
    """Passes records on to ``target``, but of those with equal logger, level and format string only ``limit`` per ``window`` seconds.

    The others are counted, and one line tells their number when the window is over (as soon as anything is logged after that) or
    when the handler is flushed or closed: an attack or a dead backend must not fill the disk. Any thread may log.
    """

    def __init__(
        self,
        target: logging.Handler,
        *,
        also: logging.Handler | None = None,
        limit: int = REPEAT_LIMIT,
        window: float = REPEAT_WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.target = target
        self._also = also
        self._limit = limit
        self._window = window
        self._clock = clock
        self._windows: dict[_Kind, _Window] = {}
        self._next_sweep = clock() + window
        # Reentrant, because a signal handler may log while its thread is in here.
        self._guard = threading.RLock()

    def handle(self, record: logging.LogRecord) -> bool:
        """Write ``record`` or count it. The decision is made under a lock, writing happens outside of it."""
        if not self.filter(record):
            return False
        with self._guard:
            now = self._clock()
            summaries = self._sweep(now) if now >= self._next_sweep else []
            write = self._admit(record, now)
        for summary in summaries:
            self.emit(summary)
        if write:
            self.emit(record)
        return write

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record`` whatever was written before."""
        self.target.handle(record)
        if self._also is not None:
            self._also.handle(record)

    def flush(self) -> None:
        """Write the counts that are still held back."""
        with self._guard:
            summaries = self._sweep(self._clock(), everything=True)
        for summary in summaries:
            self.emit(summary)

    def close(self) -> None:
        """Write the counts that are still held back; the target stays open."""
        self.flush()
        super().close()

    def _admit(self, record: logging.LogRecord, now: float) -> bool:
        kind = (record.name, record.levelno, record.msg if isinstance(record.msg, str) else type(record.msg).__name__)
        if kind not in self._windows and len(self._windows) >= _MAX_KINDS:
            kind = (record.name, record.levelno, "")
        window = self._windows.setdefault(kind, _Window(now))
        if window.written < self._limit:
            window.written += 1
            return True
        if not window.held_back:
            window.example = _text(record)
        window.held_back += 1
        return False

    def _sweep(self, now: float, everything: bool = False) -> list[logging.LogRecord]:
        """Forget the windows that are over and return the lines that tell what they held back."""
        summaries = []
        # A window is looked at when it is over, but not more often than this.
        self._next_sweep = now + self._window / 10
        for kind, window in list(self._windows.items()):
            if not everything and now - window.start < self._window:
                continue
            del self._windows[kind]
            if window.held_back:
                summaries.append(_summary(kind, window, now - window.start))
        return summaries


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # wrong arguments: logging complains about them when it writes such a record
        return str(record.msg)


def _summary(kind: _Kind, window: _Window, seconds: float) -> logging.LogRecord:
    name, level, _ = kind
    times = "time" if window.held_back == 1 else "times"
    text = f"{window.example} ... repeated {window.held_back} more {times} in {max(seconds, 1):.0f} s"
    return logging.makeLogRecord({"name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": text})


class _LogFile(logging.handlers.WatchedFileHandler):
    """A log file that is opened anew when it was moved away, and whose failures never reach those who log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # raised when the file cannot be opened again
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Save the line to stderr: a full disk or a removed directory is when it is needed most."""
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - nowhere left to complain
            return
