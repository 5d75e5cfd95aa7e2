"""Lines of the log: their form, where they go, and how many of the same kind."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.errors import ConfigError, StoreUnavailableError
from dbproxy.log import LineFormatter, RepeatLimiter, close, configure
from dbproxy.testing.waiting import eventually


class Lines(logging.Handler):
    """Keeps what it is told to write."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.levelname} {record.getMessage()}")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LoggerHarness:
    """A logger of its own behind a limiter of 3 lines in 10 s."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines = Lines()
        self.limiter = RepeatLimiter(self.lines, limit=3, window=10.0, clock=self.clock)
        self.logger = logging.Logger("harness")
        self.logger.addHandler(self.limiter)

    def take(self) -> list[str]:
        texts, self.lines.texts = self.lines.texts, []
        return texts


@pytest.fixture
def harness() -> Iterator[LoggerHarness]:
    harness = LoggerHarness()
    yield harness
    harness.limiter.close()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Gives the root logger back as it was."""
    root, ours = logging.getLogger(), logging.getLogger("dbproxy")
    levels = root.level, ours.level
    yield
    close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def test_lines_of_one_kind_above_the_limit_are_counted_and_summarised(harness: LoggerHarness) -> None:
    for number in range(10):
        harness.logger.warning("peer %d misbehaves", number)
    assert harness.take() == [f"WARNING peer {number} misbehaves" for number in range(3)]
    harness.clock.now += 10.0
    harness.logger.info("something else")
    assert harness.take() == ["WARNING peer 3 misbehaves ... repeated 7 more times in 10 s", "INFO something else"]


def test_after_the_window_the_same_line_is_written_again(harness: LoggerHarness) -> None:
    for _ in range(4):
        harness.logger.warning("again")
    harness.clock.now += 10.0
    harness.logger.warning("again")
    assert harness.take()[3:] == ["WARNING again ... repeated 1 more time in 10 s", "WARNING again"]


def test_a_window_without_repetitions_ends_silently(harness: LoggerHarness) -> None:
    harness.logger.warning("once")
    harness.clock.now += 100.0
    harness.logger.warning("twice")
    assert harness.take() == ["WARNING once", "WARNING twice"]


def test_logger_level_and_format_tell_lines_apart(harness: LoggerHarness) -> None:
    other = logging.Logger("other")
    other.addHandler(harness.limiter)
    for _ in range(3):
        harness.logger.warning("a %d", 1)
        harness.logger.warning("b %d", 1)
        harness.logger.error("a %d", 1)
        other.warning("a %d", 1)
    assert len(harness.take()) == 12


def test_what_is_held_back_comes_out_when_the_handler_is_closed() -> None:
    harness = LoggerHarness()
    for _ in range(5):
        harness.logger.error("backend is dead")
    harness.limiter.close()
    assert harness.take()[3:] == ["ERROR backend is dead ... repeated 2 more times in 1 s"]


def test_a_flood_of_different_lines_is_limited_and_takes_bounded_memory(harness: LoggerHarness) -> None:
    for number in range(3000):
        harness.logger.warning(f"made up {number}")
    assert len(harness.take()) == 1000 + 3
    harness.clock.now += 10.0
    harness.logger.info("next")
    assert harness.take()[0].endswith("repeated 1997 more times in 10 s")


def test_wrong_arguments_and_odd_messages_do_not_break_the_limiter(harness: LoggerHarness) -> None:
    harness.lines.emit = lambda record: None  # type: ignore[method-assign]
    for _ in range(5):
        harness.logger.warning("%d %d", "x")
        harness.logger.warning(ValueError("an object"))
    harness.limiter.flush()


def test_a_line_has_time_level_thread_and_message() -> None:
    record = logging.makeLogRecord({"levelname": "INFO", "threadName": "worker-1", "msg": "hello %s", "args": ("you",)})
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO \[worker-1\] hello you", LineFormatter().format(record))


def test_control_characters_cannot_start_a_new_line() -> None:
    record = logging.makeLogRecord({"msg": "name %s", "args": ("a\n2024 INFO\r\x1b[31m\u2028\x85b",)})
    assert LineFormatter().format(record).endswith(r"name a\n2024 INFO\r\x1b[31m\u2028\x85b")


def line_about(error: BaseException) -> str:
    """The log's line about an error that is raised here."""
    try:
        raise error
    except type(error):
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    return LineFormatter().format(record)


