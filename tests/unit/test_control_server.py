"""The control socket without a proxy: taking over, stopping, commands that fail, clients that go."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.errors import ControlRefusedError, ControlSocketError
from dbproxy.ops.control_protocol import Arguments
from dbproxy.ops.control_server import ControlServer
from dbproxy.ops.control_session import Items, Session
from dbproxy.ops.control_socket import ControlSocket
from dbproxy.ops.ctl_client import NoAnswerError, NoProxyError, ask
from dbproxy.ops.log_level import TemporaryLogLevel
from dbproxy.testing.waiting import eventually


class Echo:
    """Says who answers, and fails or waits when it is told to."""

    name = "echo"

    def __init__(self, answer: str = "") -> None:
        self._answer = answer
        self.ended = threading.Event()
        self.waiting = threading.Event()

    def execute(self, arguments: Arguments, session: Session) -> Items:
        mode = arguments.text("mode")
        yield {"answer": self._answer}
        if mode == "refuse":
            raise ControlRefusedError("not now")
        if mode == "fail":
            raise KeyError("secret")
        try:
            if mode == "wait":
                self.waiting.set()
                while session.pause(60):
                    pass
        finally:
            self.ended.set()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "control.sock")


@pytest.fixture
def echo(path: str) -> Iterator[Echo]:
    command = Echo("first")
    server = ControlServer(path, [command])
    assert server.start()
    yield command
    server.stop()


def answer(path: str, mode: str = "") -> str:
    return "".join(item["answer"] for item in ask(path, {"command": "echo", "mode": mode}, 10))


def test_a_server_that_takes_over_has_the_file_and_the_former_one_leaves_it_alone(path: str) -> None:
    first, second = ControlServer(path, [Echo("first")]), ControlServer(path, [Echo("second")])
    assert first.start()
    assert not second.start()
    assert second.start(take_over=True)
    assert answer(path) == "second"
    first.stop()
    assert answer(path) == "second"
    second.stop(keep_file=True)
    assert Path(path).exists()
    with pytest.raises(NoProxyError, match="was left by one that is gone"):
        answer(path)
    assert first.start()  # again, because the one that had taken over is gone
    assert answer(path) == "first"
    first.stop()
    assert not Path(path).exists()


def test_a_server_that_is_replaced_by_one_with_another_file_removes_its_own_at_the_end(path: str) -> None:
    server = ControlServer(path, ())
    assert server.start()
    server.stop(keep_file=True)
    assert Path(path).is_socket()
    server.stop()
    assert not Path(path).exists()
    server.stop()


def test_only_one_of_those_that_come_at_once_gets_the_file(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)  # a file that nobody listens to
    sockets = [ControlSocket(path) for _ in range(8)]
    won, lost = [], []

    def open_it(one: ControlSocket) -> None:
        try:
            one.open()
            won.append(one)
        except ControlSocketError:
            lost.append(one)

    threads = [threading.Thread(target=open_it, args=(one,)) for one in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    won[0].close()


def test_what_a_command_yielded_before_it_failed_is_received(path: str, echo: Echo, caplog: pytest.LogCaptureFixture) -> None:
    answers = ask(path, {"command": "echo", "mode": "refuse"}, 10)
    assert next(answers) == {"answer": "first"}
    with pytest.raises(ControlRefusedError, match="not now"):
        next(answers)
    with caplog.at_level(logging.CRITICAL), pytest.raises(ControlRefusedError, match="the command failed: KeyError; the log has more"):
        list(ask(path, {"command": "echo", "mode": "fail"}, 10))


def test_a_command_ends_when_its_client_has_gone(path: str, echo: Echo) -> None:
    answers = ask(path, {"command": "echo", "mode": "wait"}, 10)
    next(answers)
    assert echo.waiting.wait(10)
    answers.close()
    assert echo.ended.wait(10)


def test_a_command_ends_and_is_answered_when_the_server_stops(path: str) -> None:
    command = Echo("x")
    server = ControlServer(path, [command])
    assert server.start()
    answers = ask(path, {"command": "echo", "mode": "wait"}, 10)
    next(answers)
    assert command.waiting.wait(10)
    server.stop()
    assert list(answers) == []


def test_who_is_no_proxy_is_not_believed(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()

        def serve(reply: bytes) -> None:
            with other.accept()[0] as client:
                client.recv(1000)
                client.sendall(reply)

        for reply, complaint in (
            (b"HTTP/1.1 400 Bad Request\r\n", "is no control socket"),
            (b"[]\n", "is no control socket"),
            (b'{"item":{"answer":"x"}}\n', "closed the connection before the end"),
        ):
            thread = threading.Thread(target=serve, args=(reply,))
            thread.start()
            with pytest.raises(NoAnswerError, match=complaint):
                answer(path)
            thread.join()


def test_a_proxy_that_says_nothing_is_given_up(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(path)
        frozen.listen()
        with pytest.raises(NoAnswerError, match=r"has said nothing for 0\.1 s"):
            list(ask(path, {"command": "echo"}, 0.1))


def test_a_temporary_level_is_set_back_by_its_time_or_by_a_reset() -> None:
    written: list[str] = []
    level = TemporaryLogLevel(lambda: "warning", written.append)
    level.reset()
    assert written == []
    assert level.change("debug", 0.05) == "warning"
    assert eventually(lambda: list(written), ["debug", "warning"]) == ["debug", "warning"]
    level.change("info", 60)
    level.change("error", 0)
    level.reset()
    level.reset()
    assert written == ["debug", "warning", "info", "error", "warning"]
