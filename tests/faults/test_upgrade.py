"""An upgrade under load: a new process takes over, and no peer notices; or it fails, and no peer notices that either."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbproxy.errors import StartupError
from dbproxy.testing import Client, ProxyProcess, Stack, seed
from dbproxy.testing.process import free_port
from dbproxy.testing.requests import SINGLE, message
from dbproxy.testing.successor import Successor, inherit_orphans
from dbproxy.testing.waiting import eventually, poll
from dbproxy.wire.pb import buddy_pb2, message_pb2
from dbproxy.wire.pdu import HEADER

USERS = [f"user{number}" for number in range(1, 9)]


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    seed.users(stack, *USERS)
    with ProxyProcess(stack) as running:
        yield running


class Traffic:
    """One connection with a conversation of its own: messages and lookups, several in flight, until it is stopped."""

    IN_FLIGHT = 8

    def __init__(self, proxy: ProxyProcess, sender: int, receiver: int) -> None:
        self._client = proxy.client(timeout=30)
        self._pair = (sender, receiver)
        self._stop = threading.Event()
        self.ids: list[int] = []
        self.answers = 0
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        sender, receiver = self._pair
        lookup = buddy_pb2.IMUsersInfoReq(user_id=sender, user_id_list=[1, 2, 3])
        try:
            while not self._stop.is_set():
                requests = [message(sender, receiver, f"number {number}") for number in range(self.IN_FLIGHT)]
                replies = self._client.requests([*requests, lookup])
                self.answers += len(replies)
                self.ids += [reply.msg_id for reply in replies if isinstance(reply, message_pb2.IMMsgDataAck | message_pb2.IMMsgData)]
        except Exception as error:  # noqa: BLE001 - shown by the test
            self.error = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)
        self._client.close()


@pytest.mark.watchdog(240)
def test_ten_upgrades_in_a_row_under_load_close_no_connection_and_lose_no_request(proxy: ProxyProcess, stack: Stack) -> None:
    traffic = [Traffic(proxy, number, number + 1) for number in (1, 3, 5, 7)]
    pids = {proxy.pid}
    try:
        for _ in range(10):
            before = [one.answers for one in traffic]
            proxy.upgrade()
            pids.add(proxy.pid)
            for one, seen in zip(traffic, before, strict=True):
                assert poll(lambda one=one, seen=seen: one.answers > seen, bool, 30)  # type: ignore[misc]
        log = proxy.log()
    finally:
        for one in traffic:
            one.stop()
    assert len(pids) == 11
    assert [one.error for one in traffic] == [None] * 4
    for one in traffic:
        assert one.ids == list(range(1, len(one.ids) + 1))  # in order, none twice, none lost
    assert "connection closed" not in log[log.index("upgrade: starting") :]
    assert len(re.findall(r"4 connections and \d+ waiting requests were taken over", log)) == 10


def test_the_beginning_of_a_pdu_moves_to_the_new_process(proxy: ProxyProcess) -> None:
    body = buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1, 2]).SerializeToString()
    pdu = HEADER.pack(HEADER.size + len(body), 1, 0, 2, 0x0204, 77, 0) + body
    for cut in (1, HEADER.size, HEADER.size + 3):
        with proxy.client() as client:
            client.user_info([1])
            client.send_raw(pdu[:cut])
            proxy.upgrade()
            client.send_raw(pdu[cut:])
            reply = client.receive()
            assert (reply.seq_num, reply.command_id) == (77, 0x0205)


def test_what_a_peer_has_not_read_and_not_been_answered_moves_to_the_new_process(proxy: ProxyProcess, stack: Stack) -> None:
    """300 histories of 150 KB: a part is in the kernel, a part in the process, and most requests are not answered yet."""
    relate_id = seed.relation(stack, 1, 2)
    seed.messages(stack, 1, 2, ["x" * 1500] * 100, relate_id=relate_id)
    with proxy.client(timeout=60) as client:
        history = message_pb2.IMGetMsgListReq(user_id=1, session_type=SINGLE, session_id=2, msg_id_begin=100, msg_cnt=100)
        numbers = [client.send(history) for _ in range(300)]
        with proxy.client() as other:
            other.user_info([1])
        proxy.upgrade()
        replies = client.receive_many(300)
    assert sorted(reply.seq_num for reply in replies) == sorted(numbers)
    assert {len(reply.message.msg_list) for reply in replies} == {100}  # type: ignore[attr-defined]


def test_a_request_at_work_is_answered_and_what_follows_in_its_conversation_waits_for_it(stack: Stack) -> None:
    inherit_orphans()
    seed.users(stack, *USERS)
    limits = {"DBLockTimeout": 20, "DBTimeout": 30, "RequestTimeout": 30}
    with ProxyProcess(stack, limits) as proxy, proxy.client(timeout=40) as client:
        client.request(message(1, 2, "first"))
        with contextlib.closing(stack.mysql()) as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("select id from IMRelationShip for update")
            second = client.send(message(1, 2, "second"))
            assert poll(lambda: is_waiting_for_a_lock(stack), bool, 10)
            proxy.signal(signal.SIGUSR2)
            assert poll(lambda: "requests were taken over from pid" in proxy.log(), bool, 30)
            third = client.send(message(1, 2, "third"))
            other = client.user_info([1])  # what has nothing to do with it does not wait
            assert len(other.user_info_list) == 1
            cursor.execute("rollback")
        replies = client.receive_many(2)
        assert [reply.seq_num for reply in replies] == [second, third]
        proxy.wait(30)
        assert "has answered all that it had begun" in proxy.log()
        written = int(proxy.directory.joinpath("server.pid").read_text())
        os.kill(written, signal.SIGTERM)
        assert Successor(written).wait(30) == 0
    rows = stack.rows("select msgId, content from IMMessage_0 union all select msgId, content from IMMessage_1 order by msgId")
    assert [(row["msgId"], row["content"]) for row in rows] == [(1, "first"), (2, "second"), (3, "third")]


def test_a_request_that_two_upgrades_go_by_is_answered_and_keeps_its_place(stack: Stack) -> None:
    """The reply of the first process goes through the second one to the third."""
    inherit_orphans()
    seed.users(stack, *USERS)
    limits = {"DBLockTimeout": 30, "DBTimeout": 40, "RequestTimeout": 40}
    with ProxyProcess(stack, limits) as proxy, proxy.client(timeout=60) as client:
        client.request(message(1, 2, "first"))
        with contextlib.closing(stack.mysql()) as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("select id from IMRelationShip for update")
            sent = [client.send(message(1, 2, "second"))]
            assert poll(lambda: is_waiting_for_a_lock(stack), bool, 10)
            pid = proxy.pid
            for text in ("third", "fourth"):
                os.kill(pid, signal.SIGUSR2)
                former = f"{pid}\n"
                pid = int(poll(lambda: (proxy.directory / "server.pid").read_text(), former.__ne__, 30))
                sent.append(client.send(message(1, 2, text)))
                assert len(client.user_info([1]).user_info_list) == 1
            assert client.silent(4)  # the second process has nothing else to do by then
            cursor.execute("rollback")
        assert [reply.seq_num for reply in client.receive_many(3)] == sent
        proxy.wait(30)
        os.kill(pid, signal.SIGTERM)
        assert client.closed_within(30)
        assert Successor(pid).wait(30) == 0
    rows = stack.rows("select msgId, content from IMMessage_0 union all select msgId, content from IMMessage_1 order by msgId")
    assert [(row["msgId"], row["content"]) for row in rows] == [(1, "first"), (2, "second"), (3, "third"), (4, "fourth")]


def is_waiting_for_a_lock(stack: Stack) -> bool:
    return any("for update" in str(row["Info"]) for row in stack.rows("show full processlist"))


REASONS = {
    "configuration": "ThreadNum=many",
    "backend": "Redis instance token",
    "command": "dbproxyserver.conf: cannot be read",
}


@pytest.mark.parametrize("mistake", ["configuration", "backend", "command"])
def test_a_new_process_that_cannot_start_leaves_everything_as_it_was(proxy: ProxyProcess, stack: Stack, mistake: str) -> None:
    pid = proxy.pid
    with proxy.client(timeout=30) as client:
        client.user_info([1])
        text = proxy.config_path.read_text(encoding="utf-8")
        if mistake == "configuration":
            proxy.config_path.write_text(text.replace("ThreadNum=", "ThreadNum=many"), encoding="utf-8")
        elif mistake == "backend":
            nowhere = [line for line in text.splitlines() if not line.startswith(("token_port", "StartTimeout"))]
            proxy.config_path.write_text("\n".join([*nowhere, "token_port=1", "StartTimeout=0.5"]) + "\n", encoding="utf-8")
        else:
            proxy.config_path.unlink()
        with pytest.raises(StartupError, match=f"upgrade failed, this process goes on: .*{REASONS[mistake]}"):
            proxy.upgrade()
        assert (proxy.pid, proxy.running) == (pid, True)
        assert (proxy.directory / "server.pid").read_text(encoding="ascii") == f"{pid}\n"
        assert len(client.user_info([1, 2]).user_info_list) == 2
        assert client.request(message(1, 2)).msg_id == 1  # type: ignore[attr-defined]
        proxy.config_path.write_text(text, encoding="utf-8")
        proxy.upgrade()
        assert len(client.user_info([1, 2]).user_info_list) == 2


def new_process(proxy: ProxyProcess) -> int:
    """The pid of the process that the proxy has started."""
    return int(poll(lambda: children(proxy), bool, 30)[0])


def children(proxy: ProxyProcess) -> list[str]:
    """The pids of the processes that the proxy has started."""
    return " ".join(path.read_text() for path in Path(f"/proc/{proxy.pid}/task").glob("*/children")).split()


def test_a_new_process_that_dies_before_it_serves_leaves_everything_as_it_was(proxy: ProxyProcess) -> None:
    pid = proxy.pid
    with proxy.client(timeout=30) as client:
        client.user_info([1])
        for number in (signal.SIGKILL, signal.SIGSTOP):
            before = len(proxy.log())
            proxy.signal(signal.SIGUSR2)
            assert poll(lambda before=before: "is ready as pid" in proxy.log()[before:], bool, 30)  # type: ignore[misc]
            os.kill(new_process(proxy), number)
            assert len(client.user_info([1, 2]).user_info_list) == 2
            assert poll(lambda before=before: "this process goes on" in proxy.log()[before:], bool, 30)  # type: ignore[misc]
            assert children(proxy) == []
        assert len(client.user_info([1, 2]).user_info_list) == 2
        assert (proxy.pid, proxy.running) == (pid, True)


def test_a_new_process_that_dies_as_soon_as_it_serves_is_replaced_by_the_old_one(proxy: ProxyProcess) -> None:
    pid = proxy.pid
    proxy.signal(signal.SIGUSR2)
    assert poll(lambda: (proxy.directory / "server.pid").read_text() != f"{pid}\n", bool, 30)
    os.kill(new_process(proxy), signal.SIGKILL)
    assert eventually(lambda: (proxy.directory / "server.pid").read_text(), f"{pid}\n", 10) == f"{pid}\n"
    with proxy.client() as client:
        assert len(client.user_info([1, 2]).user_info_list) == 2
        proxy.upgrade()
        assert len(client.user_info([1, 2]).user_info_list) == 2


def test_another_port_in_the_configuration_is_opened_and_connections_stay(proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        client.user_info([1])
        port = free_port()
        text = proxy.config_path.read_text(encoding="utf-8")
        proxy.config_path.write_text(text.replace(f"ListenPort={proxy.port}", f"ListenPort={port}"), encoding="utf-8")
        proxy.upgrade()
        assert len(client.user_info([1, 2]).user_info_list) == 2
        with Client("127.0.0.1", port) as fresh:
            assert len(fresh.user_info([1, 2]).user_info_list) == 2
        with pytest.raises(ConnectionRefusedError):
            proxy.client()


def test_a_stop_during_an_upgrade_stops(proxy: ProxyProcess) -> None:
    with proxy.client(notices=True) as client:
        client.user_info([1])
        proxy.signal(signal.SIGUSR2)
        assert poll(lambda: "is ready as pid" in proxy.log(), bool, 30)
        proxy.terminate()
        assert client.receive().is_stop_notice
    assert proxy.wait(30) == 0
    assert "upgrade failed, this process goes on: the proxy is about to stop" in proxy.log() or "stopped" in proxy.log()


def test_what_operators_use_goes_on_with_the_new_process(stack: Stack) -> None:
    seed.users(stack, *USERS)
    port = free_port()
    with ProxyProcess(stack, {"AdminListen": f"127.0.0.1:{port}"}) as proxy, proxy.client() as client:
        client.user_info([1])
        for _ in range(2):
            assert status(port)["pid"] == proxy.pid
            proxy.upgrade()
            assert (status(port)["pid"], status(port)["state"]) == (proxy.pid, "serving")
            assert answered_by(proxy) == proxy.pid
            assert status(port)["connections"]["open"] == 1
        assert len(client.user_info([1, 2]).user_info_list) == 2


def test_what_operators_use_comes_back_with_the_old_process(stack: Stack) -> None:
    port = free_port()
    with ProxyProcess(stack, {"AdminListen": f"127.0.0.1:{port}"}) as proxy:
        proxy.signal(signal.SIGUSR2)
        assert poll(lambda: (proxy.directory / "server.pid").read_text() != f"{proxy.pid}\n", bool, 30)
        os.kill(new_process(proxy), signal.SIGKILL)
        assert eventually(lambda: (proxy.directory / "server.pid").read_text(), f"{proxy.pid}\n", 10) == f"{proxy.pid}\n"
        assert eventually(lambda: status(port)["pid"], proxy.pid, 10) == proxy.pid
        assert answered_by(proxy) == proxy.pid


def status(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def answered_by(proxy: ProxyProcess) -> int:
    """The pid of the process that answers on the control socket."""
    command = [sys.executable, "-m", "dbproxy.ops.ctl", "--socket", str(proxy.directory / "dbproxy.sock"), "--json", "status"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return int(json.loads(done.stdout)["pid"])


def test_a_stop_soon_after_an_upgrade_ends_both_processes(proxy: ProxyProcess) -> None:
    inherit_orphans()
    former = proxy.pid
    with proxy.client() as client:
        client.user_info([1])
        proxy.signal(signal.SIGUSR2)
        assert poll(lambda: (proxy.directory / "server.pid").read_text() != f"{former}\n", bool, 30)
        new = new_process(proxy)
        os.kill(new, signal.SIGTERM)
        assert client.closed_within(10)
    assert proxy.wait(30) == 0
    assert Successor(new).wait(30) == 0
    assert re.search(r"\] stopped$", proxy.log(), re.MULTILINE)
    assert "going on without it" not in proxy.log()
