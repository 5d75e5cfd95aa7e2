"""dbproxy-ctl trace: exactly the requests that were asked for, without secrets, and without harm to the service."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from control import answer_of, command, connect, ctl, environment

from dbproxy.testing import FileServer, ProxyProcess, Stack
from dbproxy.testing.client import pack
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2 as base

USERS = {"users": ["alice", "bob", "carol"]}
KEYS = {"StopGrace": 1}


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    with ProxyProcess(stack, KEYS) as running:
        yield running


class Tracing:
    """A trace that has begun; ``items`` after its end."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.text = ""

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [item for item in self.items if "command" in item]


@contextmanager
def traced(proxy: ProxyProcess, *arguments: str, seconds: str = "2") -> Iterator[Tracing]:
    """Trace while the block runs, and for the rest of ``seconds``."""
    before = proxy.log().count("a trace of requests begins")
    words = command("--json", "trace", "--seconds", seconds, *arguments)
    tracing = Tracing()
    with subprocess.Popen(words, cwd=proxy.directory, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert eventually(lambda: proxy.log().count("a trace of requests begins"), before + 1, timeout=20) == before + 1
        yield tracing
        tracing.text, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    tracing.items = [json.loads(line) for line in tracing.text.splitlines()]


@pytest.mark.data(**USERS)
def test_a_message_is_shown_with_its_reply_and_times_but_without_its_text(proxy: ProxyProcess) -> None:
    with proxy.client() as client, traced(proxy) as tracing:
        assert client.send_message(1, 2, "the secret plan").msg_id == 1
    (message,) = tracing.requests
    assert (message["command"], message["outcome"], message["batch"]) == ("CID_MSG_DATA", "answered", 1)
    assert message["request"]["fields"]["from_user_id"] == 1
    assert message["request"]["fields"]["msg_type"] == "MSG_TYPE_SINGLE_TEXT"
    assert message["request"]["fields"]["msg_data"] == "<15 bytes>"
    assert message["reply"]["fields"]["msg_id"] == 1
    assert 0 < message["mysql"] + message["redis"] <= message["worked"]
    assert tracing.items[-1] == {"shown": 1, "dropped": 0}
    assert "secret plan" not in tracing.text


@pytest.mark.data(**USERS)
def test_contents_show_texts_but_no_passwords_and_no_tokens(proxy: ProxyProcess) -> None:
    with proxy.client() as client, traced(proxy, "--contents") as tracing:
        client.send_message(1, 2, "the secret plan")
        assert client.login("alice").result_code == 0
        client.set_device_token(1, "ios:0123456789abcdef")
        client.device_tokens([1])
    assert len(tracing.requests) == 4
    assert "the secret plan" in tracing.text
    login = next(item for item in tracing.requests if item["command"] == "CID_OTHER_VALIDATE_REQ")
    assert login["request"]["fields"] == {**login["request"]["fields"], "user_name": "alice", "password": "<hidden>"}
    assert "0123456789abcdef" not in tracing.text


def traffic(proxy: ProxyProcess, end: threading.Event, done: list[int], errors: list[Exception]) -> None:
    try:
        with proxy.client() as client:
            while not end.is_set():
                client.user_info([3], user_id=3)
                client.send_message(3, 2, "load")
                done.append(1)
    except Exception as error:  # noqa: BLE001 - shown by the test
        errors.append(error)


@pytest.mark.data(**USERS)
def test_under_load_exactly_the_requests_of_one_user_are_shown(proxy: ProxyProcess) -> None:
    end, done, errors = threading.Event(), list[int](), list[Exception]()
    threads = [threading.Thread(target=traffic, args=(proxy, end, done, errors)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        with proxy.client() as client, traced(proxy, "--user", "1", seconds="3") as tracing:
            numbers = [client.send_message(1, 2, f"number {number}").msg_id for number in range(20)]
            client.user_info([1], user_id=3)
            client.read_ack(2, 1, msg_id=numbers[-1])
            client.recent_sessions(2)
            assert client.login("alice").result_code == 0
            assert client.login("bob").result_code == 0
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert errors == []
    assert done
    shown = [item["command"] for item in tracing.requests]
    assert shown.count("CID_MSG_DATA") == 20
    assert sorted(set(shown)) == ["CID_BUDDY_LIST_USER_INFO_REQUEST", "CID_MSG_DATA", "CID_MSG_READ_ACK", "CID_OTHER_VALIDATE_REQ"]
    assert len(shown) == 23
    ids = [item["reply"]["fields"]["msg_id"] for item in tracing.requests if item["command"] == "CID_MSG_DATA"]
    assert ids == numbers
    assert tracing.items[-1] == {"shown": 23, "dropped": 0}


@pytest.mark.data(**USERS)
def test_a_command_and_a_peer_can_be_chosen(proxy: ProxyProcess) -> None:
    with proxy.client() as client, proxy.client() as other:
        address = "{}:{}".format(*client.socket.getsockname())
        with traced(proxy, "--peer", address, "--command", "IMUsersInfoReq", seconds="1.5") as tracing:
            for peer in (client, other):
                peer.user_info([2])
                peer.recent_sessions(1)
        assert [(item["command"], item["peer"]) for item in tracing.requests] == [("CID_BUDDY_LIST_USER_INFO_REQUEST", address)]
        with traced(proxy, "--peer", "127.0.0.1", "--command", "0x0204", seconds="1.5") as tracing:
            client.user_info([2])
            other.user_info([2])
        assert len(tracing.requests) == 2
        with traced(proxy, "--peer", "10.0.0.1", seconds="1") as tracing:
            client.user_info([2])
        assert tracing.items == [{"shown": 0, "dropped": 0}]


@pytest.mark.data(**USERS)
def test_a_sound_is_one_request_with_the_time_in_the_file_server(stack: Stack) -> None:
    with FileServer() as files, ProxyProcess(stack, {**KEYS, "MsfsSite": files.site}) as proxy, proxy.client() as client:
        assert client.send_sound(1, 2, b"sound").msg_id == 1
        with traced(proxy, seconds="1.5") as tracing:
            assert len(client.messages(2, 1).msg_list) == 1
        (request,) = tracing.requests
    assert (request["command"], request["outcome"]) == ("CID_MSG_LIST_REQUEST", "answered")
    assert request["file_server"] > 0
    assert request["reply"]["fields"]["msg_list"][0]["msg_data"] == "<9 bytes>"


def test_a_body_that_cannot_be_read_is_shown_as_such(proxy: ProxyProcess) -> None:
    with proxy.client() as client, traced(proxy, seconds="1.5") as tracing:
        client.send_raw(pack(base.SID_BUDDY_LIST, base.CID_BUDDY_LIST_USER_INFO_REQUEST, b"\xff\xff"))
        client.user_info([1])
    first = tracing.requests[0]
    assert (first["outcome"], first["reply"]) == ("unreadable", None)
    assert first["request"] == {"message": "IMUsersInfoReq", "bytes": 2, "problem": "does not parse"}


def test_the_table_is_for_people(proxy: ProxyProcess) -> None:
    end = threading.Event()
    thread = threading.Thread(target=traffic, args=(proxy, end, [], []))
    thread.start()
    try:
        done = ctl(proxy.directory, "trace", "--command", "imusersinfo", "--seconds", "0.5")
    finally:
        end.set()
        thread.join()
    assert done.code == 0
    first, request, reply = done.out.splitlines()[:3]
    assert "CID_BUDDY_LIST_USER_INFO_REQUEST 127.0.0.1:" in first
    assert ": answered, waited " in first
    assert request.startswith("  -> IMUsersInfoReq (")
    assert '"user_id_list": [3]' in request
    assert reply.startswith("  <- IMUsersInfoRsp (")
    assert done.out.splitlines()[-1].split()[1] == "shown"


@pytest.mark.data(**USERS)
def test_a_client_that_does_not_read_loses_its_trace_and_harms_nobody(proxy: ProxyProcess) -> None:
    end, done, errors = threading.Event(), list[int](), list[Exception]()
    threads = [threading.Thread(target=traffic, args=(proxy, end, done, errors)) for _ in range(4)]
    with connect(proxy) as deaf:
        deaf.sendall(b'{"command":"trace","seconds":60,"contents":true}\n')
        for thread in threads:
            thread.start()
        try:
            assert eventually(lambda: "a trace of requests ends" in proxy.log(), True, timeout=60)
        finally:
            end.set()
            for thread in threads:
                thread.join()
    assert errors == []
    assert len(done) > 100
    with proxy.client() as client:
        assert client.user_info([1]).user_id == 1


def test_a_fifth_trace_is_refused_and_an_interrupted_one_makes_room(proxy: ProxyProcess) -> None:
    traces = [connect(proxy) for _ in range(4)]
    try:
        for trace in traces:
            trace.sendall(b'{"command":"trace","seconds":60}\n')
        assert eventually(lambda: proxy.log().count("a trace of requests begins"), 4) == 4
        done = ctl(proxy.directory, "trace", "--seconds", "0.2")
        assert done == (1, "", "dbproxy-ctl: 4 traces are active already\n")
        traces.pop().close()
        assert eventually(lambda: proxy.log().count("a trace of requests ends"), 1) == 1
        assert ctl(proxy.directory, "trace", "--seconds", "0.2").out == "0 shown\n"
        proxy.terminate()  # it does not wait for traces
        for trace in traces:
            assert answer_of(trace)[-1] == {"ok": True}
        assert proxy.wait(20) == 0
    finally:
        for trace in traces:
            trace.close()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--command", "CID_MSG_GET"], "may be any of"),
        (["--user", "-5"], "user=-5: expected a whole number"),
        (["--peer", "msg-server-1"], "peer='msg-server-1': expected an IP address, or IP address:port as in the log"),
        (["--seconds", "0"], "seconds=0.0: expected seconds from 0.1 to 86400"),
    ],
)
def test_what_cannot_be_traced_is_refused(proxy: ProxyProcess, arguments: list[str], complaint: str) -> None:
    done = ctl(proxy.directory, "trace", *arguments)
    assert (done.code, done.out) == (1, "")
    assert complaint in done.err
