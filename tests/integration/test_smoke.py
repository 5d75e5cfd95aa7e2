"""dbproxy-smoke against a login_server and a msg_server in front of a real proxy."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from message_servers import MessageServers

from dbproxy.testing import InProcessProxy, Stack
from dbproxy.testing.process import free_port
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base

pytestmark = pytest.mark.data(users=["alice", "bob"])

PASSWORDS = {"DBPROXY_SMOKE_PASSWORD": "123456", "DBPROXY_SMOKE_PEER_PASSWORD": "123456"}
PAIR = ("--user", "alice", "--peer", "bob")


@pytest.fixture
def servers(dbproxy_proxy: InProcessProxy, stack: Stack) -> Iterator[MessageServers]:
    with MessageServers(dbproxy_proxy.port) as running:
        yield running


def smoke(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; it has no terminal."""
    command = [sys.executable, "-m", "dbproxy.smoke", *arguments]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DBPROXY_SMOKE_")}
    return subprocess.run(
        command, env={**inherited, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def failures(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [re.sub(r"^FAILED +[\d.]+ ms +", "", line) for line in done.stdout.splitlines() if line.startswith("FAILED")]


def test_everything_passes_and_what_is_written_is_said_first(servers: MessageServers, stack: Stack) -> None:
    done = smoke("--login", servers.login_url, *PAIR, "--group", **PASSWORDS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == f"{servers.login_url}, user alice, peer bob"
    assert [line.partition(" ")[0] for line in lines[1:4]] == ["writes:"] * 3
    assert {line.partition(" ")[0] for line in lines[4:-1]} == {"OK"}
    assert re.fullmatch(r"24 of 24 steps OK \(\d+\.\d s\)", lines[-1])
    assert any(re.fullmatch(r"OK +\d+\.\d ms  log in as alice: user 1, 'Alice'", line) for line in lines)


def test_it_leaves_what_it_says_and_nothing_unread(servers: MessageServers, stack: Stack) -> None:
    assert smoke("--login", servers.login_url, *PAIR, "--group", **PASSWORDS).returncode == 0
    assert len(stack.rows("select id from IMMessage_1")) == 2
    assert [(row["name"], row["type"]) for row in stack.rows("select name, type from IMGroup")] == [("dbproxy-smoke", 2)]
    assert stack.rows("select userId from IMGroupMember where status = 0") == []
    with stack.redis() as unread:
        assert eventually(lambda: (unread.hgetall("unread_1"), unread.hgetall("unread_2")), ({}, {})) == ({}, {})


def test_one_user_alone_writes_nothing_but_the_empty_token(servers: MessageServers, stack: Stack) -> None:
    tables, keys = stack.snapshot()
    done = smoke("--login", servers.login_url, "--user", "alice", **PASSWORDS)
    assert done.returncode == 0, done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith("writes:")] == [
        "writes: an empty token for push notifications of alice, because logging out does that"
    ]
    assert stack.snapshot() == (tables, {**keys, "device_1": "", "device_": "1"})


def test_a_phone_is_not_asked_to_be_online(servers: MessageServers) -> None:
    done = smoke("--login", servers.login_url, *PAIR, "--client-type", "ios", **PASSWORDS)
    assert (done.returncode, "route_server" in done.stdout) == (0, False), done.stdout


def test_a_group_may_have_one_member(servers: MessageServers) -> None:
    done = smoke("--login", servers.login_url, "--user", "alice", "--group", **PASSWORDS)
    assert done.returncode == 0, done.stdout


def test_the_msg_server_can_be_named(servers: MessageServers) -> None:
    done = smoke("--msg-server", f"127.0.0.1:{servers.port}", "--user", "alice", "--client-type", "android", **PASSWORDS)
    assert done.returncode == 0, done.stdout
    assert f"login_server names a msg_server: not asked, 127.0.0.1:{servers.port} is given" in done.stdout


def test_json_has_every_step_and_no_password(servers: MessageServers) -> None:
    done = smoke("--login", servers.login_url, *PAIR, "--json", **PASSWORDS)
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["ok"], shown["user"], shown["peer"], len(shown["writes"])) == (0, True, "alice", "bob", 2)
    assert {step["result"] for step in shown["steps"]} == {"ok"}
    assert [step["detail"] for step in shown["steps"] if step["step"] == "send"] == ["msg_id 1"]
    assert "123456" not in done.stdout


def test_a_wrong_password_fails_with_the_reason_and_what_needs_it_is_skipped(servers: MessageServers) -> None:
    done = smoke("--login", servers.login_url, *PAIR, **{**PASSWORDS, "DBPROXY_SMOKE_PASSWORD": "wrong"})
    assert done.returncode == 1
    assert len(failures(done)) == 1
    assert failures(done)[0].startswith("log in as alice: login refused: result 6: wrong user name or password")
    assert "skipped              a message to bob is acknowledged: needs: peer_login" in done.stdout
    assert re.search(r"2 of 20 steps OK, 1 failed, 17 skipped", done.stdout)


def test_a_wrong_password_of_the_peer_is_one_failure(servers: MessageServers) -> None:
    done = smoke("--login", servers.login_url, *PAIR, **{**PASSWORDS, "DBPROXY_SMOKE_PEER_PASSWORD": "wrong"})
    assert done.returncode == 1
    assert [text.partition(":")[0] for text in failures(done)] == ["log in as bob"], done.stdout
    assert re.search(r"^OK .* log out as alice", done.stdout, re.MULTILINE)


def test_a_login_server_that_is_down_is_unreachable() -> None:
    port = free_port()
    done = smoke("--login", f"http://127.0.0.1:{port}", "--user", "alice", **PASSWORDS)
    assert done.returncode == 3
    assert failures(done) == [f"login_server names a msg_server: http://127.0.0.1:{port}: Connection refused"]


def test_a_login_server_that_does_not_answer_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = smoke("--login", f"http://127.0.0.1:{silent.getsockname()[1]}", "--user", "alice", "--timeout", "0.3", **PASSWORDS)
    assert done.returncode == 3
    assert "timed out" in failures(done)[0]


def test_a_login_server_without_msg_servers_fails(servers: MessageServers) -> None:
    servers.registered = False
    done = smoke("--login", servers.login_url, "--user", "alice", **PASSWORDS)
    assert (done.returncode, failures(done)) == (
        1,
        ["login_server names a msg_server: login_server knows no msg_server: code 1: 没有msg_server"],
    )


def test_a_msg_server_that_is_down_is_unreachable_and_the_address_is_explained(servers: MessageServers) -> None:
    servers.port = free_port()
    done = smoke("--login", servers.login_url, "--user", "alice", **PASSWORDS)
    assert done.returncode == 3
    assert failures(done)[0].startswith(
        f"connect to msg_server: 127.0.0.1:{servers.port}: Connection refused; login_server has the address"
    )


def test_a_request_without_an_answer_fails_and_the_others_go_on(servers: MessageServers) -> None:
    servers.silent.add(base.CID_MSG_UNREAD_CNT_REQUEST)
    done = smoke("--login", servers.login_url, "--user", "alice", "--timeout", "0.5", **PASSWORDS)
    assert done.returncode == 1
    reason = "unread counters: the answer to IMUnreadMsgCntReq did not come in time; msg_server says nothing when db_proxy_server does not"
    assert [failure.startswith(reason) for failure in failures(done)] == [True]
    assert "10 of 11 steps OK, 1 failed" in done.stdout


def test_messages_that_are_not_stored_fail(servers: MessageServers, stack: Stack) -> None:
    stack.rows("rename table IMMessage_1 to IMMessage_gone")
    try:
        done = smoke("--login", servers.login_url, *PAIR, "--timeout", "0.5", **PASSWORDS)
    finally:
        stack.rows("rename table IMMessage_gone to IMMessage_1")
    assert done.returncode == 1
    assert failures(done)[0].startswith("a message to bob is acknowledged: the answer to IMMsgData did not come in time; ")


def test_somebody_else_who_logs_in_as_the_same_user_is_named_as_the_reason(servers: MessageServers) -> None:
    servers.silent.add(base.CID_MSG_UNREAD_CNT_REQUEST)
    command = [sys.executable, "-m", "dbproxy.smoke", "--login", servers.login_url, "--user", "alice"]
    with subprocess.Popen(command, env={**os.environ, **PASSWORDS}, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if "recent sessions" in line:
                break
        assert smoke("--login", servers.login_url, "--user", "alice", "--timeout", "0.3", **PASSWORDS).returncode == 1
        rest = first.stdout.read()
    assert first.returncode == 1
    assert "unread counters: logged out by msg_server: reason 1: the same user has logged in elsewhere" in rest


def test_a_msg_server_that_crashes_ends_the_test_at_once(servers: MessageServers) -> None:
    servers.silent.add(base.CID_MSG_UNREAD_CNT_REQUEST)
    command = [sys.executable, "-m", "dbproxy.smoke", "--login", servers.login_url, "--user", "alice", "--timeout", "50"]
    with subprocess.Popen(command, env={**os.environ, **PASSWORDS}, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "recent sessions" in line:
                break
        servers.close_clients()
        rest = running.stdout.read()
    assert running.returncode == 1
    assert "unread counters: the server closed the connection; the log of msg_server says why" in rest


def test_an_interrupt_ends_it(servers: MessageServers) -> None:
    servers.silent.add(base.CID_MSG_UNREAD_CNT_REQUEST)
    command = [sys.executable, "-m", "dbproxy.smoke", "--login", servers.login_url, "--user", "alice", "--timeout", "50"]
    with subprocess.Popen(command, env={**os.environ, **PASSWORDS}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        for line in running.stdout:
            if "recent sessions" in line:
                break
        running.send_signal(signal.SIGINT)
        assert running.stderr.read() == "interrupted\n"
    assert running.returncode == 130


def test_an_interrupted_run_still_removes_the_members_of_its_group(servers: MessageServers, stack: Stack) -> None:
    servers.silent.add(base.CID_GROUP_INFO_REQUEST)
    command = [sys.executable, "-m", "dbproxy.smoke", "--login", servers.login_url, *PAIR, "--group", "--timeout", "50"]
    with subprocess.Popen(
        command, env={**os.environ, **PASSWORDS}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "create a temporary group" in line:
                break
        assert len(stack.rows("select userId from IMGroupMember where status = 0")) == 2
        running.send_signal(signal.SIGINT)
    assert running.returncode == 130
    assert stack.rows("select userId from IMGroupMember where status = 0") == []


def test_name_and_password_are_asked_for_at_a_terminal(servers: MessageServers) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dbproxy.smoke", "--login", servers.login_url]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DBPROXY_SMOKE_")}
    with (
        os.fdopen(ours, "wb", buffering=0) as terminal,
        subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as running,
    ):
        os.close(theirs)
        terminal.write(b"alice\n")
        assert running.stdout is not None
        shown = ""
        while "password of alice: " not in shown:
            shown += running.stdout.read(1)
        terminal.write(b"123456\n")
        shown += running.stdout.read()
    assert running.returncode == 0, shown
    assert "11 of 11 steps OK" in shown
    assert "123456" not in shown


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--user", "alice"), "--login is needed, or --msg-server"),
        (("--login", "http://h:1"), "--user is needed"),
        (
            ("--login", "http://h:1", "--user", "alice"),
            "no password for alice: give a file with --password-file, or set DBPROXY_SMOKE_PASSW",
        ),
        (("--login", "http://h:1", "--user", "alice", "--password-file", "/nowhere"), "/nowhere: No such file or directory"),
        (("--login", "ftp://h:1", "--user", "alice"), "expected http://host:port, https://host:port or tcp://host:port"),
        (("--login", "http://h:1", "--timeout", "0"), "expected seconds from 0.001 to 3600"),
    ],
)
def test_a_mistake_in_the_command_line_is_named(arguments: tuple[str, ...], reason: str) -> None:
    done = smoke(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


def test_a_password_comes_from_a_file(servers: MessageServers, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("123456\n")
    (tmp_path / "empty").write_text("")
    assert smoke("--login", servers.login_url, "--user", "alice", "--password-file", str(tmp_path / "password")).returncode == 0
    done = smoke("--login", servers.login_url, "--user", "alice", "--password-file", str(tmp_path / "empty"))
    assert (done.returncode, "the first line is empty" in done.stderr) == (2, True)


def test_the_peer_must_be_somebody_else_and_the_key_complete(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")
    done = smoke("--login", "http://h:1", "--user", "alice", "--peer", "alice", **PASSWORDS)
    assert (done.returncode, "--peer must be another user" in done.stderr) == (2, True)
    done = smoke("--login", "http://h:1", "--user", "alice", "--aes-key-file", str(tmp_path / "key"), **PASSWORDS)
    assert (done.returncode, "the key has 5 characters; expected 32" in done.stderr) == (2, True)
