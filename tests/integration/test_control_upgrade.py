"""dbproxy-ctl upgrade: the result is told, and the control socket belongs to the process that serves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from control import SOCKET, Finished, connect, ctl

from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.successor import inherit_orphans
from dbproxy.testing.waiting import eventually


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    with ProxyProcess(stack, {"StopGrace": 1}) as running:
        yield running


def pid_of(proxy: ProxyProcess) -> int:
    return int(json.loads(ctl(proxy.directory, "--json", "status").out)["pid"])


@pytest.mark.watchdog(240)
def test_the_new_process_answers_at_the_socket_as_soon_as_the_result_is_told(proxy: ProxyProcess) -> None:
    former = proxy.pid
    seen: list[tuple[Finished, int]] = []

    def ask() -> None:
        seen.append((ctl(proxy.directory, "upgrade"), pid_of(proxy)))

    with proxy.client() as client:
        assert client.user_info([1]).user_id == 1
        for _ in range(2):
            proxy.upgrade(ask=ask)
            assert client.user_info([1]).user_id == 1  # the same connection
    assert [done for done, _ in seen] == [Finished(0, "upgraded: a new process serves\n", "")] * 2
    assert len({former, *(pid for _, pid in seen)}) == 3
    assert pid_of(proxy) == proxy.pid
    proxy.stop()
    assert not (proxy.directory / SOCKET).exists()


@pytest.mark.watchdog(120)
def test_the_harness_follows_an_upgrade_that_somebody_else_asked_for(proxy: ProxyProcess) -> None:
    inherit_orphans()
    former = proxy.pid
    assert not proxy.adopt_successor()
    with proxy.client() as client:
        assert ctl(proxy.directory, "upgrade").code == 0
        assert eventually(proxy.adopt_successor, True, timeout=30) is True
        assert proxy.pid == pid_of(proxy) != former
        assert client.user_info([1]).user_id == 1
    assert "this process did not run" not in proxy.log()
    proxy.stop()
    assert not proxy.adopt_successor()


def test_a_new_process_that_cannot_start_is_reported_and_the_running_one_keeps_its_socket(proxy: ProxyProcess) -> None:
    text = proxy.config_path.read_text(encoding="utf-8")
    proxy.config_path.write_text(text + "MaxBatchSize=none\n", encoding="utf-8")
    pid = proxy.pid
    done = ctl(proxy.directory, "upgrade")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("dbproxy-ctl: not upgraded, the running process goes on: the new process (pid ")
    assert pid_of(proxy) == pid
    assert "MaxBatchSize=none" in proxy.log()


@pytest.mark.watchdog(240)
def test_a_trace_ends_with_the_process_that_it_watched_and_delays_no_upgrade(proxy: ProxyProcess) -> None:
    with connect(proxy, 60) as trace:
        trace.sendall(b'{"command":"trace","seconds":600}\n')
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.extend(iter(lambda: trace.recv(65536), b"")))
        reader.start()
        proxy.upgrade()
        reader.join(20)
        assert not reader.is_alive()
    assert b"".join(received).splitlines()[-1] == b'{"ok":true}'
    assert pid_of(proxy) == proxy.pid
