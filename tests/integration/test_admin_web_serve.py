"""``dbproxy-admin serve`` as a process: where it listens, TLS, how it ends, and what it takes from strangers."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from admin_site import PASSWORD, AdminServer
from certificates import Authority

import dbproxy
from dbproxy.admin.access.accounts import Accounts
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.testing import Stack
from dbproxy.testing.waiting import poll

pytestmark = pytest.mark.watchdog(180)


def run(config: Path, *arguments: str) -> tuple[int, str, str]:
    """Run dbproxy-admin to its end; return status, output and errors."""
    command = [sys.executable, "-m", "dbproxy.admin", "--config", str(config), *arguments]
    environment = {"PYTHONPATH": str(Path(dbproxy.__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, env=environment, cwd=config.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def config(dbproxy_stack: Stack, tmp_path: Path) -> Path:
    return dbproxy_stack.write_config(tmp_path / "dbproxyserver.conf")


@pytest.mark.parametrize(
    ("arguments", "keys", "text", "expected"),
    [
        (["--listen", "0.0.0.0:0"], [], "0.0.0.0 is not an address of this machine alone", 2),
        (["--listen", "[::]:0"], [], ":: is not an address of this machine alone", 2),
        ([], ["WebAdminListen=192.0.2.1:0"], "Set WebAdminCert for HTTPS", 2),
        ([], ["WebAdminListen=off"], "WebAdminListen is off; --listen ADDRESS:PORT says where to listen", 2),
        (["--listen", "192.0.2.1:1"], ["WebAdminTrustedProxies=192.0.2.0/24"], "cannot listen on 192.0.2.1:1", 1),
        ([], ["WebAdminCert=away.pem"], "away.pem", 2),
        ([], ["AdminDataDir=/proc/nothing"], "/proc/nothing", 1),
    ],
)
def test_it_says_why_it_does_not_start(config: Path, arguments: Sequence[str], keys: Sequence[str], text: str, expected: int) -> None:
    """2: systemd does not start it again."""
    status, _, errors = run(config, *(word for key in keys for word in ("--set", key)), "serve", *arguments)
    assert status == expected
    assert text in errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_named(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, errors = run(config, "serve", "--listen", f"127.0.0.1:{port}")
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{port}" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_cleanly(dbproxy_stack: Stack, number: signal.Signals) -> None:
    with AdminServer(dbproxy_stack) as server:
        log = poll(server.log, lambda text: "no account yet" in text)
        assert f"dbproxy-admin serves {server.url}" in log
        assert "dbproxy-admin accounts add NAME --role owner" in log
        server.signal(number)
        assert server.wait(30) == 0
    assert "Traceback" not in server.log()


def test_sessions_survive_a_restart(dbproxy_stack: Stack) -> None:
    server = AdminServer(dbproxy_stack)
    with server:
        server.account("alice")
        visitor = server.visitor()
        assert visitor.log_in("alice").status == 303
        assert visitor.get("/account").status == 200
    with server:
        assert visitor.get("/account").status == 200


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority("authority", tmp_path)


def test_under_tls_the_cookie_is_for_https(dbproxy_stack: Stack, authority: Authority) -> None:
    pair = authority.issue("admin")
    with AdminServer(dbproxy_stack, WebAdminCert=pair.cert, WebAdminKey=pair.key) as server:
        server.account("alice")
        visitor = server.visitor(authority.certificate)
        assert visitor.get("/login").headers["Strict-Transport-Security"].startswith("max-age=")
        assert visitor.log_in("alice").status == 303
        assert {(cookie.name, cookie.secure) for cookie in visitor.cookies} == {("__Host-dbproxy-admin", True)}
        assert visitor.get("/account").status == 200
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
            plain.settimeout(60)
            assert b"200 OK" not in plain.recv(1000)


@pytest.mark.parametrize("tls", [False, True])
def test_clients_that_say_nothing_keep_nobody_waiting(dbproxy_stack: Stack, authority: Authority, tls: bool) -> None:
    pair = authority.issue("admin")
    keys = {"WebAdminCert": pair.cert, "WebAdminKey": pair.key} if tls else {}
    with AdminServer(dbproxy_stack, **keys) as server, ExitStack() as silent:
        for _ in range(200):  # each would occupy a thread for ten seconds: in all, many times as long as the visitor waits
            silent.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert server.visitor(authority.certificate if tls else None).get("/login").status == 200


def answered(server: AdminServer, request: bytes) -> bytes:
    """Send bytes and return what comes back until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_strangers_cannot_make_it_keep_much(dbproxy_stack: Stack) -> None:
    with AdminServer(dbproxy_stack) as server:
        head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        assert answered(server, head + b"Content-Length: 50000000\r\n\r\n").startswith(b"HTTP/1.1 413")
        assert answered(server, head + b"Content-Length: 99999999999\r\n\r\n").startswith(b"HTTP/1.1 413")
        assert answered(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 413")
        assert answered(server, b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 400")
        # of a chunk of 48 MiB nothing is read, and what comes after it is not taken for another request
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n3000000\r\n"
        assert answered(server, chunked).startswith(b"HTTP/1.1 413")
        assert answered(server, chunked.replace(b"/login", b"/nothing")).startswith(b"HTTP/1.1 413")
        server.account("alice")
        assert server.visitor().log_in("alice").status == 303
        assert b"Cheroot" not in answered(server, b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


def test_accounts_are_made_on_the_command_line(config: Path) -> None:
    directory = config.parent / "admin"
    status, output, _ = run(config, "accounts", "add", "alice", "--role", "owner", "--generate-password")
    password = output.splitlines()[1].removeprefix("password: ")
    assert status == 0
    assert len(password) == 20
    assert run(config, "accounts", "add", "Alice", "--generate-password")[0] == 1
    assert run(config, "accounts", "add", "bob", "--generate-password", "--dry-run")[:2] == (0, "bob: operator, would be made\n")
    assert "bob" not in run(config, "accounts", "list")[1]
    assert run(config, "accounts", "add", "ALICE", "--dry-run")[2] == "dbproxy-admin: there is an account ALICE already\n"
    assert run(config, "accounts", "disable", "alice")[2] == "dbproxy-admin: alice is the last enabled owner; make another one first\n"
    for change in (
        ["add", "bob", "--generate-password"],
        ["role", "bob", "viewer"],
        ["disable", "bob"],
        ["enable", "bob"],
        ["passwd", "bob", "--generate-password"],
    ):
        assert run(config, "accounts", *change)[0] == 0, change
    assert '"role": "viewer"' in run(config, "accounts", "list", "--json")[1]
    assert run(config, "accounts", "remove", "bob")[:2] == (0, "bob: viewer, removed\n")
    assert run(config, "accounts", "remove", "bob")[2] == "dbproxy-admin: there is no account bob\n"
    status, _, errors = run(config, "accounts", "passwd", "alice")
    assert (status, "there is no terminal to ask for the password" in errors) == (1, True)
    _, shown, further = run(config, "audit-log", "show", "--limit", "3")
    assert "accounts.remove" in shown.splitlines()[1]
    option, position = further.removeprefix("next page: ").split()
    assert "accounts.add" in run(config, "audit-log", "show", option, position)[1]
    assert password not in (directory / "audit.log").read_text(encoding="utf-8")
    assert PASSWORD not in shown


def typed(config: Path, answers: Sequence[str], *arguments: str) -> tuple[int, str]:
    """Run dbproxy-admin on a terminal and type an answer at each prompt; return the status and all that it has written."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "dbproxy.admin", "--config", str(config), *arguments]
    environment = {"PYTHONPATH": str(Path(dbproxy.__file__).parents[1]), "PATH": "/usr/bin:/bin"}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, cwd=config.parent, stdin=slave, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        written = b""
        for answer in answers:
            prompt = b""
            while not prompt.endswith(b": "):  # what is typed before the prompt is thrown away
                character = process.stdout.read(1)
                assert character, written + prompt
                prompt += character
            written += prompt
            os.write(master, answer.encode() + b"\n")
        written += process.stdout.read()
    os.close(master)
    os.close(slave)
    return process.returncode, written.decode()


def test_a_password_is_asked_for_twice_and_not_shown(config: Path) -> None:
    status, written = typed(config, [PASSWORD, PASSWORD], "accounts", "add", "alice", "--role", "owner")
    assert (status, PASSWORD in written) == (0, False)
    assert "alice: owner, made" in written
    accounts = Accounts(AccountsDatabase(config.parent / "admin"))
    assert accounts.check("alice", PASSWORD) is not None
    status, written = typed(config, ["another long password", "another lang password"], "accounts", "passwd", "alice")
    assert (status, "the two passwords differ" in written) == (1, True)
    assert accounts.check("alice", PASSWORD) is not None


def test_a_change_on_the_command_line_ends_sessions_of_a_running_server(dbproxy_stack: Stack) -> None:
    with AdminServer(dbproxy_stack) as server:
        server.account("alice")
        server.account("bob")
        visitor = server.visitor()
        visitor.log_in("bob")
        assert run(server.config_path, "accounts", "role", "bob", "viewer")[0] == 0
        assert visitor.get("/account").status == 303
