"""What goes to the socket of the service manager, and what does not reach the daemon when that socket is in a bad state."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.notify import STATUS_LENGTH, Notifier


class Manager:
    """The end of a service manager: a datagram socket that is bound to ``address``."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(10)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def message(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(f"{tmp_path}/notify" if request.param == "path" else f"@dbproxy-test-{os.getpid()}-{tmp_path.name}")
    yield manager
    manager.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    notifier = Notifier(manager.address, 8.0)
    yield notifier
    notifier.close()


def test_each_state_is_one_datagram(manager: Manager, notifier: Notifier) -> None:
    notifier.ready()
    notifier.stopping()
    notifier.watchdog()
    notifier.main_pid(4711)
    messages = [manager.message() for _ in range(4)]
    assert messages == [f"READY=1\nMAINPID={os.getpid()}", "STOPPING=1", "WATCHDOG=1", "MAINPID=4711"]


def test_reloading_comes_with_the_monotonic_time(manager: Manager, notifier: Notifier) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.message().split("\n")
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= after


def test_a_status_is_one_line_of_bounded_length(manager: Manager, notifier: Notifier) -> None:
    notifier.status("3 连接\nREADY=1")
    assert manager.message() == "STATUS=3 连接 READY=1"
    notifier.status("x" * 100_000)
    assert manager.message() == "STATUS=" + "x" * STATUS_LENGTH
    notifier.status("\udcff")
    assert manager.message() == "STATUS=?"


def test_the_environment_is_used_and_taken_away(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/root"}
    notifier = Notifier.from_environment(environ)
    assert environ == {"HOME": "/root"}
    assert notifier.watchdog_interval == 1.5
    assert notifier.environment() == {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000"}
    successor = Notifier.from_environment(notifier.environment())
    assert successor.watchdog_interval == 1.5
    successor.watchdog()
    assert manager.message() == "WATCHDOG=1"
    notifier.close()
    successor.close()


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, *({"WATCHDOG_USEC": text} for text in ("", "0", "-1", "x", "9" * 5000))],
)
def test_no_watchdog_unless_it_is_meant_for_this_process(watchdog: dict[str, str], manager: Manager) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": manager.address, **watchdog})
    assert notifier.is_on
    assert notifier.watchdog_interval is None
    assert notifier.environment() == {"NOTIFY_SOCKET": manager.address}
    notifier.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"WATCHDOG_USEC": "1000000"}])
def test_without_a_socket_nothing_is_sent(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environment(environ)
    assert not notifier.is_on
    assert notifier.watchdog_interval is None
    assert notifier.environment() == {}
    notifier.ready()
    notifier.close()


def test_a_manager_that_is_away_or_takes_nothing_stops_nobody(manager: Manager, notifier: Notifier, tmp_path: Path) -> None:
    for _ in range(2000):  # more than the queue of a datagram socket takes
        notifier.status("x" * STATUS_LENGTH)
    manager.close()
    notifier.ready()
    for address in (f"{tmp_path}/nobody", "/" + "x" * 200, str(tmp_path)):
        other = Notifier(address)
        other.ready()
        other.close()


def test_a_closed_notifier_says_nothing(manager: Manager, notifier: Notifier) -> None:
    notifier.ready()
    notifier.close()
    notifier.stopping()
    notifier.close()
    assert manager.message().startswith("READY=1")
    last = Notifier(manager.address)
    last.watchdog()
    assert manager.message() == "WATCHDOG=1"
    last.close()
