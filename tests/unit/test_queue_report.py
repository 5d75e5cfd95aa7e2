"""What the log says about requests that wait for a worker; time is given by the test."""

from __future__ import annotations

import pytest

from dbproxy.work.queue_report import LONG_WAIT, REPORT_EVERY, QueueReport


class Queue:
    """A queue whose state the test sets, and a clock that goes on by a second with each look."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self.now = 1000.0
        self.state = (0, 0.0)
        self._log = log
        self._report = QueueReport(lambda: self.state, lambda: self.now)

    def after(self, seconds: int, count: int, oldest: float) -> list[str]:
        """Look once a second; what was logged meanwhile."""
        self._log.clear()
        self.state = (count, oldest)
        for _ in range(seconds):
            self.now += 1
            self._report.check()
        return self._log.messages


@pytest.fixture
def queue(caplog: pytest.LogCaptureFixture) -> Queue:
    caplog.set_level("WARNING", "dbproxy")
    return Queue(caplog)


def test_a_proxy_that_keeps_up_says_nothing(queue: Queue) -> None:
    assert queue.after(20, 0, 0.0) == []
    assert queue.after(20, 500, LONG_WAIT / 2) == []


def test_a_long_wait_is_told_at_once_and_then_now_and_then(queue: Queue) -> None:
    assert queue.after(1, 12, 3.25) == ["12 requests wait for a worker, the oldest for 3.2 s"]
    assert queue.after(int(REPORT_EVERY) - 1, 12, 4.0) == []
    assert queue.after(1, 13, 8.0) == ["13 requests wait for a worker, the oldest for 8.0 s"]


def test_the_end_of_long_waits_is_told_once(queue: Queue) -> None:
    queue.after(1, 12, 3.0)
    assert queue.after(10, 2, 0.1) == ["no request waits for longer than 1 s any more"]


def test_waits_that_come_and_go_do_not_flood_the_log(queue: Queue) -> None:
    lines = sum(len(queue.after(1, 5, wait)) for _ in range(50) for wait in (2.0, 0.0))
    assert lines <= 2 * 100 / REPORT_EVERY + 2
