"""SIGHUP: the configuration is read again and applied, as a whole or not at all; for backends see test_reload_backends.py."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from reloading import ReloadingProxy

from dbproxy.testing import FileServer, Stack, StartupError
from dbproxy.testing.client import ConnectionClosedError, pack
from dbproxy.testing.process import free_port
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually, poll
from dbproxy.wire.pb import base_define_pb2

pytestmark = pytest.mark.data(users=["alice", "bob"])


def threads_of(pid: int) -> list[str]:
    """The names of the threads of a process, as far as the kernel knows them; with none of Python's names, as many entries."""
    return [path.name for path in Path(f"/proc/{pid}/task").iterdir()]


def test_a_file_that_has_not_changed_changes_nothing(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        assert proxy.reload() == "configuration reloaded: nothing has changed"
        assert client.departments().user_id == 1


def test_keys_that_need_a_restart_are_named_each_time_and_the_others_are_applied(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        changes = {"ListenIP": "127.0.0.1;127.0.0.2", "aesKey": "x" * 32, "SyncInterval": 7}
        assert proxy.reload(changes) == "configuration reloaded: SyncInterval; needs a restart or an upgrade: ListenIP, aesKey"
        assert (
            proxy.reload()
            == "configuration reloaded: nothing has changed that can be applied; needs a restart or an upgrade: ListenIP, aesKey"
        )
        assert client.send_message(1, 2).msg_id == 1


def test_allowed_peers_count_for_new_connections(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        assert proxy.reload({"AllowedPeers": "10.0.0.0/8"}) == "configuration reloaded: AllowedPeers"
        with proxy.client() as refused:
            assert refused.closed_within(5)
        assert client.send_message(1, 2).msg_id == 1
        assert proxy.reload({"AllowedPeers": "10.0.0.0/8,127.0.0.1"}) == "configuration reloaded: AllowedPeers"
        with proxy.client() as allowed:
            assert allowed.send_message(1, 2).msg_id == 2


def test_max_connections_and_max_pdu_length(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        assert proxy.reload({"MaxConnections": 1, "MaxPduLength": 1024}) == "configuration reloaded: MaxPduLength, MaxConnections"
        with proxy.client() as refused:
            assert refused.closed_within(5)
        assert client.send_message(1, 2).msg_id == 1
        client.send_raw(pack(3, 0x0301, bytes(2000)))
        assert client.closed_within(5)
        proxy.reload({"MaxConnections": 2, "MaxPduLength": 100_000})
        with proxy.client() as one, proxy.client() as other:
            one.send_raw(pack(3, 0x0999, bytes(50_000)))
            assert one.send_message(1, 2).msg_id == 2
            assert other.send_message(1, 2).msg_id == 3


def test_heartbeats_and_the_time_for_which_a_peer_may_be_silent(stack: Stack) -> None:
    with ReloadingProxy(stack, {"HeartbeatInterval": 600, "PeerTimeout": 600}) as proxy, proxy.client(notices=True) as client:
        proxy.reload({"HeartbeatInterval": 0.5})
        assert client.receive(10).is_heartbeat
        proxy.reload({"PeerTimeout": 1})
        assert client.closed_within(10)
        assert eventually(lambda: "silent for 1 s" in proxy.log(), True)


def test_the_level_of_the_log(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy:
        proxy.write({"LogLevel": "warning"})
        proxy.signal(signal.SIGHUP)

        def connect_and_count() -> int:
            before = proxy.log().count("connected [")
            proxy.client().close()
            return eventually(lambda: proxy.log().count("connected [") - before, 1, timeout=0.3)

        assert eventually(connect_and_count, 0, timeout=10) == 0
        assert proxy.reload({"LogLevel": "info"}) == "configuration reloaded: LogLevel"
        assert connect_and_count() == 1


def test_the_log_moves_to_another_file(stack: Stack, tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    with ReloadingProxy(stack) as proxy:
        assert proxy.reload({"LogFile": first}, log=first) == "configuration reloaded: LogFile"
        proxy.client().close()
        assert "connected [" in poll(first.read_text, lambda text: "connected [" in text)
        assert proxy.reload({"LogFile": second}, log=second) == "configuration reloaded: LogFile"
        size = len(first.read_text())
        proxy.client().close()
        assert "connected [" in poll(second.read_text, lambda text: "connected [" in text)
        assert len(first.read_text()) == size
        assert proxy.reload({"LogFile": None}) == "configuration reloaded: LogFile"
        for descriptor in Path(f"/proc/{proxy.pid}/fd").iterdir():
            assert str(descriptor.readlink()) not in (str(first), str(second))


def test_the_file_server_its_time_limit_and_the_length_of_sounds(stack: Stack) -> None:
    sound = message(1, 2, b"\0\0\0\1" + bytes(2000), msg_type=base_define_pb2.MSG_TYPE_SINGLE_AUDIO)
    keys = {"FileServerTimeout": 60}
    with (
        FileServer() as one,
        FileServer() as other,
        ReloadingProxy(stack, {**keys, "MsfsSite": one.site}) as proxy,
        proxy.client() as client,
    ):
        assert client.request(sound).msg_id == 1  # type: ignore[attr-defined]
        assert proxy.reload({"MsfsSite": other.site}) == "configuration reloaded: MsfsSite"
        assert client.request(sound).msg_id == 2  # type: ignore[attr-defined]
        assert (one.uploads, other.uploads) == (1, 1)
        proxy.reload({"MaxAudioLength": 1024})
        assert client.request(sound).msg_id == 0  # type: ignore[attr-defined]
        proxy.reload({"MaxAudioLength": 4096, "FileServerTimeout": 0.3})
        other.faults.delay = 40
        assert client.request(sound, timeout=20).msg_id == 0  # type: ignore[attr-defined]


def test_the_number_of_threads(stack: Stack) -> None:
    with ReloadingProxy(stack, {"ThreadNum": 2}) as proxy, proxy.client() as client:
        before = len(threads_of(proxy.pid))
        assert proxy.reload({"ThreadNum": 12}) == "configuration reloaded: ThreadNum"
        assert eventually(lambda: len(threads_of(proxy.pid)), before + 10) == before + 10
        assert proxy.reload({"ThreadNum": 1}) == "configuration reloaded: ThreadNum"
        assert eventually(lambda: len(threads_of(proxy.pid)), before - 1) == before - 1
        assert client.send_message(1, 2).msg_id == 1


def test_a_mistake_leaves_everything_as_it_was(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy, proxy.client() as client:
        said = proxy.reload({"MaxBatchSize": "many", "AllowedPeers": "10.0.0.0/8", "LogLevel": "loud"})
        assert said.startswith("configuration not reloaded, everything stays as it was: dbproxyserver.conf:")
        assert "MaxBatchSize=many: expected a whole number" in said
        assert "LogLevel=loud: expected debug, info, warning or error" in said
        with proxy.client() as other:
            assert other.send_message(1, 2).msg_id == 1
        assert proxy.reload({"MaxBatchSize": 32, "LogLevel": None}) == "configuration reloaded: AllowedPeers, MaxBatchSize"
        proxy.config_path.unlink()
        proxy.signal(signal.SIGHUP)
        said = poll(proxy.reports, lambda lines: len(lines) == 3)[-1]
        assert said.endswith("dbproxyserver.conf: cannot be read: No such file or directory")
        assert client.send_message(1, 2).msg_id == 2


def test_a_log_file_that_cannot_be_opened_leaves_everything_as_it_was(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy:
        said = proxy.reload({"LogFile": "/no/such/proxy.log", "AllowedPeers": "10.0.0.0/8"})
        assert said.endswith("everything stays as it was: LogFile=/no/such/proxy.log: cannot be opened: No such file or directory")
        with proxy.client() as client:
            assert client.send_message(1, 2).msg_id == 1


def test_threads_that_the_system_does_not_give_leave_everything_as_it_was(stack: Stack) -> None:
    with ReloadingProxy(stack, {"ThreadNum": 2}) as proxy, proxy.client() as client:
        before = len(threads_of(proxy.pid))
        # every thread has a stack of some MiB of address space, which is not to be had any more
        size = int(Path(f"/proc/{proxy.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(proxy.pid, resource.RLIMIT_AS, (size + (64 << 20), size + (64 << 20)))
        said = proxy.reload({"ThreadNum": 1000, "AllowedPeers": "10.0.0.0/8"})
        assert said.startswith("configuration not reloaded, everything stays as it was: ThreadNum=1000: can't start new thread")
        assert eventually(lambda: len(threads_of(proxy.pid)), before) == before
        with proxy.client() as other:
            assert other.send_message(1, 2).msg_id == 1
        assert client.send_message(1, 2).msg_id == 2


def test_unknown_keys_are_named(stack: Stack) -> None:
    with ReloadingProxy(stack) as proxy:
        assert proxy.reload({"MaxBatchSze": 3}) == "configuration reloaded: nothing has changed"
        assert "unknown key MaxBatchSze is ignored; did you mean MaxBatchSize?" in proxy.log()


def test_passwords_are_not_shown(stack: Stack) -> None:
    with ReloadingProxy(stack, {"StartTimeout": 0}) as proxy:
        said = proxy.reload({"teamtalk_slave_password": "secret-words", "aesKey": "secret-aes"})
        assert "aesKey: expected exactly 32 ASCII characters" in said
        assert "secret-" not in proxy.log()


def test_signals_that_come_during_a_reload_lead_to_one_more(stack: Stack) -> None:
    silent = free_port()
    with ReloadingProxy(stack, {"CacheConnectTimeout": 1}) as proxy, proxy.client() as client:
        for limit in range(1, 21):
            proxy.write({"MaxBatchSize": limit})
            proxy.signal(signal.SIGHUP)
        changed = "configuration reloaded: MaxBatchSize"
        assert poll(lambda: proxy.reload(), lambda said: said.endswith("nothing has changed")).endswith("nothing has changed")
        assert 1 <= proxy.reports().count(changed) <= 20
        assert "refused" in proxy.reload({"token_port": silent})
        assert client.send_message(1, 2).msg_id == 1


def test_a_proxy_that_stops_reloads_nothing(stack: Stack) -> None:
    with (
        FileServer() as files,
        ReloadingProxy(stack, {"MsfsSite": files.site, "StopGrace": 5}) as proxy,
        proxy.client(notices=True) as client,
    ):
        files.faults.delay = 2
        client.send(message(1, 2, b"\0\0\0\1sound", msg_type=base_define_pb2.MSG_TYPE_SINGLE_AUDIO))
        assert eventually(lambda: files.uploads, 1) == 1
        proxy.terminate()
        assert client.receive(5).is_stop_notice
        assert proxy.reload() == "configuration not reloaded, everything stays as it was: the proxy is stopping"
        assert client.receive(5).message.msg_id == 1  # type: ignore[attr-defined]
        assert proxy.wait(10) == 0


def test_a_signal_while_it_starts_does_not_end_it(stack: Stack) -> None:
    """A script that starts a proxy and sends it a signal at once; the proxy reads the file again when it serves."""
    proxy = ReloadingProxy(stack, {"teamtalk_master_port": 1, "StartTimeout": 60})
    starting = threading.Thread(target=_fail_to_start, args=(proxy,))
    starting.start()
    try:
        assert "not ready, waiting for it" in poll(proxy.log, lambda log: "not ready, waiting for it" in log, timeout=30)
        proxy.signal(signal.SIGHUP)
        proxy.terminate()
    finally:
        starting.join(30)
    assert proxy.returncode == 0
    assert "stopped before it was ready" in proxy.log()


def _fail_to_start(proxy: ReloadingProxy) -> None:
    with pytest.raises(StartupError):
        proxy.start()


@pytest.mark.watchdog(120)
def test_fifty_reloads_under_load_lose_nothing(stack: Stack) -> None:
    variants: list[dict[str, object]] = [
        {"MaxBatchSize": 8, "ThreadNum": 4, "MaxActiveBatches": 1},
        {"MaxBatchSize": 64, "ThreadNum": 16, "MaxActiveBatches": 3, "DBTimeout": 20, "CacheTimeout": 9},
        {"teamtalk_master_maxconncnt": 3, "unread_maxconncnt": 2, "MaxWaitingRequests": 50, "MaxSendBuffer": 100_000},
        {"teamtalk_master_maxconncnt": 16, "unread_maxconncnt": 16, "MaxWaitingRequests": 20_000, "MaxSendBuffer": 8_000_000},
        {"DBTimeout": 10, "CacheTimeout": 5, "RequestTimeout": 20, "LogLevel": "info"},
    ]
    stop = threading.Event()
    ids: list[int] = []
    failures: list[object] = []

    def talk(work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
        except (OSError, AssertionError, ConnectionClosedError) as error:
            failures.append(error)

    with ReloadingProxy(stack) as proxy, proxy.client() as writer, proxy.client() as reader:

        def write() -> None:
            replies = writer.requests([message(1, 2, f"m{number}") for number in range(20)])
            ids.extend(reply.msg_id for reply in replies)  # type: ignore[attr-defined]

        def read() -> None:
            assert len(reader.user_info([1, 2]).user_info_list) == 2
            assert reader.unread(2).user_id == 2

        threads = [threading.Thread(target=talk, args=(work,)) for work in (write, read)]
        for thread in threads:
            thread.start()
        try:
            for number in range(50):
                assert proxy.reload(variants[number % len(variants)]).startswith("configuration reloaded: ")
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert failures == []
        assert sorted(ids) == list(range(1, len(ids) + 1))
        assert "ERROR" not in proxy.log()
        rows = stack.rows("select count(*) as n from IMMessage_" + str(_shard(stack)))
        assert rows == [{"n": len(ids)}]


def _shard(stack: Stack) -> int:
    return int(str(stack.rows("select id from IMRelationShip")[0]["id"])) % 8
