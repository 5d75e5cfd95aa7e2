"""The control socket of a real proxy: its file, who may connect, what it bears."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from control import SOCKET, answer_of, ask, connect, ctl, environment

from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.waiting import eventually

KEYS = {"StopGrace": 1}
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    with ProxyProcess(stack, KEYS) as running:
        yield running


def works(proxy: ProxyProcess) -> bool:
    with proxy.client() as client:
        return client.user_info([1]).user_id == 1


def test_only_the_user_of_the_proxy_may_open_the_file_and_it_goes_with_the_proxy(proxy: ProxyProcess) -> None:
    file = proxy.directory / SOCKET
    status = file.lstat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    proxy.stop()
    assert not file.exists()


def test_off_means_none(stack: Stack) -> None:
    with ProxyProcess(stack, {**KEYS, "AdminSocket": "off"}) as proxy:
        assert not (proxy.directory / SOCKET).exists()
        done = ctl(proxy.directory, "drain")
        assert (done.code, done.out) == (3, "")
        assert "AdminSocket=off" in done.err


def test_a_file_that_a_killed_proxy_has_left_is_replaced(stack: Stack) -> None:
    proxy = ProxyProcess(stack, KEYS).start()
    try:
        proxy.kill()
        assert (proxy.directory / SOCKET).exists()
        done = ctl(proxy.directory, "drain")
        assert done.code == 3
        assert "was left by one that is gone" in done.err
        proxy.start()
        assert ctl(proxy.directory, "log-level", "info").code == 0
    finally:
        proxy.stop()


def test_a_second_proxy_in_the_same_directory_works_without_and_leaves_the_first_ones_alone(stack: Stack, proxy: ProxyProcess) -> None:
    second = ProxyProcess(stack, KEYS, directory=proxy.directory)
    second.log_path = proxy.directory / "second.log"
    with second:
        assert eventually(lambda: "another proxy listens there" in second.log(), True)
        assert works(second)
    assert ctl(proxy.directory, "log-level", "info").code == 0


def test_a_proxy_gets_the_control_socket_of_the_one_before_it_when_that_one_ends(stack: Stack) -> None:
    first = ProxyProcess(stack, KEYS)
    with first:
        second = ProxyProcess(stack, KEYS, directory=first.directory)
        second.log_path = first.directory / "second.log"
        with second:
            assert eventually(lambda: "another proxy listens there" in second.log(), True)
            first.stop()
            assert eventually(lambda: "control socket dbproxy.sock" in second.log(), True, 10)
            assert json.loads(ctl(first.directory, "--json", "status").out)["pid"] == second.pid


def test_a_frozen_proxy_keeps_its_socket(stack: Stack, proxy: ProxyProcess) -> None:
    proxy.freeze()
    try:
        second = ProxyProcess(stack, KEYS, directory=proxy.directory)
        second.log_path = proxy.directory / "second.log"
        with second:
            assert eventually(lambda: "another proxy listens there" in second.log(), True)
    finally:
        proxy.thaw()
    assert ctl(proxy.directory, "log-level", "info").code == 0


@pytest.mark.parametrize("obstacle", ["file", "directory", "missing"])
def test_what_is_in_the_way_is_not_touched_and_the_proxy_works_without(stack: Stack, obstacle: str) -> None:
    path = stack.new_directory("obstacle") / "there"
    if obstacle == "file":
        path.write_text("precious", encoding="utf-8")
    elif obstacle == "directory":
        path.mkdir()
    else:
        path = path / "no" / "such"
    with ProxyProcess(stack, {**KEYS, "AdminSocket": path}) as proxy:
        assert eventually(lambda: "no control socket (AdminSocket): " in proxy.log(), True)
        assert works(proxy)
    if obstacle == "file":
        assert path.read_text(encoding="utf-8") == "precious"


def test_a_file_that_somebody_else_has_put_there_meanwhile_stays(proxy: ProxyProcess) -> None:
    file = proxy.directory / SOCKET
    file.unlink()
    file.write_text("mine", encoding="utf-8")
    proxy.stop()
    assert file.read_text(encoding="utf-8") == "mine"


@as_root
def test_another_user_cannot_connect_and_is_refused_even_if_the_file_lets_him(stack: Stack) -> None:
    assert shutil.which("setpriv")
    directory = Path(tempfile.mkdtemp(prefix="dbproxy-"))  # one that others may enter
    directory.chmod(0o755)
    file = directory / SOCKET
    other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    try:
        with ProxyProcess(stack, {**KEYS, "AdminSocket": file}) as proxy:
            done = ctl(directory, "--socket", str(file), "drain", prefix=other)
            assert (done.code, done.out) == (3, "")
            assert "permission denied: the proxy runs as user root" in done.err
            file.chmod(0o666)
            done = ctl(directory, "--socket", str(file), "drain", prefix=other)
            assert (done.code, done.out) == (1, "")
            assert "this proxy runs as user root, you are " in done.err
            assert eventually(lambda: f"a client with user id {NOBODY} is refused" in proxy.log(), True)
            assert works(proxy)
    finally:
        shutil.rmtree(directory)


SERVER = """
import os, sys
from dbproxy.ops.commands.steering import Drain
from dbproxy.ops.control_server import ControlServer
server = ControlServer(sys.argv[1], [Drain(lambda: None, lambda: os.geteuid())])
assert server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
"""


@as_root
def test_root_may_steer_the_proxy_of_another_user() -> None:
    directory = Path(tempfile.mkdtemp(prefix="dbproxy-"))
    os.chown(directory, NOBODY, NOBODY)
    interpreter = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable]
    command = [*interpreter, "-c", SERVER, str(directory / SOCKET)]
    try:
        with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            if not server.stdout.readline():
                pytest.skip("another user cannot execute this interpreter or read this package")
            assert (directory / SOCKET).stat().st_uid == NOBODY
            assert ctl(directory, "drain").out == f"draining: {NOBODY} connections are told to send new work elsewhere\n"
            assert server.communicate(timeout=20)[0] == ""
        assert server.returncode == 0
        assert not (directory / SOCKET).exists()
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("request_line", "complaint"),
    [
        (b"\n", "not a line of JSON"),
        (b"\xff\xfe\n", "not a line of JSON"),
        (b"GET / HTTP/1.1\r\n\r\n", "not a line of JSON"),
        (b"[" * 60000 + b"\n", "not a line of JSON"),
        (b"[]\n", "needs the name of a command"),
        (b'{"command":7}\n', "needs the name of a command"),
        (b'{"command":"nonsense"}\n', "'nonsense' is no command; there are "),
        (b'{"command":"drain","force":true}\n', "'force': no argument of this command"),
        (b'{"command":"log-level"}\n', "expected one of debug, info, warning, error"),
        (b'{"command":"log-level","level":"info","seconds":"long"}\n', 'seconds="long": expected seconds from 0 to 604800'),
        (b'{"command":"log-level","level":"info","seconds":NaN}\n', "expected seconds"),
        (b'{"command":"log-level","level":"info","seconds":-1}\n', "expected seconds"),
        (b'{"command":"log-level","level":"info","seconds":1' + b"0" * 400 + b"}\n", "expected seconds"),
        (b"x" * 65536, "longer than 65536 bytes"),
    ],
)
def test_a_request_that_cannot_be_used_is_told_what_is_expected(proxy: ProxyProcess, request_line: bytes, complaint: str) -> None:
    (answer,) = ask(proxy, request_line)
    assert answer["ok"] is False
    assert complaint in answer["error"]
    assert works(proxy)


def test_a_client_that_ends_its_request_with_the_end_of_the_stream_is_answered(proxy: ProxyProcess) -> None:
    with connect(proxy) as sock:
        sock.sendall(b'{"command":"log-level","level":"info"}')
        sock.shutdown(socket.SHUT_WR)
        item, end = answer_of(sock)
    assert item["item"]["level"] == "info"
    assert end == {"ok": True}


def test_a_thousand_clients_and_garbage_do_not_stop_the_service(proxy: ProxyProcess) -> None:
    with contextlib.ExitStack() as exits, proxy.client() as client:
        for number in range(1000):
            sock = exits.enter_context(connect(proxy))
            with contextlib.suppress(OSError):  # most are turned away
                sock.sendall((b"", os.urandom(512) + b"\n", b'{"command":')[number % 3])
            if number % 50 == 0:
                assert client.user_info([1]).user_id == 1
    assert eventually(lambda: ctl(proxy.directory, "log-level", "info").code, 0, timeout=20) == 0
    assert proxy.running


def test_the_17th_client_is_told_so_and_a_silent_one_is_given_up(proxy: ProxyProcess) -> None:
    with contextlib.ExitStack() as exits:
        silent = [exits.enter_context(connect(proxy)) for _ in range(16)]
        (answer,) = ask(proxy, b"")
        assert answer["error"] == "16 clients are connected already"
        assert [answer_of(sock) for sock in silent] == [[{"ok": False, "error": "no request within 5 s"}]] * 16
    assert ctl(proxy.directory, "log-level", "info").code == 0


def test_clients_that_hang_do_not_delay_the_end(proxy: ProxyProcess) -> None:
    with contextlib.ExitStack() as exits:
        for _ in range(16):
            exits.enter_context(connect(proxy)).sendall(b'{"comm')
        proxy.signal(signal.SIGTERM)
        began = time.monotonic()
        assert proxy.wait(10) == 0
    assert time.monotonic() - began < 5  # REQUEST_TIMEOUT of a client would be longer
