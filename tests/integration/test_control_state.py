"""dbproxy-ctl status, top, connections, pools and slow, with a real proxy."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pymysql
import pytest
from control import ask, command, connect, ctl, environment

from dbproxy.testing import PrivateRedis, ProxyProcess, Stack
from dbproxy.testing.waiting import eventually, poll
from dbproxy.wire.pb import message_pb2

KEYS = {"StopGrace": 1}
USERS = {"users": ["alice", "bob"]}


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    with ProxyProcess(stack, KEYS) as running:
        yield running


def test_status_counts_what_was_answered(proxy: ProxyProcess) -> None:
    with proxy.client() as client:
        for _ in range(7):
            client.user_info([1])
        done = ctl(proxy.directory, "--json", "status")
        item = json.loads(done.out)
        assert item["requests"]["CID_BUDDY_LIST_USER_INFO_REQUEST"]["answered"] == 7
        assert (item["pid"], item["state"], item["ready"], item["connections"]["open"]) == (proxy.pid, "serving", True, 1)
        text = ctl(proxy.directory, "status").out
    assert "7 answered, 0 refused, 0 dropped, 0 unreadable" in text
    assert f"pid {proxy.pid}, 127.0.0.1:{proxy.port}" in text


def test_connections_are_sorted_and_limited(proxy: ProxyProcess) -> None:
    with proxy.client() as busy, proxy.client() as idle, proxy.client():
        for _ in range(3):
            busy.user_info([1])
        idle.user_info([1])
        done = ctl(proxy.directory, "--json", "connections", "--sort", "pdus_in", "--limit", "2")
        item = json.loads(done.out)
        assert item["total"] == 3
        assert [shown["pdus_in"] for shown in item["connections"]] == [3, 1]
        host, port = busy.socket.getsockname()
        assert item["connections"][0]["peer"] == f"{host}:{port}"
        assert ctl(proxy.directory, "connections").out.splitlines()[-1] == "3 of 3 connections"
    done = ctl(proxy.directory, "connections", "--limit", "0")
    assert (done.code, done.err) == (1, "dbproxy-ctl: limit=0: expected a whole number from 1 to 1000\n")
    assert ctl(proxy.directory, "connections", "--sort", "name").code == 2


def test_pools_show_which_backend_does_not_work(stack: Stack) -> None:
    with PrivateRedis() as redis, ProxyProcess(stack, {**KEYS, "unread_port": redis.address[1], "unread_password": None}) as proxy:
        before = ctl(proxy.directory, "pools")
        assert before.code == 0
        assert "teamtalk_master" in before.out
        redis.stop()
        with proxy.client() as client:
            client.send(message_pb2.IMUnreadMsgCntReq(user_id=1))  # it is not answered

            def works() -> bool:
                (pool,) = (pool for pool in json.loads(ctl(proxy.directory, "--json", "pools").out)["pools"] if pool["name"] == "unread")
                return bool(pool["works"])

            assert eventually(works, False, timeout=20) is False
        assert "unread: " in ctl(proxy.directory, "pools").out
        assert "not ready:\n" in ctl(proxy.directory, "status").out


@pytest.mark.data(**USERS)
def test_a_request_that_waits_for_a_row_is_listed_as_slow(stack: Stack) -> None:
    with ProxyProcess(stack, {**KEYS, "SlowRequest": 0.3}) as proxy, proxy.client() as client:
        assert ctl(proxy.directory, "slow").out == "no request was slow\n"
        assert client.send_message(1, 2).msg_id == 1
        with stack.mysql() as connection, connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("select * from IMRelationShip for update")
            sender = threading.Thread(target=client.send_message, args=(1, 2))
            sender.start()
            time.sleep(0.6)  # longer than SlowRequest
            cursor.execute("rollback")
            sender.join()
        done = poll(lambda: ctl(proxy.directory, "slow").out, lambda out: "CID_MSG_DATA" in out)
        line = done.splitlines()[1]
        assert "user=1 session=2" in line
        (slow,) = json.loads(ctl(proxy.directory, "--json", "slow").out)["slow"]
        assert slow["mysql"] >= 0.3


def test_top_shows_rates_and_ends_after_as_many_tables_as_asked_for(proxy: ProxyProcess) -> None:
    end = threading.Event()

    def load() -> None:
        with proxy.client() as client:
            while not end.is_set():
                client.user_info([1])

    thread = threading.Thread(target=load)
    thread.start()
    try:
        done = ctl(proxy.directory, "top", "--interval", "0.3", "--count", "2")
    finally:
        end.set()
        thread.join()
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines() if line.startswith("CID_BUDDY_LIST_USER_INFO_REQUEST")]
    assert len(rows) == 2
    assert all(float(row[1]) > 10 for row in rows)
    assert "\x1b" not in done.out
    items = ctl(proxy.directory, "--json", "top", "--interval", "0.1", "--count", "1").out.splitlines()
    assert len(items) == 2


def test_top_draws_anew_on_a_terminal_and_ctrl_c_ends_it_cleanly(proxy: ProxyProcess) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command("top", "--interval", "0.1"), cwd=proxy.directory, env=environment(), stdout=theirs, stderr=subprocess.PIPE, text=True
        )
        os.close(theirs)
        with process:
            drawn = b""
            while drawn.count(b"\x1b[H\x1b[2J") < 2:
                drawn += os.read(ours, 65536)
            process.send_signal(signal.SIGINT)
            os.set_blocking(ours, False)
            assert process.wait(20) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
    finally:
        os.close(ours)


def test_top_that_nobody_reads_is_ended_and_harms_nobody(proxy: ProxyProcess) -> None:
    with connect(proxy) as deaf:
        deaf.sendall(b'{"command":"top","interval":0.1}\n')
        with proxy.client() as client:
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                assert client.user_info([1]).user_id == 1
        (answer,) = ask(proxy, b'{"command":"slow"}\n')[-1:]
        assert answer == {"ok": True}


def test_a_state_can_be_had_while_the_proxy_drains(proxy: ProxyProcess) -> None:
    with proxy.client() as client, connect(proxy) as top:
        client.user_info([1])
        top.sendall(b'{"command":"top","interval":0.1}\n')
        top.recv(65536)
        assert ctl(proxy.directory, "drain").code == 0
        assert eventually(lambda: b'"state":"draining"' in top.recv(1 << 20), True)
    assert proxy.wait(20) == 0


def test_a_database_that_hangs_does_not_delay_the_state(stack: Stack, proxy: ProxyProcess) -> None:
    with stack.mysql() as connection, connection.cursor() as cursor, proxy.client() as client:
        try:
            cursor.execute("lock tables IMUser write")
        except pymysql.MySQLError:
            pytest.skip("no privilege to lock tables")
        try:
            thread = threading.Thread(target=client.user_info, args=([1],))
            thread.start()
            item = poll(lambda: json.loads(ctl(proxy.directory, "--json", "status").out), lambda item: item["batches"]["active"] > 0)
            assert item["workers"]["busy"] >= 1
        finally:
            cursor.execute("unlock tables")
            thread.join()
