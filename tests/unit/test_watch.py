"""Threads that look at servers regularly: dbproxy.stores.watch."""

from __future__ import annotations

import logging
import threading

import pytest

from dbproxy.stores.watch import Watch

logger = logging.getLogger(__name__)


class FailingOnce(Watch):
    """The first round raises."""

    name = "test-watch"
    interval = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.rounds = 0
        self.third = threading.Event()

    def round(self) -> None:
        self.rounds += 1
        if self.rounds == 1:
            raise ValueError("the first one")
        if self.rounds == 3:
            self.third.set()

    def log_failure(self) -> None:
        logger.exception("the servers could not be looked at")


def test_a_round_that_fails_is_logged_and_the_next_one_is_done(caplog: pytest.LogCaptureFixture) -> None:
    watch = FailingOnce()
    watch.start()
    assert watch.third.wait(15)
    watch.stop(15)
    (record,) = caplog.records
    assert record.name == __name__
    assert record.getMessage() == "the servers could not be looked at"
    assert record.exc_info is not None


def test_no_round_begins_after_it_was_stopped() -> None:
    watch = FailingOnce()
    watch.start()
    watch.stop(15)
    assert not [thread for thread in threading.enumerate() if thread.name == "test-watch"]


def test_one_that_was_never_started_can_be_stopped() -> None:
    watch = FailingOnce()
    watch.stop(0)
    assert not watch.runs
    assert watch.rounds == 0
