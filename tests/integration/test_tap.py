"""dbproxy-tap between a client and a proxy: what it forwards, shows, saves and replays."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dbproxy.testing import Client, InProcessProxy, Stack
from dbproxy.testing.process import ChildProcess, free_port
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import message_pb2 as message

pytestmark = pytest.mark.data(users=["alice", "bob"])


class Tap(ChildProcess):
    """dbproxy-tap with some arguments; its output is in ``log_path``, what it says on stderr in another file."""

    def __init__(self, directory: Path, port: int, *arguments: str, stdout: int | None = None) -> None:
        super().__init__("dbproxy-tap", directory / "tap.out")
        self.port = 0
        self._arguments = arguments
        self._server = f"127.0.0.1:{port}"
        self._stdout = stdout

    def __enter__(self) -> Tap:
        command = [sys.executable, "-m", "dbproxy.tap", "--listen", "127.0.0.1:0", "--to", self._server, *self._arguments]
        with self.log_path.open("wb") as output, self.log_path.with_suffix(".err").open("wb") as errors:
            stdout = output if self._stdout is None else self._stdout
            self._process = subprocess.Popen(command, stdout=stdout, stderr=errors, stdin=subprocess.DEVNULL)
        eventually(lambda: "forwarding" in self.errors() or not self.running, True)
        self.port = int(re.findall(r"forwarding 127\.0\.0\.1:(\d+) to", self.errors())[0])
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def errors(self) -> str:
        return self.log_path.with_suffix(".err").read_text()

    def finish(self) -> list[str]:
        """Interrupt it and return the lines that it has shown."""
        self.signal(signal.SIGINT)
        assert isinstance(self._process, subprocess.Popen)
        assert self._process.wait(20) == 0, self.errors()
        return self.log().splitlines()

    def client(self) -> Client:
        return Client("127.0.0.1", self.port)


@contextmanager
def tapped(tmp_path: Path, proxy: InProcessProxy, *arguments: str) -> Iterator[tuple[Tap, Client]]:
    with Tap(tmp_path, proxy.port, *arguments) as tap, tap.client() as client:
        yield tap, client


def test_pdus_are_shown_with_direction_name_fields_and_latency(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    with tapped(tmp_path, dbproxy_proxy) as (tap, client):
        assert client.send_message(1, 2, "a secret text").msg_id == 1
        assert client.login("alice").result_code == 0
        client.read_ack(1, 2)
        assert client.unread(2).total_cnt == 1
        lines = tap.finish()
    clock = r"\d\d:\d\d:\d\d\.\d{6} #1 "
    assert re.fullmatch(clock + r"-- opened by 127\.0\.0\.1:\d+", lines[0])
    request = r"-> CID_MSG_DATA seq=1 IMMsgData \(\d+ bytes\) from_user_id=1 to_session_id=2 msg_id=0 .*msg_data=\"<13 bytes>"
    assert re.match(clock + request, lines[1])
    reply = r"<- CID_MSG_DATA seq=1 after \d+\.\d{3} ms IMMsgData \(\d+ bytes\) from_user_id=1 to_session_id=2 msg_id=1"
    assert re.match(clock + reply, lines[2])
    assert 'password="<hidden>"' in lines[3]
    assert 'user_name="<5 bytes>"' in lines[3]
    assert [re.sub(r".*?([<-][->]) (CID_\w+) .*", r"\1 \2", line) for line in lines[3:]] == [
        "-> CID_OTHER_VALIDATE_REQ", "<- CID_OTHER_VALIDATE_RSP", "-> CID_MSG_READ_ACK",
        "-> CID_MSG_UNREAD_CNT_REQUEST", "<- CID_MSG_UNREAD_CNT_RESPONSE",
    ]  # fmt: skip
    assert "secret" not in "\n".join(lines)
    assert "7 PDUs have passed: CID_MSG_DATA 2" in tap.errors()


def test_contents_are_shown_when_asked_for_but_no_passwords(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    with tapped(tmp_path, dbproxy_proxy, "--contents", "--json") as (tap, client):
        client.send_message(1, 2, "你好 \x1b[31m")
        client.login("alice")
        lines = tap.finish()
    items = [json.loads(line) for line in lines]
    assert items[1]["fields"]["msg_data"] == "你好 \x1b[31m"
    assert (items[2]["answers"], items[2]["from"]) == (items[1]["number"], "server")
    assert 0 < items[2]["latency"] < 10
    assert items[3]["fields"] == {"user_name": "alice", "password": "<hidden>"}
    assert "\x1b" not in "".join(lines)


def test_filters_select_requests_with_their_answers(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    with tapped(tmp_path, dbproxy_proxy, "--command", "msg_unread_cnt_req", "--user", "2") as (tap, client):
        client.unread(1)
        client.unread(2)
        client.all_users(2)
        lines = tap.finish()
    assert [re.findall(r"CID_\w+|opened", line) for line in lines] == [
        ["opened"], ["CID_MSG_UNREAD_CNT_REQUEST"], ["CID_MSG_UNREAD_CNT_RESPONSE"],
    ]  # fmt: skip


def test_every_byte_arrives_as_it_was_sent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Tap(tmp_path, server.getsockname()[1]) as tap:
        with socket.create_connection(("127.0.0.1", tap.port), 10) as client:
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(10)
                sent = b"GET / HTTP/1.1\r\n" + bytes(range(256)) * 20_000
                client.sendall(sent[:1000])
                received = b""
                while len(received) < 1000:
                    received += accepted.recv(65536)
                client.setblocking(False)
                rest, back = memoryview(sent)[1000:], b""
                while rest or len(received) < len(sent):
                    if rest:
                        with suppress(BlockingIOError):
                            rest = rest[client.send(rest) :]
                    received += accepted.recv(65536)
                assert received == sent
                client.settimeout(10)
                client.shutdown(socket.SHUT_WR)
                assert accepted.recv(10) == b""
                accepted.sendall(sent)
                accepted.shutdown(socket.SHUT_WR)
                while part := client.recv(65536):
                    back += part
                assert back == sent
        assert eventually(lambda: "closed by the server" in tap.log(), True)


def test_a_server_that_is_down_is_said_and_the_client_is_closed(tmp_path: Path) -> None:
    with Tap(tmp_path, free_port()) as tap:
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", tap.port), 10) as client:
                assert client.recv(10) == b""
        assert tap.finish()[-1].endswith("closed: the server cannot be reached: Connection refused")


def test_forwarding_goes_on_when_nobody_reads_the_output(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    reader, writer = socket.socketpair()
    with reader, writer, Tap(tmp_path, dbproxy_proxy.port, stdout=writer.fileno()) as tap, tap.client() as client:
        writer.close()
        reader.close()

        def unseen() -> bool:
            assert client.unread(1).total_cnt == 0
            return "nothing is shown any more; forwarding goes on" in tap.errors()

        assert eventually(unseen, True)
        assert client.unread(1).total_cnt == 0
        tap.finish()


def test_a_saved_session_is_replayed_and_compared(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    session = tmp_path / "session.jsonl"
    with tapped(tmp_path, dbproxy_proxy, "--save", str(session)) as (tap, client):
        client.send_message(1, 2, "first")
        client.all_users(1)
        asked = message.IMUnreadMsgCntReq(user_id=2)
        for number in (50, 51, 52):  # on their way at the same time
            client.send(asked, seq_num=number)
        assert {client.receive().seq_num for _ in range(3)} == {50, 51, 52}
        client.read_ack(2, 1)
        client.all_users(2)  # what is not answered has been forwarded when this is answered
        tap.finish()
    assert stat.S_IMODE(session.stat().st_mode) == 0o600

    def replay(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dbproxy.tap", "--replay", str(session), "--to", f"127.0.0.1:{dbproxy_proxy.port}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    again = replay()  # the first message is there already, so this one gets the id 2
    assert (again.returncode, again.stderr) == (1, "")
    assert "CID_MSG_DATA seq=1\n  msg_id: expected 1, found 2" in again.stdout
    assert again.stdout.endswith("7 PDUs sent, 6 answers compared, 4 differ\n")
    ignoring = replay("--ignore", "msg_id", "--ignore", "latest_msg_id")
    assert (ignoring.returncode, ignoring.stdout) == (0, "7 PDUs sent, 6 answers compared, 0 differ\n")


def test_a_saved_session_can_be_read_by_its_owner_only_and_has_all_requests(
    tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack
) -> None:
    session = tmp_path / "session.jsonl"
    session.write_text("readable by everybody")
    session.chmod(0o644)
    before = session.open()
    with before, tapped(tmp_path, dbproxy_proxy, "--save", str(session), "--slower", "60") as (tap, client):
        client.unread(1)
        tap.finish()
        assert before.read() == "readable by everybody"  # another file
    assert stat.S_IMODE(session.stat().st_mode) == 0o600
    assert [json.loads(line)["command"] for line in session.read_text().splitlines() if "command" in line] == [
        "CID_MSG_UNREAD_CNT_REQUEST", "CID_MSG_UNREAD_CNT_RESPONSE",
    ]  # fmt: skip
    link = tmp_path / "link.jsonl"
    link.symlink_to(session)
    command = [sys.executable, "-m", "dbproxy.tap", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--save", str(link)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, f"dbproxy-tap: {link} cannot be written: it is no regular file\n")


def test_saving_goes_on_when_nobody_reads_the_output(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    session = tmp_path / "session.jsonl"
    reader, writer = socket.socketpair()
    with reader, writer, Tap(tmp_path, dbproxy_proxy.port, "--save", str(session), stdout=writer.fileno()) as tap, tap.client() as client:
        writer.close()
        reader.close()
        for _ in range(5):
            client.unread(1)
        tap.finish()
    assert session.read_text().count("CID_MSG_UNREAD_CNT_RESPONSE") == 5


def test_without_descriptors_clients_wait_and_those_that_are_there_are_served(
    tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack
) -> None:
    with Tap(tmp_path, dbproxy_proxy.port) as tap, ExitStack() as exits:
        resource.prlimit(tap.pid, resource.RLIMIT_NOFILE, (40, 40))
        clients = [exits.enter_context(tap.client()) for _ in range(40)]
        assert clients[0].unread(1).total_cnt == 0
        assert clients[5].unread(1).total_cnt == 0
        for client in clients[:30]:
            client.close()
        assert clients[-1].unread(1).total_cnt == 0
        tap.finish()


def test_a_replay_on_a_server_that_does_not_answer_ends(tmp_path: Path, dbproxy_proxy: InProcessProxy, stack: Stack) -> None:
    session = tmp_path / "session.jsonl"
    with tapped(tmp_path, dbproxy_proxy, "--save", str(session)) as (tap, client):
        client.unread(1)
        tap.finish()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [sys.executable, "-m", "dbproxy.tap", "--replay", str(session), "--to", f"127.0.0.1:{silent.getsockname()[1]}"]
        done = subprocess.run([*command, "--timeout", "0.2"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "CID_MSG_UNREAD_CNT_REQUEST seq=1: no answer in time" in done.stdout
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stderr) == (3, "dbproxy-tap: Connection refused\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "not a line of a session"),
        ("{}\n", "not a session that dbproxy-tap has saved"),
        ('{"format": "dbproxy-tap session 1"}\n{"time": 1}\n', "session.jsonl:2: KeyError: 'from'"),
    ],
)
def test_a_file_that_is_no_session_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    session = tmp_path / "session.jsonl"
    session.write_text(content)
    command = [sys.executable, "-m", "dbproxy.tap", "--replay", str(session), "--to", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert problem in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--to", "127.0.0.1:1"], "--listen is needed"),
        (["--listen", "127.0.0.1", "--to", "127.0.0.1:1"], "expected host:port"),
        (["--listen", "127.0.0.1:0", "--to", "::1:5"], "an IPv6 address in brackets"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--command", "nonsense"], "is no command"),
        (["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--user", "-1"], "a whole number"),
    ],
)
def test_a_mistake_in_the_command_line_is_explained(arguments: list[str], problem: str) -> None:
    done: Any = subprocess.run([sys.executable, "-m", "dbproxy.tap", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert problem in done.stderr
