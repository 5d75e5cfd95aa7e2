"""The last warnings of the log, and how many lines were dropped."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy import log
from dbproxy.log_recent import KEPT, RecentWarnings


def record(level: int, text: str, *args: object, name: str = "dbproxy.x", error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, None)
    return logging.LogRecord(name, level, "file", 1, text, args, info)


def test_the_last_warnings_and_errors_are_kept() -> None:
    recent = RecentWarnings()
    for number in range(KEPT + 3):
        recent.handle(record(logging.WARNING, "number %d", number))
        recent.handle(record(logging.INFO, "nothing to see"))
    recent.handle(record(logging.ERROR, "the end"))
    last = recent.last()
    assert len(last) == KEPT
    assert (last[0].text, last[-1].text, last[-1].level) == ("number 4", "the end", "error")


def test_of_a_defect_only_the_type_is_named() -> None:
    recent = RecentWarnings()
    recent.handle(record(logging.ERROR, "it failed", error=ValueError("somebody's words")))
    assert recent.last()[0].text == "it failed (ValueError)"


def test_slow_requests_leave_room_for_others() -> None:
    recent = RecentWarnings()
    recent.handle(record(logging.WARNING, "x was slow", name="dbproxy.work.slow_requests"))
    assert recent.last() == []


def test_what_cannot_be_printed_is_a_blank_and_long_lines_are_cut() -> None:
    recent = RecentWarnings()
    recent.handle(record(logging.WARNING, "a\nb\x1bc" + "d" * 5000))
    text = recent.last()[0].text
    assert text.startswith("a b cd")
    assert len(text) == 1000


def test_wrong_arguments_are_not_shown() -> None:
    recent = RecentWarnings()
    recent.handle(record(logging.WARNING, "%d of %d", "secret"))
    assert recent.last()[0].text == "%d of %d"


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before = root.level, logging.getLogger("dbproxy").level
    log.configure("info", str(tmp_path / "log"))
    yield tmp_path / "log"
    log.close()
    root.setLevel(before[0])
    logging.getLogger("dbproxy").setLevel(before[1])


def test_the_log_keeps_what_the_limit_for_repetitions_lets_pass(log_file: Path) -> None:
    for _ in range(log.REPEAT_LIMIT + 10):
        logging.getLogger("dbproxy.test").warning("test_log_recent: again")
    texts = [warning.text for warning in log.recent_warnings()]
    assert texts.count("test_log_recent: again") == log.REPEAT_LIMIT


def test_dropped_lines_are_counted_over_all_log_files(log_file: Path, tmp_path: Path) -> None:
    before = log.dropped_lines()
    (limiter,) = log._limiters()
    limiter.target.dropped_in_all += 3  # type: ignore[attr-defined]
    log.LogTarget(str(tmp_path / "other")).use()
    assert log.dropped_lines() == before + 3
