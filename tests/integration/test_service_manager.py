"""The daemon as systemd sees it: a process with NOTIFY_SOCKET."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.app import Application
from dbproxy.config import load_config
from dbproxy.notify import Notifier
from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.waiting import eventually


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.bind(str(tmp_path / "notify"))
        yield sock


def environment(manager: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": manager.getsockname(), **more}


def until(manager: socket.socket, wanted: str) -> list[str]:
    """What is received until a message begins with ``wanted``, that one included."""
    messages: list[str] = []
    while not (messages and messages[-1].startswith(wanted)):
        messages.append(manager.recv(4096).decode())
    return messages


def receive(manager: socket.socket) -> Iterator[str]:
    """What comes until nothing does for the timeout of the socket."""
    with contextlib.suppress(TimeoutError, BlockingIOError):
        while True:
            yield manager.recv(4096).decode()


def test_ready_comes_after_the_pid_file_and_stopping_before_the_end(stack: Stack, manager: socket.socket) -> None:
    proxy = ProxyProcess(stack, env=environment(manager))
    with proxy:
        assert until(manager, "READY=1") == ["STATUS=connecting to MySQL and Redis", f"READY=1\nMAINPID={proxy.pid}"]
        assert (proxy.directory / "server.pid").read_text(encoding="ascii") == f"{proxy.pid}\n"
        with proxy.client() as client:
            assert until(manager, "STATUS=serving: 1 connections, 0 requests")
            client.unread(1)
            proxy.signal(signal.SIGTERM)
            until(manager, "STOPPING=1")
        assert proxy.wait(30) == 0


def test_the_watchdog_is_fed_by_a_reactor_that_turns_and_by_nothing_else(stack: Stack, manager: socket.socket) -> None:
    proxy = Application(load_config(stack.write_config()), Notifier(manager.getsockname(), 0.4))
    proxy.start()
    reactor = threading.Thread(target=proxy.run, daemon=True)
    reactor.start()
    for _ in range(3):
        until(manager, "WATCHDOG=1")
    stuck, gate = threading.Event(), threading.Event()

    def block() -> None:
        stuck.set()
        gate.wait(60)

    proxy.call_soon(block)
    assert stuck.wait(60)
    for silence in (0.0, 1.0):  # first what was sent before, then for several intervals nothing
        manager.settimeout(silence)
        received = "".join(receive(manager))
    assert received == ""
    gate.set()
    manager.settimeout(60)
    until(manager, "WATCHDOG=1")
    proxy.request_stop()
    until(manager, "STOPPING=1")
    reactor.join(60)
    assert not reactor.is_alive()


def test_a_watchdog_of_another_process_is_not_fed(stack: Stack, manager: socket.socket) -> None:
    with ProxyProcess(stack, env=environment(manager, WATCHDOG_USEC="100000", WATCHDOG_PID="1")):
        assert "WATCHDOG=1" not in until(manager, "STATUS=serving")


def test_a_manager_that_does_not_read_changes_nothing(stack: Stack, manager: socket.socket) -> None:
    with ProxyProcess(stack, env=environment(manager, WATCHDOG_USEC="2000")) as proxy, proxy.client() as client:
        until(manager, "WATCHDOG=1")  # from here on nobody reads, and the queue of the socket is full after some 10 datagrams
        for _ in range(100):
            assert client.unread(1).total_cnt == 0
    assert "failed" not in proxy.log()


def test_a_reload_is_announced_and_ends_with_ready_whatever_came_of_it(stack: Stack, manager: socket.socket) -> None:
    with ProxyProcess(stack, env=environment(manager)) as proxy:
        until(manager, "READY=1")
        for text in ("SyncInterval=7\n", "SyncInterval=none\n"):
            proxy.config_path.write_text(text + proxy.config_path.read_text(encoding="utf-8"), encoding="utf-8")
            proxy.signal(signal.SIGHUP)
            assert until(manager, "RELOADING=1")[-1].partition("\n")[2].startswith("MONOTONIC_USEC=")
            until(manager, f"READY=1\nMAINPID={proxy.pid}")
        assert eventually(lambda: "configuration not reloaded" in proxy.log(), True)  # the log is written by a thread of its own


def test_an_upgrade_names_the_new_process_when_it_is_certain_that_it_stays(stack: Stack, manager: socket.socket) -> None:
    with ProxyProcess(stack, env=environment(manager, WATCHDOG_USEC="1000000")) as proxy:
        until(manager, "READY=1")
        upgrade = threading.Thread(target=proxy.upgrade)  # meanwhile somebody has to read: the socket keeps few datagrams
        upgrade.start()
        messages = until(manager, "MAINPID=")
        upgrade.join(60)
        assert messages[-1] == f"MAINPID={proxy.pid}"
        assert "WATCHDOG=1" in messages
        assert not {"STOPPING=1", f"READY=1\nMAINPID={proxy.pid}"} & set(messages)
        until(manager, f"READY=1\nMAINPID={proxy.pid}")
        until(manager, "WATCHDOG=1")  # the new one feeds it
