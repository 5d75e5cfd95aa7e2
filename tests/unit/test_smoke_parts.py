"""The parts of dbproxy-smoke and of the chat client that do no I/O."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from dbproxy.smoke.report import summary
from dbproxy.smoke.steps import Outcome, Result, Step, StepFailedError, UnreachableError, run_steps, until
from dbproxy.testing.chat_text import decrypt_text, encrypt_text
from dbproxy.testing.client import ConnectionClosedError
from dbproxy.testing.login_server import LoginServerError, MsgServer, check_login_url, find_msg_server

KEY = "12345678901234567890123456789012"


def ran(*steps: Step) -> list[tuple[str, Result, str]]:
    told: list[Outcome] = []
    outcomes = run_steps(steps, told.append)
    assert told == outcomes
    return [(outcome.step.name, outcome.result, outcome.detail) for outcome in outcomes]


def failing(error: Exception) -> Step:
    def run() -> str:
        raise error

    return Step("bad", "a step", run)


def test_a_step_that_needs_one_which_has_not_passed_is_skipped_and_others_go_on() -> None:
    steps = [
        failing(StepFailedError("no luck")),
        Step("after", "", lambda: "never", ["bad"]),
        Step("later", "", lambda: "never", ["after"]),
        Step("other", "", lambda: "done"),
        Step("last", "", lambda: "", ["other"]),
    ]
    assert ran(*steps) == [
        ("bad", Result.FAILED, "no luck"),
        ("after", Result.SKIPPED, "needs: bad"),
        ("later", Result.SKIPPED, "needs: after"),
        ("other", Result.OK, "done"),
        ("last", Result.OK, ""),
    ]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError("the answer did not come"), "the answer did not come"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (ConnectionClosedError("the server closed the connection"), "the server closed the connection; the log of msg_server says why"),
        (ValueError(), "ValueError"),
    ],
)
def test_the_reason_of_a_failure_is_readable(error: Exception, reason: str) -> None:
    assert ran(failing(error)) == [("bad", Result.FAILED, reason)]


def test_a_missing_answer_is_told_with_what_it_may_mean() -> None:
    def run() -> str:
        raise TimeoutError("the answer did not come")

    assert ran(Step("bad", "a step", run, hint="ask the proxy")) == [("bad", Result.FAILED, "the answer did not come; ask the proxy")]


def test_a_mistake_of_the_program_is_not_taken_for_a_failed_step() -> None:
    with pytest.raises(KeyError):
        ran(failing(KeyError("x")))


def test_a_server_that_cannot_be_reached_is_told_apart() -> None:
    assert [outcome.unreachable for outcome in run_steps([failing(UnreachableError("x")), failing(OSError("y"))], print)] == [True, False]


def test_waiting_ends_with_the_last_problem() -> None:
    problems = iter(["one", "two", ""])
    until(lambda: next(problems), 5, interval=0)
    with pytest.raises(StepFailedError, match=r"still wrong \(for 0 s\)"):
        until(lambda: "still wrong", 0, interval=0)


def test_the_summary_counts() -> None:
    step = Step("a", "b", str)
    outcomes = [Outcome(step, result, "", 0.0) for result in (Result.OK, Result.OK, Result.FAILED, Result.SKIPPED)]
    assert summary(outcomes, 1.25) == "2 of 4 steps OK, 1 failed, 1 skipped (1.2 s)"
    assert summary(outcomes[:2], 0) == "2 of 2 steps OK (0.0 s)"


@pytest.mark.parametrize("text", ["", "hello", "a text of 16 byte", "123456789012", "1234567890123", "你好" * 50])
def test_texts_are_encrypted_and_back(text: str) -> None:
    assert decrypt_text(encrypt_text(text, KEY), KEY) == text


def test_a_text_of_the_original_clients_is_read() -> None:
    assert decrypt_text(b"nnZSBwfPCz60q69ddmfIJA==", KEY) == "hello"


@pytest.mark.parametrize("data", [b"hello", b"", b"aGVsbG8=", encrypt_text("hello", KEY[::-1])])
def test_what_is_not_encrypted_with_the_key_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decrypt_text(data, KEY)


@pytest.mark.parametrize("url", ["http://h", "http://h:8080/", "https://h/msg_server", "tcp://h:8008", "http://[::1]:8080"])
def test_urls_of_a_login_server_are_taken(url: str) -> None:
    assert check_login_url(url).hostname in ("h", "::1")


@pytest.mark.parametrize(
    "url", ["h:8080", "ftp://h", "tcp://h", "http://", "http://h:99999", "http://u:p@h:1", "http://h/?a=1", "http://h:x"]
)
def test_other_urls_are_refused_with_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match="expected http://host:port, https://host:port or tcp://host:port"):
        check_login_url(url)


@pytest.mark.parametrize(
    "address",
    [
        {"priorIP": "10.0.0.1", "port": None},
        {"priorIP": None, "port": 8000},
        {"priorIP": "10.0.0.1", "port": 0},
        {"priorIP": "10.0.0.1", "port": "x"},
        {"port": 8000},
    ],
)
def test_an_answer_without_a_usable_address_is_said_to_have_none(address: dict[str, object]) -> None:
    body = json.dumps({"code": 0, **address}).encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LoginServerError, match="the answer names no address of a msg_server"):
            find_msg_server(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_a_backup_address_is_tried_once_and_only_if_there_is_one() -> None:
    assert MsgServer("a", 1, "b").hosts == ("a", "b")
    assert MsgServer("a", 1, "a").hosts == MsgServer("a", 1).hosts == ("a",)
