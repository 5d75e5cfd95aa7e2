"""What waits to be written: on a real pipe that is read, or not."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator

import pytest

from dbproxy.log import LineFormatter
from dbproxy.log_queue import LineQueueHandler
from dbproxy.testing.waiting import eventually

LIMIT = 40_000
COUNT = 1000
PIPE = 4096


class PipedLog:
    """A logger whose lines go through a queue of ``LIMIT`` bytes into a small pipe."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
        os.set_blocking(self.reader, False)
        self._stream = os.fdopen(writer, "w", encoding="utf-8")
        self.handler = LineQueueHandler(logging.StreamHandler(self._stream), limit=LIMIT)
        self.handler.setFormatter(LineFormatter())
        self.logger = logging.Logger("test")
        self.logger.addHandler(self.handler)
        self._text = ""

    def lines(self) -> list[str]:
        """Everything that has come out so far, as messages."""
        try:
            while data := os.read(self.reader, 65536):
                self._text += data.decode()
        except BlockingIOError:
            pass
        return [line.partition("] ")[2] for line in self._text.splitlines()]

    def close(self) -> None:
        eventually(lambda: (self.lines(), self.handler.finish(0.05))[1], True)
        self._stream.close()
        os.close(self.reader)


@pytest.fixture
def piped() -> Iterator[PipedLog]:
    piped = PipedLog()
    yield piped
    piped.close()


def dropped(lines: list[str]) -> int:
    return sum(int(found[1]) for line in lines if (found := re.match(r"(\d+) lines were dropped", line)))


def test_a_pipe_that_nobody_reads_stops_nobody_and_what_is_lost_is_told(piped: PipedLog) -> None:
    for number in range(COUNT):
        piped.logger.info("line %d %s", number, "x" * 100)
    assert eventually(lambda: dropped(piped.lines()) > 0, True)
    lines = piped.lines()
    assert [int(line.split()[1]) for line in lines[:-1]] == list(range(len(lines) - 1))
    assert dropped(lines) == COUNT - (len(lines) - 1)
    assert (LIMIT - PIPE) / 500 < len(lines) < (LIMIT + 2 * PIPE) / 100
    piped.logger.info("on again")
    assert eventually(lambda: piped.lines()[-1], "on again") == "on again"


def test_the_loss_is_told_before_the_first_line_that_is_accepted_again(piped: PipedLog) -> None:
    for number in range(COUNT):
        piped.logger.info("line %d %s", number, "x" * 100)
    numbers = iter(range(COUNT, 10 * COUNT))

    def seen() -> bool:
        lines = piped.lines()
        piped.logger.info("line %d", next(numbers))
        return any(line.startswith("line 1") and len(line) < 20 for line in lines)

    assert eventually(seen, True)
    lines = piped.lines()
    told = next(index for index, line in enumerate(lines) if "were dropped" in line)
    assert int(lines[told + 1].split()[1]) == int(lines[told - 1].split()[1]) + 1 + dropped(lines[: told + 1])


def test_arguments_are_formatted_when_the_line_is_logged(piped: PipedLog) -> None:
    piped.logger.info("x" * 2 * PIPE)  # the writer is stuck in this one
    argument = ["before"]
    piped.logger.info("argument %s", argument)
    argument[0] = "after"
    assert eventually(lambda: piped.lines()[-1:], ["argument ['before']"]) == ["argument ['before']"]


def test_wrong_arguments_are_told_without_showing_them(piped: PipedLog, capsys: pytest.CaptureFixture[str]) -> None:
    piped.logger.info("%d", "topsecret")
    assert eventually(lambda: len(piped.lines()), 1) == 1
    assert re.fullmatch(r"a record of .*test_log_queue\.py:\d+ cannot be formatted", piped.lines()[0])
    assert "topsecret" not in capsys.readouterr().err


def test_the_end_waits_for_a_reader_but_not_for_long(piped: PipedLog) -> None:
    piped.logger.info("x" * 2 * PIPE)
    piped.logger.info("last")
    assert not piped.handler.finish(0.1)
    assert eventually(lambda: piped.lines()[-1:], ["last"]) == ["last"]
    assert piped.handler.finish(5)


def test_lines_of_many_threads_all_arrive_and_those_of_one_in_order(piped: PipedLog) -> None:
    def log(name: int) -> None:
        for number in range(20):
            piped.logger.info("%d:%d", name, number)

    threads = [threading.Thread(target=log, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(piped.lines()), 100) == 100
    for thread in threads:
        thread.join()
    lines = piped.lines()
    for name in range(5):
        assert [line for line in lines if line.startswith(f"{name}:")] == [f"{name}:{number}" for number in range(20)]
