"""Starting while MySQL or Redis are not up yet, as at boot."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dbproxy.errors import StartupError
from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.process import can_connect, free_port
from dbproxy.testing.servers import PrivateRedis
from dbproxy.testing.stack import POOLS
from dbproxy.testing.waiting import eventually

WAITING = "not ready, waiting for it"

pytestmark = pytest.mark.watchdog(90)


@contextmanager
def starting(proxy: ProxyProcess) -> Iterator[list[StartupError]]:
    """Start a proxy in the background; the block begins when it waits. Gets the error of the start, if there is one, after the block."""
    errors: list[StartupError] = []

    def start() -> None:
        try:
            proxy.start()
        except StartupError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        assert eventually(lambda: WAITING in proxy.log(), True, timeout=20)
        yield errors
    except BaseException:
        proxy.kill()
        raise
    finally:
        thread.join()


@pytest.mark.parametrize("backend", ["mysql", "redis"])
def test_it_becomes_ready_when_the_backend_is_up(stack: Stack, backend: str) -> None:
    server = {"mysql": stack.mariadb, "redis": stack.redis_server}[backend]
    server.stop()
    proxy = ProxyProcess(stack, {"ListenPort": free_port()})
    with starting(proxy) as errors:
        assert "Connection refused" in proxy.log()
        assert not can_connect(proxy.host, proxy.port)
        assert not (proxy.directory / "server.pid").exists()
        server.start()
    assert errors == []
    with proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1


@pytest.mark.parametrize("backend", ["mysql", "redis"])
def test_a_backend_that_accepts_and_says_nothing_is_waited_for(stack: Stack, backend: str) -> None:
    server = {"mysql": stack.mariadb, "redis": stack.redis_server}[backend]
    server.freeze()
    proxy = ProxyProcess(stack, {"DBConnectTimeout": 0.5, "CacheTimeout": 0.5})
    with starting(proxy) as errors:
        server.thaw()
    assert errors == []
    with proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1


def test_redis_that_loads_its_data_is_waited_for(stack: Stack, tmp_path: Path) -> None:
    with PrivateRedis(tmp_path, persistent=True) as redis, redis.connect() as client:
        with client.pipeline(transaction=False) as pipeline:
            for number in range(20 * 1024):  # after each 1024 of them Redis looks at its connections
                pipeline.incr(f"counter{number % 100}")
            pipeline.execute()
        port = redis.port
    slow = PrivateRedis(tmp_path, port=port, persistent=True, options=("--key-load-delay", "200"))  # microseconds
    loading = threading.Thread(target=slow.start)
    proxy = ProxyProcess(stack, {f"{name}_port": port for name in POOLS})
    loading.start()
    try:
        with starting(proxy) as errors:
            assert eventually(lambda: "loading the dataset" in proxy.log(), True, timeout=20)
        assert errors == []
        with proxy, proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1
    finally:
        loading.join()
        slow.close()


def test_a_name_that_is_not_known_yet_is_waited_for_until_the_time_is_over(stack: Stack) -> None:
    proxy = ProxyProcess(stack, {"teamtalk_master_host": "no-such-host.invalid", "StartTimeout": 1})
    with pytest.raises(StartupError, match=r"ended at once with status 3[^$]*cannot start: MySQL instance teamtalk_master"):
        proxy.start()
    assert WAITING in proxy.log()
    assert not (proxy.directory / "server.pid").exists()


def test_without_a_timeout_it_does_not_wait(stack: Stack) -> None:
    proxy = ProxyProcess(stack, {"token_port": free_port(), "StartTimeout": 0})
    with pytest.raises(StartupError, match=r"ended at once with status 3[^$]*cannot start: Redis instance token .*token_port"):
        proxy.start()
    assert WAITING not in proxy.log()


@pytest.mark.parametrize(
    "keys",
    [
        {"teamtalk_master_password": "wrong"},
        {"teamtalk_slave_dbname": "wrong"},
        {"unread_password": "wrong"},
        {"token_db": 999},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_errors_that_waiting_cannot_fix_end_the_start_at_once(stack: Stack, keys: dict[str, object]) -> None:
    proxy = ProxyProcess(stack, {**keys, "StartTimeout": 3600})
    with pytest.raises(StartupError, match="ended at once with status 3"):
        proxy.start()
    assert WAITING not in proxy.log()


@pytest.mark.parametrize("frozen", [False, True], ids=["refusing", "silent"])
def test_sigterm_ends_the_waiting_and_other_signals_do_not(stack: Stack, frozen: bool) -> None:
    server = stack.redis_server
    if frozen:
        server.freeze()
    else:
        server.stop()
    proxy = ProxyProcess(stack, {"CacheTimeout": 1, "StartTimeout": 3600})
    with starting(proxy):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            proxy.signal(number)
        assert proxy.running
        proxy.terminate()
        assert eventually(lambda: proxy.running, False) is False
    assert proxy.returncode == 0
    assert "stopped before it was ready" in proxy.log()
