"""How the daemon starts, what it says when it cannot, and how it leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbproxy.testing import FileServer, ProxyProcess, Stack, seed
from dbproxy.testing.process import free_port
from dbproxy.testing.requests import message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2

ROOT = Path(__file__).parent.parent.parent


def start_and_fail(stack: Stack, tmp_path: Path, overrides: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    config = stack.write_config(tmp_path / "dbproxyserver.conf", {"ListenPort": free_port(), "StartTimeout": 0, **overrides})
    command = [sys.executable, "-m", "dbproxy", "--config", str(config)]
    return subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("teamtalk_master_port", "teamtalk_master_port"),
        ("teamtalk_slave_password", "teamtalk_slave_password"),
        ("token_port", "token_port"),
        ("teamtalk_master_password", "teamtalk_master_password"),
        ("teamtalk_master_dbname", "teamtalk_master_dbname"),
    ],
)
def test_a_backend_that_cannot_be_used_is_named_with_its_keys(stack: Stack, tmp_path: Path, key: str, named: str) -> None:
    wrong: object = free_port() if key.endswith("port") else "wrong"
    failed = start_and_fail(stack, tmp_path, {key: wrong})
    assert failed.returncode == 3
    assert named in failed.stderr
    assert "127.0.0.1" in failed.stderr
    assert not (tmp_path / "server.pid").exists()


def test_a_taken_port_is_a_clear_message(stack: Stack, tmp_path: Path) -> None:
    with ProxyProcess(stack) as proxy:
        failed = start_and_fail(stack, tmp_path, {"ListenPort": proxy.port})
    assert failed.returncode == 3
    assert f"127.0.0.1:{proxy.port}" in failed.stderr
    assert "ListenPort" in failed.stderr


def test_missing_tables_and_columns_are_named(stack: Stack, tmp_path: Path) -> None:
    stack.rows("alter table IMGroup drop column lastChated")
    stack.rows("rename table IMMessage_3 to IMMessage_gone")
    try:
        failed = start_and_fail(stack, tmp_path, {})
    finally:
        stack.rows("alter table IMGroup add column lastChated int(11) unsigned not null default 0 after version")
        stack.rows("rename table IMMessage_gone to IMMessage_3")
    assert failed.returncode == 3
    assert "IMMessage_3" in failed.stderr
    assert "lastChated" in failed.stderr


def test_a_missing_index_is_named_with_the_statement_that_makes_it(stack: Stack, tmp_path: Path) -> None:
    makes_it = "ALTER TABLE IMMessage_3 ADD INDEX idx_relateId_status_msgId_created (relateId,status,msgId,created)"
    stack.rows("alter table IMMessage_3 drop index idx_relateId_status_msgId_created")
    try:
        failed = start_and_fail(stack, tmp_path, {})
    finally:
        stack.rows(makes_it)
    assert failed.returncode == 3
    assert makes_it in failed.stderr
    with ProxyProcess(stack) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1


def test_the_table_that_stock_installations_lack_is_made(stack: Stack) -> None:
    stack.rows("drop table IMTransmitFile")
    with ProxyProcess(stack) as proxy, proxy.client() as client:
        client.add_offline_file(1, 2, "t")
        assert eventually(lambda: len(client.offline_files(2).offline_file_list), 1) == 1


def test_sigterm_notifies_peers_answers_requests_and_exits_with_0(stack: Stack) -> None:
    with FileServer() as files, ProxyProcess(stack, {"MsfsSite": files.site}) as proxy, proxy.client(notices=True) as client:
        files.faults.delay = 1
        client.send(message(1, 2, b"\0\0\0\1sound", msg_type=base_define_pb2.MSG_TYPE_SINGLE_AUDIO))
        client.send(message(3, 4))
        assert client.receive(5).message.msg_id == 1  # type: ignore[attr-defined]
        proxy.terminate()
        first, second = client.receive(5), client.receive(5)
        assert first.is_stop_notice
        assert first.message.result == 0  # type: ignore[attr-defined]
        assert second.message.msg_id == 1  # type: ignore[attr-defined]
        assert client.closed_within(5)
        assert proxy.wait(10) == 0
    assert stack.rows("select count(*) as n from IMAudio") == [{"n": 1}]


def test_requests_are_still_answered_after_the_stop_packet(stack: Stack) -> None:
    with ProxyProcess(stack) as proxy, proxy.client(notices=True) as client:
        assert client.send_message(1, 2).msg_id == 1
        proxy.signal(signal.SIGINT)
        assert client.receive(5).is_stop_notice
        assert client.send_message(1, 2).msg_id == 2
        assert proxy.wait(10) == 0


def test_a_second_signal_exits_at_once(stack: Stack) -> None:
    with (
        FileServer() as files,
        ProxyProcess(stack, {"MsfsSite": files.site, "StopGrace": 30}) as proxy,
        proxy.client(notices=True) as client,
    ):
        files.faults.delay = 8
        client.send(message(1, 2, b"\0\0\0\1sound", msg_type=base_define_pb2.MSG_TYPE_SINGLE_AUDIO))
        client.send(message(3, 4))
        client.receive(5)
        proxy.terminate()
        assert client.receive(5).is_stop_notice
        proxy.terminate()
        assert proxy.wait(10) == 128 + signal.SIGTERM


def test_the_grace_bounds_a_drain(stack: Stack) -> None:
    with (
        FileServer() as files,
        ProxyProcess(stack, {"MsfsSite": files.site, "StopGrace": 1}) as proxy,
        proxy.client(notices=True) as client,
    ):
        files.faults.delay = 8
        client.send(message(1, 2, b"\0\0\0\1sound", msg_type=base_define_pb2.MSG_TYPE_SINGLE_AUDIO))
        assert eventually(lambda: files.uploads, 1) == 1
        proxy.terminate()
        assert proxy.wait(6) == 0
        assert "requests stay unanswered" in proxy.log()


def test_pid_file_and_log_file(stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "proxy.log"
    with ProxyProcess(stack, {"LogFile": log, "LogLevel": "debug"}, directory=tmp_path) as proxy:
        assert (tmp_path / "server.pid").read_text().strip() == str(proxy.pid)
        with proxy.client() as client:
            client.login("nobody", "topsecretpassword")
            client.send_message(1, 2, "topsecretmessage")
            client.send_raw(b"\0\0\0\5" + b"\0" * 12)
            assert client.closed_within(5)
    text = log.read_text()
    assert "PDU length 5" in text
    assert "uuid=" in text
    assert "topsecret" not in text


def test_signals_that_have_no_meaning_do_not_end_it(stack: Stack) -> None:
    with ProxyProcess(stack) as proxy, proxy.client() as client:
        for number in (signal.SIGUSR1,):
            proxy.signal(number)
            assert eventually(lambda name=number.name: f"signal {name} is ignored" in proxy.log(), True)  # type: ignore[misc]
        assert client.send_message(1, 2).msg_id == 1


def test_closed_standard_descriptors_are_not_given_to_sockets(stack: Stack, tmp_path: Path) -> None:
    closed = ("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    with ProxyProcess(stack, {"LogFile": tmp_path / "proxy.log"}, launcher=closed) as proxy, proxy.client() as client:
        assert client.send_message(1, 2).msg_id == 1
        assert {str((Path("/proc") / str(proxy.pid) / "fd" / str(number)).readlink()) for number in range(3)} == {"/dev/null"}


def test_two_proxies_share_the_databases(stack: Stack) -> None:
    seed.users(stack, "alice", "bob")
    with ProxyProcess(stack) as one, ProxyProcess(stack) as other, one.client() as first, other.client() as second:
        assert [first.send_message(1, 2).msg_id, second.send_message(2, 1).msg_id, first.send_message(1, 2).msg_id] == [1, 2, 3]
        assert second.unread(2).total_cnt == 2


def test_silent_peers_get_heartbeats_and_are_closed_later(stack: Stack) -> None:
    keys = {"HeartbeatInterval": 1, "PeerTimeout": 3}
    with ProxyProcess(stack, keys) as proxy, proxy.client(notices=True) as silent, proxy.client(notices=True) as alive:
        assert silent.receive(4).is_heartbeat

        def closed() -> bool:
            alive.send_heartbeat()
            return silent.closed_within(0.5)

        assert eventually(closed, True, timeout=10)
        assert alive.unread(1).total_cnt == 0
