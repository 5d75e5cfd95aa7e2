"""dbproxy.testing itself: what other tests stand on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
import urllib3

from dbproxy.errors import StartupError
from dbproxy.testing import (
    Client,
    ConnectionClosedError,
    FileServer,
    InProcessProxy,
    ProxyProcess,
    Stack,
    seed,
)
from dbproxy.testing.requests import SINGLE
from dbproxy.testing.waiting import eventually
from dbproxy.wire.commands import HEARTBEAT_PDU, STOP_RECEIVE_PDU, UNREAD_COUNT
from dbproxy.wire.pb import message_pb2

# stack and seed


def test_reset_empties_everything_and_counts_from_one_again(stack: Stack) -> None:
    for _ in range(2):
        assert seed.insert(stack, "IMAudio", [{"fromId": 1, "toId": 2, "created": 3}]) == 1
        with stack.redis("token") as client:
            client.set("device_1", "ios:x")
        stack.reset()
        assert stack.rows("SELECT * FROM IMAudio") == []
        with stack.redis("token") as client:
            assert client.keys() == []


def test_reset_starts_what_a_test_has_killed(stack: Stack) -> None:
    stack.mariadb.kill()
    with pytest.raises(pymysql.MySQLError):
        stack.mysql()
    stack.redis_server.freeze()
    stack.reset()
    assert len(stack.tables()) == 27
    with stack.redis() as client:
        assert client.ping()


def test_configurations(stack: Stack) -> None:
    text = stack.write_config(overrides={"ThreadNum": 3, "aesKey": None}).read_text()
    assert "ThreadNum=3\n" in text
    assert "aesKey" not in text
    assert f"unread_port={stack.redis_server.port}\nunread_db=1\n" in text


def test_seeds(stack: Stack) -> None:
    assert seed.users(stack, "alice", "bob") == [1, 2]
    assert stack.rows("SELECT password FROM IMUser WHERE name = 'bob'") == [{"password": seed.password_hash("123456", "ab1c")}]
    seed.department(stack, 4, "Sales", status=1)
    seed.group(stack, 7, [1, 2], name="team")
    relate_id = seed.relation(stack, 2, 1)
    assert seed.messages(stack, 1, 2, ["a", "b"], relate_id=relate_id) == 2
    assert seed.group_messages(stack, 1, 7, ["x"]) == 1
    seed.session(stack, 1, 2)
    with stack.redis("unread") as client:
        assert client.hgetall("unread_2") == {"1": "2"}
        assert client.get(f"msg_id_{relate_id}") == "2"
        assert client.hgetall("7_im_group_msg") == client.hgetall("1_7_im_user_group") == {"count": "1"}
    with stack.redis("group_member") as client:
        assert client.hgetall("group_member_7") == {"1": str(seed.T0), "2": str(seed.T0)}


# file server


def test_file_server_stores_serves_and_fails() -> None:
    sound = b"\r\n--x\x00\xff" * 9
    http = urllib3.PoolManager(retries=False)
    with FileServer() as site:
        answer = http.request("POST", f"http://{site.site}/", fields={"file": ("sound", sound)}).json()
        assert answer["error_code"] == 0
        assert http.request("GET", answer["url"]).data == sound
        site.faults.size_change = -3
        assert http.request("GET", answer["url"]).data == sound[:-3]
        site.faults.error_code = 7
        assert http.request("POST", f"http://{site.site}/", fields={"file": ("sound", sound)}).json()["error_code"] == 7
        site.faults.garbage = True
        with pytest.raises(ValueError):
            http.request("POST", f"http://{site.site}/", fields={"file": ("sound", sound)}).json()
        site.faults.status = 503
        assert http.request("GET", answer["url"]).status == 503
        site.faults.drop = True
        with pytest.raises(urllib3.exceptions.HTTPError):
            http.request("GET", answer["url"])
        assert (site.uploads, site.downloads) == (3, 4)
    http.clear()


# client, against a peer made by hand


@pytest.fixture
def peer() -> Iterator[tuple[Client, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, Client(*listener.getsockname()[:2], timeout=5) as client:
        end, _ = listener.accept()
        with end:
            yield client, end


def _unread_reply(seq_num: int, user_id: int) -> bytes:
    return UNREAD_COUNT.pack_reply(seq_num, message_pb2.IMUnreadMsgCntRsp(user_id=user_id, total_cnt=0).SerializeToString())


def test_client_finds_the_reply_among_heartbeats_and_other_replies(peer: tuple[Client, socket.socket]) -> None:
    client, end = peer
    data = HEARTBEAT_PDU + _unread_reply(50, 8) + STOP_RECEIVE_PDU + _unread_reply(51, 9)

    def send_byte_by_byte() -> None:
        for k in range(len(data)):
            end.sendall(data[k : k + 1])

    sender = threading.Timer(0.05, send_byte_by_byte)
    sender.start()
    reply = client.request(message_pb2.IMUnreadMsgCntReq(user_id=9), seq_num=51)
    sender.join()
    assert reply == message_pb2.IMUnreadMsgCntRsp(user_id=9, total_cnt=0)
    assert client.heartbeats == len(client.stop_notices) == 1
    other = client.receive()
    assert (other.seq_num, other.version, other.service_id, other.command_id) == (50, 1, 3, 0x0308)
    assert end.recv(100)[:16] == bytes.fromhex("00000012000100000003030700330000")


def test_client_tells_silence_from_a_closed_connection(peer: tuple[Client, socket.socket]) -> None:
    client, end = peer
    assert client.silent(0.02)
    assert not client.closed_within(0.02)
    with pytest.raises(TimeoutError):
        client.receive(0.02)
    end.sendall(_unread_reply(1, 1))
    assert not client.silent(1)
    assert client.receive().seq_num == 1
    end.close()
    assert client.closed_within(1)
    with pytest.raises(ConnectionClosedError):
        client.receive(1)


def test_client_refuses_to_wait_for_a_command_that_is_not_answered(peer: tuple[Client, socket.socket]) -> None:
    client, _ = peer
    with pytest.raises(ValueError, match="CID_MSG_READ_ACK is not answered"):
        client.request(message_pb2.IMMsgDataReadAck(user_id=1, session_id=2, msg_id=3, session_type=SINGLE))


# proxies


def test_proxy_process_starts_answers_and_stops(stack: Stack) -> None:
    seed.users(stack, "alice", "bob")
    with ProxyProcess(stack) as proxy:
        with proxy.client() as client:
            assert client.login("alice").result_code == 0
            assert client.send_message(1, 2).msg_id == 1
        port = proxy.port
        proxy.kill()
        assert proxy.returncode == -signal.SIGKILL
        proxy.start()
        assert proxy.port == port
        assert eventually(lambda: bool(proxy.log()), True)
    assert proxy.returncode == 0


def test_proxy_process_that_cannot_start_shows_why(stack: Stack) -> None:
    proxy = ProxyProcess(stack, {"aesKey": "short"})
    with pytest.raises(StartupError, match="aesKey"):
        proxy.start()


def test_several_proxies_in_one_process(stack: Stack) -> None:
    seed.users(stack, "alice", "bob")
    with InProcessProxy(stack) as one, InProcessProxy(stack) as other, one.client() as first, other.client() as second:
        assert one.port != other.port
        assert first.send_message(1, 2, "a").msg_id == 1
        assert second.send_message(2, 1, "b").msg_id == 2
        assert [message.msg_data for message in first.messages(1, 2).msg_list] == [b"b", b"a"]
    assert one.returncode == other.returncode == 0


def test_the_fixtures(dbproxy_stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client) -> None:
    seed.users(dbproxy_stack, "alice")
    assert dbproxy_client.login("alice").user_info.user_nick_name == "Alice"
    with dbproxy_proxy.client() as another:
        assert another.login("alice", "wrong").result_code == 1


# the test run


def test_a_test_that_hangs_ends_the_run_and_shows_where(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    (tmp_path / "test_hang.py").write_text("import time\n\ndef test_hang():\n    time.sleep(60)\n")
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "DBPROXY_TEST_TIMEOUT": "0.5"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "test_hang.py" in done.stderr
    assert "line 4" in done.stderr
