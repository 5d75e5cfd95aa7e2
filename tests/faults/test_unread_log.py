"""A log that nobody reads: stderr or LogFile is a pipe that is full, which is how a disk that hangs looks from here."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.errors import StartupError
from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.client import pack
from dbproxy.testing.waiting import eventually

NONSENSE = b"".join(pack(7, 0x7777, b"") for _ in range(20))


class StalledPipe:
    """A named pipe whose reader has stopped reading."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # both ends, so that nobody waits for the other when it is opened
        fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, 4096)
        self._text = b""

    def fill(self) -> None:
        """Leave no room for a line."""
        try:
            while True:
                os.write(self._descriptor, b"\n")
        except BlockingIOError:
            pass

    def read(self) -> str:
        """Everything that has been written so far."""
        try:
            while data := os.read(self._descriptor, 65536):
                self._text += data
        except BlockingIOError:
            pass
        return self._text.decode()

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[StalledPipe]:
    pipe = StalledPipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


def proxy_that_logs_to(pipe: StalledPipe, stack: Stack, where: str, **keys: str) -> ProxyProcess:
    if where == "LogFile":
        return ProxyProcess(stack, {"LogLevel": "debug", "LogFile": pipe.path, **keys})
    return ProxyProcess(stack, {"LogLevel": "debug", **keys}, launcher=("/bin/sh", "-c", f'exec "$@" 2> {pipe.path}', "sh"))


@pytest.mark.parametrize("where", ["stderr", "LogFile"])
def test_everything_is_answered_and_sigterm_ends_it_while_the_log_stalls(stack: Stack, pipe: StalledPipe, where: str) -> None:
    pipe.fill()
    with proxy_that_logs_to(pipe, stack, where) as proxy, proxy.client() as client:
        for count in range(1, 20):
            with proxy.client() as other:
                other.send_raw(NONSENSE)
                assert other.unread(1).total_cnt == 0
            assert client.send_message(1, 2).msg_id == count
        proxy.terminate()
        assert proxy.wait(10) == 0


@pytest.mark.parametrize("where", ["stderr", "LogFile"])
def test_queued_lines_are_written_when_the_log_is_read_again(stack: Stack, pipe: StalledPipe, where: str) -> None:
    with proxy_that_logs_to(pipe, stack, where) as proxy:
        assert eventually(lambda: "is ready" in pipe.read(), True)
        pipe.fill()
        with proxy.client() as client:
            client.send_raw(NONSENSE)
            assert client.unread(1).total_cnt == 0
        proxy.terminate()
        assert eventually(lambda: "stopped" in pipe.read(), True)
        assert "unknown command 0x7777" in pipe.read()
        assert proxy.wait(10) == 0


def test_a_start_that_fails_ends_while_the_log_stalls(stack: Stack, pipe: StalledPipe) -> None:
    pipe.fill()
    with pytest.raises(StartupError, match="ended at once with status 3"):
        proxy_that_logs_to(pipe, stack, "stderr", teamtalk_master_password="wrong").start()