def test_a_traceback_stays_in_the_line_of_its_message() -> None:
    text = line_about(StoreUnavailableError("two\nlines\x1b"))
    assert "failed | Traceback (most recent call last): | " in text
    assert "test_log.py" in text
    assert text.endswith("StoreUnavailableError: two | lines\\x1b")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [ValueError("topsecret"), KeyError("topsecret"), UnicodeEncodeError("latin-1", "topsecret", 0, 1, "x"), TypeError("topsecret")]
)
def test_a_traceback_leaves_out_the_message_of_a_foreign_error(error: Exception) -> None:
    text = line_about(error)
    assert "topsecret" not in text
    assert text.endswith(f"{type(error).__name__} (what it says is left out)")


def test_a_traceback_tells_the_causes_too_and_nothing_of_what_they_say() -> None:
    cause = KeyError("topsecret")
    cause.__cause__ = cause_of_all = ConnectionResetError(104, "Connection reset by peer")
    cause_of_all.__context__ = cause  # a circle, which must not be followed for ever
    error = AttributeError("'NoneType' object has no attribute 'x'")
    error.__cause__ = cause
    text = line_about(error)
    assert "topsecret" not in text
    order = [text.index(name) for name in ("ConnectionResetError: [Errno 104]", "KeyError (what", "AttributeError: 'NoneType' object")]
    assert order == sorted(order)
    assert text.count("which led to:") == 2


def test_a_huge_line_loses_its_middle() -> None:
    text = LineFormatter().format(logging.makeLogRecord({"msg": "x" * 100_000 + "end"}))
    assert len(text) < 17_000
    assert text.endswith("end")


@pytest.mark.usefixtures("own_logging")
def test_configure_logs_to_stderr_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "")
    logging.getLogger("dbproxy.x").info("quiet")
    logging.getLogger("dbproxy.x").warning("loud")
    close()
    captured = capsys.readouterr().err
    assert "quiet" not in captured
    assert captured.endswith("WARNING [MainThread] loud\n")


@pytest.mark.usefixtures("own_logging")
def test_configure_twice_writes_lines_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "")
    configure("info", "")
    logging.getLogger("dbproxy.x").info("once")
    close()
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.usefixtures("own_logging")
def test_debug_is_for_our_own_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "")
    logging.getLogger("dbproxy.x").debug("ours")
    logging.getLogger("urllib3.x").info("theirs")
    close()
    assert "ours" in (captured := capsys.readouterr().err)
    assert "theirs" not in captured


@pytest.mark.usefixtures("own_logging")
def test_a_log_file_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "proxy.log"
    configure("info", str(path))
    logging.getLogger("dbproxy.x").info("first 你好")
    assert eventually(lambda: "first" in path.read_text(encoding="utf-8"), True)
    path.rename(tmp_path / "proxy.log.1")
    logging.getLogger("dbproxy.x").info("second")
    close()
    assert "first 你好" in (tmp_path / "proxy.log.1").read_text(encoding="utf-8")
    assert "second" in path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("own_logging")
def test_a_log_file_that_vanished_never_raises_and_stderr_gets_the_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    configure("info", str(folder / "proxy.log"))
    (folder / "proxy.log").unlink()
    folder.rmdir()
    logging.getLogger("dbproxy.x").info("saved")
    logging.getLogger("dbproxy.x").info("also")
    saved: list[str] = []

    def lines() -> list[str]:
        saved.extend(line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines())
        return saved

    assert eventually(lines, ["saved", "also"]) == ["saved", "also"]
    folder.mkdir()
    logging.getLogger("dbproxy.x").info("back")
    close()
    assert "back" in (folder / "proxy.log").read_text(encoding="utf-8")


@pytest.mark.usefixtures("own_logging")
def test_critical_lines_go_to_stderr_too_when_there_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", str(tmp_path / "proxy.log"))
    logging.getLogger("dbproxy.x").error("only in the file")
    logging.getLogger("dbproxy.x").critical("in both")
    close()
    assert capsys.readouterr().err.endswith("CRITICAL [MainThread] in both\n")
    assert "only in the file" in (tmp_path / "proxy.log").read_text(encoding="utf-8")


@pytest.mark.usefixtures("own_logging")
def test_a_log_file_that_cannot_be_opened_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LogFile=.*no/such: cannot be opened: No such file or directory"):
        configure("info", str(tmp_path / "no" / "such"))
