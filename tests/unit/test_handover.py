"""What two processes exchange at an upgrade: frames, descriptors, and the state of a proxy."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbproxy.errors import StartupError
from dbproxy.handover.channel import MAX_DESCRIPTORS, Channel, ChannelError
from dbproxy.handover.state import HandoverState, ListenerState, RequestState
from dbproxy.handover.takeover import Takeover, tell_failure
from dbproxy.handover.upgrade import PROTOCOL
from dbproxy.net.conn_state import ConnState

Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, sock = Channel.pair(2.0)
    other = Channel(sock, 2.0)
    yield one, other
    one.close()
    other.close()


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_a_frame_arrives_with_its_bytes_and_descriptors(ends: Ends) -> None:
    reader, writer = os.pipe()
    ends[0].send("some", {"a": [1, "é"]}, [b"abc", memoryview(b"def")], [reader])
    frame = ends[1].receive("other", "some")
    assert (frame.kind, frame.fields, bytes(frame.payload)) == ("some", {"a": [1, "é"]}, b"abcdef")
    os.write(writer, b"x")
    (received,) = frame.descriptors
    assert os.read(received, 1) == b"x"
    assert not os.get_inheritable(received)
    for descriptor in (reader, writer, received):
        os.close(descriptor)


def test_a_frame_that_is_not_expected_leaves_no_descriptor_open(ends: Ends) -> None:
    before = descriptors()
    ends[0].send("some", descriptors=[0])
    with pytest.raises(ChannelError, match="'some'"):
        ends[1].receive("other")
    assert descriptors() == before


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">III", 0, 0, 0),
        struct.pack(">III", 1 << 31, 0, 0),
        struct.pack(">III", 2, 0, 3) + b"{}",
        struct.pack(">III", 2, 0, 0) + b"{}",
        struct.pack(">III", 2, 0, 0) + b"[]",
    ],
)
def test_what_is_not_understood_is_an_error(data: bytes) -> None:
    channel, sock = Channel.pair(0.2)
    with sock:
        sock.sendall(data)
        with pytest.raises(ChannelError, match="not understood"):
            channel.receive("some")
    channel.close()


def test_a_process_that_is_gone_or_silent_is_an_error() -> None:
    channel, sock = Channel.pair(0.05)
    with sock:
        sock.sendall(b"\0\0")
        with pytest.raises(ChannelError, match="nothing came"):
            channel.receive("some")
        with pytest.raises(ChannelError, match="could not be sent"):
            channel.send("large", payload=[bytes(1 << 24)])
        assert not channel.wait(0)
    with pytest.raises(ChannelError, match="is gone"):
        channel.wait(0.01)
    with pytest.raises(ChannelError):
        channel.send("some")
    channel.close()


CONNECTIONS = st.lists(
    st.tuples(st.integers(1, 2**32 - 1), st.binary(max_size=60), st.lists(st.binary(min_size=1, max_size=40), max_size=4)), max_size=8
)
REQUESTS = st.lists(st.tuples(st.integers(1, 2**32 - 1), st.integers(0, 65535), st.binary(max_size=50)), max_size=12)
KEYS = st.lists(st.one_of(st.tuples(st.integers(0, 9)), st.tuples(st.integers(0, 9), st.integers(0, 9))), max_size=4)


@settings(max_examples=50)
@given(CONNECTIONS, REQUESTS, KEYS)
def test_the_state_arrives_as_it_was_sent(
    connections: list[tuple[int, bytes, list[bytes]]], requests: list[tuple[int, int, bytes]], keys: list[tuple[int, ...]]
) -> None:
    with socket.socket() as sock:
        sent = HandoverState(
            77,
            [ListenerState("peers", "0.0.0.0", 10600, sock.fileno())],
            [ConnState(uuid, "1.2.3.4:5", sock.fileno(), 0.5, 1.5, 2.5, data, unsent) for uuid, data, unsent in connections],
            [RequestState(uuid, "1.2.3.4:5", 0x0204, seq, 0.25, body) for uuid, seq, body in requests],
            [*keys],
        )
        received = exchange(sent)
    try:
        assert (received.last_uuid, received.requests, received.keys_at_work) == (77, sent.requests, sent.keys_at_work)
        assert [(one.role, one.host, one.port) for one in received.listeners] == [("peers", "0.0.0.0", 10600)]
        assert [(one.uuid, one.peer, one.opened, one.last_received, one.last_sent, one.unfinished) for one in received.connections] == [
            (one.uuid, one.peer, one.opened, one.last_received, one.last_sent, one.unfinished) for one in sent.connections
        ]
        assert [b"".join(one.unsent) for one in received.connections] == [b"".join(one.unsent) for one in sent.connections]
    finally:
        received.close()


def exchange(state: HandoverState) -> HandoverState:
    one, sock = Channel.pair(5.0)
    other = Channel(sock, 5.0)
    thread = threading.Thread(target=state.send, args=(one,))
    thread.start()
    try:
        return HandoverState.receive(other)
    finally:
        thread.join(10)
        one.close()
        other.close()


def test_more_connections_than_one_frame_carries_arrive() -> None:
    count = 2 * MAX_DESCRIPTORS + 1
    with socket.socket() as sock:
        received = exchange(
            HandoverState(0, connections=[ConnState(n, "peer", sock.fileno(), 0.0, 0.0, 0.0, b"", ()) for n in range(count)])
        )
    assert [one.uuid for one in received.connections] == list(range(count))
    received.close()


def test_a_state_that_stops_in_the_middle_leaves_no_descriptor_open(ends: Ends) -> None:
    before = descriptors()
    with socket.socket() as sock:
        HandoverState(0, connections=[ConnState(1, "peer", sock.fileno(), 0.0, 0.0, 0.0, b"", ())]).send(ends[0])
        ends[0].send("bye")
        state = HandoverState.receive(ends[1])
        state.close()
        ends[0].send("connections", {"connections": []})
        with pytest.raises(ChannelError):
            HandoverState.receive(ends[1])
    assert descriptors() == before


@pytest.mark.parametrize("protocol", [None, PROTOCOL + 1])
def test_a_process_that_hands_over_in_another_way_is_refused_before_anything_is_touched(ends: Ends, protocol: int | None) -> None:
    ends[0].send("hello", {"protocol": protocol, "pid": 1, "listeners": []})
    with pytest.raises(StartupError, match="does not understand"):
        Takeover(ends[1], "1.0").begin()


def test_the_reason_why_it_cannot_start_reaches_the_other_process(ends: Ends) -> None:
    tell_failure(ends[1], "ThreadNum=many")
    tell_failure(None, "nobody listens")
    assert ends[0].receive("ready", "failed").fields == {"reason": "ThreadNum=many"}
