"""One connection over a real socketpair: partial writes, limits, pause, heartbeat, timeouts."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from dbproxy.net.backlog import RATE_TICKS
from dbproxy.net.conn_state import ConnLimits
from dbproxy.net.proxy_conn import ProxyConn
from dbproxy.net.reactor import Reactor
from dbproxy.wire.commands import HEARTBEAT_PDU
from dbproxy.wire.pdu import HEADER, ImPdu, pack_pdu

LIMITS = ConnLimits(
    max_pdu_length=100_000,
    max_send_buffer=200_000,
    send_timeout=10,
    heartbeat_interval=5,
    peer_timeout=30,
)


class Line:
    """A connection, its peer and what it has reported."""

    def __init__(self, limits: ConnLimits, kind: int = socket.AF_UNIX) -> None:
        if kind == socket.AF_UNIX:
            ours, self.peer = socket.socketpair()
        else:  # a real TCP connection, which can be reset
            with socket.create_server(("127.0.0.1", 0)) as server:
                self.peer = socket.create_connection(server.getsockname())
                ours, _ = server.accept()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.peer.setblocking(False)
        self.reactor = Reactor()
        self.pdus: list[ImPdu] = []
        self.closed: list[int] = []
        self.pending = 0
        self.backlogs: dict[int, int] = {}
        self.conn = ProxyConn(
            7,
            ours,
            "1.2.3.4:5",
            self.reactor,
            limits,
            lambda _, pdus: self.pdus.extend(pdus),
            lambda connection: self.closed.append(connection.uuid),
            self._on_pending,
            self.backlogs.__setitem__,
        )
        self.watched = ours

    def _on_pending(self, delta: int) -> None:
        self.pending += delta

    @property
    def memory(self) -> int:
        """What the connection says that it holds, which is what it has told those who keep the sums."""
        assert (self.conn.pending, self.conn.backlog.size) == (self.pending, self.backlogs.get(7, 0))
        return self.conn.pending + self.conn.backlog.size

    def turn(self) -> None:
        """One turn that does not wait."""
        self.reactor.wake()
        self.reactor.turn()

    def events(self) -> int:
        """What the selector watches the connection for; 0 when it is not registered."""
        try:
            return self.reactor._selector.get_key(self.watched).events
        except (KeyError, ValueError):
            return 0

    def read(self, size: int = 1 << 20) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return self.peer.recv(size)
        return b""

    def read_all(self, length: int) -> bytes:
        """Let the peer read until it has so many bytes, with turns in between."""
        got = b""
        deadline = time.monotonic() + 10
        while len(got) < length and time.monotonic() < deadline:
            got += self.read()
            self.turn()
        return got

    def close(self) -> None:
        self.conn.close("the test is over")
        self.peer.close()
        self.reactor.close()


Lines = Callable[..., Line]


@pytest.fixture
def lines() -> Iterator[Lines]:
    made: list[Line] = []

    def make(kind: int = socket.AF_UNIX, **changed: float) -> Line:
        made.append(Line(dataclasses.replace(LIMITS, **changed), kind))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for line in made:
        line.close()


def test_pdus_are_handed_on_as_they_become_complete(lines: Lines) -> None:
    line = lines()
    stream = pack_pdu(3, 0x0301, 1, b"one") + pack_pdu(3, 0x0303, 2, b"two")
    line.peer.send(stream[:25])
    line.turn()
    assert line.pdus == [ImPdu(3, 0x0301, 1, b"one")]
    assert line.memory == 6
    line.peer.send(stream[25:])
    line.turn()
    assert line.pdus[1:] == [ImPdu(3, 0x0303, 2, b"two")]
    assert line.memory == 0


def test_what_is_sent_together_arrives_in_order(lines: Lines) -> None:
    line = lines()
    line.conn.send((b"a", b"bc", b"def"))
    assert line.read() == b"abcdef"
    assert line.conn.flushed


def test_what_the_socket_does_not_take_is_sent_when_it_does(lines: Lines) -> None:
    line = lines()
    parts = [bytes([number]) * 10_000 for number in range(10)]
    for part in parts:
        line.conn.send((part,))
    assert not line.conn.flushed
    assert line.events() == selectors.EVENT_READ | selectors.EVENT_WRITE
    assert line.read_all(100_000) == b"".join(parts)
    assert line.conn.flushed
    assert line.memory == 0
    assert line.events() == selectors.EVENT_READ


def test_requests_are_read_while_replies_are_waiting(lines: Lines) -> None:
    line = lines()
    line.conn.send((b"x" * 100_000,))
    line.peer.send(pack_pdu(3, 0x0301, 1, b""))
    line.turn()
    assert len(line.pdus) == 1


def test_reading_stops_above_the_backlog_limit_and_resumes_below_it(lines: Lines) -> None:
    line = lines()
    line.conn.send((b"x" * 300_000,))
    assert line.events() == selectors.EVENT_WRITE
    line.peer.send(pack_pdu(3, 0x0301, 1, b""))
    line.turn()
    assert line.pdus == []
    line.read_all(300_000)
    line.turn()
    assert len(line.pdus) == 1


def test_a_peer_that_reads_gets_everything_however_much_is_sent_at_once(lines: Lines) -> None:
    line = lines()
    parts = [bytes([number]) * 100_000 for number in range(100)]
    line.conn.send(parts)
    assert line.read_all(10_000_000) == b"".join(parts)
    assert not line.conn.closed
    assert line.memory == 0


def test_what_is_kept_for_a_closed_connection_is_forgotten(lines: Lines) -> None:
    line = lines()
    line.peer.send(HEADER.pack(100_000, 1, 0, 3, 0x0301, 1, 0))
    line.turn()
    line.conn.send((b"x" * 300_000,))
    assert line.memory > 200_000
    line.conn.close("enough")
    assert line.memory == 0


def test_a_peer_that_takes_nothing_for_too_long_is_closed(lines: Lines) -> None:
    line = lines(send_timeout=10)
    line.conn.send((b"x" * 100_000,))
    now = time.monotonic()
    line.conn.on_tick(now + 9)
    assert not line.conn.closed
    line.conn.on_tick(now + 11)
    assert line.closed == [7]


def test_a_slow_reader_is_not_closed_as_long_as_it_takes_something(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    line = lines(send_timeout=10)
    line.conn.send((b"x" * 100_000,))
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + 8)
    held = line.memory
    while line.memory == held:  # the kernel takes more only when its own buffer is empty enough
        assert line.read(4096)
        line.turn()
    assert not line.conn.flushed
    line.conn.on_tick(start + 12)
    assert not line.conn.closed
    line.conn.on_tick(start + 19)
    assert line.conn.closed


def test_reading_pauses_and_resumes_with_the_pool(lines: Lines) -> None:
    line = lines()
    line.conn.pause_reading(True)
    assert line.events() == 0
    line.peer.send(pack_pdu(3, 0x0301, 1, b""))
    line.turn()
    assert line.pdus == []
    line.conn.send((b"a reply",))
    assert line.read() == b"a reply"
    line.conn.pause_reading(False)
    line.turn()
    assert len(line.pdus) == 1


def test_replies_are_flushed_while_reading_is_paused(lines: Lines) -> None:
    line = lines()
    line.conn.pause_reading(True)
    line.conn.send((b"x" * 100_000,))
    assert line.events() == selectors.EVENT_WRITE
    assert len(line.read_all(100_000)) == 100_000
    assert line.events() == 0


def test_a_heartbeat_is_sent_after_silence_of_ours(lines: Lines) -> None:
    line = lines()
    now = time.monotonic()
    line.conn.on_tick(now + 4)
    assert line.read() == b""
    line.conn.on_tick(now + 5.1)
    assert line.read() == HEARTBEAT_PDU


def test_no_heartbeat_follows_the_end_of_sending(lines: Lines) -> None:
    line = lines()
    line.conn.finish_sending()
    line.conn.on_tick(time.monotonic() + 20)
    assert line.closed == []


def test_a_reply_puts_the_heartbeat_off(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    line = lines()
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + 4)
    line.conn.send((b"a reply",))
    line.conn.on_tick(start + 6)
    assert line.read() == b"a reply"
    line.conn.on_tick(start + 9.1)
    assert line.read() == HEARTBEAT_PDU


def test_no_heartbeat_is_piled_upon_what_the_peer_does_not_read(lines: Lines) -> None:
    line = lines()
    line.conn.send((b"x" * 100_000,))
    held = line.memory
    line.conn.on_tick(time.monotonic() + 6)
    assert line.memory == held


def test_a_silent_peer_is_closed(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    line = lines()
    now = time.monotonic()
    line.conn.on_tick(now + 29)
    assert not line.conn.closed
    line.conn.on_tick(now + 31)
    assert line.closed == [7]
    assert "silent for 30 s" in caplog.text


def test_time_in_which_the_process_did_not_run_is_no_silence_of_the_peer(lines: Lines) -> None:
    line = lines(send_timeout=10)
    now = time.monotonic()
    line.conn.send((b"x" * 100_000,))
    line.conn.skip_time(100)
    line.conn.on_tick(now + 109)
    assert not line.conn.closed
    line.conn.on_tick(now + 111)
    assert line.conn.closed


def test_acknowledged_bytes_are_progress_before_the_kernel_takes_more(lines: Lines) -> None:
    line = lines(socket.AF_INET, send_timeout=10)
    line.watched.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    line.conn.send((b"x" * 40_000_000,))
    backlog = 0
    while line.conn.backlog.size != backlog:  # until both kernels have as much as they take
        backlog = line.conn.backlog.size
        for _ in range(10):
            line.turn()
    now = time.monotonic()
    line.conn.on_tick(now)
    unacknowledged = line.conn.backlog._unacknowledged
    deadline = now + 20
    while line.conn.backlog._unacknowledged == unacknowledged and time.monotonic() < deadline:
        line.read(16384)
        line.conn.on_tick(now + 9)
    assert line.conn.backlog._unacknowledged < unacknowledged
    assert line.conn.backlog.size == backlog
    line.conn.on_tick(now + 18)
    assert not line.conn.closed
    line.conn.on_tick(now + 30)
    assert line.conn.closed


def test_a_byte_is_a_sign_of_life(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    line = lines()
    start = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: start + 20)
    line.peer.send(b"\0")
    line.turn()
    line.conn.on_tick(start + 45)
    assert not line.conn.closed


def test_a_peer_that_we_do_not_read_cannot_be_silent(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    line = lines()
    line.conn.pause_reading(True)
    start = time.monotonic()
    line.conn.on_tick(start + 100)
    assert not line.conn.closed
    monkeypatch.setattr(time, "monotonic", lambda: start + 100)
    line.conn.pause_reading(False)
    line.conn.on_tick(start + 129)
    assert not line.conn.closed  # its 30 s begin when we listen again
    line.conn.on_tick(start + 131)
    assert line.conn.closed


@pytest.mark.parametrize("length", [0, 15, 100_001, 2**32 - 1])
def test_a_broken_length_closes_after_the_pdus_before_it(lines: Lines, length: int, caplog: pytest.LogCaptureFixture) -> None:
    line = lines()
    line.peer.send(pack_pdu(3, 0x0301, 1, b"good") + HEADER.pack(length, 1, 0, 3, 0x0301, 2, 0) + b"rest")
    line.turn()
    assert line.pdus == [ImPdu(3, 0x0301, 1, b"good")]
    assert line.closed == [7]
    assert str(length) in caplog.text


def test_what_holds_half_a_pdu_grows_no_further_than_the_pdu(lines: Lines) -> None:
    line = lines()
    line.peer.send(HEADER.pack(100_000, 1, 0, 3, 0x0301, 1, 0) + b"x" * 1000)
    line.turn()
    assert line.memory == 1016


@pytest.mark.parametrize("kind", [socket.AF_UNIX, socket.AF_INET])
def test_the_peer_s_leaving_closes_once(lines: Lines, kind: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    line = lines(kind)
    line.peer.close()
    line.reactor.turn()
    line.conn.close("again")
    line.conn.send((b"nobody is there",))
    line.conn.on_tick(time.monotonic() + 100)
    assert line.closed == [7]
    assert caplog.text.count("connection closed") == 1


def test_a_reset_closes_without_an_error(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    line = lines(socket.AF_INET)
    line.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.peer.close()
    line.reactor.turn()
    assert line.closed == [7]
    assert not [record for record in caplog.records if record.exc_info]


def test_sending_to_a_peer_that_is_gone_closes_without_an_error(lines: Lines) -> None:
    line = lines()
    line.peer.close()
    line.conn.send((b"a reply",))
    assert line.closed == [7]


def test_a_peer_that_goes_while_replies_wait_closes_without_an_error(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    line = lines()
    line.conn.pause_reading(True)
    line.conn.send((b"x" * 100_000,))
    line.peer.close()
    line.turn()
    assert line.closed == [7]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_connection_that_another_closes_in_the_same_turn_is_left_alone(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    line = lines()
    line.conn.send((b"x" * 100_000,))
    first, other = socket.socketpair()
    with first, other:
        line.reactor.register(first, selectors.EVENT_READ, lambda _: line.conn.close("it holds too much"))
        other.send(b"ready before the connection is")
        line.read()
        line.turn()
        line.reactor.unregister(first)
    assert line.closed == [7]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_peer_that_trickles_is_slow_after_some_seconds_and_one_that_reads_is_not(lines: Lines) -> None:
    line = lines(send_timeout=1000)
    line.conn.send((b"x" * 2_000_000,))
    now = time.monotonic()
    for second in range(RATE_TICKS + 1):
        assert not line.conn.backlog.is_slower_than(1000) or second >= RATE_TICKS
        line.conn.on_tick(now + second)
    assert line.conn.backlog.is_slower_than(1000)
    for second in range(RATE_TICKS):
        assert len(line.read_all(100_000)) >= 100_000
        line.conn.on_tick(now + RATE_TICKS + second)
    assert not line.conn.flushed
    assert not line.conn.backlog.is_slower_than(1000)
